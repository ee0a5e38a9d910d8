"""A server as users start it, in a process of its own, for tests that speak to it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass
class Running:
    """A server that answers."""

    process: "subprocess.Popen[str]"
    address: str
    log: Path

    @property
    def port(self) -> int:
        return httpx.URL(self.address).port

    def client(self, **options) -> httpx.Client:
        return httpx.Client(base_url=self.address, trust_env=False, timeout=60, **options)

    def workers(self, streams: bool = False) -> list[int]:
        """The processes that hear files, or ``streams``: children of the one that they are forked from.

        Those that hear files stand back for the others.
        """
        own = [parent for parent in _children(self.process.pid) if "forkserver" in _command(parent)]
        usual = _niceness(self.process.pid)
        return sorted(pid for parent in own for pid in _children(parent) if (_niceness(pid) > usual) is not streams)

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


def _children(pid: int) -> list[int]:
    """Of whichever of its threads started them."""
    with suppress(OSError):
        threads = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(word) for thread in threads for word in thread.read_text().split()]
    return []


def _niceness(pid: int) -> int:
    with suppress(OSError):
        return os.getpriority(os.PRIO_PROCESS, pid)
    return 0


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


@contextmanager
def running(
    folder: Path, *words: str, env: dict[str, str] | None = None, before: Sequence[str] = ()
) -> Iterator[Running]:
    """A server while it is used; ``before`` are words before its command, of what starts it in its own process."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    command = [*before, sys.executable, "-m", "thymos", "serve", "--port", "0", "--log", "json", *words]
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


def eventually(is_so: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether ``is_so`` within ``seconds``."""
    end_s = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True
