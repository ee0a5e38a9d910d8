"""``thymos predict --engine``: workers hear, and files say the same, to the last byte; whoever is killed, nothing is
lost and nothing is in the journal twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thymos.cli import outputs, spread, writing
from thymos.cli.journal import journal_path
from thymos.cli.spread import SpreadRecognizer, hear_batch, packed
from thymos.engine.tasks import ThisProcess
from thymos.errors import AudioError, BundleError, EngineError
from thymos.runtime.listening import Share
from thymos.runtime.prediction import Failure

WAIT_S = 240


def sounds(folder: Path, mini: Path, count: int) -> Path:
    """Links to recordings in folders, and bad ones among them."""
    clips = sorted(mini.glob("*/*"))[::15]
    for number in range(count):
        place = folder / f"{number // 50:02d}"
        place.mkdir(parents=True, exist_ok=True)
        if number % 20 == 7:
            (place / f"{number:04d}.wav").write_bytes(b"RIFF")
        else:
            os.link(clips[number % len(clips)].resolve(), place / f"{number:04d}.opus")
    return folder


@pytest.fixture
def folder(mini: Path, tmp_path: Path) -> Path:
    return sounds(tmp_path / "sounds", mini, 60)


def told_in_journal(out: Path) -> list[str]:
    """Return the lines of the journal that are whole, without their first."""
    path = journal_path(out)
    return path.read_text(encoding="utf-8").split("\n")[1:-1] if path.is_file() else []


def children(process: int) -> list[int]:
    """Return the processes that ``process`` has started to hear."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


class FakeClusterEngine(ThisProcess):
    """This process, taken for a machine of a cluster: the same work on the same tasks."""

    @property
    def many_machines(self) -> bool:
        return True


def test_batches_are_about_as_large_and_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "LEAST_BYTES", 1_000)
    paths = []
    for number in range(200):
        paths.append(tmp_path / f"{number}.wav")
        paths[-1].write_bytes(bytes(100 + number))
    hearer: Any = None
    batches = packed(paths, 2, hearer)
    assert [place for batch in batches for place, _ in batch.items] == list(range(200))
    sizes = [sum(100 + place for place, _ in batch.items) for batch in batches]
    total = sum(sizes)
    assert max(sizes) <= total / 32 and min(sizes[:-1]) > total / 32 - 400
    assert len(packed([tmp_path / "none.wav"] * 33, 2, hearer)) == 3, "so many files at most"


def test_what_would_keep_one_worker_busy_is_shared_out(tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "LEAST_SHARED_BYTES", 1_000)
    paths = [tmp_path / name for name in ("a.wav", "b.wav", "c.wav")]
    for path, size in zip(paths, (500, 40_000, 3_000), strict=True):
        path.write_bytes(bytes(size))
    hearer: Any = None
    shared = [batch for batch in packed(paths, 3, hearer) if batch.share is not None]
    assert [(batch.items[0][0], batch.share) for batch in shared] == [(1, Share(number, 3)) for number in range(3)]
    assert not any(batch.share for batch in packed(paths, 1, hearer))


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--timeline"], ["--adapt"], ["--labels", "anger,fear"]])
def test_workers_write_the_same_bytes(bundle, folder, thymos_here, tmp_path, words):
    whole, by_workers = tmp_path / "whole.jsonl", tmp_path / "workers.jsonl"
    command = ["predict", folder, "--model", bundle, "--quiet", *words]
    assert thymos_here(*command, "--out", whole).returncode == 1
    done = thymos_here(*command, "--engine", "local", "--workers", 2, "--out", by_workers)
    assert done.returncode == 1 and "not heard:" in done.stderr and "57 of 60 recordings were heard" in done.stderr
    assert by_workers.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_a_long_recording_is_heard_by_all_workers(bundle, recognizer, long_speech, write_sound, tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "LEAST_SHARED_BYTES", 1_000)
    samples, rate_hz = long_speech
    path = write_sound(tmp_path / "long.wav", samples, rate_hz)
    short = write_sound(tmp_path / "short.wav")
    files = [short, path, tmp_path / "none.wav"]
    shares = []

    def noted(batch: Any, report: Any) -> Any:
        shares.append(batch.share)
        return hear_batch(batch, report)

    monkeypatch.setattr(spread, "hear_batch", noted)
    spread_out = SpreadRecognizer(recognizer, ThisProcess(), 3)
    heard = list(spread_out.predict_many(files, timeline=True))
    assert shares.count(None) == 1 and {*shares} == {None, *(Share(number, 3) for number in range(3))}
    assert [str(each) for each in heard] == [str(each) for each in recognizer.predict_many(files, timeline=True)]
    assert heard[1] == recognizer.predict(path, timeline=True)
    kept = list(spread_out.listen_many(files[:2], windows=True))
    assert [each.to_dict() for each in kept] == [each.to_dict() for each in recognizer.listen_many(files[:2], True)]


