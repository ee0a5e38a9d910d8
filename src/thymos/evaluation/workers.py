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

_report: Report = lambda message: None  # noqa: E731  (set in each worker)


def in_workers(
    work: Callable[[Task, Report], Result],
    tasks: Sequence[Task],
    workers: int,
    threads: int,
    on_report: Report = lambda message: None,
) -> Iterator[tuple[Task, Result]]:
    """Yield each task with what ``work`` made of it, as they get done.

    With one worker the work is done here; else in ``workers`` processes. An interruption, or the death of this
    process, ends them.

    Args:
        work: a function at the top level of a module; its second argument takes messages for ``on_report``.
        tasks: what to work on.
        workers: how many at once.
        threads: torch threads in each.
        on_report: called here with messages, in a thread of its own; the last ones of a worker may be lost.

    Raises:
        RunError: a worker was killed, for want of memory perhaps.
    """
    if workers == 1:
        with torch_threads(threads):
            for task in tasks:
                yield task, work(task, on_report)
        return
    # A fork would inherit torch's locked thread pools, so workers start afresh.
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    done = threading.Event()
    reader = threading.Thread(target=_read, args=(messages, on_report, done), daemon=True)
    reader.start()
    executor = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(threads, messages))
    try:
        futures: dict[Future[Result], Task] = {executor.submit(_call, work, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise RunError("a worker process was killed, perhaps for want of memory; run the same command again") from None
    finally:
        for child in multiprocessing.active_children():
            child.terminate()
        executor.shutdown(cancel_futures=True)
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
