"""Worker processes for folds: started clean, silent on Ctrl-C, and never left behind."""

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import torch

from thymos.errors import RunError
from thymos.training.process import set_up_process

Task = TypeVar("Task")
Result = TypeVar("Result")
Report = Callable[[Any], None]

# A fork would inherit torch's locked thread pools, so workers start afresh.
_CONTEXT = multiprocessing.get_context("spawn")

_report: Report = lambda message: None  # noqa: E731  (set in each worker)


def in_workers(
    work: Callable[[Task, Report], Result],
    tasks: Sequence[Task],
    workers: int,
    threads: int,
    on_report: Report = lambda message: None,
    on_death: Callable[[Task], Result] | None = None,
) -> Iterator[tuple[Task, Result]]:
    """Yield each task with what ``work`` made of it, as they get done.

    With one worker the work is done here; else in ``workers`` processes, which import the calling program's main
    module, so that a script must guard it by ``if __name__ == "__main__"``. An interruption, or the death of this
    process, ends them.

    Args:
        work: a function at the top level of a module; its second argument takes messages for ``on_report``.
        tasks: what to work on.
        workers: how many at once.
        threads: torch threads in each.
        on_report: called here with messages, in a thread of its own; the last ones of a worker may be lost.
        on_death: the result of a task whose worker is killed; the other tasks go on. None: that is an error.

    Raises:
        RunError: a worker was killed, for want of memory perhaps.
    """
    if workers == 1:
        with torch_threads(threads):
            for task in tasks:
                yield task, work(task, on_report)
        return
    with _reader(on_report) as messages:
        waiting = dict(enumerate(tasks))
        alone: list[int] = []
        while waiting:
            now = {i: waiting[i] for i in alone[:1]} or waiting
            try:
                for i, result in _in_pool(work, dict(now), workers, threads, messages):
                    yield waiting.pop(i), result
            except BrokenProcessPool:
                if on_death is None:
                    raise RunError(
                        "a worker process was killed, perhaps for want of memory; run the same command again"
                    ) from None
                if len(now) == 1:
                    (i,) = now
                    yield waiting[i], on_death(waiting.pop(i))
                # A pool does not say whose worker it was, but its queue is short: try the first ones one by one.
                alone = alone or list(waiting)[: 2 * workers + 1]
            alone = [i for i in alone if i in waiting]


def _in_pool(
    work: Callable[[Task, Report], Result], tasks: dict[int, Task], workers: int, threads: int, messages: Any
) -> Iterator[tuple[int, Result]]:
    others = set(multiprocessing.active_children())
    count = min(workers, len(tasks))
    executor = ProcessPoolExecutor(count, _CONTEXT, initializer=_start_worker, initargs=(threads, messages))
    try:
        futures: dict[Future[Result], int] = {executor.submit(_call, work, task): i for i, task in tasks.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        executor.shutdown(cancel_futures=True)


@contextmanager
def _reader(on_report: Report) -> Iterator[Any]:
    """Yield a queue whose messages go to ``on_report`` while the block runs."""
    messages = _CONTEXT.Queue()
    done = threading.Event()
    reader = threading.Thread(target=_read, args=(messages, on_report, done), daemon=True)
    reader.start()
    try:
        yield messages
    finally:
        done.set()
        reader.join()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _start_worker(threads: int, messages: Any) -> None:
    global _report
    _report = messages.put
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent answers it
    threading.Thread(target=_die_with_parent, daemon=True).start()
    set_up_process()
    torch.set_num_threads(threads)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(work: Callable[[Task, Report], Result], task: Task) -> Result:
    return work(task, _report)


def _read(messages: Any, on_report: Report, done: threading.Event) -> None:
    # No last message is waited for: a worker that was ended may have taken the queue's lock with it.
    while not done.is_set():
        with suppress(queue.Empty):
            on_report(messages.get(timeout=0.1))
