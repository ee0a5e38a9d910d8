"""Scores from confusion counts: accuracy, UAR, macro-F1, recall and precision, with bootstrap intervals.

Every score is a function of a confusion matrix (rows truth, columns prediction), so a bootstrap over recordings only
has to resample the recordings' own matrices and add them up.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Interval = tuple[float, float]
Level = Literal["segment", "recording"]

METRICS = ("accuracy", "uar", "macro_f1")
BOOTSTRAP_DRAWS = 2000
_DRAWS_AT_ONCE = 250  # bounds memory: draws × recordings × 8 bytes


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> Counts:
    """Return counts, shape ``(classes, classes)``: rows truth, columns prediction."""
    counts: Counts = confusion_by_group(np.zeros(len(truth), np.int64), truth, predicted, n_classes)[0]
    return counts


def confusion_by_group(
    groups: NDArray[np.int64] | NDArray[np.str_],
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    n_classes: int,
) -> Counts:
    """Return each group's own confusion matrix, shape ``(groups, classes, classes)``, groups in sorted order.

    Args:
        groups: each row's group, such as the path of its recording, shape ``(rows,)``; at least one row.
        truth: index of the true label, shape ``(rows,)``.
        predicted: index of the predicted label, shape ``(rows,)``.
        n_classes: how many labels there are.
    """
    names, place = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), n_classes, n_classes), np.int64)
    np.add.at(counts, (place, truth, predicted), 1)
    return counts


def scores(counts: Counts | Floats) -> dict[str, float]:
    """Return accuracy, UAR and macro-F1 of one confusion matrix."""
    stacked = _stacked_scores(np.asarray(counts, np.float64)[None])
    return {name: float(values[0]) for name, values in stacked.items()}


def per_class(counts: Counts) -> list[dict[str, float]]:
    """Return support, recall, precision and F1 of each class. A class never predicted has precision 0."""
    recall, precision, f1 = _class_scores(counts[None].astype(np.float64))
    support = counts.sum(1)
    return [
        {"support": int(n), "recall": float(r), "precision": float(p), "f1": float(f)}
        for n, r, p, f in zip(support, np.nan_to_num(recall[0]), precision[0], np.nan_to_num(f1[0]), strict=True)
    ]


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the sample standard deviation (n − 1); None where there is one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


# --- bootstrap over recordings ----------------------------------------------------------------------------


def bootstrap_weights(groups: int, random: np.random.Generator, draws: int = BOOTSTRAP_DRAWS) -> Iterator[Floats]:
    """Yield how often each of ``groups`` is drawn when as many are drawn with replacement.

    Shape ``(≤ 250, groups)`` each time, ``draws`` rows in all.
    """
    even = np.full(groups, 1 / groups)
    for first in range(0, draws, _DRAWS_AT_ONCE):
        yield random.multinomial(groups, even, size=min(_DRAWS_AT_ONCE, draws - first)).astype(np.float64)


def percentile_interval(drawn: Sequence[Floats]) -> Interval:
    """Return the middle 95 % of drawn values; values that are not a number are passed over."""
    low, high = np.nanpercentile(np.concatenate(drawn), [2.5, 97.5])
    return float(low), float(high)


def bootstrap_interval(counts_per_group: Counts, seed: int = 0) -> dict[str, Interval]:
    """Return 95 % percentile intervals of accuracy, UAR and macro-F1, resampling groups with replacement.

    Args:
        counts_per_group: shape ``(groups, classes, classes)``: each recording's own confusion matrix.
        seed: of the draws.
    """
    one_fold = np.zeros(len(counts_per_group), np.int64)
    pooled, _ = bootstrap_intervals(counts_per_group, np.arange(len(counts_per_group)), one_fold, seed)
    return pooled


def bootstrap_intervals(
    counts: Counts, recordings: NDArray[np.int64], folds: NDArray[np.int64], seed: int = 0
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Return 95 % percentile intervals of the pooled scores and of the scores' means over folds, for the same draws.

    A recording that is tested once in every repeat is drawn for all of them together, so that repeats do not pass for
    more recordings. A fold of which a draw holds nothing does not count in that draw's mean.

    Args:
        counts: confusion matrix of a recording in a fold, shape ``(tests, classes, classes)``.
        recordings: number of each test's recording, 0 to recordings − 1, shape ``(tests,)``.
        folds: number of its fold, over all repeats, shape ``(tests,)``.
        seed: of the draws.
    """
    n_classes = counts.shape[-1]
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    tests_of = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    pooled: dict[str, list[Floats]] = {name: [] for name in METRICS}
    means: dict[str, list[Floats]] = {name: [] for name in METRICS}
    for weights in bootstrap_weights(int(recordings.max()) + 1, np.random.default_rng(seed)):
        drawn = np.stack([weights[:, recordings[tests]] @ flat[tests] for tests in tests_of])
        by_fold = _stacked_scores(drawn.reshape(-1, n_classes, n_classes))
        of_all = _stacked_scores(drawn.sum(0).reshape(-1, n_classes, n_classes))
        for name in METRICS:
            pooled[name].append(of_all[name])
            means[name].append(_mean_of_known(by_fold[name].reshape(len(tests_of), -1), axis=0))
    return (
        {name: percentile_interval(draws) for name, draws in pooled.items()},
        {name: percentile_interval(draws) for name, draws in means.items()},
    )


# --- many matrices at once --------------------------------------------------------------------------------


def _stacked_scores(counts: Floats) -> dict[str, Floats]:
    """Scores of many matrices, shape ``(n, classes, classes)``; NaN where a matrix is empty.

    Classes without a recording do not count.
    """
    recall, _, f1 = _class_scores(counts)
    total = counts.sum((1, 2))
    correct = np.trace(counts, axis1=1, axis2=2)
    return {
        "accuracy": np.where(total > 0, correct / np.maximum(total, 1), np.nan),
        "uar": _mean_of_known(recall, axis=1),
        "macro_f1": _mean_of_known(f1, axis=1),
    }


def _class_scores(counts: Floats) -> tuple[Floats, Floats, Floats]:
    """Recall, precision and F1 of each class, shape ``(n, classes)``; recall and F1 are NaN where no truth is."""
    hits = np.diagonal(counts, axis1=1, axis2=2)
    truths, predictions = counts.sum(2), counts.sum(1)
    recall = np.where(truths > 0, hits / np.maximum(truths, 1), np.nan)
    precision = hits / np.maximum(predictions, 1)
    f1 = np.where(truths > 0, 2 * hits / np.maximum(truths + predictions, 1), np.nan)
    return recall, precision, f1


def _mean_of_known(values: Floats, axis: int) -> Floats:
    """Mean along ``axis`` of what is a number; NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        means: Floats = np.nanmean(values, axis=axis)
    return means
