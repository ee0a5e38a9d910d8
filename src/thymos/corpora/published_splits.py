"""Divisions that somebody published: a corpus's own, and those of a benchmark."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from thymos.corpora.catalogue import known_corpora
from thymos.corpora.folds import Fold
from thymos.corpora.protocols import Protocol, require_told
from thymos.corpora.table import Corpus
from thymos.errors import ProtocolError
from thymos.labels import natural_key

TRAIN, VALIDATION, TEST = "train", "validation", "test"


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
