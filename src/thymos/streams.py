"""Standard input, output and error: closed, full, broken or non-blocking ones, and libraries that write into them."""

import errno
import io
import logging
import os
import select
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from thymos.errors import ThymosError, ThymosWarning

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDIN, STDOUT, STDERR = 0, 1, 2
READER_GONE = 141
"""Exit code where who read the output has gone away: 128 + SIGPIPE, as a shell says it of other tools."""
_NAMES_OF_STDOUT = {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}
_READ_BYTES = 1 << 16
_OF_STREAMS = {errno.ENOSPC, errno.EIO, errno.EDQUOT}


class StreamError(ThymosError):
    """A standard stream cannot be used as it is."""


def prepare_streams() -> None:
    """Make standard streams safe to use: to be called once, before anything is opened or printed.

    A closed one would be given to the next file that is opened, and be written into. What libraries in C write to a
    stream that is no terminal goes nowhere, and so do notes of libraries in Python, so that lines of JSON stay that.

    Raises:
        StreamError: standard output is closed, so that results would be lost.
    """
    if sys.stdout is not sys.__stdout__:  # a program that calls the command line has its own
        return
    take_closed_numbers()
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.dup(STDERR), "w", encoding="utf-8")  # print would take standard output instead
    if sys.stdout is None:
        raise StreamError("standard output is closed; > /dev/null says that it is not wanted")
    sys.stdout, sys.stderr = _own(sys.stdout, STDOUT), _own(sys.stderr, STDERR)
    # By these names, users mean what they have piped.
    sys.argv = [f"/dev/fd/{sys.stdout.fileno()}" if word in _NAMES_OF_STDOUT else word for word in sys.argv]
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")
    warnings.simplefilter("default", ThymosWarning)


def take_closed_numbers() -> None:
    """Let no file that is opened later get the number of a standard stream that is closed."""
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is taken: this one.
            os.open(os.devnull, os.O_RDONLY if number == STDIN else os.O_WRONLY)


class OutputFile(io.FileIO):
    """An output that is waited for where another program left it non-blocking, and whose reader may go away.

    Then the command ends at once and without a word, as ``head -1`` expects of what it reads from.
    """

    def write(self, content: "ReadableBuffer") -> int:
        """Write some of ``content``, and return how many bytes.

        Raises:
            SystemExit: nobody reads it any more.
        """
        try:
            while (written := super().write(content)) is None:
                select.select([], [self], [])
        except BrokenPipeError:
            drop_output(self.fileno())
            raise SystemExit(READER_GONE) from None
        return written


def _own(stream: TextIO, number: int) -> TextIO:
    """Return ``stream`` on a file descriptor of its own where it is no terminal; nothing else gets into it."""
    try:
        if stream.fileno() != number:
            return stream
    except (OSError, ValueError):  # a test's, in memory
        return stream
    stream.flush()
    if os.isatty(number):
        raw = OutputFile(number, "w", closefd=False)
        return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=True)
    own = os.dup(number)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
    encoding = stream.encoding if os.environ.get("PYTHONIOENCODING") else "utf-8"  # under whatever locale
    file = io.BufferedWriter(OutputFile(own, "w"))
    return io.TextIOWrapper(file, encoding, "backslashreplace", line_buffering=number == STDERR)


@contextmanager
def output_told() -> Iterator[None]:
    """Turn a full disk into one sentence.

    Raises:
        StreamError: not all could be written.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in _OF_STREAMS:
            raise
        with suppress(OSError, ValueError):
            drop_output(sys.stdout.fileno())
        raise StreamError(f"not all of the output was written: {error.strerror}") from None


def drop_output(number: int) -> None:
    """Let what is held back for a file descriptor go: the interpreter would try once more as it ends, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def standard_input() -> Iterator[bytes]:
    """Yield what comes in on standard input at once: a full buffer would come seconds late.

    Also where it was left non-blocking by another program.

    Raises:
        StreamError: it is closed, or cannot be read.
    """
    if sys.stdin is None:
        raise StreamError("standard input is closed")
    number = sys.stdin.fileno()
    while True:
        try:
            content = os.read(number, _READ_BYTES)
        except BlockingIOError:
            select.select([number], [], [])
            continue
        except OSError as error:
            raise StreamError(f"standard input cannot be read: {error.strerror}") from None
        if not content:
            return
        yield content
