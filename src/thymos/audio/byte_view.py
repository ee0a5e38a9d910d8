"""The bytes of a sound, wherever they lie: looked at in any order, and handed to a decoder as a file of its own."""

import io
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from thymos.audio.source import LocalSource, Span, no_source
from thymos.errors import AudioError, AudioFileError

PIECE_BYTES = 1 << 20
"""How much of a file is looked at at once."""


class ByteView:
    """The bytes of one source, from where it stood when it was opened.

    Attributes:
        size: how many there are.
    """

    def __init__(self, file: IO[bytes]):
        """Look at an open binary file.

        Raises:
            AudioError: it is none, or cannot be sought in.
        """
        try:
            self._file, self._start = file, file.tell()
            self.size = file.seek(0, io.SEEK_END) - self._start
            file.seek(self._start)
            kind = file.read(0)
        except OSError as error:
            raise AudioFileError(f"cannot be opened: {error.strerror or error}") from None
        except ValueError:
            raise AudioFileError("is a file object that is closed, or can no longer be read") from None
        except (AttributeError, TypeError):
            raise no_source(file, "a path, bytes or a file object") from None
        if not isinstance(kind, bytes):
            raise AudioError("is a file that is open as text; open it in binary mode")

    def read(self, start: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``start`` on: fewer only at the end, and none behind it.

        Raises:
            AudioFileError: the file cannot be read there.
        """
        if start >= self.size:  # lengths of 64 bits lead to where no file can be sought
            return b""
        parts: list[bytes] = []
        try:
            self._file.seek(self._start + start)
            while count > 0 and (part := self._file.read(count)):
                parts.append(part)
                count -= len(part)
        except OSError as error:
            raise AudioFileError(f"cannot be read to its end: {error.strerror or error}") from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def find(self, wanted: bytes, start: int, stop: int | None = None) -> int:
        """Return where ``wanted`` is next, from ``start`` on and before ``stop``; -1: nowhere."""
        stop = self.size if stop is None else min(stop, self.size)
        while start < stop:
            piece = self.read(start, min(PIECE_BYTES, stop - start))
            if len(piece) < len(wanted):
                return -1
            at = piece.find(wanted)
            if at >= 0:
                return start + at
            start += len(piece) - len(wanted) + 1
        return -1

    def rewind(self) -> None:
        """Leave the file where it stood."""
        self._file.seek(self._start)


@contextmanager
def viewed(source: LocalSource) -> Iterator[ByteView]:
    """Yield the bytes of ``source``; a file object is left where it stood if it is not read from.

    Raises:
        AudioError: it cannot be opened, or is nothing that sound is read from.
    """
    if isinstance(source, bytes):
        yield ByteView(io.BytesIO(source))
    elif isinstance(source, str | os.PathLike):
        try:
            file = Path(source).open("rb")  # noqa: SIM115 - it is closed below
        except OSError as error:
            raise AudioFileError(f"cannot be opened: {error.strerror or error}") from None
        with file:
            yield ByteView(file)
    else:
        yield ByteView(source)


class SpannedFile:
    """A file that is put together from spans of a view; what libsndfile reads, which asks for just these methods.

    An exception would be lost inside libsndfile, which takes it for the end: so it is kept.

    Attributes:
        fault: what went wrong under it; None: nothing.
    """

    def __init__(self, view: ByteView, spans: Sequence[Span]):
        """Put ``spans`` one behind the other."""
        self._view, self._spans, self._at = view, list(spans), 0
        self._starts, size = [], 0
        for span in self._spans:
            self._starts.append(size)
            size += len(span) if isinstance(span, bytes) else span[1] - span[0]
        self.size = size
        self.fault: AudioError | None = None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; damaged sound makes libsndfile seek to before the start, which is the start."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return where it stands."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes; -1: all that are left."""
        wanted = max(0, self.size - self._at) if size < 0 else size
        parts: list[bytes] = []
        try:
            while wanted > 0 and (part := self._some(wanted)):
                parts.append(part)
                wanted -= len(part)
                self._at += len(part)
        except AudioError as error:
            self.fault = error
            return b""
        except Exception as error:
            self.fault = AudioFileError(f"cannot be read to its end: {' '.join(str(error).split())}")
            return b""
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _some(self, most: int) -> bytes:
        """Return the next bytes, up to ``most``, of the span that it stands in."""
        if self._at >= self.size:
            return b""
        low = bisect_right(self._starts, self._at) - 1
        span, inside = self._spans[low], self._at - self._starts[low]
        if isinstance(span, bytes):
            return span[inside : inside + most]
        return self._view.read(span[0] + inside, min(most, span[1] - span[0] - inside))


def patched(view: ByteView, start: int, stop: int, *changes: tuple[int, bytes]) -> tuple[Span, ...]:
    """Return the file from ``start`` to ``stop`` with some of its bytes, by their place in the file, changed."""
    spans: list[Span] = []
    at = start
    for place, value in sorted(changes):
        spans += [(at, place), value]
        at = place + len(value)
    spans.append((at, stop))
    return tuple(span for span in spans if isinstance(span, bytes) or span[1] > span[0])
