"""A folder for each speaker, and in it one for each label: ``SPEAKER/EMOTION/….wav``.

Nothing tells such a folder from one of several corpora, so it is read where its kind is named: ``speakers:PATH``.
"""

from pathlib import Path

from thymos.corpora.readers.folders import Knows, relative_name, sound_files
from thymos.corpora.readers.folders import recognises as has_label_folders
from thymos.corpora.table import ClipEntry, Exclusion, Listing

KIND = "speakers"


def recognises(root: Path, knows: Knows) -> bool:
    """Return whether a folder in ``root`` has a folder that is named for a label."""
    return any(has_label_folders(folder, knows) for folder in root.iterdir() if folder.is_dir())


def read(root: Path, knows: Knows) -> Listing:
    """List the sound below each speaker's labels."""
    listing = Listing(KIND, root)
    for path in sound_files(root):
        name = relative_name(path, root)
        parts = name.split("/")
        if len(parts) > 2:
            listing.entries.append(ClipEntry(name, parts[1], speaker=parts[0]))
        else:
            listing.excluded.append(Exclusion(name, "lies in no label's folder in a speaker's"))
    return listing
