"""Protocols: how a corpus is divided into training and test parts.

Folds are lists of clips, made before any sound is cut, and every fold passes the leakage guard before it is used.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from thymos.corpora.folds import GROUPS, Fold, Protocol, check_leakage
from thymos.corpora.split_files import read_split_files
from thymos.corpora.table import Clip, Corpus, clip_names
from thymos.errors import ProtocolError
from thymos.labels import natural_key

NAMES = ("recording", "take", "sentence", "speaker", "serab", "file:PATH")

SERAB_TRAIN, SERAB_VALIDATION, SERAB_TEST = ("2", "3", "6"), ("4",), ("1", "5")
"""Speakers of AESDD in the SERAB benchmark (Scheidwasser-Clow et al. 2022, ICASSP)."""


def apply_protocol(corpus: Corpus, name: str, folds: int = 5, repeats: int = 1, seed: int = 0) -> Protocol:
    """Divide ``corpus`` by the protocol called ``name`` and guard the folds against leakage.

    Args:
        corpus: what to divide.
        name: one of ``NAMES``.
        folds: how many, for ``recording``, ``take`` and ``sentence``; the others have their own number.
        repeats: how often those are drawn anew.
        seed: of the draw.

    Raises:
        ProtocolError: unknown name, or the corpus does not tell what the protocol needs.
        LeakageError: a group that must stay together is on both sides of a fold.
    """
    if name.startswith("file:"):
        protocol = read_split_files(corpus, Path(name.removeprefix("file:")).expanduser())
    elif name in ("recording", "take", "sentence"):
        together = ("recording", "take", "sentence")[: ("recording", "take", "sentence").index(name) + 1]
        protocol = Protocol(name, together, _grouped_folds(corpus, together, folds, repeats, seed))
    elif name == "speaker":
        protocol = Protocol(name, ("recording", "take", "speaker"), _speaker_folds(corpus))
    elif name == "serab":
        protocol = Protocol(name, ("recording", "take", "speaker"), _serab_fold(corpus))
    else:
        raise ProtocolError(f"there is no protocol {name!r}; the protocols are {', '.join(NAMES)}")
    check_leakage(corpus, protocol)
    return protocol


def _grouped_folds(corpus: Corpus, together: Sequence[str], n_folds: int, repeats: int, seed: int) -> tuple[Fold, ...]:
    """Draw folds balanced by emotion that keep the groups ``together`` whole."""
    from sklearn.model_selection import StratifiedGroupKFold

    if n_folds < 2 or repeats < 1:
        raise ProtocolError(f"needs at least 2 folds and 1 repeat, not {n_folds} and {repeats}")
    if "sentence" in together:
        _require(corpus, "sentence")
    elif "take" in together:
        _require(corpus, "speaker", "sentence")
    groups = _merged_groups(corpus.clips, together)
    if len(set(groups)) < n_folds:
        raise ProtocolError(f"{n_folds} folds need as many groups of {together[-1]}; there are {len(set(groups))}")
    paths = [clip.path for clip in corpus.clips]
    emotions = [clip.emotion for clip in corpus.clips]
    if max(Counter(emotions).values()) < n_folds:
        raise ProtocolError(f"{n_folds} folds need an emotion with as many recordings; none has")
    result = []
    for repeat in range(repeats):
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed + repeat)
        for index, (train, test) in enumerate(splitter.split(paths, emotions, groups)):
            name = f"fold {index + 1}" if repeats == 1 else f"repeat {repeat + 1} fold {index + 1}"
            result.append(Fold(repeat, index, name, tuple(paths[i] for i in train), tuple(paths[i] for i in test)))
    return tuple(result)


def _merged_groups(clips: Sequence[Clip], together: Sequence[str]) -> list[int]:
    """Number the clips so that clips which share any of the groups, directly or through others, share a number."""
    number = list(range(len(clips)))

    def find(i: int) -> int:
        while number[i] != i:
            number[i] = number[number[i]]
            i = number[i]
        return i

    for what in together:
        first: dict[tuple[str, ...], int] = {}
        for i, clip in enumerate(clips):
            number[find(i)] = find(first.setdefault(GROUPS[what](clip), i))
    return [find(i) for i in range(len(clips))]


def _speaker_folds(corpus: Corpus) -> tuple[Fold, ...]:
    _require(corpus, "speaker")
    speakers = sorted({clip.speaker for clip in corpus.clips}, key=natural_key)
    if len(speakers) < 2:
        raise ProtocolError("leaving one speaker out needs at least two speakers")
    return tuple(
        Fold(
            repeat=0,
            index=index,
            name=f"speaker {speaker}",
            train=tuple(clip.path for clip in corpus.clips if clip.speaker != speaker),
            test=tuple(clip.path for clip in corpus.clips if clip.speaker == speaker),
        )
        for index, speaker in enumerate(speakers)
    )


def _serab_fold(corpus: Corpus) -> tuple[Fold, ...]:
    _require(corpus, "speaker")
    speakers = {*SERAB_TRAIN, *SERAB_VALIDATION, *SERAB_TEST}
    if {clip.speaker for clip in corpus.clips} != speakers:
        raise ProtocolError(f"serab is AESDD's protocol: it needs exactly the speakers {', '.join(sorted(speakers))}")

    def of(wanted: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(clip.path for clip in corpus.clips if clip.speaker in wanted)

    return (Fold(0, 0, "serab", of(SERAB_TRAIN), of(SERAB_TEST), of(SERAB_VALIDATION)),)


def _require(corpus: Corpus, *fields: str) -> None:
    for name in fields:
        unknown = [clip.path for clip in corpus.clips if not getattr(clip, name)]
        if unknown:
            raise ProtocolError(f"this protocol needs every clip's {name}, unknown for {clip_names(unknown)}")


def shuffle_labels(corpus: Corpus, seed: int) -> Corpus:
    """Return ``corpus`` with its emotions dealt out at random: the control that must score at chance."""
    emotions = [clip.emotion for clip in corpus.clips]
    order = np.random.default_rng(seed).permutation(len(emotions))
    clips = tuple(replace(clip, emotion=emotions[i]) for clip, i in zip(corpus.clips, order, strict=True))
    return replace(corpus, clips=clips)
