"""Protocols: splitter objects that divide a corpus into training and test parts, one class each.

A protocol of your own is one class: a name, what must not cross, and ``draw``. The base class guards what it draws, so
that no protocol can hand out a fold that leaks. Folds are lists of clips, made before any sound is cut.
"""

import importlib
import warnings
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np

from thymos.corpora.fold_lists import clips_listed, read_fold_lists
from thymos.corpora.folds import GROUPS, Fold, check_leakage
from thymos.corpora.table import Clip, Corpus, clip_names
from thymos.errors import LeakageError, ProtocolError
from thymos.files import home_path
from thymos.labels import DIMENSIONS, natural_key

INNER_FOLDS = 5
"""Into how many folds a training part is divided: each is 80 to 20."""


@dataclass(frozen=True)
class Split:
    """A corpus as a protocol divides it: folds that have passed the guard."""

    protocol: "Protocol"
    folds: tuple[Fold, ...]
    absent: tuple[str, ...] = ()
    """Recordings that the protocol names and the corpus does not have."""
    notes: tuple[str, ...] = ()
    """What else is to be said of the folds, a sentence each: what they leave out."""

    @property
    def name(self) -> str:
        """The protocol's name."""
        return self.protocol.name

    @property
    def must_not_cross(self) -> tuple[str, ...]:
        """What the protocol keeps together."""
        return self.protocol.must_not_cross


class Protocol(ABC):
    """How a corpus is divided. A subclass gives ``name``, ``must_not_cross`` and ``draw``."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What reports call it."""

    @property
    @abstractmethod
    def must_not_cross(self) -> tuple[str, ...]:
        """Keys of ``GROUPS``: what the folds keep together, the coarsest last."""

    @abstractmethod
    def draw(self, corpus: Corpus, seed: int) -> Iterable[Fold]:
        """Divide ``corpus``; the same seed draws the same folds.

        Raises:
            ProtocolError: the corpus does not tell what the protocol needs.
        """

    def draw_inner(self, part: Corpus, seed: int) -> Iterable[Fold]:
        """Divide the training part of a fold further; by default at random, balanced by emotion, groups kept whole."""
        groups = {GROUPS[self._guarded[-1]](clip) for clip in part.clips}
        return _grouped_folds(part, self._guarded, min(INNER_FOLDS, len(groups)), 1, seed)

    def absent(self, corpus: Corpus) -> tuple[str, ...]:
        """Return what the protocol names and ``corpus`` does not have: nothing, unless it names recordings."""
        return ()

    def guarded_inside(self, part: Corpus) -> tuple[str, ...]:
        """Return what the inner folds of the training part ``part`` keep together: what the folds themselves do."""
        return self._guarded

    def notes(self, corpus: Corpus, folds: Sequence[Fold]) -> tuple[str, ...]:
        """Return what is to be said of ``folds``, a sentence each; by default, which recordings are in none of them."""
        used = {path for fold in folds for side in (fold.train, fold.validation, fold.test) for path in side}
        unused = [clip.path for clip in corpus.clips if clip.path not in used]
        return (f"{len(unused)} recordings are in no fold: {clip_names(unused)}",) if unused else ()

    @final
    def split(self, corpus: Corpus, seed: int = 0) -> Split:
        """Divide ``corpus`` and guard the folds against leakage.

        Raises:
            ProtocolError: the corpus does not tell what the protocol needs, or cannot be divided.
            LeakageError: a group that must stay together is on both sides of a fold.
        """
        try:
            folds = self._checked(corpus, self.draw(corpus, seed), self._guarded)
        except LeakageError:
            raise
        except ProtocolError as error:
            raise ProtocolError(f"{error}; {possible_protocols(corpus)}") from None
        return Split(self, folds, self.absent(corpus), self.notes(corpus, folds))

    @final
    def inner(self, corpus: Corpus, fold: Fold, most: int = INNER_FOLDS, seed: int = 0) -> tuple[Fold, ...]:
        """Divide the training part of ``fold`` by the same rule once more, and return the first ``most`` inner folds.

        A fold that comes with a validation part has that as its one inner fold.

        Raises:
            ProtocolError: the training part is too small to be divided.
            LeakageError: an inner fold leaks.
        """
        if fold.validation:
            return (replace(fold, test=fold.validation, validation=()),)
        part = corpus.part(fold.train)
        inner = self._checked(part, self.draw_inner(part, seed), self.guarded_inside(part))
        return tuple(
            replace(one, repeat=fold.repeat, index=fold.index, name=f"{fold.name}, inner {one.name}")
            for one in inner[:most]
        )

    @property
    def _guarded(self) -> tuple[str, ...]:
        """One recording is never on both sides, whatever a protocol forgets to say."""
        unknown = set(self.must_not_cross) - set(GROUPS)
        if unknown:
            known = ", ".join(GROUPS)
            raise ProtocolError(f"protocol {self.name} keeps {', '.join(sorted(unknown))} together; known are {known}")
        return tuple(dict.fromkeys(("recording", *self.must_not_cross)))

    def _checked(self, corpus: Corpus, drawn: Iterable[Fold], keeping: tuple[str, ...]) -> tuple[Fold, ...]:
        folds = tuple(drawn)
        if not folds:
            raise ProtocolError(f"protocol {self.name} has no folds of this corpus")
        check_leakage(corpus, folds, keeping, self.name)
        return folds


