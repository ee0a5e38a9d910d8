"""What a user names on the command line: files, folders and globs, as a list of recordings."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from thymos.audio import AUDIO_SUFFIXES
from thymos.audio.media import MEDIA_SUFFIXES
from thymos.errors import AudioError
from thymos.files import is_unfinished

STANDARD_INPUT = "-"


@dataclass(frozen=True)
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


def find_recordings(words: Iterable[str]) -> list[NamedRecording]:
    """Return the recordings that ``words`` name, each once, in the order of the words; in folders, files in order,
    then the folders inside.

    A file that is named is taken whatever its suffix; in folders, those with a suffix of sound or of video are.
    What names nothing becomes a recording with a problem, so that it is listed with the others.
    """
    found: dict[str, NamedRecording] = {}
    for word in words:
        for recording in _expanded(word):
            found.setdefault(str(recording.path or recording.name), recording)
    return list(found.values())


def _expanded(word: str) -> Iterator[NamedRecording]:
    path = Path(word).expanduser()
    if word == STANDARD_INPUT:
        yield NamedRecording(word, None, Path("stdin"))
    elif path.is_dir():
        yield from _folder(word, path)
    elif glob.has_magic(word) and not os.path.lexists(path):
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not matches:
            yield NamedRecording(word, None, path, AudioError("matches no file"))
        for match in matches:
            if Path(match).is_dir():
                yield from _folder(match, Path(match))
            else:
                yield NamedRecording(match, Path(match), Path(Path(match).name))
    else:
        yield NamedRecording(word, path, Path(path.name))


def _folder(name: str, folder: Path) -> Iterator[NamedRecording]:
    problem = None

    def note(error: OSError) -> None:
        nonlocal problem
        problem = error

    count = 0
    for where, folders, files in os.walk(folder, onerror=note):
        folders.sort()
        for file in sorted(files):
            path = Path(where) / file
            if path.suffix.lower() in AUDIO_SUFFIXES | MEDIA_SUFFIXES and not is_unfinished(path):
                count += 1
                yield NamedRecording(str(path), path, path.relative_to(folder))
    if problem is not None:
        yield NamedRecording(str(problem.filename), None, folder, AudioError(f"cannot be listed: {problem.strerror}"))
    elif not count:
        yield NamedRecording(name, None, folder, AudioError("is a folder without recordings"))
