"""Servers for the tests of serving."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

for library in ("httpx", "uvicorn", "starlette", "websockets", "prometheus_client", "multipart"):
    pytest.importorskip(library, reason=f"needs {library}, of the extras serve and dev")

from servers import Running, running  # noqa: E402 - needs them

if TYPE_CHECKING:
    import httpx


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
