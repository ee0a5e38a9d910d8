"""Any folder with one sub-folder for each label, and how such folders are searched, whatever else lies in them.

It tells neither speaker nor sentence.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from thymos.audio import AUDIO_SUFFIXES
from thymos.corpora.table import ClipEntry, Exclusion, Listing
from thymos.files import is_hidden

KIND = "folders"
Knows = Callable[[str], bool]
"""Whether a word is a label for certain; see ``LabelMap.knows``."""


def recognises(root: Path, knows: Knows) -> bool:
    """Return whether ``root`` has a folder that is named for an emotion."""
    return any(knows(folder.name) for folder in label_folders(root, knows))


def read(root: Path, knows: Knows) -> Listing:
    """List the sound below each label's folder in ``root``."""
    entries = [
        ClipEntry(relative_name(path, root), folder.name)
        for folder in label_folders(root, knows)
        for path in sound_files(folder)
    ]
    return Listing(KIND, root, entries, links_not_followed(root, knows))


def sound_files(folder: Path) -> Iterator[Path]:
    """Yield what is named like sound below ``folder``, sorted; links to folders are not followed.

    A folder named like sound is yielded too (and not entered): decoding it says what is wrong with it.
    """
    for place, folders, files in os.walk(folder, followlinks=False):
        sounding = [name for name in folders if is_sound_name(name)]
        folders[:] = sorted(name for name in folders if not is_sound_name(name) and not is_hidden(name))
        for name in sorted(files + sounding):
            if is_sound_name(name):
                yield Path(place, name)


def is_sound_name(name: str) -> bool:
    """Return whether ``name`` has a sound file's ending; files that an operating system hides do not count."""
    return not is_hidden(name) and Path(name).suffix.lower() in AUDIO_SUFFIXES


def label_folders(root: Path, knows: Knows) -> list[Path]:
    """Return the folders directly in ``root`` whose names are labels, sorted: known words, and all that hold sound.

    A link to a folder counts, unless it leads back to ``root``.
    """
    if not os.access(root, os.R_OK | os.X_OK):
        return []
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not is_hidden(path.name))
    return [
        folder
        for folder in folders
        if not _leads_back(folder, root) and (knows(folder.name) or next(sound_files(folder), None))
    ]


def links_not_followed(root: Path, knows: Knows) -> list[Exclusion]:
    """Return the links to folders that hide what lies behind them: those that lead back, and those further down."""
    links = [path for path in root.iterdir() if _leads_back(path, root)]
    for folder in label_folders(root, knows):
        for place, folders, _ in os.walk(folder, followlinks=False):
            links += [path for name in folders if (path := Path(place, name)).is_symlink() and not is_sound_name(name)]
    return [Exclusion(relative_name(path, root), "is a link to a folder, which is not followed") for path in links]


def _leads_back(path: Path, root: Path) -> bool:
    return path.is_symlink() and path.is_dir() and root.resolve().is_relative_to(path.resolve())


def relative_name(path: Path, root: Path) -> str:
    """Return the clip name of ``path``: relative to ``root``, forward slashes."""
    return path.relative_to(root).as_posix()
