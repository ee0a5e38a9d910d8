"""What many tests need: corpora that are there, and sounds that are made."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

from thymos.audio import Samples

# Threads that wait for each other cost small networks more than they gain, and other test processes want the cores.
# The libraries read this when they are first imported, so conftest must not import any of them that does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["toys"]

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

# A slow machine is no defect: only answers are judged.
settings.register_profile("thymos", deadline=None)
settings.load_profile("thymos")

WriteSound = Callable[..., Path]


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
    """Tests leave the user's cache alone, and share one of their own: a corpus is decoded once for all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THYMOS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


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
