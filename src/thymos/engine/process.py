"""Setting up a process for training on a CPU: what its allocator keeps, and how its threads wait.

Both settings belong to the whole process, so importing Thymos leaves them alone; the command line and its worker
processes make them, and a program of yours may.

glibc returns large freed blocks to the kernel at once, and every training step asks for the same large blocks again:
the kernel then clears each page anew. Told to keep them, the same step takes half to a third of the time.

OpenMP threads that wait for each other spin, by default for milliseconds. Where another program wants the same core,
the one who is waited for is then kept from running, and a step takes many times as long. Spinning for a small part of
that is as fast on an idle machine, and on a busy one they sleep and only lose their share.
"""

import ctypes
import os
import platform

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
