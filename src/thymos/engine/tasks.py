"""What an engine is: tasks go in, results come out as they get done, and nobody has to know where they were worked on.

    with engine_named("ray:auto") as engine:
        for task, result in engine.run(work, tasks):
            ...

Three engines do the same: this process (``ThisProcess``), worker processes of this machine (``LocalProcesses``) and a
Ray cluster (``RayCluster``). In each of them

- a worker is a process that imports its libraries once, and takes up task after task: what ``work`` keeps in its
  module, such as a model, is loaded once a worker;
- each task is worked on with one thread of each library, so that its digits do not depend on how many cores there are;
- an exception of a task is raised here, with its place in the worker as a note, and ends the run;
- a task whose worker is killed is begun once more, elsewhere, and then given up; where a whole machine is lost, the
  tasks it had are no more to blame than others, and begin again however often that happens;
- leaving the loop, Ctrl-C, or the end of this process cancels what is at work and what waits.
"""

import math
import pickle
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from thymos.engine.process import one_thread
from thymos.errors import ArgumentError, RunError

Task = TypeVar("Task")
Result = TypeVar("Result")
Value = TypeVar("Value")
Report = Callable[[Any], None]
Work = Callable[[Task, Report], Result]
"""A function at the top level of a module, so that another process finds it; its second argument takes messages."""

MOST_DEATHS = 2
"""Of workers that a task may cost before it is given up."""


class Shared(ABC, Generic[Value]):
    """A value that many tasks hold: it goes to each machine once, and not with each of them."""

    @abstractmethod
    def get(self) -> Value:
        """Return the value, in whatever process this is; arrays in it may be read-only."""


