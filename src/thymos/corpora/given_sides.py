"""Protocols whose sides are given and not drawn: by the corpus that a clip is of, by its own split, or by a benchmark.

Across corpora, what only one side has of labels is left out, fold by fold: nobody can name an emotion that was never
trained, and one that cannot be right would only draw errors. How many clips that costs, is said.
"""

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from thymos.corpora.dialects import read_table
from thymos.corpora.finding import known_corpora
from thymos.corpora.folds import Fold
from thymos.corpora.protocols import LeaveOneSpeakerOut, Protocol, RecordingFolds, require_told
from thymos.corpora.table import Clip, Corpus
from thymos.errors import CorpusError, ProtocolError
from thymos.files import home_path
from thymos.labels import in_order, natural_key, to_emotion

TRAIN, VALIDATION, TEST = "train", "validation", "test"
Sides = tuple[str, Collection[str], Collection[str]]
"""A fold's name, the corpora that are trained on, and those that are tested."""


@dataclass(frozen=True)
class CrossCorpus(Protocol):
    """What the protocols here share: a subclass says which corpora are on which side."""

    must_not_cross = ("recording", "corpus")

    @abstractmethod
    def sides(self, names: Sequence[str]) -> Iterator[Sides]:
        """Yield the sides of each fold of the corpora called ``names``."""

    def tested(self, clips: Sequence[Clip]) -> Sequence[Clip]:
        """Return which of ``clips``, all of one test side, are tested; all of them, unless somebody chose some."""
        return clips

    def draw(self, corpus: Corpus, seed: int) -> Iterator[Fold]:
        """Give a fold for each way of sides, with the clips of those labels that both have, if any are told.

        Raises:
            ProtocolError: there is one corpus only, or two sides have fewer than two labels in common.
        """
        require_told(corpus, "corpus")
        names = sorted({clip.corpus for clip in corpus.clips})
        if len(names) < 2:
            raise ProtocolError(f"protocol {self.name} needs several corpora, and here is only {names[0]}")
        for index, (name, trained, tested) in enumerate(self.sides(names)):
            train = [clip for clip in corpus.clips if clip.corpus in trained]
            test = self.tested([clip for clip in corpus.clips if clip.corpus in tested])
            own, others = ({clip.emotion for clip in side} for side in (train, test))
            shared = own & others
            if corpus.emotions and len(shared) < 2:
                raise ProtocolError(
                    f"protocol {self.name}, {name}: two labels must be on both sides; training has {_listed(own)}, the "
                    f"test part {_listed(others)}, which a label map may bring together"
                )
            kept = (tuple(clip.path for clip in side if clip.emotion in shared) for side in (train, test))
            yield Fold(0, index, name, *kept)

    def draw_inner(self, part: Corpus, seed: int) -> Iterable[Fold]:
        """Hold out corpora of the training part; where it is one corpus, its speakers, or recordings if it has none."""
        if len({clip.corpus for clip in part.clips}) > 1:
            return super().draw_inner(part, seed)
        told = all(clip.speaker for clip in part.clips) and len(part.speakers) > 1
        inside: Protocol = LeaveOneSpeakerOut() if told else RecordingFolds()
        return inside.draw_inner(part, seed)

    def guarded_inside(self, part: Corpus) -> tuple[str, ...]:
        """Return what inner folds of ``part`` keep together: of one corpus, not the corpus."""
        several = len({clip.corpus for clip in part.clips}) > 1
        return tuple(what for what in super().guarded_inside(part) if several or what != "corpus")

    def notes(self, corpus: Corpus, folds: Sequence[Fold]) -> tuple[str, ...]:
        """Say which labels each fold leaves out, since only one of its sides has them."""
        by_path = {clip.path: clip for clip in corpus.clips}
        said = []
        for fold in folds:
            left_out = []
            for paths, where in ((fold.train, "in training"), (fold.test, "in the test part")):
                corpora, used = {by_path[path].corpus for path in paths}, {by_path[path].emotion for path in paths}
                side = [clip for clip in corpus.clips if clip.corpus in corpora and clip.emotion not in used]
                counted = Counter(clip.emotion for clip in side)
                left_out += [f"{emotion} ({counted[emotion]} {where})" for emotion in in_order(counted)]
            if left_out:
                said.append(f"{fold.name}: labels that one side alone has are left out: {', '.join(left_out)}")
        return tuple(said)


