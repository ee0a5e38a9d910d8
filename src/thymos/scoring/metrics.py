"""Scores from confusion counts: accuracy, UAR, macro-F1, recall and precision, with bootstrap intervals.

Every score is a function of a confusion matrix (rows truth, columns prediction), so a bootstrap over recordings only
has to resample the recordings' own matrices and add them up.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

METRICS = ("accuracy", "uar", "macro_f1")
BOOTSTRAP_DRAWS = 2000
_DRAWS_AT_ONCE = 250  # bounds memory: draws × recordings × 8 bytes


def confusion(truth: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> Counts:
    """Return counts, shape ``(classes, classes)``: rows truth, columns prediction."""
    counts = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(counts, (truth, predicted), 1)
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


def bootstrap_interval(counts_per_group: Counts, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Return 95 % percentile intervals of accuracy, UAR and macro-F1, resampling groups with replacement.

    Args:
        counts_per_group: shape ``(groups, classes, classes)``: each recording's own confusion matrix.
        seed: of the draws.
    """
    groups, n_classes, _ = counts_per_group.shape
    flat = counts_per_group.reshape(groups, -1).astype(np.float64)
    random = np.random.default_rng(seed)
    drawn: dict[str, list[Floats]] = {name: [] for name in METRICS}
    for _ in range(BOOTSTRAP_DRAWS // _DRAWS_AT_ONCE):
        weights = random.multinomial(groups, np.full(groups, 1 / groups), size=_DRAWS_AT_ONCE)
        resampled = (weights @ flat).reshape(-1, n_classes, n_classes)
        for name, values in _stacked_scores(resampled).items():
            drawn[name].append(values)
    intervals = {}
    for name, parts in drawn.items():
        low, high = np.percentile(np.concatenate(parts), [2.5, 97.5])
        intervals[name] = (float(low), float(high))
    return intervals


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the sample standard deviation (n − 1); None where there is one value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def _stacked_scores(counts: Floats) -> dict[str, Floats]:
    """Scores of many matrices, shape ``(n, classes, classes)``. Classes without a recording do not count."""
    recall, _, f1 = _class_scores(counts)
    total = counts.sum((1, 2))
    correct = np.trace(counts, axis1=1, axis2=2)
    return {
        "accuracy": correct / np.maximum(total, 1),
        "uar": np.nanmean(recall, axis=1),
        "macro_f1": np.nanmean(f1, axis=1),
    }


def _class_scores(counts: Floats) -> tuple[Floats, Floats, Floats]:
    """Recall, precision and F1 of each class, shape ``(n, classes)``; recall and F1 are NaN where no truth is."""
    hits = np.diagonal(counts, axis1=1, axis2=2)
    truths, predictions = counts.sum(2), counts.sum(1)
    recall = np.where(truths > 0, hits / np.maximum(truths, 1), np.nan)
    precision = hits / np.maximum(predictions, 1)
    f1 = np.where(truths > 0, 2 * hits / np.maximum(truths + predictions, 1), np.nan)
    return recall, precision, f1
