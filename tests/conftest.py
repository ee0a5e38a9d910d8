"""What many tests need: corpora that are there, sounds that are made, and a small bundle to hear them with."""

import dataclasses
import gc
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import settings

from thymos.audio import Samples, read_waveform
from thymos.runtime.recognizer import Recognizer, load

# Threads that wait for each other cost small networks more than they gain, and other test processes want the cores.
# The libraries read this when they are first imported, so conftest must not import any of them that does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["clusters", "toys"]

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

# A slow machine is no defect: only answers are judged.
settings.register_profile("thymos", deadline=None)
settings.load_profile("thymos")

WriteSound = Callable[..., Path]

TOY_ABOUT = {
    "name": "toy",
    "version": "7",
    "licence": "for tests",
    "trained_on": [{"name": "mini-aesdd", "clips": 150, "stage": "training"}],
    "temperature": 0.8,
    "conformal": {"method": "lac", "coverage": 0.9, "threshold": 0.85, "rows": 30},
    "scores": [],
}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays, and to look for garbage among so many objects takes a quarter of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """A shell script's background job ignores Ctrl-C, and so would every process that tests start there."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave the user's cache alone, and share one of their own: a corpus is decoded once for all of them.

    All processes of pytest-xdist share it, too: each has its own folder in that of the run.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared-cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THYMOS_CACHE", str(folder))
        yield


@pytest.fixture(autouse=True)
def _no_command_waits_for_ctrl_c() -> Iterator[None]:
    """A command that ran in this process goes on watching for Ctrl-C, and would end it 3 s after a test raises one."""
    yield
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def existing(folder: Path, what: str) -> Path:
    if not folder.is_dir():
        pytest.skip(f"needs {what}, which is not at {folder}")
    return folder


@pytest.fixture(scope="session")
def mini() -> Path:
    """The synthetic corpus that comes with the project."""
    return ROOT / "data" / "mini-aesdd"


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora."""
    return existing(Path(os.environ.get("THYMOS_CORPORA", SHARED / "corpora")), "real corpora (THYMOS_CORPORA)")


@pytest.fixture(scope="session")
def aesdd(corpora: Path) -> Path:
    """The real AESDD."""
    return existing(corpora / "aesdd", "the real AESDD (in THYMOS_CORPORA)")


@pytest.fixture(scope="session")
def protocols() -> Path:
    """The folder of EmoBox's fold lists for AESDD."""
    beside = Path(os.environ.get("THYMOS_CORPORA", SHARED / "corpora")).parent / "protocols"
    return existing(beside, "EmoBox's lists for AESDD (protocols/ beside THYMOS_CORPORA)")


def tone(seconds: float = 1.0, rate_hz: int = 16_000, hz: float = 220.0, level: float = 0.5) -> Samples:
    """A sine that starts at zero."""
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * hz * times_s)).astype(np.float32)


@pytest.fixture(scope="session")
def make_tone() -> Callable[..., Samples]:
    return tone


