"""Enrolment: how much better unheard voices are understood once some of their recordings, without labels, are known.

What is enrolled is never scored, but for the ways that are marked transductive.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.cache import default_cache_dir
from thymos.corpora.protocols import LeaveOneSpeakerOut
from thymos.corpora.table import Corpus
from thymos.encoder.experiment import EncoderExperiment, FittedHead
from thymos.engine.process import one_thread
from thymos.experiment import TrainingPart, Work, corpus_of_emotions
from thymos.machine import available_cores
from thymos.runtime.adaptation import Coordinates, VoiceSpace
from thymos.scoring.metrics import confusion, scores

CLIPS = (1, 3, 10, 30)
DRAWS = 5
FEWEST = 8
"""Recordings of a voice that are left to be scored; a way that leaves fewer is not tried."""


@dataclass(frozen=True)
class Unheard:
    """Recordings of voices that a head was not fitted to, as it hears them.

    Attributes:
        plain: the logits of a head that knows no voice, shape ``(recordings, classes)``.
        space: where voices are told from emotions.
        coordinates: in it, shape ``(recordings, Q)``.
        targets: class of each recording.
        voices: of each.
        asked: the classes that are chosen among.
    """

    plain: NDArray[np.float64]
    space: VoiceSpace
    coordinates: Coordinates
    targets: NDArray[np.int64]
    voices: NDArray[np.str_]
    asked: tuple[int, ...]

    def said(self, logits: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the class among those asked that ``logits`` (recordings, classes) give each recording."""
        chosen: NDArray[np.int64] = np.array(self.asked, np.int64)[logits[:, list(self.asked)].argmax(1)]
        return chosen


@dataclass(frozen=True)
class Outcome:
    """What one way of knowing voices gave in one draw: rows of recordings that were scored, and what was said."""

    way: str
    clips: int
    draw: int
    rows: NDArray[np.int64]
    said: NDArray[np.int64]

    def named(self) -> dict[str, Any]:
        """Return what names it."""
        return {"way": self.way, "clips": self.clips, "draw": self.draw}


def ways(unheard: Unheard, clips: Sequence[int] = CLIPS, draws: int = DRAWS, seed: int = 0) -> Iterator[Outcome]:
    """Hear each voice in every way.

    Ways are ``plain``; ``random`` and ``one emotion`` (so many recordings of the voice are enrolled, drawn from all of
    them, or from those of one emotion); ``mean of random`` and ``mean of one emotion`` (for comparison: their mean is
    subtracted, as if all emotions were in it alike); and, transductive, ``each voice`` and ``batch``: all recordings of
    the voice, or of all voices together, are enrolled and scored.
    """
    space, coordinates = unheard.space, unheard.coordinates
    every = np.arange(len(unheard.targets))
    yield Outcome("plain", 0, 0, every, unheard.said(unheard.plain))
    together = space.offset(coordinates, unheard.asked).values
    yield Outcome("batch", 0, 0, every, unheard.said(space.logits(coordinates, together)))
    middle = space.emotions[list(unheard.asked)].mean(0)
    for number, voice in enumerate(sorted(set(unheard.voices.tolist()))):
        own = np.flatnonzero(unheard.voices == voice)
        offset = space.offset(coordinates[own], unheard.asked).values
        yield Outcome("each voice", 0, 0, own, unheard.said(space.logits(coordinates[own], offset)))
        random = np.random.default_rng([seed, number])
        for way, count, draw, some in _draws(unheard.targets[own], clips, draws, random):
            enrolled, rest = coordinates[own[some]], np.delete(own, some)
            for name, found in (
                (way, space.offset(enrolled, unheard.asked).values),
                (f"mean of {way}", enrolled.mean(0) - middle),
            ):
                yield Outcome(name, count, draw, rest, unheard.said(space.logits(coordinates[rest], found)))


def _draws(
    targets: NDArray[np.int64], clips: Sequence[int], draws: int, random: np.random.Generator
) -> Iterator[tuple[str, int, int, NDArray[np.int64]]]:
    """Draw what is enrolled of one voice: places among its recordings."""
    for count in clips:
        if count + FEWEST > len(targets):
            continue
        for draw in range(draws):
            yield "random", count, draw, random.permutation(len(targets))[:count]
        for label in sorted(set(targets.tolist())):
            own = np.flatnonzero(targets == label)
            if count <= len(own):
                yield "one emotion", count, label, random.permutation(own)[:count]


