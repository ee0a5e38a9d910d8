"""What a user names on the command line: files, folders and globs, as a list of recordings; and who speaks in which."""

import glob
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from thymos.audio.blocks import channels_of
from thymos.audio.elsewhere import RemoteFile, is_address, remote_file, remote_files
from thymos.audio.excerpt import Excerpt, excerpt_name, part_name
from thymos.audio.mixing import Channel
from thymos.audio.search import FoundSounds, is_sound_name, sounds_below, told_hidden, told_playlists
from thymos.errors import ArgumentError, AudioError, CorpusError, ThymosError
from thymos.escaping import printable
from thymos.files import home_path
from thymos.runtime.adaptation import ONE_GROUP
from thymos.runtime.many import checked_channel

STANDARD_INPUT = "-"
TABLES = frozenset({".csv", ".tsv", ".jsonl", ".xlsx", ".parquet"})
"""What is read as a list of recordings where it is named; never where it lies in a folder that is."""


@dataclass(frozen=True, slots=True)
class NamedRecording:
    """One recording to hear.

    Attributes:
        name: what it is called in results: as the user named it, or the folder and the path inside it.
        path: where it lies; None for standard input.
        inside: its path relative to the folder that was named, or its file name: what results of its own are named by.
        problem: why there is nothing to hear, such as a folder without recordings; None where there may be.
    """

    name: str
    path: Path | None
    inside: Path
    problem: AudioError | None = None
    start_s: float = 0.0
    """Where in its file it begins, in seconds, and where it ends; None: with the file."""
    end_s: float | None = None
    channel: Channel = "mix"
    """All of its channels as one, or one of them by its number."""
    speaker: int = 0
    """The number of the voice in it that is heard; 0: all of them."""
    remote: RemoteFile | None = None
    """Where it lies, if that is elsewhere: ``path`` is None then."""
    shard: str = ""
    """Of which shard of a list it is, as ``cli.shards`` marks it; nothing where the list is heard whole."""

    @property
    def is_piped(self) -> bool:
        """Whether it is standard input, which comes once."""
        return self.path is None and self.remote is None and self.problem is None

    @property
    def place(self) -> str:
        """Where its file lies: the same for all parts of one file, and for no two files."""
        return str(self.path or self.remote or self.name)

    @property
    def n_bytes(self) -> int:
        """How large its file is, as far as that can be told."""
        if self.remote is not None:
            return self.remote.n_bytes or 0
        try:
            return 0 if self.path is None else self.path.stat().st_size
        except (OSError, ValueError):
            return 0

    @property
    def source(self) -> Path | RemoteFile | Excerpt | None:
        """What a recogniser hears; None for standard input."""
        file = self.path or self.remote
        if file is None or (self.start_s == 0 and self.end_s is None and self.channel == "mix"):
            return file
        return Excerpt(file, self.start_s, self.end_s, self.channel)


def by_channel(recordings: Sequence[NamedRecording], channels: str) -> list[NamedRecording]:
    """Return the recordings that are heard where ``--channels`` says ``channels``: of each all as one, each by itself,
    or one alone.

    A recording of one channel stays one where channels are split, and one that cannot be opened is told so when heard.

    Raises:
        ArgumentError: it says none of that, or standard input, which comes once, is to be split.
    """
    if channels == "mix":
        return list(recordings)
    if channels != "split":
        number = int(channels) if channels.isdecimal() else 0
        chosen = checked_channel(number or channels)
        return [_of_channel(each, chosen) for each in recordings]
    found: list[NamedRecording] = []
    for recording in recordings:
        if recording.is_piped:
            raise ArgumentError("standard input comes once, so its channels are not split: name a file, or a channel")
        count = 1
        if recording.source is not None and recording.problem is None:
            with suppress(AudioError):
                count = channels_of(recording.source)
        found += [_of_channel(recording, number) for number in range(1, count + 1)] if count > 1 else [recording]
    return found


def by_speaker(recordings: Sequence[NamedRecording], count: int) -> list[NamedRecording]:
    """Return each recording ``count`` times, for each of so many voices in it.

    Raises:
        ArgumentError: standard input is among them, which comes once.
    """
    found: list[NamedRecording] = []
    for recording in recordings:
        if recording.is_piped:
            raise ArgumentError("standard input comes once, so its voices are not told apart: name a file")
        numbers = range(1, count + 1) if recording.problem is None else ()
        found += [
            replace(
                recording,
                name=part_name(recording.name, "speaker", number),
                inside=recording.inside.with_name(f"{recording.inside.stem}.speaker{number}{recording.inside.suffix}"),
                speaker=number,
            )
            for number in numbers
        ] or [recording]
    return found


def _of_channel(recording: NamedRecording, channel: Channel) -> NamedRecording:
    if recording.problem is not None:
        return recording
    name = recording.name if channel == "mix" else part_name(recording.name, "channel", channel)
    inside = recording.inside.with_name(f"{recording.inside.stem}.channel{channel}{recording.inside.suffix}")
    return replace(recording, name=name, inside=inside, channel=channel)


