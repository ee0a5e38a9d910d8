"""Leave one corpus out (LOCO): what a general recogniser is worth to people whose recordings it never met.

Each corpus in turn is heard by an encoder that has not heard it, and by a head fitted to all the others. That is the
unit a general model is calibrated by, too: what it says of recordings like its own promises too much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.corpora.table import Corpus
from thymos.encoder.experiment import EncoderExperiment, FittedHead
from thymos.engine.process import one_thread
from thymos.errors import LeakageError
from thymos.evaluation.enrolment import CLIPS, DRAWS, Unheard, mean_rows, unheard_by, ways
from thymos.evaluation.fitting import calibration_of_logits
from thymos.experiment import Calibration, TrainingPart, Work
from thymos.runtime.decision import UNSURE_BELOW
from thymos.runtime.out_of_distribution import EmbeddingDistribution, fit_gaussian
from thymos.scoring.calibration import apply_temperature, expected_calibration_error, set_quality
from thymos.scoring.metrics import confusion, scores

FOUR = ("anger", "happiness", "neutral", "sadness")
"""What most corpora have, and most publications count."""
COVERAGES = (1.0, 0.8, 0.6, 0.4)
IN_DOMAIN, DIRECTIONS = 0.95, 32
"""Share of known recordings that are not unfamiliar; principal directions with a variance of their own."""
ENROLLED = 10
"""Recordings of a voice that an adapted model is calibrated with."""


@dataclass(frozen=True)
class LeftOut:
    """A corpus as a model hears it that has met nothing of it.

    Attributes:
        corpus: its name.
        labels: the emotions that the head tells apart.
        encoder: digest of the encoder.
        unheard: its recordings.
        embeddings: of them, shape ``(recordings, E)``.
        known: embeddings of recordings that the head was fitted to.
        has: labels that the corpus has.
    """

    corpus: str
    labels: tuple[str, ...]
    encoder: str
    unheard: Unheard
    embeddings: NDArray[np.float32]
    known: NDArray[np.float32]
    has: tuple[int, ...]

    def among(self, words: Sequence[str]) -> Unheard:
        """Return its recordings of some emotions, and the choice among those of them that it has."""
        asked = tuple(self.labels.index(word) for word in words if self.labels.index(word) in self.has)
        own = np.isin(self.unheard.targets, asked)
        some = replace(
            self.unheard,
            plain=self.unheard.plain[own],
            coordinates=self.unheard.coordinates[own],
            targets=self.unheard.targets[own],
            voices=self.unheard.voices[own],
        )
        return replace(some, asked=asked)


def leave_corpora_out(corpus: Corpus, experiments: Sequence[EncoderExperiment], work: Work) -> list[LeftOut]:
    """Return each corpus of ``corpus``, a table of several, as it is heard by who has not met it.

    Args:
        corpus: emotions merged as the experiments take them, with speakers.
        experiments: they differ in their encoders; for each corpus the first that has not heard it is taken.
        work: how.

    Raises:
        LeakageError: every encoder has heard one of the corpora.
    """
    names = np.array([clip.corpus or corpus.root.name for clip in corpus.clips])
    chosen = {name: _first_deaf_to(corpus, names == name, experiments, name) for name in sorted(set(names.tolist()))}
    results = []
    for experiment in experiments:
        own = [name for name, taken in chosen.items() if taken is experiment]
        if not own:
            continue
        features = experiment.features(corpus, work)
        for name in own:
            train, test = (tuple(np.flatnonzero(rows).tolist()) for rows in (names != name, names == name))
            targets = corpus.targets
            with one_thread():
                part = TrainingPart(corpus.emotions, train, targets[list(train)], work.seed)
                head = experiment.fit(features, part, work)
                assert isinstance(head, FittedHead)
                voices = [corpus.clips[row].speaker for row in test]
                asked = range(len(corpus.emotions))
                unheard = unheard_by(head, features.read(test, 1)[0], targets[list(test)], voices, asked)
            results.append(
                LeftOut(
                    name,
                    corpus.emotions,
                    experiment.versions()["encoder"],
                    unheard,
                    features.embeddings(test),
                    features.embeddings(train),
                    tuple(sorted(set(unheard.targets.tolist()))),
                )
            )
    return sorted(results, key=lambda result: result.corpus)


def _first_deaf_to(
    corpus: Corpus, own: NDArray[np.bool_], experiments: Sequence[EncoderExperiment], name: str
) -> EncoderExperiment:
    clips = [corpus.clips[row] for row in np.flatnonzero(own)]
    for experiment in experiments:
        if not any(experiment.has_heard(clip) for clip in clips):
            return experiment
    raise LeakageError(f"every encoder has heard recordings of {name}; `thymos pretrain --leave-out {name}` makes one")


def table(
    left_out: Sequence[LeftOut], words: Sequence[str], clips: Sequence[int] = CLIPS, draws: int = DRAWS, seed: int = 0
) -> list[dict[str, Any]]:
    """Return a row for each way to know a voice: the UAR among ``words`` over all recordings of a corpus, and its mean.

    Of an enrolment, recordings of all voices that have enough are scored together, without those that are enrolled.
    """
    told = []
    for result in left_out:
        unheard = result.among(words)
        if len(unheard.asked) < 2:
            continue
        found: dict[tuple[str, int, int], NDArray[np.int64]] = {}
        n = len(result.labels)
        for heard in ways(unheard, clips, draws, seed):
            counts = confusion(unheard.targets[heard.rows], heard.said, n)
            key = (heard.way, heard.clips, heard.draw)
            found[key] = found.get(key, 0) + counts
        for (way, count, draw), counts in found.items():
            of = scores(counts)
            row = {"way": way, "clips": count, "draw": draw, "uar": of["uar"], "accuracy": of["accuracy"]}
            told.append({**row, "corpus": result.corpus})
    return mean_rows(told, "corpus")


def neutral_recall(left_out: Sequence[LeftOut]) -> dict[str, dict[str, float]]:
    """Return which share of each corpus's neutral recordings is called neutral, among all labels: plain, and enrolled
    (all recordings of the voice)."""
    recalls = {}
    for result in left_out:
        if "neutral" not in result.labels or (neutral := result.labels.index("neutral")) not in result.has:
            continue
        own = result.unheard.targets == neutral
        by_way: dict[str, NDArray[np.int64]] = {}
        for heard in ways(result.unheard, clips=(), draws=0):
            said = by_way.setdefault(heard.way, np.zeros(len(own), np.int64))
            said[heard.rows] = heard.said
        recalls[result.corpus] = {way: float((said[own] == neutral).mean()) for way, said in by_way.items()}
    return recalls


def flagged(left_out: Sequence[LeftOut], seed: int = 0) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return, for each corpus and flag, the ``share`` of recordings that are flagged, and the accuracy of these and of
    the others (``flagged``, ``others``; None where there are none), plain, among all labels.

    ``unsure`` goes by the calibration of all other corpora; ``unfamiliar`` by the distance that ``IN_DOMAIN`` of the
    recordings that the head was fitted to have, half of which its distribution is fitted to.
    """
    fewest = min(len(result.unheard.targets) for result in left_out)
    randoms = [np.random.default_rng([seed, number]) for number in range(len(left_out))]
    some = [
        random.permutation(len(each.unheard.targets))[:fewest] for random, each in zip(randoms, left_out, strict=True)
    ]
    rows = {}
    for number, result in enumerate(left_out):
        others_of = [(each.unheard, own) for each, own in zip(left_out, some, strict=True) if each is not result]
        logits = np.concatenate([unheard.plain[own] for unheard, own in others_of])
        truth = np.concatenate([unheard.targets[own] for unheard, own in others_of])
        temperature = calibration_of_logits(logits, truth).temperature
        order = randoms[number].permutation(len(result.known))
        known, others = result.known[order[::2]], result.known[order[1::2]]
        distribution = EmbeddingDistribution(fit_gaussian(known, DIRECTIONS), 0.0)
        threshold = float(np.quantile(distribution.distances(others), IN_DOMAIN))
        probabilities = apply_temperature(result.unheard.plain, temperature)
        right = probabilities.argmax(1) == result.unheard.targets
        rows[result.corpus] = {
            "unsure": _told_apart(probabilities.max(1) < UNSURE_BELOW, right),
            "unfamiliar": _told_apart(distribution.distances(result.embeddings) > threshold, right),
        }
    return rows


