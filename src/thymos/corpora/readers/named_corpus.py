"""The corpora that the field knows by name: what is known of each, and how its files tell what is in them.

A reader is a ``NamedCorpus``, one a module. Most are ``FileNames``: the name of each file says all. The others read
label files, too.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from thymos.audio import AUDIO_SUFFIXES
from thymos.corpora.table import ClipEntry, Exclusion, Listing
from thymos.files import is_hidden
from thymos.labels import natural_key, to_emotion

FEMALE, MALE = "female", "male"
_LOSSLESS = (".wav", ".flac", ".aif", ".aiff", ".w64", ".au")

Told = dict[str, Any] | str
"""What a file's name tells, by the fields of ``ClipEntry``; or a sentence's end that says why it is left out."""


@dataclass(frozen=True)
class KnownCorpus:
    """What is known of a corpus before it is read: what ``thymos corpora`` lists."""

    kind: str
    """Its prefix in ``KIND:PATH``."""
    name: str
    source: str
    """Address of its publisher."""
    paper: str
    licence: str
    clips: int
    hours: float
    speakers: int
    emotions: tuple[str, ...]
    """As Thymos counts them, the house's words first."""
    languages: tuple[str, ...]
    """Codes of ISO 639-1."""
    expects: str
    """What the reader looks for, in one line."""
    note: str = ""
    """What a user should know of its size or labels."""

    @property
    def language(self) -> str:
        """What is spoken in every recording; empty where they differ."""
        return self.languages[0] if len(self.languages) == 1 else ""


class NamedCorpus(ABC):
    """A reader of one corpus, in the layout that its publisher describes."""

    about: KnownCorpus
    example: str
    """Of how it names its files, for messages."""

    @property
    def KIND(self) -> str:
        """The prefix that names it in ``KIND:PATH``."""
        return self.about.kind

    @abstractmethod
    def fits(self, root: Path, files: Sequence[PurePosixPath]) -> float:
        """Return which part of the recordings ``files``, relative to ``root``, are named as this corpus's: 0 to 1."""

    @abstractmethod
    def read(self, root: Path, files: Sequence[PurePosixPath]) -> Listing:
        """List ``files``, the recordings below ``root``: each as an entry, or with the reason why it is none."""

    def listing(
        self, root: Path, files: Sequence[PurePosixPath], tell: Callable[[PurePosixPath], Told | None]
    ) -> Listing:
        """Return what ``tell`` says of each of ``files``; None: it is not named as this corpus's.

        A ValueError says what is wrong with one. Of files that are one recording by what is told, in two formats or
        folders, the best is used.
        """
        listing = Listing(self.KIND, root)
        used: dict[ClipEntry, str] = {}
        for path in sorted(files, key=best_first):
            name = str(path)
            try:
                told = tell(path)
            except ValueError as error:
                listing.excluded.append(Exclusion(name, str(error)))
                continue
            if told is None:
                reason = f"is not named as {self.about.name} names its files, such as {self.example}"
                listing.excluded.append(Exclusion(name, reason))
            elif isinstance(told, str):
                listing.excluded.append(Exclusion(name, told, readable=True))
            elif clash := folder_clash(path, told["emotion"]):
                listing.excluded.append(Exclusion(name, f"{clash}; folders:PATH goes by the folders"))
            else:
                entry = ClipEntry(**{"path": name, "corpus": self.KIND, "language": self.about.language, **told})
                same = used.setdefault(replace(entry, path=""), name)
                if same == name:
                    listing.entries.append(entry)
                else:
                    reason = f"is {same} once more, by its name"
                    listing.excluded.append(Exclusion(name, reason, True, "is another one once more, by its name"))
        return listing


@dataclass(frozen=True)
class FileNames(NamedCorpus):
    """A corpus whose file names tell everything.

    Attributes:
        about: what is known of it.
        pattern: what the end of a path without its suffix has to match: a file's name, or folders before it, too.
        told: what a match tells.
        example: a name for messages.
    """

    about: KnownCorpus
    pattern: re.Pattern[str]
    told: Callable[[re.Match[str]], Told]
    example: str

    def fits(self, root: Path, files: Sequence[PurePosixPath]) -> float:
        """Return which part of ``files`` has names that match."""
        return share_of(files, self.pattern)

    def read(self, root: Path, files: Sequence[PurePosixPath]) -> Listing:
        """List ``files`` by their names."""

        def tell(path: PurePosixPath) -> Told | None:
            match = matched(path, self.pattern)
            return self.told(match) if match else None

        return self.listing(root, files, tell)


def named(pattern: str) -> re.Pattern[str]:
    """Return the pattern of paths that end in ``pattern``, in any case."""
    return re.compile(rf"(?:.*/)?{pattern}", re.IGNORECASE)


def matched(path: PurePosixPath, pattern: re.Pattern[str]) -> re.Match[str] | None:
    """Return how ``path`` without its suffix matches a pattern that ``named`` made."""
    name = str(path)
    dot = name.rfind(".")  # as path.with_suffix, which takes far longer, and this is asked for each corpus
    return pattern.fullmatch(name[:dot] if dot > name.rfind("/") + 1 else name)


def share_of(files: Sequence[PurePosixPath], pattern: re.Pattern[str]) -> float:
    """Return which part of ``files`` matches a pattern that ``named`` made: 0 to 1."""
    return sum(matched(path, pattern) is not None for path in files) / max(1, len(files))


def best_first(path: PurePosixPath) -> tuple[int, int, str]:
    """Return a sorting key: lossless sound before compressed, that before video; then what lies higher up."""
    suffix = path.suffix.lower()
    rank = 0 if suffix in _LOSSLESS else 1 if suffix in AUDIO_SUFFIXES else 2
    return rank, len(path.parts), str(path)


def folder_clash(path: PurePosixPath, emotion: str) -> str:
    """Return what is wrong where the nearest folder that is named for an emotion names another; else nothing."""
    for folder in reversed(path.parts[:-1]):
        if known := to_emotion(folder):
            own = to_emotion(emotion) or emotion
            return "" if known == own else f"lies in the folder {folder!r}, but is labelled {own}"
    return ""


def label_files(root: Path, pattern: str, deepest: int = 2) -> Iterator[Path]:
    """Yield the files that match ``pattern`` in ``root`` and in folders to ``deepest`` below it; hidden ones not."""
    for depth in range(deepest + 1):
        for path in sorted(root.glob("*/" * depth + pattern)):
            if not is_hidden(path.name) and path.is_file():
                yield path


def not_here(where: str, names: Collection[str]) -> list[str]:
    """Return a note about recordings that label files name and that are not there, if there are any."""
    if not names:
        return []
    return [f"{where}: {len(names)} of the recordings named are not here, such as {min(names, key=natural_key)}"]
