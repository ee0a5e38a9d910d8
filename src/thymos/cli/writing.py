"""How the results of ``predict`` are written: printed as they come, into one file that is whole, or a file for each."""

import errno
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Protocol

from thymos.cli.console import say
from thymos.cli.outputs import PART_RECORDINGS, Outputs
from thymos.files import whole_file, write_bytes
from thymos.runtime.formats import LINE_BY_LINE, Columns, Format, ResultRow, rendered
from thymos.streams import output_told

_IN_MEMORY_BYTES = 16 << 20


class ResultWriter(Protocol):
    """Takes the rows of results, in order."""

    failures: int
    """Results that could not be written, each of which has been named."""

    def take(self, row: ResultRow) -> None:
        """Take the result of the next recording."""

    def finish(self) -> None:
        """Write what is left: there are no more."""


def writer_of(outputs: Outputs, columns: Columns) -> ResultWriter:
    """Return what writes to ``outputs``."""
    if outputs.parts is not None:
        return _Parts(outputs.parts, outputs.format, columns)
    if outputs.each is not None:
        return _FileEach(outputs.each, outputs.format, columns)
    if outputs.out is not None:
        return _OneFile(outputs.out, outputs.format, columns)
    return _Printer(outputs.format, columns)


class _Printer:
    """Prints each result at once where the format allows that."""

    def __init__(self, format: Format, columns: Columns):
        self._format, self._columns = format, columns
        self._kept: list[ResultRow] = []
        self._printed = 0
        self.failures = 0

    def take(self, row: ResultRow) -> None:
        if self._format not in LINE_BY_LINE:
            self._kept.append(row)
        elif print_result(row, self._format, self._columns, head=not self._printed):
            self._printed += 1

    def finish(self) -> None:
        if self._kept:
            _print(rendered(self._kept, self._format, self._columns))


def print_result(row: ResultRow, format: Format, columns: Columns, head: bool) -> bool:
    """Print a result in a format of ``LINE_BY_LINE``, and return whether there was anything to print."""
    if "error" in row and format in ("table", "rttm"):  # it has been named already
        return False
    _print(rendered([row], format, columns, head))
    return True


def _print(content: bytes) -> None:
    with output_told():  # here: what runs commands would end without a word
        print(content.decode("utf-8", "surrogateescape"), end="")
        sys.stdout.flush()


class _OneFile:
    """Writes all results to one file, at the end; until then, results are kept as they will be written, if they can."""

    def __init__(self, out: Path, format: Format, columns: Columns):
        self._out, self._format, self._columns = out, format, columns
        self._rows: list[ResultRow] = []
        self._lines = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - it is closed when all is written
        self._head = True
        self.failures = 0

    def take(self, row: ResultRow) -> None:
        if self._format in LINE_BY_LINE:
            self._lines.write(rendered([row], self._format, self._columns, self._head))
            self._head = False
        else:
            self._rows.append(row)

    def finish(self) -> None:
        with self._lines, whole_file(self._out) as temporary, temporary.open("wb") as file:
            if self._head:  # nothing has been written by lines
                file.write(rendered(self._rows, self._format, self._columns))
            self._lines.seek(0)
            shutil.copyfileobj(self._lines, file)


class _Parts:
    """Writes files of so many results each, one as soon as it is full."""

    def __init__(self, files: list[Path], format: Format, columns: Columns):
        self._written, self._files, self._format, self._columns = files, iter(files), format, columns
        self._rows: list[ResultRow] = []
        self.failures = 0

    def take(self, row: ResultRow) -> None:
        self._rows.append(row)
        if len(self._rows) == PART_RECORDINGS:
            self._write(next(self._files))

    def finish(self) -> None:
        for last in self._files:  # none, where the one before was just full
            self._write(last)
        for other in self._written[0].parent.glob("part-*-of-*"):
            if other not in self._written:  # of an earlier run, which was to be replaced, or had another list
                other.unlink()

    def _write(self, file: Path) -> None:
        write_bytes(file, rendered(self._rows, self._format, self._columns))
        self._rows = []


class _FileEach:
    """Writes a file for each recording that was heard, at once; one that cannot be written costs no other."""

    def __init__(self, files: list[Path], format: Format, columns: Columns):
        self._files, self._format, self._columns = iter(files), format, columns
        self.failures = 0

    def take(self, row: ResultRow) -> None:
        path = next(self._files)
        if "error" in row:
            return
        try:
            write_bytes(path, rendered([row], self._format, self._columns))
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EACCES, errno.EROFS):
                raise
            self.failures += 1
            say(f"not written: {path}: {error.strerror}", "yellow")

    def finish(self) -> None:
        pass
