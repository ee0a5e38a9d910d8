"""The same answer in any process: forked, spawned, in threads, and on a machine that gives little."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import soundfile

from thymos.audio import read_waveform
from thymos.errors import BundleError
from thymos.runtime import model_files as module
from thymos.runtime.recognizer import load

WAIT_S = 120
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture(scope="module")
def long_clip(long_speech):
    return long_speech


def answer(recognizer, source, timeline):
    return recognizer.predict(source, timeline=timeline)


def in_child(method, function, *words):
    with multiprocessing.get_context(method).Pool(1) as pool:
        return pool.apply_async(function, words).get(WAIT_S)


_HERE = {}


def answer_here(name, timeline):
    return _HERE["recognizer"].predict(_HERE[name], timeline=timeline)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_recognizer_that_was_used_answers_in_a_forked_child(bundle, spoken):
    """As with gunicorn --preload, and multiprocessing on Linux."""
    recognizer = load(bundle, threads=2)
    _HERE.update(recognizer=recognizer, clip=spoken[0])
    expected = [recognizer.predict(spoken[0], timeline=timeline) for timeline in (False, True)]
    assert [in_child("fork", answer_here, "clip", timeline) for timeline in (False, True)] == expected
    with multiprocessing.get_context("fork").Pool(1) as pool:  # and in a child of the child's own threads
        assert pool.apply_async(answer_here, ("clip", True)).get(WAIT_S) == expected[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_was_forked_while_threads_were_hearing_answers(bundle, spoken):
    recognizer = load(bundle, threads=2)
    _HERE.update(recognizer=recognizer, clip=spoken[0])
    expected = recognizer.predict(spoken[0], timeline=True)
    over = threading.Event()

    def hear() -> None:
        while not over.is_set():
            recognizer.predict(spoken[1])

    threads = [threading.Thread(target=hear) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            assert in_child("fork", answer_here, "clip", True) == expected
    finally:
        over.set()
        for thread in threads:
            thread.join()


def ends_well_in_child(work: Callable[[], bool]) -> bool:
    """Whether ``work`` comes to an end in a child of a fork, and is true there."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(WAIT_S)
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_was_forked_while_a_file_was_being_opened_opens_files(spoken):
    """soundfile opens one file at a time, by a lock of its own."""
    expected = len(read_waveform(spoken[0]).samples)
    with getattr(soundfile.SoundFile, "_sf_error_lock", nullcontext()):
        assert ends_well_in_child(lambda: len(read_waveform(spoken[0]).samples) == expected)
    assert len(read_waveform(spoken[0]).samples) == expected


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_was_forked_while_a_file_was_being_fetched_fetches_files(spoken):
    pytest.importorskip("fsspec")
    import fsspec

    from thymos.audio import elsewhere

    with fsspec.open("memory://forked/clip.opus", "wb") as file:
        file.write(spoken[0].read_bytes())
    remote = elsewhere.RemoteFile("memory://forked/clip.opus")
    with remote.fetched() as own:
        begun = own.read(100)
        with elsewhere._copies._lock, elsewhere._copies._of[remote].lock:

            def fetches() -> bool:
                with remote.fetched() as file:
                    return file.read() == spoken[0].read_bytes()

            assert ends_well_in_child(fetches)
        assert begun + own.read() == spoken[0].read_bytes(), "the child does not move the parent's place"


