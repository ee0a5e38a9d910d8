"""What has been heard so far, kept beside an unfinished output, so that a killed run goes on where it stopped.

Each line ends with a digest of itself and of what the journal belongs to. A line that does not fit, torn or changed, is
left out, and its recording heard again.
"""

import hashlib
import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from thymos.files import MOST_JOURNAL_BYTES, bounded_text, temporary_file, told_of

Entry = dict[str, Any]
_FORMAT = 4
_DIGEST_LETTERS = 16


def journal_path(out: Path) -> Path:
    """Return where the journal of the output ``out`` lies."""
    name = out.name if len(os.fsencode(out.name)) < _LONGEST_NAME else hashlib.sha256(os.fsencode(out.name)).hexdigest()
    return out.parent / f".{name}.journal"


_LONGEST_NAME = 240
"""In bytes; with what comes before and after it, a name may have 255."""


class Journal:
    """What there is to keep of recordings that are done, by what identifies their files: answers, or what was heard.

    A file counts as the same as long as its path, size and time of change are. Failures are not kept: they are tried
    again. A journal of another model or of other options is begun anew.
    """

    def __init__(self, out: Path, belongs_to: dict[str, Any]):
        """Open the journal of the output ``out``, and read what an earlier run with the same ``belongs_to`` left."""
        self.path = journal_path(out)
        self._head = json.dumps({"format": _FORMAT, **belongs_to}, sort_keys=True)
        self.damaged = 0
        """Lines that did not fit."""
        self._known: dict[str, str] = self._read()
        """What an earlier run left, as lines have it: of 100 000 recordings, a tenth of what entries would take."""
        self._file: TextIO | None = None
        self._lock = threading.Lock()

    @property
    def done(self) -> dict[str, Entry]:
        """All that an earlier run left."""
        return {key: json.loads(content)[1] for key, content in self._known.items()}

    def known(self, key: str) -> Entry | None:
        """Return what an earlier run left of the file that ``key`` identifies."""
        content = self._known.get(key)
        return None if content is None else json.loads(content)[1]

    @property
    def goes_on(self) -> bool:
        """Whether an earlier run left anything."""
        return bool(self._known)

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Written anew, so that a torn last line is gone before the next one comes after it; under another name at
        # first, so that nothing that somebody has put there, such as a link, is written to.
        with temporary_file(self.path.parent) as temporary:
            self._file = temporary.open("w", encoding="utf-8")
            self._write(self._head)
            for content in self._known.values():
                self._write(_digest(content, self._head) + content)
            temporary.replace(self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def add(self, key: str, entry: Entry) -> None:
        """Keep ``entry``, from any thread; it is on disk when this returns, as far as the process is concerned."""
        with self._lock:
            self._write(_line(key, entry, self._head))

    def remove(self) -> None:
        """Forget everything: the output is whole."""
        self.path.unlink(missing_ok=True)

    def _write(self, line: str) -> None:
        if self._file is None:  # it was closed while a recording was still being heard
            return
        try:
            with told_of(self.path):
                self._file.write(line + "\n")
                self._file.flush()
        except OSError:
            with suppress(OSError):  # it would be tried once more, and fail again
                self._file.close()
            self._file = None
            raise

    def _read(self) -> dict[str, str]:
        if not self.path.is_file() or self.path.is_symlink():
            return {}
        try:
            lines = bounded_text(self.path, MOST_JOURNAL_BYTES).split("\n")
        except OSError:
            return {}
        if lines[0] != self._head:
            return {}
        known: dict[str, str] = {}
        for line in lines[1:]:
            content = line[_DIGEST_LETTERS:]
            if line and line[:_DIGEST_LETTERS] == _digest(content, self._head):
                known[json.loads(content)[0]] = content
            else:
                self.damaged += bool(line)
        return known


def _line(key: str, entry: Entry, head: str) -> str:
    content = json.dumps([key, entry])
    return _digest(content, head) + content


def _digest(content: str, head: str) -> str:
    return hashlib.sha256(f"{head}\n{content}".encode()).hexdigest()[:_DIGEST_LETTERS]


def key_of(path: Path) -> str | None:
    """Return what identifies a file as it is now; None where it cannot be looked at."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return f"{path} {status.st_size} {status.st_mtime_ns}"
