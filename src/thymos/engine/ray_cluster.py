"""Tasks on a Ray cluster: each worker is an actor, with a core of its own, and accelerators where tasks need them.

Ray is known to this module, ``ray_worker`` and ``joining`` alone, and imported when a cluster is asked for. Of it, only
actors and its object store are used. Workers outlive a run, so that the many short runs of a search start them once.
"""

import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thymos.engine.joining import join
from thymos.engine.ray_worker import Done, InStore, Place, RayWorker, check_place
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
    check_gpus,
    refuse_death,
    unheard,
)
from thymos.errors import EngineError, ThymosWarning

_PATIENCE_S = 10.0
"""After so long without news, whether there is still anybody to work is asked."""
_START_S = 300.0
"""After so long without anybody to work, a run is given up: on a shared disk, a first start takes a minute or two."""
_MOST_FAILED_STARTS = 3
_LISTEN_S, _HEAD_S = 5.0, 30.0
"""How often it is asked whether the head is there, and for how long it may be gone: after 60 s, Ray ends this process,
without a word."""
_UNTIL_LOST_S = 60.0
"""For so long, a cluster may not know yet that it has lost a node, and start workers there, in vain."""
_PAUSE_S = 1.0
"""After a start that failed; twice as long after each further one."""
_EARS = "ears"
"""The thread by which an actor answers while another works."""