def enrolment(
    corpus: Corpus,
    experiment: EncoderExperiment,
    clips: Sequence[int] = CLIPS,
    draws: int = DRAWS,
    seed: int = 0,
    cache_dir: Path | None = None,
) -> list[dict[str, Any]]:
    """Return a row for each way to know a voice: ``way``, ``clips`` enrolled, and its mean scores over speakers.

    The head is fitted to all speakers but one in turn.

    Args:
        corpus: with speakers.
        experiment: whose recipe says what describes, and how a head is fitted.
        clips: how many are enrolled; a way that a voice has too few for is left out for it.
        draws: of each number at random; of one emotion, each is drawn once.
        seed: of the draws.
        cache_dir: where descriptions are kept; None: the user's cache folder.

    Raises:
        ProtocolError: who speaks is not known, or there are too few voices.
        LeakageError: the encoder has heard the corpus.
    """
    corpus = corpus_of_emotions(experiment, corpus, "enrolment")
    experiment.check(corpus)
    folds = LeaveOneSpeakerOut().split(corpus, seed).folds
    work = Work(cache_dir or default_cache_dir(), available_cores(), seed=seed)
    features = experiment.features(corpus, work)
    targets, n = corpus.targets, len(corpus.emotions)
    told: list[dict[str, Any]] = []
    with one_thread():
        for number, fold in enumerate(folds):
            train, test = (tuple(corpus.rows(paths).tolist()) for paths in (fold.train, fold.test))
            head = experiment.fit(features, TrainingPart(corpus.emotions, train, targets[list(train)], seed), work)
            voices = [corpus.clips[row].speaker for row in test]
            unheard = unheard_by(head, features.read(test, 1)[0], targets[list(test)], voices, range(n))
            for heard in ways(unheard, clips, draws, seed + 1000 * number):
                of = scores(confusion(unheard.targets[heard.rows], heard.said, n))
                told.append({**heard.named(), "speaker": voices[0], "uar": of["uar"], "accuracy": of["accuracy"]})
    # One voice is all of the batch here.
    return mean_rows([row for row in told if row["way"] != "batch"], "speaker")


def mean_rows(told: Sequence[dict[str, Any]], unit: str) -> list[dict[str, Any]]:
    """Return a row for each way and number of clips: means of ``uar`` and ``accuracy`` over units, such as speakers.

    Args:
        told: rows with ``way``, ``clips``, ``draw``, ``uar``, ``accuracy``, and what ``unit`` names.
        unit: what counts alike; the row lists the UAR of each, its mean over draws.
    """
    rows = []
    for way, clips in dict.fromkeys((row["way"], row["clips"]) for row in told):
        own = [row for row in told if (row["way"], row["clips"]) == (way, clips)]
        by_draw = [
            float(np.mean([row["uar"] for row in own if row["draw"] == draw]))
            for draw in sorted({row["draw"] for row in own})
        ]
        of_units = {
            name: [float(np.mean([row[key] for row in own if row[unit] == name])) for key in ("uar", "accuracy")]
            for name in dict.fromkeys(row[unit] for row in own)
        }
        uar, accuracy = np.mean(list(of_units.values()), axis=0).tolist()
        rows.append(
            {
                "way": way,
                "clips": clips,
                "draws": len(by_draw),
                "uar": uar,
                "sd_of_draws": float(np.std(by_draw)),
                "accuracy": accuracy,
                "of": {name: of_unit for name, (of_unit, _) in of_units.items()},
            }
        )
    return rows


def unheard_by(
    head: FittedHead,
    descriptions: NDArray[np.float32],
    targets: NDArray[np.int64],
    voices: Sequence[str],
    asked: Sequence[int],
) -> Unheard:
    """Return recordings with ``descriptions`` (recordings, D) as ``head`` hears them."""
    space = head.voice_space
    assert space is not None, "a corpus without emotions is refused before"
    coordinates = space.coordinates(descriptions)
    plain = head.discriminant.logits(descriptions)
    return Unheard(plain, space, coordinates, targets, np.array(voices), tuple(asked))