def test_who_begins_to_run_a_graph_just_before_the_fork_counts(tmp_path):
    """Hooks that run before a fork let other threads go on, so that what they find out may be old by then."""
    code = (
        "import os\n"
        "os.register_at_fork(before=lambda: module._Forks.running.add(-1))\n"  # called last, as registered first
        "from thymos.runtime import model_files as module\n"
        "pid = os.fork()\n"
        "if pid == 0: os._exit(module._Forks.generation)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_a_graph_that_another_thread_was_running_is_opened_anew_in_a_child(bundle):
    opened = []
    session = module.GraphSession(lambda: opened.append(1) or "session")
    before = module._Forks.generation
    module._Forks.running.add(-1)  # a thread that is not this one
    try:
        pid = os.fork()
        if pid == 0:
            changed = module._Forks.generation == before + 1 and not module._Forks.running
            session._open_anew()
            os._exit(0 if changed and len(opened) == 2 else 1)
    finally:
        module._Forks.running.discard(-1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(opened) == 1 and module._Forks.generation == before


def test_a_recognizer_travels_to_a_spawned_process(bundle, spoken):
    recognizer = load(bundle, threads=2)
    chosen = recognizer.among(recognizer.labels[:2])
    for each in (recognizer, chosen):
        expected = each.predict(spoken[0], timeline=True)
        assert answer(pickle.loads(pickle.dumps(each)), spoken[0], True) == expected
    assert len(pickle.dumps(recognizer)) < 1 << 20, "a model is read from its folder, not copied"


def test_a_recognizer_does_not_become_another_on_its_way(make_bundle, tmp_path):
    folder = make_bundle(tmp_path / "model")
    sent = pickle.dumps(load(folder))
    module_files = folder / "model.json"
    changed = module_files.read_text().replace('"head.npz": "', '"head.npz": "0')
    module_files.write_text(changed)
    with pytest.raises(BundleError):
        pickle.loads(sent)


def _limited(words: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'{words}; exec "$@"', "bash", *command],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def _thymos(*words: str) -> list[str]:
    return [sys.executable, "-m", "thymos", *words]


@pytest.fixture(scope="module")
def m4a(spoken, tmp_path_factory) -> Path:
    pytest.importorskip("av")
    from sound_bytes import through_pyav

    from thymos.audio import read_waveform, resample

    path = tmp_path_factory.mktemp("m4a") / "clip.m4a"
    path.write_bytes(through_pyav("ipod", "aac", resample(read_waveform(spoken[0]), 16_000).samples, 16_000))
    return path


@pytest.mark.slow
def test_the_media_child_starts_on_a_machine_of_many_cores(m4a):
    """Libraries of linear algebra reserve memory for a thread on each core as they are loaded; the child has bounds."""
    code = (
        "import os, runpy, sys\n"
        "assert 'numpy' not in sys.modules\n"
        "sys.argv = [sys.argv[1], 'mov', '65536', str(432 << 20), '4']\n"
        "runpy.run_path(sys.argv[0])\n"  # loads libraries, and does not decode
        "print(os.environ['OPENBLAS_NUM_THREADS'], os.environ['OMP_NUM_THREADS'])\n"
    )
    from thymos.audio import media

    done = subprocess.run(
        [sys.executable, "-c", code, str(media._WORKER)],
        capture_output=True,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "64", "OMP_NUM_THREADS": "64"},
    )
    assert done.stdout == "1 1\n", done.stderr


def test_a_machine_that_gives_too_little_is_named_and_not_the_file(m4a, monkeypatch):
    from thymos.audio import media, read_waveform
    from thymos.audio.media import MediaMachineError

    command = media.media_command
    monkeypatch.setattr(
        media,
        "media_command",
        lambda kind: ["bash", "-c", 'ulimit -v 60000; exec "$@"', "bash", *command(kind)],
    )
    with pytest.raises(MediaMachineError, match=r"is not decoded: .* on this machine"):
        read_waveform(m4a)
    monkeypatch.setattr(media, "media_command", lambda kind: ["/nonexistent/python"])
    with pytest.raises(MediaMachineError, match="no process can be started here"):
        read_waveform(m4a)


@pytest.mark.slow
def test_answers_are_the_same_under_limits_and_in_any_locale(spoken, m4a):
    words = _thymos("predict", str(spoken[0]), str(m4a), "--format", "jsonl")
    plain = _limited("true", *words)
    assert plain.returncode == 0, plain.stderr
    for limit, environment in (
        ("ulimit -n 32", {}),
        ("ulimit -v 4000000", {}),
        ("ulimit -u 4096", {}),
        ("true", {"LC_ALL": "C", "LANG": "C"}),
        ("true", {"LC_ALL": "POSIX", "PYTHONIOENCODING": "cp1252"}),
        ("true", {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}),
    ):
        done = _limited(limit, *words, **environment)
        assert (done.returncode, done.stdout) == (0, plain.stdout), (limit, environment, done.stderr[-500:])


@pytest.mark.slow
def test_a_home_that_cannot_be_written_costs_a_note_at_most(spoken, mini, tmp_path):
    gone = {"HOME": "/proc/none", "THYMOS_CACHE": "", "XDG_CACHE_HOME": ""}
    done = _limited("true", *_thymos("predict", str(spoken[0])), **gone)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr
    done = _limited("true", *_thymos("audit", str(mini), "--quiet"), **gone)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(said) == 1 and "cannot be written, so nothing is kept for the next time" in said[0]


_HEARD_ON_ONE_THREAD = """
import sys
from pathlib import Path
import numpy as np
from thymos.audio import read_waveform
from thymos.runtime.recognizer import load

def ticks():
    told = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        told[task.name] = int(fields[11]) + int(fields[12])
    return told

recognizer = load(threads=1)
voice = np.resize(read_waveform(sys.argv[1]).samples, 100_000)
recordings = [(voice, 16_000), (np.stack([voice, voice[::-1]], axis=1), 16_000)]
for _ in range(30):
    for recording in recordings:
        recognizer.predict(recording)
own = str(Path("/proc/self").resolve().name)
print(ticks().pop(own), sum(value for name, value in ticks().items() if name != own))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_thread_hears_on_one_thread(mini):
    """BLAS wakes a thread a core for a product of all samples, which then spins."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "4", "OMP_NUM_THREADS": "4"}
    command = [sys.executable, "-c", _HEARD_ON_ONE_THREAD, str(next(mini.glob("anger/*")))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    own, others = map(int, done.stdout.split())
    assert own > 20
    assert others < own / 10