@dataclass(frozen=True)
class LeaveOneCorpusOut(CrossCorpus):
    """Each corpus is tested once, by what was fitted to all others (LOCO)."""

    name = "corpus"

    def sides(self, names: Sequence[str]) -> Iterator[Sides]:
        """Leave each out in turn."""
        for name in names:
            yield f"corpus {name}", [other for other in names if other != name], [name]


@dataclass(frozen=True)
class HeldOutCorpora(CrossCorpus):
    """Some corpora are tested, one a fold, by what was fitted to the others."""

    named: tuple[str, ...] = ()
    """Those that are tested."""

    name = "test"

    def sides(self, names: Sequence[str]) -> Iterator[Sides]:
        """Test each that is named."""
        for name in self.named:
            yield f"test on {name}", [other for other in names if other not in self.named], [name]


@dataclass(frozen=True)
class CorpusPairs(CrossCorpus):
    """Every corpus is tested by what was fitted to each other one alone: EmoBox's cross-corpus table (Ma et al. 2024,
    Interspeech).

    EmoBox tests on balanced choices of recordings, ``data/track2/*_selected_balenced.jsonl`` of its repository, lines
    of ``wav_filename``, ``label`` and ``speaker``: with that folder's path, so does this.
    """

    lists: Path | None = None
    """Folder of such choices; a corpus that has none there is tested whole."""
    chosen: dict[str, tuple[tuple[str, str, str], ...]] = field(default_factory=dict, init=False)
    """By the corpus's name: file, label and speaker of each chosen recording."""

    def __post_init__(self) -> None:
        if self.lists is not None:
            object.__setattr__(self, "lists", home_path(self.lists))
            self.chosen.update(_balanced(self.lists))

    @property
    def name(self) -> str:
        """``pairs``, and the last part of the path of the choices."""
        return f"pairs:{self.lists.name}" if self.lists else "pairs"

    def sides(self, names: Sequence[str]) -> Iterator[Sides]:
        """Train on each, and test each other one."""
        for trained in names:
            for tested in names:
                if tested != trained:
                    yield f"{trained} to {tested}", [trained], [tested]

    def tested(self, clips: Sequence[Clip]) -> Sequence[Clip]:
        """Return the clips that were chosen, or all where nobody chose."""
        rows = self.chosen.get(_plain(clips[0].corpus), ()) if clips else ()
        if not rows:
            return clips
        wanted = {clip.path for row in rows if (clip := _meant(row, clips))}
        return [clip for clip in clips if clip.path in wanted]

    def absent(self, corpus: Corpus) -> tuple[str, ...]:
        """Return the chosen recordings that ``corpus`` does not have, or has several of."""
        missing = []
        for name in sorted({clip.corpus for clip in corpus.clips}):
            clips = [clip for clip in corpus.clips if clip.corpus == name]
            rows = self.chosen.get(_plain(name), ())
            missing += [f"{name}: {row[0]}" for row in rows if _meant(row, clips) is None]
        return tuple(missing)


def _balanced(folder: Path) -> Iterator[tuple[str, tuple[tuple[str, str, str], ...]]]:
    """Yield what EmoBox chose of each corpus.

    Raises:
        ProtocolError: nothing of the kind is there.
    """
    tables = sorted(folder.glob("*_selected_bal*.jsonl"))
    if not tables:
        raise ProtocolError(f"{folder} holds none of EmoBox's choices, such as RAVDESS_selected_balenced.jsonl")
    for table in tables:
        try:
            rows = [row.cells for row in read_table(table).rows]
            told = ((row["wav_filename"], row.get("label", ""), row.get("speaker", "")) for row in rows)
            yield (
                _plain(table.name.split("_selected_")[0]),
                tuple((file, to_emotion(label) or label, speaker) for file, label, speaker in told),
            )
        except CorpusError as error:
            raise ProtocolError(str(error)) from None
        except KeyError:
            raise ProtocolError(f"{table} has a line without 'wav_filename'") from None