class RayCluster(Engine):
    """A Ray cluster: one that runs, or one that is started here and ends with the engine."""

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        gpus_per_task: float | None = None,
        start_s: float = _START_S,
    ):
        """Join the cluster.

        Args:
            address: ``HOST:PORT`` of its head, or ``auto`` for one of this machine; None: what RAY_ADDRESS says, else
                one is started.
            workers: a cluster that is started gets so many cores; None: those of this machine.
            gpus_per_task: how many each task has, whatever a run asks for; None: what a run asks for.
            start_s: how long to wait for somebody to work, seconds.

        Raises:
            ArgumentError: ``gpus_per_task`` is no number of GPUs.
            MissingExtraError: Ray is not installed.
            EngineError: there is no such cluster, this program cannot join it, or none of its nodes has so many GPUs.
        """
        self._gpus_per_task = None if gpus_per_task is None else check_gpus(gpus_per_task)
        self._joined = join(address, workers)
        self._ray = self._joined.ray
        self._idle: list[_Hand] = []
        self._failed_starts: list[float] = []
        """When, of those in a row."""
        self._last_words = ""
        """What Ray said of the last of them."""
        self._start_s, self._patience_s = start_s, min(_PATIENCE_S, start_s / 2)
        self._said_that_it_waits = False
        self._head_seen_s = time.monotonic()
        if gpus_per_task:
            try:
                self.capacity()
            except EngineError:
                self.close()
                raise

    @property
    def many_machines(self) -> bool:
        """Whether it has more than this machine: always taken to be so, since nodes come and go."""
        return True

    def capacity(self, gpus: float = 0) -> int:
        """Return how many tasks the cluster has room for, those of others counted: one a core, or for each ``gpus``.

        Raises:
            EngineError: it has none.
        """
        gpus = self._gpus_of(gpus)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        room = sum(int(min(n.get("CPU", 0.0), n.get("GPU", 0.0) / gpus if gpus else n.get("CPU", 0.0))) for n in nodes)
        if room:
            return room
        if not any(node.get("CPU", 0.0) >= 1 for node in nodes):
            raise EngineError("the Ray cluster has no core: start nodes of it that have")
        most = max(node.get("GPU", 0.0) for node in nodes)
        raise EngineError(
            f"a task needs {gpus:g} GPU{'s' * (gpus > 1)}, and no node of the Ray cluster has more than {most:g} and a "
            "core for it: start one that has, or ask for fewer a task"
        )

    def _gpus_of(self, gpus: float) -> float:
        return gpus if self._gpus_per_task is None else self._gpus_per_task

    def share(self, value: Value) -> Shared[Value]:
        """Return ``value`` as an object of the cluster's store, which each node copies once."""
        return InStore(self._ray.put(value))

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
        gpus = self._gpus_of(gpus)
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
        last_s = time.monotonic()
        try:
            while True:
                for hand in hands:
                    if hand.place and not hand.begun and (begun := waiting.next()):
                        hand.begin(work, begun, heard=on_report is not None)
                # A task is not given to a worker that still starts: there may be no room for it for a long time.
                while self._may_start(len(hands), workers) and waiting.has(1 + sum(not hand.place for hand in hands)):
                    hands.append(self._started(gpus))
                if not waiting.has(1) and not any(hand.begun for hand in hands):
                    return
                if any(hand.place for hand in hands):
                    last_s = time.monotonic()
                else:
                    self._check_hope(time.monotonic() - last_s, gpus)
                self._check_head()
                for hand in self._with_news(hands):
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

    def _may_start(self, there: int, workers: int) -> bool:
        """Return whether one more worker is to be started now: after those that failed, only after a while."""
        failed = self._failed_starts
        pause_s = _PAUSE_S * 2 ** min(len(failed) - 1, 5)
        return there < workers and (not failed or time.monotonic() >= failed[-1] + pause_s)

    def _started(self, gpus: float) -> "_Hand":
        kind = self._ray.remote(concurrency_groups={_EARS: 1})(RayWorker)
        options = {"num_cpus": 1, "num_gpus": gpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        actor = kind.options(**options).remote([folder for folder in sys.path if folder])
        return _Hand(self._ray, actor, gpus, {actor.place.remote(): "place"})

    def _with_news(self, hands: "list[_Hand]") -> "list[_Hand]":
        """Wait a while for one of ``hands`` to say something, and return those that have."""
        awaited = [reference for hand in hands for reference in hand.awaited]
        if not awaited:
            time.sleep(_PAUSE_S / 4)
            return []
        patience_s = _PAUSE_S if self._failed_starts else min(self._patience_s, _LISTEN_S)
        ready, _ = self._ray.wait(awaited, num_returns=1, timeout=patience_s)
        said = {*self._ray.wait(awaited, num_returns=len(awaited), timeout=0)[0], *ready}
        return [hand for hand in hands if not said.isdisjoint(hand.awaited)]

    def _check_head(self, now: bool = False) -> None:
        """Wait a while for the head of the cluster, where it is gone.

        Raises:
            EngineError: it does not come back.
        """
        since_s = time.monotonic()
        if not now and since_s < self._head_seen_s + _LISTEN_S:
            return
        while not self._joined.head_answers():
            if time.monotonic() > since_s + _HEAD_S:
                raise EngineError(
                    "the head of the Ray cluster is gone: start the cluster, and the same command again, which goes on"
                )
            time.sleep(_PAUSE_S)
        self._head_seen_s = time.monotonic()

    def _check_hope(self, waited_s: float, gpus: float) -> None:
        """Check that somebody will work, who has been waited for so long, and say once that this is waited for.

        Raises:
            EngineError: nobody will, or it takes too long.
        """
        if waited_s < self._patience_s:
            return
        self.capacity(gpus)  # raises where no node is left that could ever take one
        failed = self._failed_starts
        if len(failed) >= _MOST_FAILED_STARTS and failed[-1] - failed[0] >= _UNTIL_LOST_S:
            raise EngineError(
                "workers die on the nodes of the Ray cluster before they begin; the same command may be started again: "
                + self._last_words
            )
        free, there = self._ray.available_resources(), self._ray.cluster_resources()
        what, named, need = ("GPU", "GPU", gpus) if gpus and free.get("CPU", 0.0) >= 1 else ("CPU", "core", 1.0)
        full = free.get(what, 0.0) < need
        if waited_s >= self._start_s:
            why = (
                f"its {named}s, {there.get(what, 0.0):g} in all, are taken, as `ray status` tells"
                if full
                else "though there is room for one: Ray says more on its nodes, in session_latest/logs"
            )
            raise EngineError(f"no worker has started on the Ray cluster within {waited_s:.0f} s: {why}")
        if not self._said_that_it_waits:
            self._said_that_it_waits = True
            lacks = f"no {named} of the Ray cluster is free yet" if full else "no worker has started yet"
            warnings.warn(f"{lacks}; waiting for one, {self._start_s:.0f} s at most", ThymosWarning, stacklevel=2)

    def _news(self, hand: "_Hand", on_report: Report) -> Any:
        """Take what ``hand`` has to say: a result, ``_LOST`` if it is gone, or None."""
        errors = self._ray.exceptions
        starts = hand.place is None
        try:
            news = hand.heard(on_report)
        except errors.RayTaskError as error:
            raise EngineError(_of_a_node(hand, error)) from None
        except errors.RayError as error:
            self._check_head(now=True)
            hand.end()
            if starts:
                self._count_failed_start(error)
            return _LOST
        if starts:
            self._failed_starts.clear()
        return news

    def _count_failed_start(self, error: Exception) -> None:
        """Note that a worker ended before it had begun: its node may just have gone, which Ray finds out after a while.

        Raises:
            EngineError: that has happened again and again, for a reason that will not go.
        """
        self._failed_starts.append(time.monotonic())
        reasons = re.findall(r"(?m)^\s*((?:\w+\.)*\w+(?:Error|Exception): .+)$", str(error))
        if reasons and len(self._failed_starts) >= _MOST_FAILED_STARTS:
            raise EngineError(
                f"workers do not start on the nodes of the Ray cluster: {reasons[-1]}; the same Thymos and libraries "
                "must be installed on all of them"
            )
        self._last_words = " ".join(line.strip() for line in str(error).splitlines() if not line.startswith("\t"))

    def _is_alive(self, hand: "_Hand") -> bool:
        """Return whether the machine is still there that ``hand`` was on: its worker alone was killed then."""
        assert hand.place is not None
        return any(node["NodeID"] == hand.place.node and node["Alive"] for node in self._ray.nodes())


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
    place: Place | None = None
    """None: it has not started yet."""
    begun: Begun[Any] | None = None
    _done: Done | None = field(default=None)
    """What came of it, while its last messages are waited for."""

    def begin(self, work: Work[Any, Any], begun: Begun[Any], heard: bool) -> None:
        """Give it a task; ``heard``: it is to pass on messages."""
        self.begun = begun
        self.awaited[self.actor.work.remote(work, begun.task, heard, Path.cwd())] = "work"
        if heard:
            self._listen()

    def _listen(self) -> None:
        self.awaited[self.actor.messages.options(concurrency_group=_EARS).remote()] = "messages"

    def heard(self, on_report: Report) -> Done | None:
        """Take what it says next, and return what came of its task if that is done and its last message is heard.

        Raises:
            EngineError: it is on a machine that does not suit.
            Exception: the task's own.
            RayTaskError: it could not even take up its task, or hand back what came of it.
            RayError: it is gone.
        """
        (reference,), _ = self.ray.wait(list(self.awaited), num_returns=1, timeout=None)
        kind, content = self.awaited[reference], self.ray.get(reference)
        del self.awaited[reference]
        if kind == "place":
            self.place = content
            check_place(content)
            return None
        if kind == "work":
            self._done = content
        else:
            for message in content.said:
                on_report(message)
            if not content.last:
                self._listen()
        if self.awaited or self._done is None:
            return None
        done, self._done, self.begun = self._done, None, None
        if done.failed:
            raise done.content
        return done

    def end(self) -> None:
        """End its process, whatever it does."""
        with suppress(Exception):  # it is gone, or the cluster is
            self.ray.kill(self.actor)


def _of_a_node(hand: _Hand, error: Exception) -> str:
    """Say in a sentence why a worker could not even take up its task, or hand back what came of it."""
    host = hand.place.host if hand.place else "of it"
    reason = str(error).strip().splitlines()[-1].strip()
    return f"on the node {host} of the Ray cluster, a task could not be taken up or handed back: {reason}"
