"""Any folder with one sub-folder for each emotion, and how such folders are searched, whatever else lies in them.

It tells neither speaker nor sentence.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from thymos.audio import AUDIO_SUFFIXES
from thymos.corpora.table import ClipEntry, Exclusion, Listing
from thymos.labels import to_emotion

KIND = "folders"


def recognises(root: Path) -> bool:
    """Return whether ``root`` has folders named for emotions."""
    return bool(emotion_folders(root))


def read(root: Path) -> Listing:
    """List the sound below each emotion's folder in ``root``."""
    entries = [
        ClipEntry(relative_name(path, root), emotion)
        for folder, emotion in emotion_folders(root).items()
        for path in sound_files(folder)
    ]
    return Listing(KIND, root, entries, links_not_followed(root))


def sound_files(folder: Path) -> Iterator[Path]:
    """Yield what is named like sound below ``folder``, sorted; links to folders are not followed.

    A folder named like sound is yielded too (and not entered): decoding it says what is wrong with it.
    """
    for place, folders, files in os.walk(folder, followlinks=False):
        sounding = [name for name in folders if is_sound_name(name)]
        folders[:] = sorted(
            name for name in folders if not is_sound_name(name) and not name.startswith((".", "__MACOSX"))
        )
        for name in sorted(files + sounding):
            if is_sound_name(name):
                yield Path(place, name)


def is_sound_name(name: str) -> bool:
    """Return whether ``name`` has a sound file's ending; files that an operating system hides do not count."""
    return not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES


def emotion_folders(root: Path) -> dict[Path, str]:
    """Return the folders directly in ``root`` that are named for an emotion, sorted by name.

    A link to a folder counts, unless it leads back to ``root``.
    """
    found: dict[Path, str] = {}
    if not os.access(root, os.R_OK | os.X_OK):
        return found
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        emotion = to_emotion(folder.name)
        if emotion is not None and not _leads_back(folder, root):
            found[folder] = emotion
    return found


def links_not_followed(root: Path) -> list[Exclusion]:
    """Return the links to folders that hide what lies behind them: those that lead back, and those further down."""
    links = [path for path in root.iterdir() if to_emotion(path.name) and _leads_back(path, root)]
    for folder in emotion_folders(root):
        for place, folders, _ in os.walk(folder, followlinks=False):
            links += [path for name in folders if (path := Path(place, name)).is_symlink() and not is_sound_name(name)]
    return [Exclusion(relative_name(path, root), "is a link to a folder, which is not followed") for path in links]


def _leads_back(path: Path, root: Path) -> bool:
    return path.is_symlink() and path.is_dir() and root.resolve().is_relative_to(path.resolve())


def relative_name(path: Path, root: Path) -> str:
    """Return the clip name of ``path``: relative to ``root``, forward slashes."""
    return path.relative_to(root).as_posix()