@pytest.mark.slow
def test_results_in_parts_are_those_of_one_file(bundle, folder, thymos_here, tmp_path, monkeypatch):
    for module in (outputs, writing):
        monkeypatch.setattr(module, "PART_RECORDINGS", 25)
    out, whole = tmp_path / "results", tmp_path / "whole"
    words = ["predict", folder, "--model", bundle, "--quiet"]
    for suffix in ("jsonl", "csv", "parquet"):
        thymos_here(*words, "--out", whole.with_suffix(f".{suffix}"))
        done = thymos_here(*words, "--workers", 1, "--format", suffix, "--out", out)
        assert done.returncode == 1, done.stderr
        parts = sorted(out.iterdir())
        assert [path.name for path in parts] == [f"part-0000{number}-of-00003.{suffix}" for number in range(3)]
        joined = tmp_path / f"joined.{suffix}"
        assert thymos_here("merge", *([out] if suffix == "csv" else reversed(parts)), "--out", joined).returncode == 0
        assert joined.read_bytes() == whole.with_suffix(f".{suffix}").read_bytes()
        if suffix == "jsonl":
            assert b"".join(path.read_bytes() for path in parts) == joined.read_bytes()
            done = thymos_here("merge", *parts[1:], "--out", tmp_path / "none.jsonl")
            assert done.returncode == 2 and "part-00000-of-00003.jsonl is missing among the parts" in done.stderr
            again = thymos_here("predict", folder / "00", "--model", bundle, "--workers", 1, "--out", out)
            assert again.returncode == 2 and "--overwrite" in again.stderr, "of other results"
        shutil.rmtree(out)


def test_a_machine_without_the_files_or_the_model_is_one_sentence(recognizer, mini, monkeypatch, tmp_path):
    clip = sorted(mini.glob("*/*"))[0]
    cluster = SpreadRecognizer(recognizer, FakeClusterEngine(), 1)
    with (
        monkeypatch.context() as here,
        pytest.raises(EngineError, match=r"is not on the machine .*: all machines of a cluster must see the files"),
    ):
        here.setattr(
            spread, "_absolute", lambda source: f"/nowhere{source}"
        )  # which this machine sees, and they do not
        here.setattr(spread.Path, "exists", lambda path: True)
        list(cluster.predict_many([clip]))
    (failure,) = cluster.predict_many([tmp_path / "none.wav"])
    assert isinstance(failure, Failure) and failure.reason == "does not exist", "nobody sees it"

    def absent(told: bytes) -> Any:
        raise BundleError("/models/mine is no folder")

    monkeypatch.setattr(spread, "_hearer", absent)
    with pytest.raises(BundleError, match=r"on the machine .*: /models/mine is no folder"):
        list(cluster.predict_many([clip]))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--engine", "dask"], "there is no engine dask"),
        (["--engine", "local", "--threads", "2"], "--engine and --workers have others hear"),
        (["--workers", "2", "--server", "http://127.0.0.1:9"], "--engine and --workers have others hear"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(bundle, folder, thymos_here, words, sentence):
    done = thymos_here("predict", folder, "--model", bundle, *words)
    assert done.returncode == 2 and sentence in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def deadly(batch: Any, report: Any) -> Any:
    """Hear a batch as ``hear_batch`` does, but die of a file of that name."""
    if any(Path(str(source)).name == "deadly.wav" for _, source in batch.items):
        os.kill(os.getpid(), signal.SIGKILL)
    return hear_batch(batch, report)


@pytest.mark.slow
def test_a_file_that_kills_its_workers_costs_itself_alone(recognizer, mini, tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "hear_batch", deadly)
    clips = sorted(mini.glob("*/*"))[:3]
    (tmp_path / "deadly.wav").touch()
    files = [clips[0], tmp_path / "deadly.wav", *clips[1:]]
    heard = list(SpreadRecognizer(recognizer, "local", 2).predict_many(files))
    assert [type(each).__name__ for each in heard] == ["Prediction", "Failure", "Prediction", "Prediction"]
    assert isinstance(heard[1], Failure) and isinstance(heard[1].error, AudioError)
    assert heard[1].reason == "ended the process that heard it, twice, perhaps for want of memory"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are looked for as Linux lists them")
def test_workers_and_the_command_killed_in_the_middle(bundle, mini, tmp_path):
    folder = sounds(tmp_path / "sounds", mini, 400)
    command = [sys.executable, "-m", "thymos", "predict", str(folder), "--model", str(bundle)]
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert subprocess.run([*command, "--out", whole], capture_output=True).returncode == 1
    command += ["--engine", "local", "--workers", "2", "--out", str(out)]

    def begun(more: Callable[[], bool]) -> "subprocess.Popen[bytes]":
        running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + WAIT_S
        while not more():
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        return running

    running = begun(lambda: len(told_in_journal(out)) > 40)
    for worker in children(running.pid)[:1]:
        os.kill(worker, signal.SIGKILL)
    known = len(told_in_journal(out))
    deadline = time.monotonic() + WAIT_S
    while len(told_in_journal(out)) < known + 100:
        assert running.poll() is None and time.monotonic() < deadline, "the others go on"
        time.sleep(0.01)
    running.kill()
    running.wait()
    before = told_in_journal(out)
    assert 140 < len(before) == len({*before}) < 400, "nothing twice"
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and f"{len(before)} were known from an earlier run" in done.stderr, done.stderr
    assert out.read_bytes() == whole.read_bytes()