def _meant(row: tuple[str, str, str], clips: Sequence[Clip]) -> Clip | None:
    """Return the clip that a chosen recording is: by its stem, and by label and speaker where several have it.

    Copies of SAVEE have the folder in the name, ``DC_a01`` for ``DC/a01``; turns of IEMOCAP may be cut from a dialog.
    """
    file, label, speaker = PurePosixPath(row[0]), row[1], row[2]
    names = {file.stem, f"{file.parent.name}_{file.stem}"}
    fitting = [clip for clip in clips if names & {PurePosixPath(clip.lies_in).stem, clip.take}]
    for agrees in (
        lambda clip: clip.emotion == label,
        lambda clip: _plain(clip.speaker.rpartition("/")[2]) == _plain(speaker),
    ):
        if len(fitting) > 1:
            fitting = [clip for clip in fitting if agrees(clip)]
    return fitting[0] if len(fitting) == 1 else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _listed(labels: Collection[str]) -> str:
    return ", ".join(in_order(labels)) or "none"


@dataclass(frozen=True)
class OwnSplit(Protocol):
    """The corpus's own division: one fold for each of its test parts, or for its validation part where it has none.

    Whether a voice is on both sides, its publisher decided.
    """

    name = "own"
    must_not_cross = ("recording",)

    def draw(self, corpus: Corpus, seed: int) -> Iterator[Fold]:
        """Give the parts that clips tell."""
        told = Counter(clip.split for clip in corpus.clips)
        tests = sorted((split for split in told if split.startswith(TEST)), key=natural_key)
        if not told[TRAIN] or not (tests or told[VALIDATION]):
            parts = ", ".join(f"{split} {clips}" for split, clips in sorted(told.items()) if split)
            raise ProtocolError(
                "protocol own needs a corpus that comes with a training and a test part, which this one does not"
                + (f": its clips tell {parts}" if parts else "")
            )

        def of(split: str) -> tuple[str, ...]:
            return tuple(clip.path for clip in corpus.clips if clip.split == split)

        for index, tested in enumerate(tests or [VALIDATION]):
            yield Fold(0, index, tested, of(TRAIN), of(tested), of(VALIDATION) if tests else ())


@dataclass(frozen=True)
class Serab(Protocol):
    """A corpus as the SERAB benchmark divides it by speaker (Scheidwasser-Clow et al. 2022, ICASSP).

    60 % of the speakers train, 20 % validate and 20 % test; CREMA-D's are divided 70 to 10 to 20, as TensorFlow
    Datasets has them. Which, is drawn as there: speakers sorted, then shuffled by NumPy's old generator with seed 0. So
    AESDD trains on 2, 3 and 6, validates on 4 and tests on 1 and 5. Two of its nine corpora are divided otherwise
    there, ShEMO by the number of the utterance and IEMOCAP by who wore the markers in a dialog; here both are by
    speaker.
    """

    name = "serab"
    must_not_cross = ("recording", "take", "speaker")

    def draw(self, corpus: Corpus, seed: int) -> Iterator[Fold]:
        """Give the benchmark's one fold, which has a validation part."""
        require_told(corpus, "speaker")
        speakers = sorted(corpus.speakers)
        known = next((each for each in known_corpora() if each.kind == corpus.kind), None)
        if known is not None and known.speakers != len(speakers):
            raise ProtocolError(
                f"protocol serab divides the {known.speakers} speakers of {known.name}; here are {len(speakers)}"
            )
        train, validation = (0.7, 0.1) if corpus.kind == "crema-d" else (0.6, 0.2)
        first, second = int(train * len(speakers)), int((train + validation) * len(speakers))
        if not 0 < first < second < len(speakers):
            raise ProtocolError(f"protocol serab needs at least 3 speakers, not {len(speakers)}")
        np.random.RandomState(0).shuffle(speakers)

        def of(wanted: list[str]) -> tuple[str, ...]:
            return tuple(clip.path for clip in corpus.clips if clip.speaker in wanted)

        yield Fold(0, 0, "serab", of(speakers[:first]), of(speakers[second:]), of(speakers[first:second]))
