"""A Ray cluster of two nodes on this machine, in a home folder of its own, for tests that need a real one."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def ray_home() -> Iterator[Path]:
    """A home folder of the tests: Ray keeps its token there. Its path is short, since sockets lie below it."""
    pytest.importorskip("ray.cluster_utils")
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("RAY_TMPDIR", str(folder))  # nothing of it, or of another's cluster, is shared
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else workers stand still while other tests compute
        (folder / "ray").mkdir()
        patch.delenv("RAY_ADDRESS", raising=False)
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def ray_cluster(ray_home: Path) -> Iterator[Any]:
    """A head and another node, a core each."""
    cluster = pytest.importorskip("ray.cluster_utils").Cluster()
    add_node(cluster, num_cpus=1, include_dashboard=False)
    add_node(cluster, num_cpus=1)
    yield cluster
    cluster.shutdown()


def add_node(cluster: Any, **how: Any) -> Any:
    """Add a node; on a machine that is busy, one that Ray has not waited long enough for is started again."""
    for _ in range(4):
        try:
            return cluster.add_node(**how)
        except Exception as error:
            assert "timed out" in str(error)
    pytest.fail("Ray does not start on this machine")


def workers_of(home: Path) -> list[int]:
    """Return the processes of actors of the cluster that was started with ``home``, and of no other."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:  # it has ended
            continue
        if words.startswith(b"ray::RayWorker") and f"HOME={home}\0".encode() in environment:
            found.append(int(process.name))
    return found


def kill(process: int) -> None:
    """End a process as the kernel does that wants memory."""
    os.kill(process, signal.SIGKILL)
