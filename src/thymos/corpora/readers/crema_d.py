"""CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset (Cao et al. 2014, IEEE Transactions on Affective
Computing 5(4), 377–390; https://github.com/CheyneyComputerScience/CREMA-D).

``AudioWAV/1001_DFA_ANG_XX.wav``: actor, sentence, emotion as it was acted, level (LO, MD, HI, or XX where it was not
asked for). ``VideoDemographics.csv`` beside it tells each actor's sex.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from thymos.corpora.readers.named_corpus import FileNames, KnownCorpus, Told, named
from thymos.corpora.table import Listing

_EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
_LEVELS = {"LO": "low", "MD": "medium", "HI": "high"}
_ACTORS = "VideoDemographics.csv"


def _told(name: re.Match[str]) -> Told:
    return {
        "emotion": _EMOTIONS[name["emotion"].upper()],
        "speaker": name["actor"],
        "sentence": name["sentence"].upper(),
        "intensity": _LEVELS.get(name["level"].upper(), ""),
    }


@dataclass(frozen=True)
class _CremaD(FileNames):
    def read(self, root: Path, files: Sequence[PurePosixPath]) -> Listing:
        """List ``files``, with the actors' sexes where the publisher's table of them is at hand."""
        listing = super().read(root, files)
        genders = _genders(root)
        listing.entries[:] = [replace(each, gender=genders.get(each.speaker, "")) for each in listing.entries]
        return listing


def _genders(root: Path) -> dict[str, str]:
    """Return each actor's sex by the table in ``root`` or, where that is ``AudioWAV``, beside it."""
    for table in (root / _ACTORS, root.parent / _ACTORS):
        if table.is_file():
            with table.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
                rows = csv.DictReader(lines)
                return {row["ActorID"]: row["Sex"].lower() for row in rows if row.get("ActorID") and row.get("Sex")}
    return {}


READER = _CremaD(
    KnownCorpus(
        kind="crema-d",
        name="CREMA-D",
        source="https://github.com/CheyneyComputerScience/CREMA-D",
        paper="Cao et al. 2014, IEEE Transactions on Affective Computing 5(4), 377–390",
        licence="ODbL 1.0",
        clips=7442,
        hours=5.3,
        speakers=91,
        emotions=("anger", "disgust", "fear", "happiness", "sadness", "neutral"),
        languages=("en",),
        expects="files named 1001_DFA_ANG_XX: actor, sentence, emotion, level; genders from VideoDemographics.csv",
        note="labels are the emotions that were acted, not those that listeners voted for",
    ),
    named(r"(?P<actor>1\d{3})_(?P<sentence>[A-Z]{3})_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_(?P<level>LO|MD|HI|XX?)"),
    _told,
    "1001_DFA_ANG_XX",
)