@pytest.fixture(scope="session")
def write_sound() -> WriteSound:
    """``write_sound(path, samples=a tone, rate_hz=16000, subtype=None) -> path``."""

    def write(path: Path, samples: Samples | None = None, rate_hz: int = 16_000, subtype: str | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        container = "OGG" if path.suffix == ".opus" else None
        subtype = "OPUS" if path.suffix == ".opus" else subtype
        soundfile.write(path, tone() if samples is None else samples, rate_hz, subtype, format=container)
        return path

    return write


@pytest.fixture(scope="session")
def make_bundle(mini: Path, toy_recipe: Callable[..., Any], tmp_path_factory) -> Callable[..., Path]:
    """``make_bundle(folder, speeds=(1.0,), **about) -> folder``: fitted to every sixth clip of the mini corpus."""
    from thymos.corpora import open_corpus
    from thymos.encoder.experiment import EncoderExperiment
    from thymos.engine.process import one_thread
    from thymos.experiment import TrainingPart, Work
    from thymos.export import write_bundle
    from thymos.runtime.bundle import OutOfDistributionAbout
    from thymos.runtime.out_of_distribution import EmbeddingDistribution, fit_gaussian

    corpus = open_corpus(mini)
    corpus = dataclasses.replace(corpus, clips=corpus.clips[::6])
    rows = tuple(range(len(corpus.clips)))
    experiment = EncoderExperiment(toy_recipe(speeds=[1.0]))
    with one_thread():
        features = experiment.features(corpus, Work(tmp_path_factory.mktemp("descriptions")))
        fitted = experiment.fit(features, TrainingPart(corpus.emotions, rows, corpus.targets), Work())
    embeddings = fitted.embed(features, rows)
    table = fit_gaussian(embeddings, 4)
    # Made of few clips, so that others of the same kind lie farther.
    threshold = 1.5 * float(EmbeddingDistribution(table, 0.0).distances(embeddings).max())
    description = OutOfDistributionAbout(threshold=threshold, acceptance=0.95, rows=len(rows))
    distribution = (EmbeddingDistribution(table, threshold), description)

    def make(folder: Path, speeds: tuple[float, ...] = (1.0,), **about: object) -> Path:
        model = experiment.export(fitted)
        model = dataclasses.replace(model, about=model.about | {"speeds": list(speeds)})
        write_bundle(folder, model, TOY_ABOUT | about, distribution)
        return folder

    return make


@pytest.fixture(scope="session")
def bundle(make_bundle, tmp_path_factory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "toy")


@pytest.fixture(scope="session")
def recognizer(bundle: Path) -> Recognizer:
    return load(bundle)


@pytest.fixture(scope="session")
def spoken(mini: Path) -> list[Path]:
    """Clips of synthetic speech."""
    return sorted(mini.glob("*/*"))[::10]


@pytest.fixture(scope="session")
def long_speech(mini: Path) -> tuple[Samples, int]:
    """Eighty seconds of speech at its own rate, with a pause of music and one of silence in it."""
    files = sorted(mini.glob("*/*"))
    rate_hz = read_waveform(files[0]).rate_hz
    speech = np.empty(0, np.float32)
    for file in files:
        if len(speech) < 80 * rate_hz:
            speech = np.concatenate([speech, read_waveform(file).samples])
    speech = speech[: 80 * rate_hz]
    speech[20 * rate_hz : 28 * rate_hz] = music(8, rate_hz)
    speech[50 * rate_hz : 58 * rate_hz] = 0
    return speech, rate_hz


@cache
def music(seconds: float, rate_hz: int) -> Samples:
    """Chords of harmonic notes, each struck and fading."""
    sound = np.zeros(round(seconds * rate_hz))
    for number, root_hz in enumerate([220.0, 293.7, 246.9, 329.6] * 10):
        rest = sound[number * rate_hz // 2 :]
        since_s = np.arange(len(rest)) / rate_hz
        for note_hz in (root_hz, root_hz * 1.26, root_hz * 1.5):
            for harmonic in range(1, 6):
                rest += np.sin(2 * np.pi * note_hz * harmonic * since_s) / harmonic * np.exp(-4 * since_s)
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


@pytest.fixture(scope="session")
def make_music() -> Callable[[float, int], Samples]:
    return music


ThymosHere = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def thymos_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ThymosHere:
    """``thymos_here(*words) -> what it said and its exit code``: the command line in ``tmp_path`` and in this process.

    It is the whole of it but for its start, which takes seconds where libraries for training are loaded.
    """
    from thymos.cli import main

    # This process is not the command line's to set up.
    monkeypatch.setattr("thymos.engine.process.set_up_process", lambda: True)

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        said, complained, code = io.StringIO(), io.StringIO(), 0
        with monkeypatch.context() as patch, redirect_stdout(said), redirect_stderr(complained):
            patch.chdir(tmp_path)
            patch.setenv("COLUMNS", "200")
            patch.setattr(sys, "argv", ["thymos", *map(str, words)])
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
        return subprocess.CompletedProcess(sys.argv, code, said.getvalue(), complained.getvalue())

    return run


WriteRun = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """``write_run(name, right, folds=5, clips=60) -> folder``: a finished run, as ``thymos evaluate`` writes it.

    ``right(i)`` says whether recording ``i`` was named correctly; ``i % folds`` is the fold that tested it.
    """
    return partial(_write_run, tmp_path)


def _write_run(root: Path, name: str, right: Callable[[int], bool], folds: int = 5, clips: int = 60) -> Path:
    from thymos.files import write_json
    from thymos.scoring.predictions import write_predictions

    content, predictions = _run_of(tuple(map(right, range(clips))), folds)
    write_json(root / name / "results.json", content | {"recipe": {"name": name}})
    write_predictions(root / name / "predictions.csv", predictions)
    return root / name


@cache
def _run_of(right: tuple[bool, ...], folds: int) -> tuple[dict[str, Any], Any]:
    """Results and predictions; kept, since their intervals take long."""
    import pandas as pd

    from thymos.corpora.folds import Fold
    from thymos.corpora.protocols import RecordingFolds, Split
    from thymos.corpora.table import Clip, Corpus, Measurements
    from thymos.scoring.predictions import predictions_frame
    from thymos.scoring.summary import make_results

    labels, clips = ("anger", "fear", "sadness"), len(right)
    sounds = [Measurements(16_000, 1, 16_000, "WAV", 0.5, 0, 0.0, str(i)) for i in range(clips)]
    table = [Clip(f"{i:02}.wav", labels[i % 3], str(1 + i % 2), sound=sounds[i]) for i in range(clips)]
    results, made = [], []
    for number in range(folds):
        tested = range(clips)[number::folds]
        said = [i % 3 if right[i] else (i + 1) % 3 for i in tested]
        frame = predictions_frame(
            [table[i].path for i in tested],
            np.tile([0.0, 1.0], (len(tested), 1)),
            (0, number),
            [table[i].speaker for i in tested],
            [table[i].emotion for i in tested],
            labels,
            0.1 + 0.7 * np.eye(3)[said],
        )
        sizes = {"train_clips": clips - len(tested), "test_clips": len(tested)}
        sizes |= {"train_segments": clips - len(tested), "test_segments": len(tested)}
        results.append(({"repeat": 0, "fold": number, "name": f"fold {number + 1}", "wall_s": 1.0} | sizes, frame))
        sides = [
            tuple(clip.path for i, clip in enumerate(table) if (i in tested) == is_test) for is_test in (False, True)
        ]
        made.append(Fold(0, number, f"fold {number + 1}", *sides))
    corpus, protocol = Corpus("folder", Path("toy"), tuple(table)), Split(RecordingFolds(folds), tuple(made))
    facts = {"command": "", "finished": "2026-11-27T05:00:00+00:00", "wall_s": 1.0}
    content = make_results(corpus, {"name": "toy"}, False, protocol, results, 0, facts)
    return content, pd.concat([frame for _, frame in results])
