"""Files that are written whole or not at all; and what figures are written as."""

import csv
import errno
import io
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thymos.errors import ArgumentError, FigureFormatError
from thymos.escaping import csv_cell

PART_SUFFIX = ".part"
FIGURE_FORMATS = ("png", "pdf", "svg")
"""What a figure can be saved as."""
MOST_TEXT_BYTES = 64 << 20
"""Of a file that is read as text: no table, list or recipe of this house comes near."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""No more can be written there: the disk, or somebody's share of it, is full, or a file may not be as large."""
MOST_JOURNAL_BYTES = 4 << 30
"""Of a journal, which grows with what was heard: 3 000 recordings take a few megabytes."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes the name ``path`` only if the block succeeds.

    Its permissions are those that the umask leaves. What is no regular file, such as ``/dev/stdout`` or a named pipe,
    is not replaced: the content goes into it.

    Raises:
        OSError: it cannot be written; where no more can be, that is told of ``path``.
    """
    with told_of(path):
        if is_stream(path):
            with temporary_file(Path(tempfile.gettempdir())) as temporary:
                yield temporary
                with temporary.open("rb") as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(path.parent) as temporary:
            yield temporary
            temporary.replace(path)


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Say of ``path`` that no more can be written: the system names no file, and a copy the one that it read."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def temporary_file(folder: Path) -> Iterator[Path]:
    """Yield a new, empty file in ``folder``, of a short name that nobody else has; in the end it is taken away."""
    # Not by tempfile, whose files their owner alone may read: results are meant to be shared, as far as the umask says.
    temporary = folder / f".thymos-{os.urandom(8).hex()}{PART_SUFFIX}"
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def is_stream(path: Path) -> bool:
    """Return whether ``path`` is a device, a pipe or a socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_unfinished(path: Path) -> bool:
    """Return whether ``path`` was being written by ``whole_file`` when its process was killed."""
    return path.name.startswith(".") and path.name.endswith(PART_SUFFIX)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is an operating system's own, such as ``._a.wav`` of macOS."""
    return name.startswith((".", "__MACOSX"))


def write_text(path: Path, text: str) -> None:
    r"""Write ``text`` to ``path`` as UTF-8, whole or not at all; bytes of a name that are no UTF-8 as ``\udcff``."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as indented JSON, whole or not at all. NaN is refused: it is not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of the same columns as CSV: floats with six digits, None as nothing, words by ``csv_cell``."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _csv_field(value) for name, value in row.items()} for row in rows)
    write_text(path, buffer.getvalue())


def _csv_field(value: Any) -> str:
    if value is None:
        return ""
    # Six digits tell shares of a thousand segments apart; what is left of 1 - 1 in floating point is nothing.
    if isinstance(value, str):
        return csv_cell(value)
    return f"{round(value, 15):.6g}" if isinstance(value, float) else str(value)


def bounded_bytes(path: Path, most_bytes: int) -> bytes:
    """Return what the regular file at ``path`` holds; a named pipe is not waited for, nor a device read.

    Raises:
        OSError: it cannot be opened or read, is no regular file, or holds more than ``most_bytes``. ``strerror`` says
            which.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        # Its size first: nothing is read of a file that is too large, however much of it is a hole.
        content = file.read(most_bytes + 1) if os.fstat(file.fileno()).st_size <= most_bytes else None
    if content is None or len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max(1, most_bytes >> 20)} MiB", str(path))
    return content


def _open_at_once(path: str, flags: int) -> int:
    """Open a named pipe without waiting for who writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def bounded_text(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> str:
    """Return the UTF-8 text in the regular file at ``path``, without a byte order mark.

    Raises:
        OSError: as ``bounded_bytes``, or it is no UTF-8 text.
    """
    try:
        return bounded_bytes(path, most_bytes).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, "it is not UTF-8 text", str(path)) from None


def parsed_json(content: str | bytes) -> Any:
    """Return what ``content`` says as JSON.

    Raises:
        ValueError: it is no JSON, or nested deeper than anything that Thymos writes.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def home_path(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` with a leading ``~`` or ``~name`` as that user's home; as it is where it is there, or nobody's.

    Raises:
        ArgumentError: it is empty, as where a variable of the shell is not set.
    """
    if not os.fspath(path):
        raise ArgumentError("the name of a file is empty; is a variable not set?")
    given = Path(path)
    if not os.fspath(path).startswith("~") or os.path.lexists(given):
        return given
    try:
        return given.expanduser()
    except RuntimeError:  # no such user, or no home
        return given


def figure_formats(words: str) -> tuple[str, ...]:
    """Return the formats that ``words``, such as "png,pdf", names: each once, in the order given.

    Raises:
        FigureFormatError: it names none, or another than ``FIGURE_FORMATS``.
    """
    named = tuple(dict.fromkeys(part for word in words.split(",") if (part := word.strip().lower())))
    unknown = [name for name in named if name not in FIGURE_FORMATS] or ([] if named else ["nothing"])
    if unknown:
        raise FigureFormatError(f"figures are written as {', '.join(FIGURE_FORMATS)}, not as {unknown[0]}")
    return named
