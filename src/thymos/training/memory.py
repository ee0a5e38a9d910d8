"""Keeping freed memory, so that training does not spend its time on page faults.

glibc returns large freed blocks to the kernel at once, and every training step asks for the same large blocks again:
the kernel then clears each page anew. Told to keep them, the same step takes half to a third of the time. The setting
belongs to the process, so importing Thymos leaves it alone; the command line and its worker processes make it.
"""

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # from malloc.h
_TOP_PAD_BYTES = 64 << 20


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep freed blocks for the rest of the process, and return whether it took that.

    Does nothing, and returns False, where the C library is another.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    accepted = [
        mallopt(_M_MMAP_MAX, 0),  # large blocks come from the heap, which is kept, not from mappings, which are not
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1),
        mallopt(_M_TOP_PAD, _TOP_PAD_BYTES),
    ]
    return all(accepted)
