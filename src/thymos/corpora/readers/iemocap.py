r"""IEMOCAP, the Interactive Emotional Dyadic Motion Capture database (Busso et al. 2008, Language Resources and
Evaluation 42, 335–359; https://sail.usc.edu/iemocap).

``Session1/dialog/EmoEvaluation/Ses01F_impro01.txt`` labels the turns of a dialog, a line each:
``[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]``: beginning and end in seconds, name, emotion,
and valence, activation and dominance from 1 to 5. The sound of a turn is ``sentences/wav/Ses01F_impro01/
Ses01F_impro01_F000.wav``; where that is missing, it is cut from ``dialog/wav/Ses01F_impro01.wav``. The letter in front
of a turn's number tells which of the session's two speakers it is of, that behind the session who wore the markers.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from thymos.audio.excerpt import excerpt_name
from thymos.corpora.readers.named_corpus import (
    FEMALE,
    MALE,
    KnownCorpus,
    NamedCorpus,
    Told,
    best_first,
    label_files,
    matched,
    named,
    not_here,
    share_of,
)
from thymos.corpora.table import ClipEntry, Exclusion, Listing

_EMOTIONS = {
    "ang": "anger",
    "dis": "disgust",
    "exc": "excited",
    "fea": "fear",
    "fru": "frustrated",
    "hap": "happiness",
    "neu": "neutral",
    "sad": "sadness",
    "sur": "surprise",
}
_LEFT_OUT = {
    "oth": "has the label 'other' (oth)",
    "xxx": "has no label that most of its listeners gave (xxx)",
}
_DIALOG = r"(?P<session>Ses0[1-5])[FM]_(?:impro|script)\d\d[ab]?(?:_\d[ab]?)?"
_DIALOG_NAME = named(_DIALOG)
_NAME = named(rf"(?P<dialog>{_DIALOG})_(?P<voice>[FM])(?P<turn>X*\d+)")
_LINE = re.compile(
    r"\[(?P<start>\d+\.?\d*) - (?P<end>\d+\.?\d*)\]\s+(?P<name>\w+)\s+(?P<emotion>\w+)\s+"
    r"\[(?P<valence>\d+\.?\d*), (?P<arousal>\d+\.?\d*), (?P<dominance>\d+\.?\d*)\]"
)


@dataclass(frozen=True)
class _Iemocap(NamedCorpus):
    about: KnownCorpus
    example: str = "Ses01F_impro01_F000"

    def fits(self, root: Path, files: Sequence[PurePosixPath]) -> float:
        """Return which part of ``files`` are turns or dialogs by their names; nothing without label files."""
        share = share_of(files, _NAME) + share_of(files, _DIALOG_NAME)
        return share if share and any(_label_files(root)) else 0.0

    def read(self, root: Path, files: Sequence[PurePosixPath]) -> Listing:
        """List every turn that is labelled and every file that is none."""
        turns = {turn["name"]: turn for table in _label_files(root) for turn in _turns(table)}
        dialogs = {path.stem: path for path in sorted(files, key=best_first, reverse=True) if _is_dialog(path)}

        def tell(path: PurePosixPath) -> Told | None:
            if _is_dialog(path):
                return "is a whole dialog, which is read turn by turn"
            match = matched(path, _NAME)
            if match is None:
                return None
            turn = turns.get(path.stem)
            return _told(match, turn) if turn else "has no line in its dialog's label file"

        listing = self.listing(root, files, tell)
        silent = set(turns) - {path.stem for path in files}
        cut = {name for name in silent if (match := _NAME.fullmatch(name)) and match["dialog"] in dialogs}
        for name in sorted(cut):
            match = _NAME.fullmatch(name)
            assert match is not None
            self._cut(listing, match, turns[name], dialogs[match["dialog"]])
        in_use = {entry.file for entry in listing.entries}
        listing.excluded[:] = [each for each in listing.excluded if each.clip not in in_use]
        listing.notes.extend(not_here("the label files", silent - cut))
        return listing

    def _cut(self, listing: Listing, name: re.Match[str], turn: re.Match[str], dialog: PurePosixPath) -> None:
        """Add a turn as a part of its dialog's sound."""
        told, start_s, end_s = _told(name, turn), float(turn["start"]), float(turn["end"])
        path = excerpt_name(str(dialog), start_s, end_s)
        if isinstance(told, str):
            listing.excluded.append(Exclusion(path, told, readable=True))
        else:
            where: dict[str, Any] = {"path": path, "file": str(dialog), "start_s": start_s, "end_s": end_s}
            listing.entries.append(ClipEntry(**where, **told, corpus=self.KIND, language=self.about.language))


def _told(name: re.Match[str], turn: re.Match[str]) -> Told:
    emotion = turn["emotion"].lower()
    if emotion in _LEFT_OUT:
        return _LEFT_OUT[emotion]
    voice = name["voice"].upper()
    return {
        "emotion": _EMOTIONS.get(emotion, emotion),
        "speaker": f"{name['session']}{voice}",
        "take": turn["name"],
        "gender": FEMALE if voice == "F" else MALE,
        **{dimension: float(turn[dimension]) for dimension in ("valence", "arousal", "dominance")},
    }


def _is_dialog(path: PurePosixPath) -> bool:
    return matched(path, _DIALOG_NAME) is not None


def _label_files(root: Path) -> Iterator[Path]:
    """Yield the label files of all dialogs, whether ``root`` is the release, what it lies in, or one session."""
    return label_files(root, "dialog/EmoEvaluation/Ses*.txt")


def _turns(table: Path) -> Iterator[re.Match[str]]:
    for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
        if match := _LINE.match(line.strip()):
            yield match


READER = _Iemocap(
    KnownCorpus(
        kind="iemocap",
        name="IEMOCAP",
        source="https://sail.usc.edu/iemocap",
        paper="Busso et al. 2008, Language Resources and Evaluation 42, 335–359",
        licence="academic, by a signed form",
        clips=10039,
        hours=12.4,
        speakers=10,
        emotions=(
            "anger", "disgust", "fear", "happiness", "sadness", "neutral", "surprise", "excited", "frustrated",
        ),
        languages=("en",),
        expects="Session1 to Session5, with dialog/EmoEvaluation/Ses01F_impro01.txt and sentences/wav, or dialog/wav",
        note="turns labelled xxx (no agreement) and oth (other) are left out; the usual four classes are had by "
        "--label-map excited=happiness,anger=anger,happiness=happiness,neutral=neutral,sadness=sadness,*=",
    )
)  # fmt: skip
