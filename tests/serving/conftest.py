"""Servers for the tests of serving."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from thymos.audio import read_waveform
from thymos.audio.conditioning import resample

for library in ("httpx", "uvicorn", "starlette", "websockets", "prometheus_client", "multipart"):
    pytest.importorskip(library, reason=f"needs {library}, of the extras serve and dev")

from chromium import CHROMIUM, OPTIONS  # noqa: E402 - needs them
from servers import Running, running  # noqa: E402 - needs them

if TYPE_CHECKING:
    import httpx
    from playwright.sync_api import Browser


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """``serve(*options) -> a server`` that ends with the test."""
    opened = []

    def start(*words: str, **options) -> Running:
        server = running(tmp_path / f"server{len(opened)}", *words, **options)
        opened.append(server)
        return server.__enter__()

    yield start
    for server in reversed(opened):
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server as it is by default, with two workers."""
    with running(tmp_path_factory.mktemp("server"), "--workers", "2") as started:
        yield started


@pytest.fixture(scope="session")
def client(server: Running) -> Iterator["httpx.Client"]:
    with server.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def spoken_wav(clip, tmp_path_factory) -> Path:
    """What the microphone hears: a clip at 48 kHz, again and again."""
    path = tmp_path_factory.mktemp("microphone") / "speech.wav"
    samples = resample(read_waveform(clip), 48_000).samples
    soundfile.write(path, np.concatenate([samples] * 3), 48_000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(spoken_wav) -> Iterator["Browser"]:
    """Chromium, with that microphone."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        options = [*OPTIONS, f"--use-file-for-fake-audio-capture={spoken_wav}"]
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def clip(mini: Path) -> Path:
    return sorted(mini.glob("anger/*"))[3]
