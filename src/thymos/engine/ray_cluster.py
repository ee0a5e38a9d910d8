"""Tasks on a Ray cluster: each worker is an actor, with a core of its own, and accelerators where tasks need them.

Ray is known to this module and to ``joining`` alone, and imported when a cluster is asked for. Of it, only actors and
its object store are used. Workers outlive a run, so that the many short runs of a search start them once.
"""

import os
import platform
import queue
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from thymos.engine.joining import join
from thymos.engine.process import one_thread, set_up_process
from thymos.engine.tasks import (
    Begun,
    Engine,
    Report,
    Result,
    Shared,
    Task,
    Value,
    Waiting,
    Work,
    portable,
    refuse_death,
    unheard,
)
from thymos.errors import EngineError, ThymosWarning

_SAME_EVERYWHERE = ("thymos", "numpy", "torch")
"""Packages whose version decides digits."""
_PATIENCE_S = 10.0
"""After so long without news, whether there is still anybody to work is asked."""
_MOST_FAILED_STARTS = 3
_EARS = "ears"
"""The thread by which an actor answers while another works."""


class RayCluster(Engine):
    """A Ray cluster: one that runs, or one that is started here and ends with the engine."""

    def __init__(self, address: str | None = None, workers: int | None = None):
        """Join the cluster.

        Args:
            address: ``HOST:PORT`` of its head, or ``auto`` for one of this machine; None: what RAY_ADDRESS says, else
                one is started.
            workers: a cluster that is started gets so many cores; None: those of this machine.

        Raises:
            MissingExtraError: Ray is not installed.
            EngineError: there is no such cluster, or this program cannot join it.
        """
        self._joined = join(address, workers)
        self._ray = self._joined.ray
        self._idle: list[_Hand] = []
        self._failed_starts = 0
        self._said_that_it_waits = False

    @property
    def many_machines(self) -> bool:
        """Whether it has more than this machine: always taken to be so, since nodes come and go."""
        return True

    def capacity(self, gpus: float = 0) -> int:
        """Return how many tasks the cluster has room for, those of others counted: one a core, or for each ``gpus``.

        Raises:
            EngineError: it has none.
        """
        there = self._ray.cluster_resources()
        cores, accelerators = there.get("CPU", 0.0), there.get("GPU", 0.0)
        if cores < 1 or accelerators < gpus:
            lacks = "no core" if cores < 1 else f"{accelerators:g} accelerators, and a task needs {gpus:g}"
            raise EngineError(f"the Ray cluster has {lacks}: start nodes of it that have")
        return int(min(cores, accelerators / gpus)) if gpus else int(cores)

    def share(self, value: Value) -> Shared[Value]:
        """Return ``value`` as an object of the cluster's store, which each node copies once."""
        return _InStore(self._ray.put(value))

    def run(
        self,
        work: Work[Task, Result],
        tasks: Iterable[Task],
        workers: int | None = None,
        *,
        on_report: Report | None = None,
        on_death: Callable[[Task], Result] | None = None,
        gpus: float = 0,
    ) -> Iterator[tuple[Task, Result]]:
        """Yield each task with what ``work`` made of it, as they get done; see ``Engine.run``."""
        room = self.capacity(gpus)
        return self._run(work, Waiting(tasks), workers or room, on_report, on_death or refuse_death, gpus)

    def _run(
        self,
        work: Work[Task, Result],
        waiting: Waiting[Task],
        workers: int,
        on_report: Report | None,
        on_death: Callable[[Task], Result],
        gpus: float,
    ) -> Iterator[tuple[Task, Result]]:
        hands = self._taken(workers, gpus)
        try:
            while True:
                for hand in hands:
                    if hand.place and not hand.begun and (begun := waiting.next()):
                        hand.begin(work, begun, heard=on_report is not None)
                # A task is not given to a worker that still starts: there may be no room for it for a long time.
                while len(hands) < workers and waiting.has(1 + sum(hand.place is None for hand in hands)):
                    hands.append(self._started(gpus))
                if not waiting.has(1) and not any(hand.begun for hand in hands):
                    return
                for hand in self._with_news(hands, gpus):
                    begun, news = hand.begun, self._news(hand, on_report or unheard)
                    if news is _LOST:
                        hands.remove(hand)
                    if begun is None or news is None:
                        continue
                    if news is not _LOST:
                        yield begun.task, news.content
                    elif not waiting.lost(begun, blamed=self._is_alive(hand)):
                        yield begun.task, on_death(begun.task)
        finally:
            self._put_back(hands)

    def close(self) -> None:
        """End the workers, and the cluster if it was started here."""
        for hand in self._idle:
            hand.end()
        self._idle.clear()
        self._joined.leave()

    def _taken(self, workers: int, gpus: float) -> "list[_Hand]":
        """Return workers that an earlier run left, at most so many; those that do not suit give up their place."""
        suitable = [hand for hand in self._idle if hand.gpus == gpus][:workers]
        for hand in self._idle:
            if hand not in suitable:
                hand.end()
        self._idle.clear()
        return suitable

    def _put_back(self, hands: "list[_Hand]") -> None:
        """Keep workers that are free for the next run, and end those that are at work, or do not work yet."""
        for hand in hands:
            if hand.place and not hand.begun:
                self._idle.append(hand)
            else:
                hand.end()

    def _started(self, gpus: float) -> "_Hand":
        kind = self._ray.remote(concurrency_groups={_EARS: 1})(_Worker)
        actor = kind.options(num_cpus=1, num_gpus=gpus, max_restarts=0, scheduling_strategy="SPREAD").remote()
        return _Hand(self._ray, actor, gpus, {actor.place.remote(): "place"})

    def _with_news(self, hands: "list[_Hand]", gpus: float) -> "list[_Hand]":
        """Wait for one of ``hands`` to say something, and return those that have.

        Raises:
            EngineError: nobody is left to work, and there is no room for anybody.
        """
        awaited = [reference for hand in hands for reference in hand.awaited]
        while True:
            ready, _ = self._ray.wait(awaited, num_returns=1, timeout=_PATIENCE_S)
            if ready:
                said = {*self._ray.wait(awaited, num_returns=len(awaited), timeout=0)[0], *ready}
                return [hand for hand in hands if not said.isdisjoint(hand.awaited)]
            if not any(hand.place for hand in hands):
                self.capacity(gpus)  # raises where no node is left that could ever take one
                if not self._said_that_it_waits:
                    self._said_that_it_waits = True
                    warnings.warn(
                        "no core of the Ray cluster is free yet; waiting for one", ThymosWarning, stacklevel=2
                    )

    def _news(self, hand: "_Hand", on_report: Report) -> Any:
        """Take what ``hand`` has to say: a result, ``_LOST`` if it is gone, or None."""
        errors = self._ray.exceptions
        try:
            return hand.heard(on_report)
        except errors.RayTaskError as error:
            raise EngineError(_of_a_node(hand, error)) from None
        except errors.RayError as error:
            hand.end()
            if hand.place is None:
                self._count_failed_start(error)
            return _LOST

    def _count_failed_start(self, error: Exception) -> None:
        """Note that a worker ended before it had begun: once, its node may just have gone."""
        self._failed_starts += 1
        if self._failed_starts >= _MOST_FAILED_STARTS:
            reasons = re.findall(r"(?m)^\s*((?:\w+\.)*\w+(?:Error|Exception): .+)$", str(error))
            reason = reasons[-1] if reasons else str(error).strip().splitlines()[0]
            raise EngineError(
                f"workers do not start on the nodes of the Ray cluster: {reason}; the same Thymos and libraries must be"
                " installed on all of them"
            )

    def _is_alive(self, hand: "_Hand") -> bool:
        """Return whether the machine is still there that ``hand`` was on: its worker alone was killed then."""
        assert hand.place is not None
        return any(node["NodeID"] == hand.place.node and node["Alive"] for node in self._ray.nodes())


