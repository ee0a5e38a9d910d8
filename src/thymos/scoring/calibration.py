"""Do probabilities mean what they say? Temperature scaling, expected calibration error, prediction sets.

A temperature and a threshold are fitted on predictions for an inner validation part, never on a test fold, and then
applied to the test fold's. A temperature moves no decision: the order of the labels stays.

Split-conformal prediction gives sets of emotions that hold the true one as often as promised, instead of one guess: a
row's set is every label whose score, 1 − its probability, does not exceed the threshold. If validation and test rows
are exchangeable, a test row's set holds its true label with a chance of at least ``coverage``, on average over drawings
of both parts, whatever the network is worth. Other speakers, rooms or corpora than in validation are not exchangeable
with it, and several segments of one recording are no independent rows: then the promise is void, so coverage is
measured as well, in total and by group.

Sources:
    Guo et al. (2017), On Calibration of Modern Neural Networks, ICML (temperature scaling, ECE, 15 bins).
    Naeini et al. (2015), Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI (ECE).
    Davison & Hinkley (1997), Bootstrap Methods and their Application, section 5.2 (basic interval).
    Bröcker & Smith (2007), Increasing the Reliability of Reliability Diagrams, Weather and Forecasting 22:651–661
    (what a reliable forecast would show by chance).
    Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World (the guarantee of prediction sets).
    Sadinle, Lei & Wasserman (2019), Least Ambiguous Set-Valued Classifiers with Bounded Error Levels, JASA 114:223–234
    (LAC, the score that gives the smallest sets on average; also called THR).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil, inf
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thymos.labels import natural_key
from thymos.scoring.breakdown import Grouping
from thymos.scoring.metrics import Floats, Interval, bootstrap_weights, percentile_interval
from thymos.scoring.predictions import FoldResult, Scored, scored_recordings

Ints = NDArray[np.int64]
Sets = NDArray[np.bool_]
"""Which labels each row's set holds, shape ``(rows, labels)``."""

BINS = 15
TEMPERATURES = (0.05, 200.0)
"""Bounds of a fitted temperature: where every validation decision is right, NLL falls as long as T does."""
COVERAGE = 0.90


# --- temperature ------------------------------------------------------------------------------------------


def log_probabilities(probabilities: Floats) -> Floats:
    """Return natural logarithms, shape as given; an exact 0 counts as the smallest positive float.

    They serve as logits: softmax gives the probabilities back.
    """
    return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))


