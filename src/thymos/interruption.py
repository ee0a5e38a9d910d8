"""Ctrl-C ends a command: by its exception where that comes through, else by force.

Python raises KeyboardInterrupt wherever the main thread happens to be. In a finaliser, or in a function that a C
library calls, it is printed and lost; within the import of a C++ library it aborts the process; and on its way out it
may wait for a thread that is busy for minutes. So nothing is raised within an import, and a thread hears of the signal,
too, and does not wait for long.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from thymos.streams import OutputFile

EXIT_CODE = 130
GRACE_S = 3.0
"""How long a command may take to end by itself."""
_RESUMABLE = ("evaluate", "study")
_FRESH_LINE = "\r\x1b[K\x1b[?25h"
"""Takes what is left of a progress bar from a terminal's line, and shows the cursor again."""
_ending = threading.Lock()


@contextmanager
def ending_when_interrupted() -> Iterator[None]:
    """End this process within ``GRACE_S`` of Ctrl-C in the block, with ``EXIT_CODE`` and one sentence.

    Where Ctrl-C is ignored, as in a shell script's background job, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=_wait_and_end, args=(reader,), name="thymos-interruption", daemon=True).start()
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != EXIT_CODE:  # which is what typer makes of Ctrl-C
            raise
        with suppress(OSError):
            sys.stdout.flush()
        _end()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Answer the signal in the main thread, which was at ``frame``."""
    if _ending.locked():
        return
    while frame is not None:
        # Within the latter, nobody would know what has been written, and it would be once more.
        if frame.f_code.co_filename.startswith("<frozen importlib") or frame.f_code is OutputFile.write.__code__:
            _end()
        frame = frame.f_back
    raise KeyboardInterrupt


def _wait_and_end(reader: int) -> None:
    while signal.SIGINT not in os.read(reader, 64):
        pass
    threading.Event().wait(GRACE_S)
    _end()


def _end() -> NoReturn:
    """End at once: files are written whole or not at all, so none is left half.

    The interpreter's own end would wait for threads, and where C code met the interruption, exit with another code.
    """
    _ending.acquire()  # for good: one thread says the sentence, and the other ends with it
    processes = sys.modules.get("multiprocessing.process")
    # Half imported, it has no children yet; changing under our hands, they are the main thread's, which is at its end.
    with suppress(AttributeError, RuntimeError):
        for child in processes.active_children():  # type: ignore[union-attr]
            child.kill()
    hint = "; the same command goes on where it stopped" if sys.argv[1:2] in [[word] for word in _RESUMABLE] else ""
    with suppress(OSError, ValueError, AttributeError):  # a stream that is closed
        number = sys.stderr.fileno()
        fresh_line = _FRESH_LINE if os.isatty(number) else ""
        # Not by print: whoever holds the stream's lock may never give it back.
        os.write(number, f"{fresh_line}thymos: interrupted{hint}\n".encode())
    os._exit(EXIT_CODE)
