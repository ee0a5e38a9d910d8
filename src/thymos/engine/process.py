"""What fits need of their process: an allocator that keeps its blocks, one thread of each library, a device.

Allocator and OpenMP's waiting belong to the whole process, so importing Thymos leaves them alone; the command line and
its worker processes set them, and a program of yours may.

glibc returns large freed blocks to the kernel at once, and every training step asks for the same large blocks again:
the kernel then clears each page anew. Told to keep them, the same step takes half to a third of the time.

OpenMP threads that wait for each other spin, by default for milliseconds. Where another program wants the same core,
the one who is waited for is then kept from running, and a step takes many times as long. Spinning for a small part of
that is as fast on an idle machine, and on a busy one they sleep and only lose their share.

A sum that two threads share is added in another order than by one, so it rounds otherwise. Fits therefore use one
thread of each library; what keeps several cores busy is several fits, or several recordings, side by side.
"""

import ctypes
import importlib
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from thymos.errors import RunError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # from malloc.h
_TOP_PAD_BYTES = 64 << 20
_SPIN_COUNT = "10000"  # turns; the library's own number is 300 000


def set_up_process() -> bool:
    """Make both settings for the rest of this process; call it before torch is imported.

    Returns:
        Whether the allocator took its part: False where the C library is not glibc.
    """
    if "OMP_WAIT_POLICY" not in os.environ:  # else the user has decided
        os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)  # read once, when the OpenMP library is loaded
    return _keep_freed_memory()


def _keep_freed_memory() -> bool:
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    accepted = [
        mallopt(_M_MMAP_MAX, 0),  # large blocks come from the heap, which is kept, not from mappings, which are not
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1),
        mallopt(_M_TOP_PAD, _TOP_PAD_BYTES),
    ]
    return all(accepted)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch, BLAS and OpenMP use one thread inside the block. What is not imported yet is left alone."""
    from threadpoolctl import threadpool_limits  # not in the light install, whose commands set their process up, too

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
