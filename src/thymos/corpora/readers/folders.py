"""Any folder with one sub-folder for each label, and how such folders are searched, whatever else lies in them.

It tells neither speaker nor sentence.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from thymos.audio.search import sounds_below
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
    listing = Listing(KIND, root)
    for path in sound_files(root):
        name = relative_name(path, root)
        label, inside, _ = name.partition("/")
        if inside:
            listing.entries.append(ClipEntry(name, label))
        else:
            listing.excluded.append(Exclusion(name, "lies in no folder that is named for a label"))
    return listing


def sound_files(folder: Path) -> Iterator[Path]:
    """Yield what is named like sound below ``folder``, in order (see ``audio.search``)."""
    yield from sounds_below(folder).sounds


def label_folders(root: Path, knows: Knows) -> list[Path]:
    """Return the folders directly in ``root`` whose names are labels, sorted: known words, and all that hold sound."""
    if not os.access(root, os.R_OK | os.X_OK):
        return []
    holding = {path.relative_to(root).parts[0] for path in sound_files(root)}
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not is_hidden(path.name))
    return [folder for folder in folders if folder.name in holding or knows(folder.name)]


def relative_name(path: Path, root: Path) -> str:
    """Return the clip name of ``path``: relative to ``root``, forward slashes."""
    return path.relative_to(root).as_posix()
