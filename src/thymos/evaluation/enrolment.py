"""Enrolment: how much better an unheard voice is understood once some of its recordings, without labels, gave its mean.

Of each speaker in turn, the others' descriptions are centred on their own voices and a head is fitted to them. The
voice in question is centred on the mean of a few recordings, which are not scored, shrunk towards the mean of all
voices by how few they are.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thymos.cache import default_cache_dir
from thymos.corpora.protocols import LeaveOneSpeakerOut
from thymos.corpora.table import Corpus
from thymos.encoder.discriminant import Discriminant, Floats, centred, fit_discriminant
from thymos.encoder.experiment import EncoderExperiment
from thymos.engine.process import one_thread
from thymos.experiment import Work, corpus_for
from thymos.machine import available_cores
from thymos.scoring.metrics import confusion, scores

Drawn = Literal["random", "one emotion"]


def enrolment(
    corpus: Corpus,
    experiment: EncoderExperiment,
    clips: tuple[int, ...] = (3, 10, 30),
    draws: int = 5,
    prior: float = 3.0,
    seed: int = 0,
    cache_dir: Path | None = None,
) -> list[dict[str, Any]]:
    """Return a row for each way to know a voice: ``way``, ``clips`` enrolled, and its mean scores over speakers.

    Ways are ``plain`` (a head fitted to descriptions as they are), ``no clip`` (the mean of all voices), ``random`` and
    ``one emotion`` (clips are drawn from all recordings of the voice, or from those of one emotion, the kindest to
    nobody), and ``all`` (the mean of all that is scored: transductive).

    Args:
        corpus: with speakers.
        experiment: whose recipe says what describes, and how a head is fitted; its centring is not looked at.
        clips: how many are enrolled; a way that a voice has too few for is left out for it.
        draws: of each number at random; of one emotion, each is drawn once.
        prior: how many clips the mean of all voices counts.
        seed: of the draws.
        cache_dir: where descriptions are kept; None: the user's cache folder.

    Raises:
        ProtocolError: who speaks is not known, or there are too few voices.
        LeakageError: the encoder has heard the corpus.
    """
    corpus = corpus_for(experiment, corpus)
    experiment.check(corpus)
    folds = LeaveOneSpeakerOut().split(corpus, seed).folds
    work = Work(cache_dir or default_cache_dir(), available_cores(), seed=seed)
    features = experiment.features(corpus, work)
    every, targets, n = features.read(range(len(corpus.clips))), corpus.targets, len(corpus.emotions)
    found: dict[tuple[str, int, int], list[tuple[float, float]]] = {}
    shares, shrinkage = np.array(experiment.recipe.shares()), experiment.recipe.shrinkage

    def fit(descriptions: Floats, rows: NDArray[np.int64]) -> Discriminant:
        return fit_discriminant(descriptions, targets[rows], shares, shrinkage)

    def note(way: str, count: int, draw: int, head: Discriminant, heard: Floats, rows: NDArray[np.int64]) -> None:
        told = scores(confusion(targets[rows], head.logits(heard).argmax(1), n))
        found.setdefault((way, count, draw), []).append((told["uar"], told["accuracy"]))

    with one_thread():
        for number, fold in enumerate(folds):
            train, test = corpus.rows(fold.train), corpus.rows(fold.test)
            voices = [corpus.clips[row].speaker for row in train]
            plain, head = fit(every[:, train], train), fit(centred(every[:, train], voices), train)
            of_voices = [every[0, train[np.array(voices) == voice]].mean(0) for voice in sorted(set(voices))]
            general, own = np.mean(of_voices, axis=0), every[0, test]
            note("plain", 0, 0, plain, own, test)
            note("no clip", 0, 0, head, own - general, test)
            note("all", 0, 0, head, own - own.mean(0), test)
            for way, draw, some in _draws(targets[test], clips, draws, np.random.default_rng([seed, number])):
                mean = (own[some].sum(0) + prior * general) / (len(some) + prior)
                rest = np.setdiff1d(np.arange(len(test)), some)
                note(way, len(some), draw, head, own[rest] - mean, test[rest])
    return _rows(found)


def _draws(
    targets: NDArray[np.int64], clips: tuple[int, ...], draws: int, random: np.random.Generator
) -> Iterator[tuple[Drawn, int, NDArray[np.int64]]]:
    """Draw what is enrolled of one voice: places among its recordings."""
    for count in clips:
        if count < len(targets):
            for draw in range(draws):
                yield "random", draw, random.permutation(len(targets))[:count]
        for label in sorted(set(targets.tolist())):
            own = np.flatnonzero(targets == label)
            if count < len(own):
                yield "one emotion", label, random.permutation(own)[:count]


def _rows(found: dict[tuple[str, int, int], list[tuple[float, float]]]) -> list[dict[str, Any]]:
    """Sum up: the mean over speakers of each draw; then over draws, with their standard deviation."""
    ways: dict[tuple[str, int], list[NDArray[np.float64]]] = {}
    for (way, count, _), each in found.items():
        ways.setdefault((way, count), []).append(np.mean(each, axis=0))
    return [
        {
            "way": way,
            "clips": count,
            "draws": len(values),
            "uar": float(np.mean(values, axis=0)[0]),
            "sd_of_draws": float(np.std(values, axis=0)[0]),
            "accuracy": float(np.mean(values, axis=0)[1]),
        }
        for (way, count), values in ways.items()
    ]