class Engine(AbstractContextManager["Engine"]):
    """Where tasks are worked on. Used in a ``with`` block, at whose end workers that are left are ended."""

    @abstractmethod
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
        """Yield each task with what ``work`` made of it, as they get done. Closing the iterator cancels the rest.

        Args:
            work: what is done; its second argument takes messages for ``on_report``.
            tasks: what to work on, drawn one at a time as workers get free; they travel by pickle.
            workers: how many at once; None: ``capacity``.
            on_report: called here with messages, in their order, while the next result is waited for.
            on_death: the result of a task that is given up since its workers were killed; None: that is an error.
            gpus: how many each task has for itself; a part such as 0.5 lets two share one. Only Ray deals them out.

        Raises:
            RunError: workers that had the same task were killed, for want of memory perhaps.
            EngineError: there is nobody to work, or the machines of a cluster do not suit.
        """

    @abstractmethod
    def capacity(self, gpus: float = 0) -> int:
        """Return how many tasks run at once where nobody says how many: one a core, or one for each ``gpus``."""

    def share(self, value: Value) -> Shared[Value]:
        """Return ``value`` ready to be held by many tasks of this engine's next runs."""
        return _Held(value)

    @property
    def many_machines(self) -> bool:
        """Whether workers may be on machines that do not see the files of this one."""
        return False

    def close(self) -> None:
        """End what is left at work."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def engine_named(name: str = "local", workers: int | None = None, gpus_per_task: float | None = None) -> Engine:
    """Return the engine that ``--engine`` names: ``local``, ``ray`` or ``ray:ADDRESS``.

    Args:
        name: ``local``: processes of this machine, or this process where one task runs at a time. ``ray``: the cluster
            that the environment's RAY_ADDRESS names, or else one that is started here and ends with the engine.
            ``ray:auto``: one that runs on this machine. ``ray:HOST:PORT``: that of this head.
        workers: how many tasks will be worked on at once; a cluster that is started here is made for so many.
        gpus_per_task: how many of a cluster's GPUs each task has for itself; None: what its device needs.

    Raises:
        ArgumentError: there is no such engine, or it deals out no GPUs.
        MissingExtraError: Ray is not installed.
        EngineError: there is no such cluster, this program cannot join it, or none of its nodes has so many GPUs.
    """
    kind, colon, address = name.partition(":")
    if name == "local":
        from thymos.engine.workers import LocalProcesses

        if gpus_per_task is not None:
            raise ArgumentError("GPUs per task are dealt out by Ray: give them with --engine ray")
        return LocalProcesses()
    if kind == "ray" and (address or not colon):
        from thymos.engine.ray_cluster import RayCluster

        return RayCluster(address or None, workers, gpus_per_task)
    raise ArgumentError(f"there is no engine {name}: local, ray, ray:auto or ray:HOST:PORT")


@contextmanager
def in_use(engine: Engine | str, workers: int | None = None, gpus_per_task: float | None = None) -> Iterator[Engine]:
    """Yield the engine of that name, which ends with the block; or ``engine`` itself, which does not: it is the
    caller's.

    Raises:
        ArgumentError, MissingExtraError, EngineError: as ``engine_named`` does.
    """
    if isinstance(engine, Engine):
        yield engine
        return
    with engine_named(engine, workers, gpus_per_task) as own:
        yield own


@dataclass(frozen=True)
class _Held(Shared[Value]):
    """A value that travels with its task, to a process of the same machine."""

    value: Value

    def get(self) -> Value:
        return self.value


class ThisProcess(Engine):
    """Work done where the loop stands, one task after another; ``workers`` and ``gpus`` mean nothing to it."""

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
        """Yield each task with what ``work`` made of it; see ``Engine.run``."""
        with one_thread():
            for task in tasks:
                yield task, work(task, on_report or unheard)

    def capacity(self, gpus: float = 0) -> int:
        """Return 1."""
        return 1


@dataclass
class Begun(Generic[Task]):
    """A task that a worker has, or had."""

    task: Task
    deaths: int = 0
    """Workers that were killed over it."""


class Waiting(Generic[Task]):
    """Tasks that are still to be begun: those that lost their worker first, then the next that is drawn."""

    def __init__(self, tasks: Iterable[Task]):
        self._drawn: deque[Begun[Task]] = deque()
        self._rest = iter(tasks)

    def has(self, count: int) -> bool:
        """Return whether so many are left; no more than these are drawn."""
        while len(self._drawn) < count:
            try:
                self._drawn.append(Begun(next(self._rest)))
            except StopIteration:
                return False
        return True

    def next(self) -> Begun[Task] | None:
        """Return a task to begin, or None where there is none."""
        return self._drawn.popleft() if self.has(1) else None

    def lost(self, begun: Begun[Task], blamed: bool = True) -> bool:
        """Take back a task whose worker is gone, and return whether it will be begun again.

        Args:
            begun: the task.
            blamed: whether it may itself be why; not where a whole machine is gone.
        """
        begun.deaths += blamed
        if begun.deaths >= MOST_DEATHS:
            return False
        self._drawn.appendleft(begun)
        return True


def check_gpus(gpus_per_task: float) -> float:
    """Return ``gpus_per_task`` if a task can have so many GPUs: none, a part of one, or whole ones.

    Raises:
        ArgumentError: it cannot.
    """
    if not 0 <= gpus_per_task < math.inf or (gpus_per_task > 1 and gpus_per_task % 1):
        raise ArgumentError(f"{gpus_per_task:g} GPUs per task: it is 0, a part of one such as 0.5, or a whole number")
    return gpus_per_task


def unheard(message: object) -> None:
    """Take a message that nobody asked for."""


def refuse_death(task: object) -> Any:
    """Raise what a task ends in whose workers were killed, where nobody says what else it is to be.

    Raises:
        RunError: always.
    """
    raise RunError("a worker process was killed, perhaps for want of memory; run the same command again")


def portable(error: Exception) -> Exception:
    """Return ``error``, just caught in a worker, with its place there as a note, or one that says the same if it cannot
    travel by pickle."""
    error.add_note(f"In a worker process:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