def fit_temperature(logits: Floats, truth: Ints) -> float:
    """Return the temperature T that minimises the mean NLL of ``softmax(logits / T)`` (Guo et al. 2017).

    The NLL is convex in 1/T, so along log T it has one minimum, which a bounded search finds.

    Args:
        logits: logits or log-probabilities of inner validation rows, shape ``(rows, labels)``.
        truth: index of the true label, shape ``(rows,)``.

    Raises:
        ValueError: no rows, shapes that do not fit, a value that is not finite, or a label that is none.
    """
    from scipy.optimize import minimize_scalar  # half a second, and most fits are not calibrated
    from scipy.special import log_softmax

    _check(logits, truth)
    rows = np.arange(len(truth))

    def nll(log_temperature: float) -> float:
        return -float(log_softmax(logits / np.exp(log_temperature), axis=1)[rows, truth].mean())

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(nll, bounds=(float(low), float(high)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def apply_temperature(logits: Floats, temperature: float) -> Floats:
    """Return ``softmax(logits / temperature)``, shape ``(rows, labels)``; log-probabilities are logits too.

    Raises:
        ValueError: the temperature is not positive.
    """
    from scipy.special import softmax

    if not temperature > 0:
        raise ValueError(f"a temperature must be positive, not {temperature}")
    scaled: Floats = softmax(np.asarray(logits, np.float64) / temperature, axis=1)
    return scaled


def mean_nll(probabilities: Floats, truth: Ints) -> float:
    """Return the mean negative log-likelihood in nats; an exact 0 counts as in ``log_probabilities``."""
    _check(probabilities, truth)
    return -float(log_probabilities(probabilities)[np.arange(len(truth)), truth].mean())


# --- expected calibration error ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Ece:
    """An expected calibration error, and what to hold it against."""

    value: float
    """Σ over bins of (rows in the bin / rows) × |accuracy − mean confidence|; 0 to 1."""
    ci95: Interval
    """Basic bootstrap interval over recordings."""
    if_calibrated: float
    """Mean ECE of so many rows with these confidences if each were right exactly as often as it says. ECE adds up
    magnitudes, so it is above 0 by chance alone: a value near this one shows no miscalibration."""


def expected_calibration_error(
    probabilities: Floats, truth: Ints, clips: NDArray[np.str_] | None = None, seed: int = 0, bins: int = BINS
) -> Ece:
    """Return the ECE of the top label over equally wide bins of its probability, with a bootstrap interval.

    The interval is the basic one, twice the value less the percentiles, ends below 0 set to 0. The percentile interval
    is of no use here: resampling adds to ECE what chance already added, so it lies above the truth, and for a
    calibrated classifier hardly ever holds it. Where the true ECE is close to 0, this one is too short as well; then
    ``if_calibrated`` says more.

    Args:
        probabilities: shape ``(rows, labels)``.
        truth: index of the true label, shape ``(rows,)``.
        clips: recording of each row; whole recordings are drawn. None: each row is one.
        seed: of the draws.
        bins: how many.

    Raises:
        ValueError: as ``fit_temperature``.
    """
    _check(probabilities, truth)
    confidence, right, place = _binned(probabilities, truth, bins)
    recordings = np.arange(len(truth)) if clips is None else np.unique(clips, return_inverse=True)[1]
    n_recordings = int(recordings.max()) + 1
    gaps = np.zeros((n_recordings, bins))
    np.add.at(gaps, (recordings, place), right - confidence)
    sizes = np.bincount(recordings, minlength=n_recordings).astype(np.float64)
    value = float(np.abs(gaps.sum(0)).sum() / len(truth))
    random, in_bin = np.random.default_rng(seed), np.eye(bins)[place]
    drawn, by_chance = [], []
    for weights in bootstrap_weights(n_recordings, random):
        drawn.append(np.abs(weights @ gaps).sum(1) / (weights @ sizes))
        luck = (random.random((len(weights), len(truth))) < confidence) - confidence
        by_chance.append(np.abs(luck @ in_bin).sum(1) / len(truth))
    low, high = percentile_interval(drawn)
    interval = (max(0.0, 2 * value - high), max(0.0, 2 * value - low))
    return Ece(value, interval, float(np.concatenate(by_chance).mean()))


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows whose top label's probability lies in one of equally wide bins."""

    low: float
    high: float
    """The bin is open below and closed above, as that of Guo et al."""
    rows: int
    confidence: float
    """Mean probability of the top label."""
    accuracy: float


def reliability(probabilities: Floats, truth: Ints, bins: int = BINS) -> list[ReliabilityBin]:
    """Return the bins of a reliability diagram that hold rows, from the least sure; ECE is made of the same bins.

    Args:
        probabilities: shape ``(rows, labels)``.
        truth: index of the true label, shape ``(rows,)``.
        bins: how many.

    Raises:
        ValueError: as ``fit_temperature``.
    """
    _check(probabilities, truth)
    confidence, right, place = _binned(probabilities, truth, bins)
    return [
        ReliabilityBin(
            at / bins, (at + 1) / bins, int(own.sum()), float(confidence[own].mean()), float(right[own].mean())
        )
        for at in range(bins)
        if (own := place == at).any()
    ]


def _binned(probabilities: Floats, truth: Ints, bins: int) -> tuple[Floats, Floats, Ints]:
    """Return the probability of each row's top label, whether it is right, and its bin."""
    confidence, right = probabilities.max(1), (probabilities.argmax(1) == truth).astype(np.float64)
    # Right-closed bins, as Guo et al. have them.
    return confidence, right, np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def confidence_summary(scored: Scored) -> dict[str, Any]:
    """Return ``ece``, ``nll`` and ``reliability`` of recordings' probabilities as they were given out."""
    ece = expected_calibration_error(scored.probabilities, scored.truth, scored.clips)
    return {
        "ece": asdict(ece),
        "nll": mean_nll(scored.probabilities, scored.truth),
        "reliability": [asdict(each) for each in reliability(scored.probabilities, scored.truth)],
    }


# --- prediction sets --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SetQuality:
    """What prediction sets were worth on some rows."""

    rows: int
    coverage: float
    """Share of sets that hold the true label."""
    mean_size: float
    """Labels in a set, on average."""
    singletons: float
    """Share of sets with one label."""


@dataclass(frozen=True)
class Conformal:
    """A threshold found on validation rows, ready to make sets."""

    method: Literal["lac"]
    coverage: float
    """What was asked for."""
    threshold: float
    """Largest score that a label in a set may have; infinite where there were too few validation rows to promise it."""
    rows: int
    """Validation rows it was found on."""

    def sets(self, probabilities: Floats, never_empty: bool = True) -> Sets:
        """Return each row's prediction set, shape ``(rows, labels)``.

        Args:
            probabilities: shape ``(rows, labels)``, tempered as those of the validation rows were.
            never_empty: put the most probable label into every set, whatever its score. This can only raise coverage.
                Without it a set is empty where no label conforms.
        """
        held: Sets = 1 - probabilities <= self.threshold
        if never_empty:
            held[np.arange(len(held)), probabilities.argmax(1)] = True
        return held


def fit_conformal(probabilities: Floats, truth: Ints, coverage: float = COVERAGE) -> Conformal:
    """Return the threshold: the ⌈(n + 1) × coverage⌉-th smallest score of the n validation rows' true labels.

    Args:
        probabilities: of inner validation rows, one for each recording, shape ``(rows, labels)``.
        truth: index of the true label, shape ``(rows,)``.
        coverage: between 0 and 1.

    Raises:
        ValueError: no rows, shapes that do not fit, probabilities that are none, or a coverage out of bounds.
    """
    _check_shares(probabilities, truth)
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1, not at {coverage}")
    own = np.sort(1 - probabilities[np.arange(len(truth)), truth])
    # Rounding in the product must not take a whole rank more: (99 + 1) × 0.55 is the 55th.
    rank = ceil(round((len(own) + 1) * coverage, 9))
    return Conformal("lac", coverage, float(own[rank - 1]) if rank <= len(own) else inf, len(own))


def set_quality(sets: Sets, truth: Ints) -> SetQuality:
    """Return the empirical coverage and size of ``sets``.

    Raises:
        ValueError: no rows, or shapes that do not fit.
    """
    _check_shares(sets, truth)
    sizes = sets.sum(1)
    covered = sets[np.arange(len(truth)), truth]
    return SetQuality(len(truth), float(covered.mean()), float(sizes.mean()), float((sizes == 1).mean()))


def set_quality_by_group(sets: Sets, truth: Ints, groups: NDArray[np.str_]) -> dict[str, SetQuality]:
    """Return ``set_quality`` for each group of rows, such as speakers or true emotions, in natural order.

    Raises:
        ValueError: no rows, or shapes that do not fit.
    """
    _check_shares(sets, truth)
    if groups.shape != truth.shape:
        raise ValueError(f"needs one group for each of {len(truth)} rows, not {groups.shape}")
    names = sorted({str(name) for name in groups}, key=natural_key)
    return {name: set_quality(sets[groups == name], truth[groups == name]) for name in names}


# --- what calibration was worth over the outer folds ------------------------------------------------------


def calibration_summary(
    fold_results: Sequence[FoldResult], labels: tuple[str, ...], divided: Sequence[Grouping] = ()
) -> dict[str, Any] | None:
    """Return ``ece_before``, ``ece_after``, ``temperatures`` and ``sets`` (all, by speaker, by emotion, by group).

    Temperatures and thresholds come from inner splits of each fold's training part; here they meet its test part. None
    where the folds were not calibrated.
    """
    if not fold_results or not all("calibration" in facts for facts, _ in fold_results):
        return None
    before, after, sets, truth, clips, speakers = [], [], [], [], [], []
    for facts, frame in fold_results:
        scored = scored_recordings(frame, labels)
        told = facts["calibration"]
        conformal = Conformal(**told["conformal"] | {"threshold": _threshold(told["conformal"]["threshold"])})
        # Dividing by the temperature is undone by multiplying: what the network itself said.
        before.append(apply_temperature(log_probabilities(scored.probabilities), 1 / told["temperature"]))
        after.append(scored.probabilities)
        sets.append(conformal.sets(scored.probabilities))
        truth.append(scored.truth)
        clips.append(scored.clips)
        speakers.append(scored.speakers)
    all_truth, all_clips, all_sets = np.concatenate(truth), np.concatenate(clips), np.concatenate(sets)
    emotions = np.array(labels)[all_truth]
    by_speaker = set_quality_by_group(all_sets, all_truth, np.concatenate(speakers))
    by_speaker.pop("", None)  # of whom it is not known who they are
    by_emotion = set_quality_by_group(all_sets, all_truth, emotions)
    return {
        "temperatures": [facts["calibration"]["temperature"] for facts, _ in fold_results],
        "ece_before": asdict(expected_calibration_error(np.concatenate(before), all_truth, all_clips)),
        "ece_after": asdict(expected_calibration_error(np.concatenate(after), all_truth, all_clips)),
        "asked_coverage": fold_results[0][0]["calibration"]["conformal"]["coverage"],
        "sets": asdict(set_quality(all_sets, all_truth)),
        "sets_by_speaker": {word: asdict(quality) for word, quality in by_speaker.items()},
        "sets_by_emotion": {word: asdict(quality) for word, quality in by_emotion.items()},
        "sets_by_group": [
            {"by": grouping.by, "group": name, **asdict(set_quality(all_sets[own], all_truth[own]))}
            for grouping in divided
            for name, own in _rows_of(grouping, all_clips).items()
        ],
    }


def _rows_of(grouping: Grouping, clips: NDArray[np.str_]) -> dict[str, NDArray[np.bool_]]:
    """Return which rows are of each group that has any."""
    groups = np.array([grouping.group_of[str(clip)] for clip in clips])
    return {name: groups == name for name in grouping.names if name in groups}


def _threshold(kept: float | None) -> float:
    """JSON has no infinity: None is a threshold that lets every label in."""
    return inf if kept is None else kept


def _check(rows: Floats | Sets, truth: Ints) -> None:
    if rows.ndim != 2 or truth.shape != rows.shape[:1] or not len(truth):
        raise ValueError(f"needs rows by labels and one truth for each row, not {rows.shape} and {truth.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("holds values that are not finite")
    if truth.min() < 0 or truth.max() >= rows.shape[1]:
        raise ValueError(f"truth must be 0 to {rows.shape[1] - 1}")


def _check_shares(rows: Floats | Sets, truth: Ints) -> None:
    if not np.logical_and(rows >= 0, rows <= 1 + 1e-6).all():
        raise ValueError("probabilities must lie between 0 and 1")
    _check(rows, truth)