@dataclass(frozen=True)
class _Place:
    """Where a worker is."""

    host: str
    node: str
    versions: dict[str, str]


@dataclass(frozen=True)
class _Done:
    """What came of a task."""

    content: Any
    failed: bool = False


_LOST = object()
"""What is said of a worker that is gone."""


@dataclass(eq=False)
class _Hand:
    """A worker, as seen from here."""

    ray: Any
    actor: Any
    gpus: float
    awaited: dict[Any, str]
    """What it was asked for and has not answered yet: kind by reference."""
    place: _Place | None = None
    """None: it has not started yet."""
    begun: Begun[Any] | None = None
    _messages: Any = field(default=None)

    def begin(self, work: Work[Any, Any], begun: Begun[Any], heard: bool) -> None:
        """Give it a task; ``heard``: it is to pass on messages."""
        self.begun = begun
        self.awaited[self.actor.work.remote(work, begun.task, heard, Path.cwd())] = "work"
        if heard:
            self._listen()

    def _listen(self) -> None:
        self._messages = self.actor.messages.options(concurrency_group=_EARS).remote()
        self.awaited[self._messages] = "messages"

    def heard(self, on_report: Report) -> _Done | None:
        """Take what it says next, and return what came of its task if that is done; messages come first.

        Raises:
            EngineError: it is on a machine that does not suit.
            Exception: the task's own.
            RayError: it is gone.
        """
        (reference,), _ = self.ray.wait(list(self.awaited), num_returns=1, timeout=None)
        kind = self.awaited[reference]
        if kind == "work" and self._messages is not None:
            reference, kind = self._messages, "messages"
        content = self.ray.get(reference)
        del self.awaited[reference]
        if kind == "place":
            self.place = content
            check_place(content)
            return None
        if kind == "messages":
            self._messages = None
            for message in content.said:
                on_report(message)
            if not content.last:
                self._listen()
            return None
        self.begun = None
        if content.failed:
            raise content.content
        done: _Done = content
        return done

    def end(self) -> None:
        """End its process, whatever it does."""
        with suppress(Exception):  # it is gone, or the cluster is
            self.ray.kill(self.actor)


