"""MELD, the Multimodal EmotionLines Dataset (Poria et al. 2019, ACL, 527–536; https://github.com/declare-lab/MELD).

``train_sent_emo.csv``, ``dev_sent_emo.csv`` and ``test_sent_emo.csv`` have a row for each utterance: ``Speaker``,
``Emotion``, ``Dialogue_ID``, ``Utterance_ID`` and more. Its clip is ``dia0_utt3.mp4`` in ``train_splits``,
``dev_splits_complete`` or ``output_repeated_splits_test``; dialogs are numbered anew in each, so that a folder must
tell which it is. Clips of other formats are found as well.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from thymos.corpora.dialects import read_table
from thymos.corpora.readers.named_corpus import (
    KnownCorpus,
    NamedCorpus,
    Told,
    label_files,
    matched,
    named,
    not_here,
    share_of,
)
from thymos.corpora.table import Listing

_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
_FOLDER = re.compile(r"(?:^|[\W_])(train|dev|val|valid|validation|test)(?:$|[\W_])", re.IGNORECASE)
_OF_DEV = {"val": "dev", "valid": "dev", "validation": "dev"}
"""What people call the folder of the development part, whose table is ``dev_sent_emo.csv``."""
_NAME = named(r"(?P<spare>final_videos_test)?dia(?P<dialog>\d+)_utt(?P<utterance>\d+)")


@dataclass(frozen=True)
class _Meld(NamedCorpus):
    about: KnownCorpus
    example: str = "dia0_utt3"

    def fits(self, root: Path, files: Sequence[PurePosixPath]) -> float:
        """Return which part of ``files`` has names that match; nothing without a table of utterances."""
        share = share_of(files, _NAME)
        return share if share and _tables(root) else 0.0

    def read(self, root: Path, files: Sequence[PurePosixPath]) -> Listing:
        """List ``files`` with the labels of their rows."""
        rows = {
            (split, row.cells.get("Dialogue_ID", ""), row.cells.get("Utterance_ID", "")): row.cells
            for split, table in _tables(root).items()
            for row in read_table(table).rows
        }
        found = set()

        def tell(path: PurePosixPath) -> Told | None:
            match = matched(path, _NAME)
            if match is None:
                return None
            if match["spare"]:
                return "is a spare clip of the archive, which no table names"
            folder = _part((root.name, *path.parts[:-1]))
            if not folder:
                return "lies in no folder that is named for train, dev or test, each of which numbers its dialogs anew"
            key = (folder, str(int(match["dialog"])), str(int(match["utterance"])))
            if key not in rows:
                return f"has no row in {folder}_sent_emo.csv"
            found.add(key)
            cells = rows[key]
            return {
                "emotion": cells.get("Emotion", "").lower(),
                "speaker": cells.get("Speaker", ""),
                "take": f"dia{key[1]}_utt{key[2]}",
                "split": _SPLITS[folder],
            }

        listing = self.listing(root, files, tell)
        absent = {f"{split}/dia{dialog}_utt{utterance}" for split, dialog, utterance in rows.keys() - found}
        listing.notes.extend(not_here("the tables", absent))
        return listing


def _part(folders: Sequence[str]) -> str:
    """Return which table the innermost of ``folders`` that is named for a part belongs to; nothing: none is."""
    words = (found[1].lower() for folder in reversed(folders) if (found := _FOLDER.search(folder)))
    word = next(words, "")
    return _OF_DEV.get(word, word)


def _tables(root: Path) -> dict[str, Path]:
    """Return the table of each split that is at hand, in ``root``, in a folder of it, or beside it."""
    tables: dict[str, Path] = {}
    for split in _SPLITS:
        for place, deepest in ((root, 2), (root.parent, 0)):
            for table in label_files(place, f"{split}_sent_emo.csv", deepest):
                tables.setdefault(split, table)
    return tables


READER = _Meld(
    KnownCorpus(
        kind="meld",
        name="MELD",
        source="https://github.com/declare-lab/MELD",
        paper="Poria et al. 2019, ACL, 527–536",
        licence="GPL-3.0 (labels); the clips are of a television series",
        clips=13708,
        hours=12.1,
        speakers=304,
        emotions=("anger", "disgust", "fear", "happiness", "sadness", "neutral", "surprise"),
        languages=("en",),
        expects="train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv, and clips such as train_splits/dia0_utt3.mp4",
        note="most voices are in all three parts; MP4 needs the extra media",
    )
)
