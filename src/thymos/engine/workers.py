"""Worker processes of this machine: started clean, deaf to Ctrl-C, and never left behind.

Each worker has a pipe of its own, and this process no thread and no lock for it: so nothing that an interruption
leaves behind can be waited for, and a worker's death is the end of its pipe.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, Literal

from thymos.engine.process import one_thread, set_up_process
from thymos.engine.tasks import (
    Begun,
    Engine,
    Report,
    Result,
    Task,
    ThisProcess,
    Waiting,
    Work,
    portable,
    refuse_death,
    unheard,
)
from thymos.machine import available_cores

_Kind = Literal["ready", "report", "done", "failed", "dead"]

# A fork would inherit torch's locked thread pools, so workers start afresh.
_CONTEXT = multiprocessing.get_context("spawn")


class LocalProcesses(Engine):
    """Worker processes of this machine; with one worker, the work is done in this process.

    They import the calling program's main module, so that a script must guard it by ``if __name__ == "__main__"``. The
    death of this process ends them.
    """

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
        most = workers or self.capacity(gpus)
        if most == 1:
            return ThisProcess().run(work, tasks, on_report=on_report)
        return _in_processes(work, Waiting(tasks), most, on_report or unheard, on_death or refuse_death)

    def capacity(self, gpus: float = 0) -> int:
        """Return one a core; of tasks that need an accelerator, 1: nobody here deals them out."""
        return 1 if gpus else available_cores()


def _in_processes(
    work: Work[Task, Result],
    waiting: Waiting[Task],
    workers: int,
    on_report: Report,
    on_death: Callable[[Task], Result],
) -> Iterator[tuple[Task, Result]]:
    busy: list[_Worker[Task]] = []
    try:
        while True:
            while len(busy) < workers and (begun := waiting.next()):
                with _interruption_held():
                    busy.append(_start(work, begun))
            if not busy:
                return
            ready = connection.wait([worker.pipe for worker in busy])
            for worker in [worker for worker in busy if worker.pipe in ready]:
                kind, content = worker.hear()
                begun = worker.begun
                if kind == "report":
                    on_report(content)
                elif kind == "failed":
                    raise content
                elif kind == "done" and (following := waiting.next()):
                    worker.begun = following
                elif kind in ("done", "dead"):
                    worker.end()
                    busy.remove(worker)
                if kind == "done":
                    yield begun.task, content
                elif kind == "dead" and not waiting.lost(begun):
                    yield begun.task, on_death(begun.task)
    finally:
        with _interruption_held():
            for worker in busy:
                worker.end()


@dataclass(eq=False)
class _Worker(Generic[Task]):
    process: SpawnProcess
    pipe: Connection
    begun: Begun[Task]
    """What it works on, or will once it is ready."""

    def hear(self) -> tuple[_Kind, Any]:
        """Return what it says next; if it is ready, it gets its task."""
        try:
            kind, content = self.pipe.recv()
            if kind == "ready":
                self.pipe.send(self.begun.task)
        except (EOFError, OSError):
            return "dead", None
        return kind, content

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _start(work: Work[Task, Result], begun: Begun[Task]) -> _Worker[Task]:
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(work, there), daemon=True)
    process.start()
    there.close()  # so that the pipe ends with the worker
    return _Worker(process, here, begun)


@contextmanager
def _interruption_held() -> Iterator[None]:
    """Hold Ctrl-C back inside the block: no process is half started, or half ended, when it comes.

    A process that is started there never hears it: it reaches every process of a terminal, and this one answers it.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came = False

    def remember(number: int, frame: object) -> None:
        nonlocal came
        came = True

    signal.signal(signal.SIGINT, remember)
    try:
        with _sigint_blocked():
            yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT in this thread, where the system can: children inherit that, but not a handler."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it, as the first process does, would unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(work: Work[Task, Result], pipe: Connection) -> None:
    """Work on tasks from ``pipe`` until this process is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked
    threading.Thread(target=_die_with_parent, daemon=True).start()
    set_up_process()

    def say(kind: _Kind, content: object = None) -> None:
        pipe.send((kind, content))

    while True:
        say("ready")
        try:
            task = pipe.recv()
            with one_thread():
                say("done", work(task, lambda message: say("report", message)))
        except Exception as error:
            say("failed", portable(error))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