@dataclass(frozen=True)
class GroupedFolds(Protocol):
    """Folds drawn at random and balanced by emotion, which keep groups whole."""

    folds: int = 5
    repeats: int = 1
    """How often they are drawn anew."""

    def most_folds(self, corpus: Corpus) -> int:
        """Return into how many folds ``corpus`` can be divided so; 0 where it does not tell what that needs."""
        try:
            _require_groups(corpus, self.must_not_cross)
        except ProtocolError:
            return 0
        groups = len(set(_merged_groups(corpus.clips, self.must_not_cross)))
        return min(groups, max(Counter(clip.emotion for clip in corpus.clips).values()))

    def draw(self, corpus: Corpus, seed: int) -> tuple[Fold, ...]:
        """Draw them; each repeat with a seed of its own."""
        return _grouped_folds(corpus, self.must_not_cross, self.folds, self.repeats, seed)


class RecordingFolds(GroupedFolds):
    """Other recordings by the same speakers, of the same sentences: the classic random split."""

    name = "recording"
    must_not_cross = ("recording",)


class TakeFolds(GroupedFolds):
    """The same, but takes of one sentence by one speaker in one emotion stay together."""

    name = "take"
    must_not_cross = ("recording", "take")


class SentenceFolds(GroupedFolds):
    """Sentences never heard in training."""

    name = "sentence"
    must_not_cross = ("recording", "take", "sentence")


@dataclass(frozen=True)
class LeaveOneSpeakerOut(Protocol):
    """A speaker never heard in training: one fold for each, in natural order. Nothing is drawn at random."""

    name = "speaker"
    must_not_cross = ("recording", "take", "speaker")

    def draw(self, corpus: Corpus, seed: int) -> Iterator[Fold]:
        """Leave each speaker out in turn."""
        require_told(corpus, "speaker")
        if len(corpus.speakers) < 2:
            raise ProtocolError("leaving one speaker out needs at least two speakers")
        for index, speaker in enumerate(corpus.speakers):
            train = tuple(clip.path for clip in corpus.clips if clip.speaker != speaker)
            test = tuple(clip.path for clip in corpus.clips if clip.speaker == speaker)
            yield Fold(0, index, f"speaker {speaker}", train, test)

    def draw_inner(self, part: Corpus, seed: int) -> Iterable[Fold]:
        """Leave each speaker of the training part out in turn; of more than ``INNER_FOLDS``, several at a time."""
        if len(part.speakers) <= INNER_FOLDS:
            return self.draw(part, seed)
        return _grouped_folds(part, ("recording", "speaker"), INNER_FOLDS, 1, seed)


class FoldsFromFile(Protocol):
    """Folds that somebody else drew: a folder of EmoBox's lists, or a table of ``file``, ``fold`` and ``split``.

    Recordings are matched by path, then by file stem, since copies of a corpus differ in folder and format.
    """

    must_not_cross = ("recording",)

    def __init__(self, path: str | Path) -> None:
        """Read the lists at ``path``.

        Raises:
            ProtocolError: nothing readable there, or no fold.
        """
        self.path = home_path(path)
        self._listed = read_fold_lists(self.path)

    def __repr__(self) -> str:
        return f"FoldsFromFile({str(self.path)!r})"

    @property
    def name(self) -> str:
        """``file:`` and the last part of the path."""
        return f"file:{self.path.name or self.path.resolve().name}"

    def draw(self, corpus: Corpus, seed: int) -> Iterator[Fold]:
        """Match the listed files with the clips of ``corpus``; a clip that no list names is in no fold."""
        meant = clips_listed(corpus, (row.file for row in self._listed))
        sides: dict[str, dict[str, list[str]]] = {}
        for fold, side, file in self._listed:
            sides.setdefault(fold, defaultdict(list))[side].extend(meant.get(file, ()))
        for index, fold in enumerate(sorted(sides, key=natural_key)):
            for side in ("train", "test"):
                if not sides[fold][side]:
                    raise ProtocolError(f"fold {fold} has no recording of this corpus to {side}")
            parts = (tuple(dict.fromkeys(sides[fold][side])) for side in ("train", "test", "validation"))
            yield Fold(0, index, f"fold {fold}", *parts)

    def absent(self, corpus: Corpus) -> tuple[str, ...]:
        """Return the listed files that mean no clip of ``corpus``."""
        meant = clips_listed(corpus, (row.file for row in self._listed))
        return tuple(sorted({row.file for row in self._listed} - meant.keys()))


