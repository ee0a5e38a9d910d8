"""Finding the sound files of a folder, whatever else lies in it."""

import os
from collections.abc import Iterator
from pathlib import Path

from thymos.audio import AUDIO_SUFFIXES
from thymos.labels import to_emotion


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
    """Return the folders directly in ``root`` that are named for an emotion, sorted by name."""
    found = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        emotion = to_emotion(folder.name)
        if emotion is not None:
            found[folder] = emotion
    return found


def relative_name(path: Path, root: Path) -> str:
    """Return the clip name of ``path``: relative to ``root``, forward slashes."""
    return path.relative_to(root).as_posix()
