"""How many threads the libraries below take, and on which device networks run.

A sum that two threads share is added in another order than by one, so it rounds otherwise. Fits therefore use one
thread of each library; what keeps several cores busy is several fits, or several recordings, side by side.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from thymos.errors import RunError

DEVICES = ("auto", "cpu", "cuda", "mps")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch, BLAS and OpenMP use one thread inside the block. What is not imported yet is left alone."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 1
    with threadpool_limits(1):
        if torch:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


def chosen_device(asked: str) -> str:
    """Return the device that ``asked`` means here: ``auto`` is an accelerator where there is one, else the processor.

    Raises:
        RunError: there is no such device on this machine.
    """
    if asked == "cpu":
        return asked
    torch = importlib.import_module("torch")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return next((name for name, usable in there.items() if usable), "cpu")
    if not there.get(asked, False):
        raise RunError(f"there is no device {asked} on this machine; --device auto takes what there is")
    return asked