def _told_apart(raised: NDArray[np.bool_], right: NDArray[np.bool_]) -> dict[str, float | None]:
    return {
        "share": float(raised.mean()),
        "flagged": float(right[raised].mean()) if raised.any() else None,
        "others": float(right[~raised].mean()) if not raised.all() else None,
    }


def calibrations(left_out: Sequence[LeftOut], seed: int = 0) -> dict[str, Any]:
    """Fit temperature and prediction sets to left-out corpora, and measure them on those that they were not fitted to.

    Every corpus counts alike: as many recordings of each are taken as the smallest has.

    Returns:
        ``plain`` and ``adapted`` (``ENROLLED`` recordings of each voice are enrolled, and not scored), each with the
        ``calibration`` by all corpora, and ``corpora``: of each, by the calibration of all others, ECE, how many
        prediction sets hold the truth, their size, and accuracy where the least sure recordings are left out; and the
        same of all of these recordings ``together``.
    """
    fewest = min(len(result.unheard.targets) for result in left_out)
    parts: dict[str, dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]]] = {"plain": {}, "adapted": {}}
    for number, result in enumerate(left_out):
        unheard = result.unheard
        random = np.random.default_rng([seed, number])
        adapted, targets = _enrolled_logits(unheard, random)
        for way, logits, truth in (("plain", unheard.plain, unheard.targets), ("adapted", adapted, targets)):
            some = random.permutation(len(truth))[:fewest]
            parts[way][result.corpus] = (logits[some], truth[some])
    return {way: _calibrated(own) for way, own in parts.items()}


