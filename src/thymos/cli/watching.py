"""``predict --watch``: recordings that arrive in a folder are heard as soon as they are complete, each once."""

import errno
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from thymos.cli.console import not_heard, say
from thymos.cli.inputs import NamedRecording, find_recordings
from thymos.cli.journal import Journal, journal_path, key_of
from thymos.cli.outputs import check_outputs, fixed_part, format_of, is_pattern, names_by_pattern, recordings_told
from thymos.cli.rows import DecidedRow
from thymos.cli.writing import print_result
from thymos.errors import ArgumentError
from thymos.escaping import printable
from thymos.files import write_bytes
from thymos.runtime.formats import LINE_BY_LINE, PER_FILE, SUFFIX, Columns, Format, ResultRow, rendered

POLL_S = 1.0
"""From one look into the folder to the next. Not by the system's own notices: network folders have none."""
SETTLED_S = 2.0
"""A file that has not changed for so long is complete."""


class Arrivals:
    """What has come to lie in a folder, and is complete."""

    def __init__(self, folder: str):
        """Watch ``folder``, as the user named it.

        Raises:
            ArgumentError: it is none.
        """
        if not Path(folder).is_dir():
            raise ArgumentError(f"--watch {printable(folder)} is no folder")
        self._folder = folder
        self._seen: dict[str, tuple[str, float]] = {}
        """Of each file what it was when it was last another, and when that was."""
        self._told: dict[str, str] = {}

    def look(self, now_s: float) -> list[NamedRecording]:
        """Return the recordings that have been the same for ``SETTLED_S``, each as often as it is another."""
        found = []
        for recording in find_recordings([self._folder]):
            key = None if recording.path is None else key_of(recording.path)
            if key is None:
                continue
            if self._seen.get(recording.name, ("", 0.0))[0] != key:
                self._seen[recording.name] = key, now_s
            elif now_s - self._seen[recording.name][1] >= SETTLED_S and self._told.get(recording.name) != key:
                self._told[recording.name] = key
                found.append(recording)
        return found

    def batches(self) -> Iterator[list[NamedRecording]]:
        """Yield what has arrived, without end."""
        while True:
            batch = self.look(time.monotonic())
            if batch:
                yield batch
            else:
                time.sleep(POLL_S)


class WatchedOutputs:
    """Where the results of what arrives go: printed, lines of one file, or a file for each recording."""

    def __init__(self, format: Format | None, out: Path | None, beside: bool, overwrite: bool):
        """Check what is asked for.

        Raises:
            ArgumentError: the format needs all results at once, or a file would be lost.
        """
        if beside and out is not None:
            raise ArgumentError("--beside writes beside each recording, and --out elsewhere: give one of both")
        self.format = format_of(format or ("json" if beside else None), out)
        self._out, self._overwrite = out, overwrite
        self.name = self._namer(out, beside)
        if self.name is None and self.format not in LINE_BY_LINE:
            raise ArgumentError(
                f"--format {self.format} is written once all is heard, and --watch has no end: take jsonl, csv, tsv or"
                " rttm, or a file for each by --beside or a pattern"
            )
        self.journal = out
        if out is not None and self.name is not None:
            self.journal = (fixed_part(out) if is_pattern(out) else out) / "results"
        elif out is not None:
            check_outputs([out], [], overwrite or journal_path(out).is_file())
        self._columns = Columns(())
        self._there: set[str] = set()
        self._head = True

    @property
    def printed(self) -> bool:
        """Whether results go to standard output."""
        return self._out is None and self.name is None

    def _namer(self, out: Path | None, beside: bool) -> Callable[[NamedRecording], Path] | None:
        if beside:
            return lambda each: (each.path or each.inside).with_name(each.inside.name + SUFFIX[self.format])
        if out is not None and is_pattern(out):
            return lambda each: names_by_pattern([each], out)[0]
        if out is not None and self.format in PER_FILE:
            return lambda each: out / each.inside.with_name(each.inside.name + SUFFIX[self.format])
        return None

    def begin(self, columns: Columns, continued: bool) -> None:
        """Go on with what an earlier run wrote if ``continued``, or begin anew."""
        self._columns = columns
        if self._out is None or self.name is not None:
            return
        if continued and self._out.is_file():
            content = self._out.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]  # what comes after was being written when it was killed
            if whole != content:
                write_bytes(self._out, whole)
            self._there = recordings_told(self._out)
            self._head = not whole
        else:
            write_bytes(self._out, b"")

    def take(self, recording: NamedRecording, row: ResultRow, known: bool) -> None:
        """Write a result; one that was ``known`` from an earlier run only where that did not come to write it."""
        if self.name is not None:
            self._write_own(self.name(recording), recording, row, known)
        elif self._out is None:
            self._head &= not print_result(row, self.format, self._columns, self._head)
        elif not (known and row["file"] in self._there):
            content = rendered([row], self.format, self._columns, self._head)
            self._head = False
            with self._out.open("ab", buffering=0) as file:  # one write: whole, or not there
                file.write(content)

    def _write_own(self, path: Path, recording: NamedRecording, row: ResultRow, known: bool) -> None:
        if "error" in row:
            return
        try:
            if not self._overwrite and _is_newer(path, recording):
                if not known:
                    say(f"not written: {path} exists, and is newer than the recording")
                return
            write_bytes(path, rendered([row], self.format, self._columns))
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EACCES, errno.EROFS, errno.ENOENT):
                raise
            say(f"not written: {path}: {error.strerror}", "yellow")


def _is_newer(path: Path, recording: NamedRecording) -> bool:
    """Return whether there is a result that was written since the recording was."""
    if recording.path is None or not path.exists():
        return False
    return path.stat().st_mtime_ns > recording.path.stat().st_mtime_ns


def hear_arrivals(
    arrivals: Arrivals,
    outputs: WatchedOutputs,
    columns: Columns,
    journal: Journal | None,
    hear: Callable[[list[NamedRecording]], Iterator[DecidedRow]],
) -> None:
    """Hear what arrives, and write what is heard, until the process is interrupted."""
    outputs.begin(columns, continued=journal is not None and journal.goes_on)
    for batch in arrivals.batches():
        for recording, row, _, known in hear(batch):
            if "error" in row:
                not_heard(recording.name, row["error"])
            outputs.take(recording, row, known)
