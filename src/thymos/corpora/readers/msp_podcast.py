"""MSP-Podcast (Lotfian & Busso 2019, IEEE Transactions on Affective Computing 10(4), 471–483;
https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html).

``Labels/labels_consensus.csv`` (``labels_concensus.csv`` in old releases) has a row for each file of ``Audios``:
``FileName``, ``EmoClass`` by a letter, ``EmoAct``, ``EmoVal`` and ``EmoDom`` from 1 to 7, ``SpkrID``, ``Gender``,
``Split_Set``: Train, Development (or Validation), and Test1 to Test3, each a test part of its own; the labels of the
third are the publisher's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from thymos.corpora.dialects import read_table
from thymos.corpora.readers.listed_files import dimension_value, split_of
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

_EMOTIONS = {
    "A": "anger",
    "C": "contempt",
    "D": "disgust",
    "F": "fear",
    "H": "happiness",
    "N": "neutral",
    "S": "sadness",
    "U": "surprise",
}
_LEFT_OUT = {
    "O": "has the label 'other' (O)",
    "X": "has no label that most of its listeners gave (X)",
    "": "has no label",
}
_TABLES = ("labels_consensus.csv", "labels_concensus.csv")
_NAME = named(r"MSP-PODCAST_\d+_\d+(?:_\d+)*")


@dataclass(frozen=True)
class _MspPodcast(NamedCorpus):
    about: KnownCorpus
    example: str = "MSP-PODCAST_0001_0008"

    def fits(self, root: Path, files: Sequence[PurePosixPath]) -> float:
        """Return which part of ``files`` has names that match; nothing without the table of labels."""
        share = share_of(files, _NAME)
        return share if share and _table(root) else 0.0

    def read(self, root: Path, files: Sequence[PurePosixPath]) -> Listing:
        """List ``files`` with the labels that listeners agreed on."""
        table = _table(root)
        rows = read_table(table).rows if table else ()
        cells = {PurePosixPath(row.cells.get("FileName", "")).stem: row.cells for row in rows}

        def tell(path: PurePosixPath) -> Told | None:
            if matched(path, _NAME) is None:
                return None
            return _told(cells[path.stem]) if path.stem in cells else "has no row in the table of labels"

        listing = self.listing(root, files, tell)
        if table:
            listing.notes.extend(not_here(table.name, set(cells) - {path.stem for path in files}))
        return listing


def _told(cells: dict[str, str]) -> Told:
    label = cells.get("EmoClass", "").upper()
    if label in _LEFT_OUT:
        return _LEFT_OUT[label]
    speaker, gender = cells.get("SpkrID", ""), cells.get("Gender", "").lower()
    arousal, valence, dominance = (dimension_value(cells.get(name, "")) for name in ("EmoAct", "EmoVal", "EmoDom"))
    return {
        "emotion": _EMOTIONS.get(label, label),
        "speaker": "" if speaker.lower() == "unknown" else speaker,
        "take": cells["FileName"],
        "gender": "" if gender == "unknown" else gender,
        "split": split_of(cells.get("Split_Set", "")),
        "arousal": arousal,
        "valence": valence,
        "dominance": dominance,
    }


def _table(root: Path) -> Path | None:
    for name in _TABLES:
        for place in (root, root.parent):
            for table in label_files(place, f"Labels/{name}", deepest=1 if place == root else 0):
                return table
        if (root / name).is_file():
            return root / name
    return None


READER = _MspPodcast(
    KnownCorpus(
        kind="msp-podcast",
        name="MSP-Podcast",
        source="https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
        paper="Lotfian & Busso 2019, IEEE Transactions on Affective Computing 10(4), 471–483",
        licence="academic or commercial, by a signed form",
        clips=73042,
        hours=113.6,
        speakers=1273,
        emotions=("anger", "disgust", "fear", "happiness", "sadness", "neutral", "surprise", "contempt"),
        languages=("en",),
        expects="Labels/labels_consensus.csv and Audios/MSP-PODCAST_0001_0008.wav",
        note="it grows with each release, and these are the sizes of an early one; letters O (other) and X (no "
        "agreement) are left out; each of its test sets is tested apart",
    )
)
