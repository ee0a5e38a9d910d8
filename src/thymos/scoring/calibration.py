"""Do probabilities mean what they say? Temperature scaling, expected calibration error, reliability table.

A temperature is fitted on predictions for an inner validation part, never on a test fold, and then applied to the test
fold's. It moves no decision: the order of the labels stays.

Sources:
    Guo et al. (2017), On Calibration of Modern Neural Networks, ICML (temperature scaling, ECE, 15 bins).
    Naeini et al. (2015), Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI (ECE).
    Davison & Hinkley (1997), Bootstrap Methods and their Application, section 5.2 (basic interval).
    Bröcker & Smith (2007), Increasing the Reliability of Reliability Diagrams, Weather and Forecasting 22:651–661
    (what a reliable forecast would show by chance).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from thymos.scoring.metrics import BOOTSTRAP_DRAWS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 15
TEMPERATURES = (0.05, 20.0)
"""Bounds of a fitted temperature: where every validation decision is right, NLL falls as long as T does."""
_DRAWS_AT_ONCE = 250


@dataclass(frozen=True)
class Ece:
    """An expected calibration error, and what to hold it against."""

    value: float
    """Σ over bins of (rows in the bin / rows) × |accuracy − mean confidence|; 0 to 1."""
    ci95: tuple[float, float]
    """Basic bootstrap interval over recordings."""
    if_calibrated: float
    """Mean ECE of so many rows with these confidences if each were right exactly as often as it says. ECE adds up
    magnitudes, so it is above 0 by chance alone: a value near this one shows no miscalibration."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows whose top probability lies in ``(low, high]``; the first bin holds 0 as well."""

    low: float
    high: float
    count: int
    confidence: float | None
    """Mean top probability; None where the bin is empty."""
    accuracy: float | None
    """Share of right decisions; None where the bin is empty."""


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
    if not temperature > 0:
        raise ValueError(f"a temperature must be positive, not {temperature}")
    scaled: Floats = softmax(np.asarray(logits, np.float64) / temperature, axis=1)
    return scaled


def mean_nll(probabilities: Floats, truth: Ints) -> float:
    """Return the mean negative log-likelihood in nats; an exact 0 counts as in ``log_probabilities``."""
    _check(probabilities, truth)
    return -float(log_probabilities(probabilities)[np.arange(len(truth)), truth].mean())


def reliability(probabilities: Floats, truth: Ints, bins: int = BINS) -> list[ReliabilityBin]:
    """Return for each of ``bins`` equally wide bins of the top probability how sure and how right its rows were.

    Raises:
        ValueError: as ``fit_temperature``.
    """
    confidence, right = _confidence_and_right(probabilities, truth)
    place = _bin_of(confidence, bins)
    counts = np.bincount(place, minlength=bins)
    sure, hits = (np.bincount(place, weights=values, minlength=bins) for values in (confidence, right))
    return [
        ReliabilityBin(i / bins, (i + 1) / bins, int(n), float(sure[i] / n), float(hits[i] / n))
        if n
        else ReliabilityBin(i / bins, (i + 1) / bins, 0, None, None)
        for i, n in enumerate(counts)
    ]


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
    confidence, right = _confidence_and_right(probabilities, truth)
    place = _bin_of(confidence, bins)
    recordings = np.arange(len(truth)) if clips is None else np.unique(clips, return_inverse=True)[1]
    n_recordings = int(recordings.max()) + 1
    gaps = np.zeros((n_recordings, bins))
    np.add.at(gaps, (recordings, place), right - confidence)
    sizes = np.bincount(recordings, minlength=n_recordings).astype(np.float64)
    value = float(np.abs(gaps.sum(0)).sum() / len(truth))
    random = np.random.default_rng(seed)
    even = np.full(n_recordings, 1 / n_recordings)
    drawn, by_chance = [], []
    for _ in range(BOOTSTRAP_DRAWS // _DRAWS_AT_ONCE):
        weights = random.multinomial(n_recordings, even, size=_DRAWS_AT_ONCE).astype(np.float64)
        drawn.append(np.abs(weights @ gaps).sum(1) / (weights @ sizes))
        luck = (random.random((_DRAWS_AT_ONCE, len(truth))) < confidence) - confidence
        by_chance.append(np.abs(luck @ np.eye(bins)[place]).sum(1) / len(truth))
    low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5])
    interval = (max(0.0, 2 * value - float(high)), max(0.0, 2 * value - float(low)))
    return Ece(value, interval, float(np.concatenate(by_chance).mean()))


def _confidence_and_right(probabilities: Floats, truth: Ints) -> tuple[Floats, Floats]:
    _check(probabilities, truth)
    return probabilities.max(1), (probabilities.argmax(1) == truth).astype(np.float64)


def _bin_of(confidence: Floats, bins: int) -> Ints:
    """Right-closed bins, as Guo et al. have them."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def _check(rows: Floats, truth: Ints) -> None:
    if rows.ndim != 2 or truth.shape != rows.shape[:1] or not len(truth):
        raise ValueError(f"needs rows by labels and one truth for each row, not {rows.shape} and {truth.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("holds values that are not finite")
    if truth.min() < 0 or truth.max() >= rows.shape[1]:
        raise ValueError(f"truth must be 0 to {rows.shape[1] - 1}")