@dataclass(frozen=True)
class _Said:
    """Messages of a task, in their order."""

    said: list[Any]
    last: bool


class _Worker:
    """The actor: a process of its own on some node."""

    def __init__(self) -> None:
        set_up_process()
        self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def place(self) -> _Place:
        """Return where it is."""
        import ray

        return _Place(platform.node(), ray.get_runtime_context().get_node_id(), versions_here())

    def work(self, work: Work[Any, Any], task: Any, heard: bool, folder: Path) -> _Done:
        """Work on ``task`` in ``folder``, which its relative paths are meant from, where that is on this node."""
        with suppress(OSError):
            os.chdir(folder)
        try:
            with one_thread():
                return _Done(work(task, self._said.put if heard else unheard))
        except Exception as error:
            return _Done(portable(error), failed=True)
        finally:
            if heard:
                self._said.put(_LOST)

    def messages(self) -> _Said:
        """Wait for messages of the task at work, or for its end."""
        said = [self._said.get()]
        with suppress(queue.Empty):
            while True:
                said.append(self._said.get_nowait())
        return _Said([message for message in said if message is not _LOST], said[-1] is _LOST)


@dataclass(frozen=True)
class _InStore(Shared[Value]):
    """A value in the cluster's object store."""

    reference: Any

    def get(self) -> Value:
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


def check_place(place: _Place) -> None:
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


def _of_a_node(hand: _Hand, error: Exception) -> str:
    """Say in a sentence why a worker could not even take up its task, or hand back what came of it."""
    host = hand.place.host if hand.place else "of it"
    reason = str(error).strip().splitlines()[-1].strip()
    return f"on the node {host} of the Ray cluster, a task could not be taken up or handed back: {reason}"
