"""AESDD, the Greek acted corpus, as it circulates (Vryzas et al. 2018, J. Audio Eng. Soc. 66(6), 457–467).

``<emotion>/xAA (B).wav``: x is the first letter of the emotion, AA the sentence, B the actor. A letter before or
after the bracket marks another take of the sentence; some files write the actor as ``(01)``.
"""

import re
from pathlib import Path

from thymos.corpora.readers.folders import Knows, label_folders, relative_name, sound_files
from thymos.corpora.readers.named_corpus import KnownCorpus
from thymos.corpora.table import ClipEntry, Exclusion, Listing
from thymos.labels import AESDD_EMOTIONS, to_emotion

KIND = "aesdd"
ABOUT = KnownCorpus(
    kind=KIND,
    name="AESDD",
    source="http://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition",
    paper="Vryzas et al. 2018, J. Audio Eng. Soc. 66(6), 457–467",
    licence="free for research",
    clips=605,
    hours=0.7,
    speakers=6,
    emotions=AESDD_EMOTIONS,
    languages=("el",),
    expects="files named a01 (1) in folders of emotions: first letter of the emotion, sentence, actor",
    note="two of its files are broken as they circulate",
)

_NAME = re.compile(
    r"(?P<letter>[adfhs])(?P<sentence>\d{1,2})\s*(?P<before>[a-z]?)\s*\((?P<actor>\d{1,2})\)\s*(?P<after>[a-z]?)",
    re.IGNORECASE,
)


def recognises(root: Path, knows: Knows) -> bool:
    """Return whether most of the sound in the emotion folders of ``root`` is named as AESDD names it."""
    folders = [folder for folder in label_folders(root, knows) if to_emotion(folder.name)]
    if not {to_emotion(folder.name) for folder in folders} <= set(AESDD_EMOTIONS):
        return False
    names = [path.stem for folder in folders for path in sound_files(folder)]
    return 2 * sum(_NAME.fullmatch(name) is not None for name in names) > len(names)


def read(root: Path, knows: Knows) -> Listing:
    """List the files of AESDD in ``root``."""
    listing = Listing(KIND, root)
    for path in sound_files(root):
        name = relative_name(path, root)
        folder, inside, _ = name.partition("/")
        if not inside:
            listing.excluded.append(Exclusion(name, "lies in no emotion's folder"))
            continue
        entry = _parse(name, path.stem, to_emotion(folder) or folder)
        if isinstance(entry, ClipEntry):
            listing.entries.append(entry)
        else:
            listing.excluded.append(entry)
    return listing


def _parse(name: str, stem: str, emotion: str) -> ClipEntry | Exclusion:
    match = _NAME.fullmatch(stem)
    if match is None:
        return Exclusion(name, 'is not named as AESDD names its files, such as "a01 (1)"')
    if match["letter"].lower() != emotion[0]:
        return Exclusion(name, f"lies in the folder of {emotion}, but its name begins with {match['letter']!r}")
    return ClipEntry(
        path=name,
        emotion=emotion,
        speaker=str(int(match["actor"])),
        sentence=f"{int(match['sentence']):02d}",
        take=(match["before"] + match["after"]).lower(),
    )
