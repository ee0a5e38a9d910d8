"""Any folder with one sub-folder per emotion. It tells neither speaker nor sentence."""

from pathlib import Path

from thymos.corpora.scan import emotion_folders, links_not_followed, relative_name, sound_files
from thymos.corpora.table import ClipEntry, Listing

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
