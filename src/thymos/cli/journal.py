"""What has been heard so far, kept beside an unfinished output, so that a killed run goes on where it stopped."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

Entry = dict[str, Any]
_FORMAT = 2


class Journal:
    """What there is to keep of recordings that are done, by what identifies their files: answers, or what was heard.

    A file counts as the same as long as its path, size and time of change are. Failures are not kept: they are tried
    again. A journal of another model or of other options is begun anew.
    """

    def __init__(self, out: Path, belongs_to: dict[str, Any]):
        """Open the journal of the output ``out``, and read what an earlier run with the same ``belongs_to`` left."""
        self.path = out.parent / f".{out.name}.journal"
        self._head = json.dumps({"format": _FORMAT, **belongs_to}, sort_keys=True)
        self.done: dict[str, Entry] = self._read()
        self._file: TextIO | None = None

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Written anew, so that a torn last line is gone before the next one comes after it.
        self._file = self.path.open("w", encoding="utf-8")
        self._write(self._head)
        for key, entry in self.done.items():
            self._write(json.dumps([key, entry], ensure_ascii=False))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, key: str, entry: Entry) -> None:
        """Keep ``entry``; it is on disk when this returns, as far as the process is concerned."""
        self.done[key] = entry
        self._write(json.dumps([key, entry], ensure_ascii=False))

    def remove(self) -> None:
        """Forget everything: the output is whole."""
        self.path.unlink(missing_ok=True)

    def _write(self, line: str) -> None:
        assert self._file is not None
        self._file.write(line + "\n")
        self._file.flush()

    def _read(self) -> dict[str, Entry]:
        try:
            lines = self.path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError):
            return {}
        if lines[0] != self._head:
            return {}
        done: dict[str, Entry] = {}
        for line in lines[1:-1]:  # what comes after the last line's end was torn
            try:
                key, entry = json.loads(line)
            except ValueError:
                continue
            done[key] = entry
        return done


def key_of(path: Path) -> str | None:
    """Return what identifies a file as it is now; None where it cannot be looked at."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return f"{path} {status.st_size} {status.st_mtime_ns}"