def find_recordings(words: Iterable[str], note: Callable[[str], None] = lambda sentence: None) -> list[NamedRecording]:
    """Return the recordings that ``words`` name, each once, in the order of the words; in folders, files in order,
    then the folders inside; in tables, their files, or the parts of these that a row is about.

    A file that is named is taken whatever its suffix; in folders, those with a suffix of sound or of video are, and
    ``note`` is told of what was passed over: what is hidden, and playlists. What names nothing becomes a recording with
    a problem, so that it is listed with the others.
    """
    found: dict[str, NamedRecording] = {}
    passed = FoundSounds()
    for word in words:
        for recording in _expanded(word, passed):
            found.setdefault(excerpt_name(recording.place, recording.start_s, recording.end_s), recording)
    for sentence in filter(None, (told_hidden(passed.hidden), told_playlists(passed.playlists))):
        note(sentence)
    return list(found.values())


def _expanded(word: str, passed: FoundSounds) -> Iterator[NamedRecording]:
    path = home_path(word)
    if word == STANDARD_INPUT:
        yield NamedRecording(word, None, Path("stdin"))
    elif is_address(word) and not os.path.lexists(path):
        yield from _elsewhere(word)
    elif os.path.isdir(path):  # noqa: PTH112 - Path's own raises where a name is too long, or may not be looked at
        yield from _folder(word, path, passed)
    elif glob.has_magic(word) and not os.path.lexists(path):
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not matches:
            yield NamedRecording(printable(word), None, path, AudioError("matches no file"))
        for match in matches:
            if os.path.isdir(match):  # noqa: PTH112
                yield from _folder(match, Path(match), passed)
            else:
                yield from _file(match, Path(match))
    else:
        yield from _file(word, path)


def _file(word: str, path: Path) -> Iterator[NamedRecording]:
    if path.suffix.lower() in TABLES and path.is_file():
        yield from _table(path)
    else:
        yield _named(word, path, Path(path.name))


def _table(path: Path) -> Iterator[NamedRecording]:
    """Yield what the rows of a table of files name, each part of a file once.

    Raises:
        CorpusError: it is no table, has no column of files, or none of them is there.
    """
    from thymos.corpora.readers.csv_table import files_listed

    listing = files_listed(path)
    elsewhere = _looked_at([entry.lies_in for entry in listing.entries if is_address(entry.lies_in)])
    for entry in listing.entries:
        if is_address(entry.lies_in):
            yield replace(elsewhere[entry.lies_in], name=entry.path, start_s=entry.start_s, end_s=entry.end_s)
            continue
        file = listing.root / entry.lies_in
        name = excerpt_name(str(file), entry.start_s, entry.end_s)
        recording = _named(name, file, Path(entry.path))
        yield replace(recording, start_s=entry.start_s, end_s=entry.end_s)
    for each in listing.excluded:
        yield NamedRecording(printable(each.clip), None, Path(each.clip), AudioError(each.reason))


def _elsewhere(url: str) -> Iterator[NamedRecording]:
    """Yield what the address ``url`` names: a file, or all recordings of a folder or a pattern."""
    try:
        files = remote_files(url, is_sound_name)
    except AudioError as error:
        yield NamedRecording(printable(url), None, Path(posixpath.basename(url) or "remote"), error)
        return
    if all(file.n_bytes is None for file in files):  # as a page of links tells them
        looked_at = _looked_at(file.url for file in files)
        files = [looked_at[file.url].remote or file for file in files]
    top = posixpath.commonpath([posixpath.dirname(file.url) for file in files]) if len(files) > 1 else ""
    for file in files:
        inside = posixpath.relpath(file.url, top) if top else posixpath.basename(file.url.rstrip("/"))
        yield NamedRecording(file.url, None, Path(inside or "remote"), remote=file)


def _looked_at(urls: Iterable[str]) -> dict[str, NamedRecording]:
    """Return each of ``urls`` as a recording: several are asked after at once, since each answer takes its time."""

    def look(url: str) -> NamedRecording:
        inside = Path(posixpath.basename(url) or "remote")
        try:
            return NamedRecording(url, None, inside, remote=remote_file(url))
        except AudioError as error:
            return NamedRecording(url, None, inside, error)

    once = list(dict.fromkeys(urls))
    with ThreadPoolExecutor(_ASKED_AT_ONCE, "thymos-addresses") as asking:
        return dict(zip(once, asking.map(look, once), strict=True))


_ASKED_AT_ONCE = 16


def _named(name: str, path: Path, inside: Path) -> NamedRecording:
    """Return the recording at ``path``; one of a name that is no text has a problem: no result could name it."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        as_text = printable(os.fsencode(name).decode("utf-8", "backslashreplace"))
        return NamedRecording(as_text, None, inside, AudioError("has a name that is not UTF-8 text; rename it"))
    return NamedRecording(name, path, inside)


def _folder(name: str, folder: Path, passed: FoundSounds) -> Iterator[NamedRecording]:
    found = sounds_below(folder)
    passed.hidden.extend(found.hidden)
    passed.playlists.extend(found.playlists)
    for path in found.sounds:
        yield _named(str(path), path, path.relative_to(folder))
    for problem in found.problems:
        where = printable(os.fsdecode(problem.filename))
        yield NamedRecording(where, None, folder, AudioError(f"cannot be listed: {problem.strerror}"))
    if not found.sounds and not found.problems:
        yield NamedRecording(name, None, folder, AudioError("is a folder without recordings"))


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
    from thymos.corpora.readers.file_finder import FileFinder

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
