"""Who speaks in which recording, as ``predict --speaker-from`` tells it."""

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from thymos.audio.elsewhere import is_address
from thymos.cli.inputs import NamedRecording
from thymos.errors import CorpusError, ThymosError
from thymos.files import home_path
from thymos.runtime.adaptation import ONE_GROUP

FOLDER = "folder"
_TABLE = re.compile(r"(.+\.(?:csv|tsv|jsonl|xlsx)):([^:]+)", re.IGNORECASE)


class SpeakerError(ThymosError):
    """It cannot be told who speaks in a recording."""


def groups_of(recordings: Sequence[NamedRecording], speaker_from: str | None) -> list[str]:
    """Return who speaks in each of ``recordings``; of one that has a problem, nobody.

    Args:
        recordings: none of them from standard input.
        speaker_from: ``folder``; ``TABLE.csv:COLUMN``; or a regular expression, whose first group, or whole match, of
            the path is the speaker. None: one voice speaks in all.

    Raises:
        SpeakerError: it tells nothing of some recording, or is none of the three.
    """
    if speaker_from is None:
        return [ONE_GROUP] * len(recordings)
    if speaker_from == FOLDER:
        return [str(recording.path.parent) if recording.path else _folder_of(recording) for recording in recordings]
    if table := _TABLE.fullmatch(speaker_from):
        return _by_table(recordings, home_path(table[1]), table[2])
    return _by_pattern(recordings, speaker_from)


def _by_pattern(recordings: Sequence[NamedRecording], text: str) -> list[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise SpeakerError(f"--speaker-from {text} is no regular expression: {error}") from None
    groups = []
    for recording in recordings:
        path = Path(recording.place).as_posix() if recording.remote is None else recording.place
        found = None if recording.problem else pattern.search(path)
        group = found[1 if pattern.groups else 0] if found else None
        if not group and not recording.problem:
            raise SpeakerError(f"--speaker-from {text} matches nothing in {recording.place}")
        groups.append(group or "")
    return groups


def _by_table(recordings: Sequence[NamedRecording], path: Path, column: str) -> list[str]:
    from thymos.config import nearest
    from thymos.corpora.dialects import read_table
    from thymos.corpora.headings import columns_of, require
    from thymos.corpora.readers.listed_files import FileFinder

    try:
        table = read_table(path)
        columns = columns_of(table.headings)
        require(columns, ("file",), table.headings, path)
    except CorpusError as error:
        raise SpeakerError(str(error)) from None
    heading = column if column in table.headings else columns.get(column)
    if heading is None:
        raise SpeakerError(f"{path} has no column {column}{nearest(column, list(table.headings))}")
    finder = FileFinder(path.parent)
    told: dict[Path | str, str] = {}
    for row in table.rows:
        file = row.cells.get(columns["file"], "")
        found = file if is_address(file) else finder.find(file)
        if found is not None:
            told[found if isinstance(found, str) else found.resolve()] = row.cells.get(heading, "")
    groups = []
    for recording in recordings:
        group = "" if recording.problem else told.get(_found(recording), "")
        if not group and not recording.problem:
            raise SpeakerError(f"{path} does not say the {column} of {recording.place}")
        groups.append(group)
    return groups


def _folder_of(recording: NamedRecording) -> str:
    return posixpath.dirname(recording.place) if recording.remote else ""


def _found(recording: NamedRecording) -> Path | str:
    """Return where the file of ``recording`` lies, however it was reached."""
    return recording.place if recording.path is None else recording.path.resolve()