PROTOCOLS = {
    "recording": "thymos.corpora.protocols:RecordingFolds",
    "take": "thymos.corpora.protocols:TakeFolds",
    "sentence": "thymos.corpora.protocols:SentenceFolds",
    "speaker": "thymos.corpora.protocols:LeaveOneSpeakerOut",
    "own": "thymos.corpora.given_sides:OwnSplit",
    "serab": "thymos.corpora.given_sides:Serab",
    "corpus": "thymos.corpora.given_sides:LeaveOneCorpusOut",
    "pairs": "thymos.corpora.given_sides:CorpusPairs",
    "file": "thymos.corpora.protocols:FoldsFromFile",
}
"""Where the class is, by the word for it on the command line and in study files."""
BENCHMARKS = ("serab", "pairs")
"""Those that only make figures comparable with published ones."""
WITH_PATH = ("file", "pairs")
"""Those that a colon and a path may follow; ``file`` is nothing without."""

NAMES = (*(word for word in PROTOCOLS if word != "file"), *(f"{word}:PATH" for word in WITH_PATH))


def protocol_named(words: str, folds: int = 5, repeats: int = 1) -> Protocol:
    """Return the protocol that a command line or a study file names.

    Args:
        words: one of ``NAMES``.
        folds: how many, for ``recording``, ``take`` and ``sentence``; the others have their own number.
        repeats: how often those are drawn anew.

    Raises:
        ProtocolError: there is no such protocol, or its file cannot be read.
    """
    word, colon, path = words.partition(":")
    if word not in PROTOCOLS or (colon and not (path and word in WITH_PATH)) or words == "file":
        raise ProtocolError(f"there is no protocol {words!r}; the protocols are {', '.join(NAMES)}")
    kind = _class(word)
    if issubclass(kind, GroupedFolds):
        return kind(folds, repeats)
    return kind(Path(path)) if path else kind()  # type: ignore[call-arg]


def _class(word: str) -> type[Protocol]:
    module, name = PROTOCOLS[word].split(":")
    kind: type[Protocol] = getattr(importlib.import_module(module), name)
    return kind


def possible_protocols(corpus: Corpus) -> str:
    """Return the end of a complaint: which protocols divide ``corpus``, and into how many folds."""
    possible = []
    for name in PROTOCOLS:
        kind = _class(name)
        if issubclass(kind, GroupedFolds):
            most = kind().most_folds(corpus)
            if most >= 2:
                possible.append(f"{name} with {'2' if most == 2 else f'2 to {most}'} folds")
        elif name not in (*BENCHMARKS, *WITH_PATH):
            with suppress(ProtocolError):
                list(kind().draw(corpus, 0))
                possible.append(name)
    if not possible:
        return "no protocol divides this corpus: it needs two recordings of an emotion"
    return f"this corpus can be divided by {', '.join(possible)}"


def shuffle_labels(corpus: Corpus, seed: int) -> Corpus:
    """Return ``corpus`` with its emotions, and their dimensions, dealt out at random: the control that must score at
    chance."""
    labels = [{name: getattr(clip, name) for name in ("emotion", *DIMENSIONS)} for clip in corpus.clips]
    order = np.random.default_rng(seed).permutation(len(labels))
    clips = tuple(replace(clip, **labels[i]) for clip, i in zip(corpus.clips, order, strict=True))
    return replace(corpus, clips=clips)


def _grouped_folds(corpus: Corpus, together: Sequence[str], n_folds: int, repeats: int, seed: int) -> tuple[Fold, ...]:
    """Draw folds balanced by emotion that keep the groups ``together`` whole."""
    from sklearn.model_selection import StratifiedGroupKFold

    if n_folds < 2 or repeats < 1:
        raise ProtocolError(f"needs at least 2 folds and 1 repeat, not {n_folds} and {repeats}")
    _require_groups(corpus, together)
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
        with warnings.catch_warnings():
            # It warns of an emotion with fewer recordings than folds, which whoever fits says better.
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            parts = list(splitter.split(paths, emotions, groups))
        for index, (train, test) in enumerate(parts):
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


def _require_groups(corpus: Corpus, together: Sequence[str]) -> None:
    if "sentence" in together:
        require_told(corpus, "sentence")
    elif "take" in together:
        require_told(corpus, "speaker", "sentence")
    require_told(corpus, *(what for what in ("speaker", "corpus") if what in together))


def require_told(corpus: Corpus, *fields: str) -> None:
    """Check that every clip of ``corpus`` tells ``fields``.

    Raises:
        ProtocolError: some do not; the message names them.
    """
    for name in fields:
        unknown = [clip.path for clip in corpus.clips if not getattr(clip, name)]
        if unknown:
            raise ProtocolError(f"this protocol needs every clip's {name}, unknown for {clip_names(unknown)}")