def _enrolled_logits(unheard: Unheard, random: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the logits, and targets, of what is left of each voice once some of its recordings are enrolled."""
    logits, targets = [], []
    for voice in sorted(set(unheard.voices.tolist())):
        own = random.permutation(np.flatnonzero(unheard.voices == voice))
        some, rest = own[:ENROLLED], own[ENROLLED:]
        offset = unheard.space.offset(unheard.coordinates[some]).values
        logits.append(unheard.space.logits(unheard.coordinates[rest], offset))
        targets.append(unheard.targets[rest])
    return np.concatenate(logits), np.concatenate(targets)


def _calibrated(parts: dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]]) -> dict[str, Any]:
    def fitted(names: Sequence[str]) -> Calibration:
        logits, truth = (np.concatenate(each) for each in zip(*(parts[name] for name in names), strict=True))
        return calibration_of_logits(logits, truth)

    rows, found = {}, []
    for name, (logits, truth) in parts.items():
        calibration = fitted([other for other in parts if other != name])
        probabilities = apply_temperature(logits, calibration.temperature)
        found.append((probabilities, calibration.conformal.sets(probabilities), truth))
        rows[name] = {"temperature": calibration.temperature} | _how_calibrated(*found[-1])
    together = _how_calibrated(*(np.concatenate(each) for each in zip(*found, strict=True)))
    return {"calibration": fitted(list(parts)).as_json(), "corpora": rows, "together": together}


def _how_calibrated(
    probabilities: NDArray[np.float64], sets: NDArray[np.bool_], truth: NDArray[np.int64]
) -> dict[str, Any]:
    quality = set_quality(sets, truth)
    right = probabilities.argmax(1) == truth
    surest = np.argsort(-probabilities.max(1), kind="stable")
    return {
        "recordings": len(truth),
        "accuracy": float(right.mean()),
        "ece": expected_calibration_error(probabilities, truth).value,
        "coverage": quality.coverage,
        "set_size": quality.mean_size,
        "at_coverage": {
            f"{share:g}": float(right[surest[: max(1, round(share * len(truth)))]].mean()) for share in COVERAGES
        },
    }
