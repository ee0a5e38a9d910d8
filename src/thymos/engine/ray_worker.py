"""What runs on the nodes of a Ray cluster: the actor that works on tasks, and what it says of them and of itself."""

import os
import platform
import queue
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from thymos.engine.process import one_thread, set_up_process
from thymos.engine.tasks import Shared, Value, Work, portable, unheard
from thymos.errors import EngineError

_SAME_EVERYWHERE = ("thymos", "numpy", "torch")
"""Packages whose version decides digits."""
_END = object()
"""What is put after a task's messages."""


@dataclass(frozen=True)
class Place:
    """Where a worker is."""

    host: str
    node: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Done:
    """What came of a task."""

    content: Any
    failed: bool = False


@dataclass(frozen=True)
class Said:
    """Messages of a task, in their order."""

    said: list[Any]
    last: bool


class RayWorker:
    """The actor: a process of its own on some node."""

    def __init__(self, path: Sequence[str]):
        """Set its process up.

        Args:
            path: where the calling program looks for modules. Ray passes on a part of it alone; what a task is made of
                is to be found here, too, where these folders are on this node.
        """
        sys.path.extend(folder for folder in path if folder not in sys.path)
        set_up_process()
        self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def place(self) -> Place:
        """Return where it is."""
        import ray

        return Place(platform.node(), ray.get_runtime_context().get_node_id(), versions_here())

    def work(self, work: Work[Any, Any], task: Any, heard: bool, folder: Path) -> Done:
        """Work on ``task`` in ``folder``, which its relative paths are meant from, where that is on this node."""
        with suppress(OSError):
            os.chdir(folder)
        try:
            with one_thread():
                return Done(work(task, self._said.put if heard else unheard))
        except Exception as error:
            return Done(portable(error), failed=True)
        finally:
            if heard:
                self._said.put(_END)

    def messages(self) -> Said:
        """Wait for messages of the task at work, or for its end. A task that was never taken up has no end."""
        said = [self._said.get()]
        with suppress(queue.Empty):
            while True:
                said.append(self._said.get_nowait())
        return Said([message for message in said if message is not _END], said[-1] is _END)


@dataclass(frozen=True)
class InStore(Shared[Value]):
    """A value in the cluster's object store."""

    reference: Any

    def get(self) -> Value:
        """Return the value; this process keeps the last one."""
        import ray

        if self.reference not in _got:
            _got.clear()  # one at a time: what tasks share comes in runs
            _got[self.reference] = ray.get(self.reference)
        value: Value = _got[self.reference]
        return value


_got: dict[Any, Any] = {}
"""The value that this process has read last, by its reference."""


def versions_here() -> dict[str, str]:
    """Return the version of each package that decides digits; of one that is not installed, none."""
    found = {}
    for package in _SAME_EVERYWHERE:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def check_place(place: Place) -> None:
    """Check that a node has what this machine has.

    Raises:
        EngineError: it does not; digits would hinge on who did what.
    """
    here = versions_here()
    for package in _SAME_EVERYWHERE:
        own, there = here.get(package, "none"), place.versions.get(package, "none")
        if own != there:
            raise EngineError(
                f"the node {place.host} of the Ray cluster has {package} {there}, and this machine {own}: install the "
                "same on all"
            )
