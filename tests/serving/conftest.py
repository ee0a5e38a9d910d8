"""A server as users start it, in a process of its own, and clients that speak to it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

httpx = pytest.importorskip("httpx", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")


@dataclass
class Running:
    """A server that answers."""

    process: "subprocess.Popen[str]"
    address: str
    log: Path

    @property
    def port(self) -> int:
        return httpx.URL(self.address).port

    def client(self, **options) -> "httpx.Client":
        return httpx.Client(base_url=self.address, trust_env=False, timeout=60, **options)

    def workers(self) -> list[int]:
        """The processes that hear: children of the one that they are forked from."""
        own = _children(self.process.pid)
        return sorted(pid for parent in own for pid in _children(parent) if "forkserver" in _command(parent))

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


@contextmanager
def running(folder: Path, *words: str, env: dict[str, str] | None = None) -> Iterator[Running]:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    command = [sys.executable, "-m", "thymos", "serve", "--port", "0", "--log", "json", *words]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **(env or {})}
        )
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://"), log.read_text()
        yield Running(process, address, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
        process.kill()
        process.wait()
        process.stdout.close()


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


@pytest.fixture(scope="session")
def clip(mini: Path) -> Path:
    return sorted(mini.glob("anger/*"))[3]


def eventually(is_so: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether ``is_so`` within ``seconds``."""
    end_s = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True
