"""Worker processes for folds: started clean, deaf to Ctrl-C, and never left behind.

Each worker has a pipe of its own, and this process no thread and no lock for it: so nothing that an interruption
leaves behind can be waited for, and a worker's death is the end of its pipe.
"""

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, Literal, TypeVar

from thymos.engine.process import one_thread, set_up_process
from thymos.errors import RunError

Task = TypeVar("Task")
Result = TypeVar("Result")
Report = Callable[[Any], None]
_Kind = Literal["ready", "report", "done", "failed", "dead"]

# A fork would inherit torch's locked thread pools, so workers start afresh.
_CONTEXT = multiprocessing.get_context("spawn")


def in_workers(
    work: Callable[[Task, Report], Result],
    tasks: Sequence[Task],
    workers: int,
    on_report: Report = lambda message: None,
    on_death: Callable[[Task], Result] | None = None,
) -> Iterator[tuple[Task, Result]]:
    """Yield each task with what ``work`` made of it, as they get done.

    Each works with one thread of each library, so that its digits do not depend on how many cores there are. With one
    worker the work is done here; else in ``workers`` processes, which import the calling program's main
    module, so that a script must guard it by ``if __name__ == "__main__"``. An interruption, or the death of this
    process, ends them.

    Args:
        work: a function at the top level of a module; its second argument takes messages for ``on_report``.
        tasks: what to work on.
        workers: how many at once.
        on_report: called here with messages, while the next result is waited for.
        on_death: the result of a task whose worker is killed; the other tasks go on. None: that is an error.

    Raises:
        RunError: a worker was killed, for want of memory perhaps.
    """
    if workers == 1:
        with one_thread():
            for task in tasks:
                yield task, work(task, on_report)
        return
    yield from _in_processes(work, tasks, workers, on_report, on_death or _refuse)


def _refuse(task: object) -> Any:
    raise RunError("a worker process was killed, perhaps for want of memory; run the same command again")


def _in_processes(
    work: Callable[[Task, Report], Result],
    tasks: Sequence[Task],
    workers: int,
    on_report: Report,
    on_death: Callable[[Task], Result],
) -> Iterator[tuple[Task, Result]]:
    waiting = list(reversed(tasks))
    busy: list[_Worker[Task]] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                with _interruption_held():
                    busy.append(_start(work, waiting.pop()))
            ready = connection.wait([worker.pipe for worker in busy])
            for worker in [worker for worker in busy if worker.pipe in ready]:
                kind, content = worker.hear()
                task = worker.task
                if kind == "report":
                    on_report(content)
                elif kind == "failed":
                    raise content
                elif kind == "done" and waiting:
                    worker.task = waiting.pop()
                elif kind in ("done", "dead"):
                    worker.end()
                    busy.remove(worker)
                if kind == "done":
                    yield task, content
                elif kind == "dead":
                    yield task, on_death(task)
    finally:
        with _interruption_held():
            for worker in busy:
                worker.end()


@dataclass(eq=False)
class _Worker(Generic[Task]):
    process: SpawnProcess
    pipe: Connection
    task: Task
    """What it works on, or will once it is ready."""

    def hear(self) -> tuple[_Kind, Any]:
        """Return what it says next; if it is ready, it gets its task."""
        try:
            kind, content = self.pipe.recv()
            if kind == "ready":
                self.pipe.send(self.task)
        except (EOFError, OSError):
            return "dead", None
        return kind, content

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _start(work: Callable[[Task, Report], Result], task: Task) -> _Worker[Task]:
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(work, there), daemon=True)
    process.start()
    there.close()  # so that the pipe ends with the worker
    return _Worker(process, here, task)


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


def _serve(work: Callable[[Task, Report], Result], pipe: Connection) -> None:
    """Work on tasks from ``pipe`` until this process is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked
    threading.Thread(target=_die_with_parent, daemon=True).start()
    set_up_process()

    def say(kind: _Kind, content: object = None) -> None:
        pipe.send((kind, content))

    while True:
        say("ready")
        task = pipe.recv()
        try:
            with one_thread():
                say("done", work(task, lambda message: say("report", message)))
        except Exception as error:
            say("failed", _portable(error))


def _portable(error: Exception) -> Exception:
    """Return ``error`` with its place in this process as a note, or one that says the same if it cannot travel."""
    error.add_note(f"In a worker process:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
