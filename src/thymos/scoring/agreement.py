"""Do values agree with the truth? Concordance and correlation coefficient, and mean absolute error, with intervals.

Each is a function of sums over recordings (moments), so a bootstrap over recordings only has to add up the recordings'
own moments, as that of ``metrics`` adds up their confusion matrices.

Sources:
    Lin (1989), A Concordance Correlation Coefficient to Evaluate Reproducibility, Biometrics 45:255–268 (CCC, with
    variances and covariance over n, not n − 1).
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from thymos.labels import DIMENSIONS
from thymos.scoring.metrics import Floats, bootstrap_weights, mean_and_sd, percentile_interval
from thymos.scoring.predictions import predicted_column, true_column

AGREEMENTS = ("ccc", "pearson", "mae")


def agreement(truth: Floats, predicted: Floats) -> dict[str, float]:
    """Return CCC, Pearson's correlation and mean absolute error of ``predicted``; both of shape ``(rows,)``.

    CCC is 2 s_xy / (s_x² + s_y² + (x̄ − ȳ)²). Where nothing varies, CCC and correlation are 0: nothing is shown.

    Raises:
        ValueError: no rows, shapes that do not fit, or a value that is not finite.
    """
    truth, predicted = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if truth.shape != predicted.shape or truth.ndim != 1 or not len(truth):
        raise ValueError(f"needs one predicted value for each true one, not {predicted.shape} and {truth.shape}")
    if not (np.isfinite(truth).all() and np.isfinite(predicted).all()):
        raise ValueError("holds values that are not finite")
    found = _agreements(_moments(truth, predicted).sum(0)[None])
    return {name: float(values[0]) for name, values in found.items()}


def dimension_rows(predictions: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row of ``per_dimension`` for each dimension that ``predictions`` (see ``predictions_frame``) tells.

    A recording counts once in each repeat, with the mean of its segments' values; one without a true value does not
    count, nor does a fold that could not learn the dimension.
    """
    told = [name for name in DIMENSIONS if true_column(name) in predictions]
    rows = [_dimension_row(predictions, name) for name in told]
    return [row for row in rows if row is not None]


def _dimension_row(predictions: pd.DataFrame, name: str) -> dict[str, Any] | None:
    keys, columns = ["repeat", "fold", "clip"], [true_column(name), predicted_column(name)]
    known = predictions[predictions[columns].notna().all(axis=1)]
    if known.empty:
        return None
    each = known.groupby(keys, sort=True, as_index=False)[columns].mean()
    truth, predicted = each[columns[0]].to_numpy(np.float64), each[columns[1]].to_numpy(np.float64)
    recordings = np.unique(each["clip"].to_numpy(str), return_inverse=True)[1]
    pairs, folds = np.unique(each[["repeat", "fold"]].to_numpy(np.int64), axis=0, return_inverse=True)
    folds = folds.reshape(-1)
    moments = _moments(truth, predicted)
    per_fold = [
        {
            "repeat": int(repeat),
            "fold": int(fold),
            "recordings": int((folds == place).sum()),
            **agreement(truth[folds == place], predicted[folds == place]),
        }
        for place, (repeat, fold) in enumerate(pairs)
    ]
    intervals = _intervals(moments, recordings, folds)
    row: dict[str, Any] = {"dimension": name, "recordings": int(recordings.max()) + 1, "folds": per_fold}
    for metric in AGREEMENTS:
        mean, sd = mean_and_sd([fold[metric] for fold in per_fold])
        row[metric] = {"mean": mean, "sd": sd, **intervals[metric]}
    return row | {"pooled": agreement(truth, predicted)}


def _intervals(
    moments: Floats, recordings: NDArray[np.int64], folds: NDArray[np.int64], seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return 95 % intervals of the pooled figures (``ci95``) and of their means over folds (``mean_ci95``).

    A recording is drawn for all repeats together; a fold of which a draw holds nothing does not count in that draw.
    """
    tests_of = [np.flatnonzero(folds == fold) for fold in range(int(folds.max()) + 1)]
    pooled: dict[str, list[Floats]] = {name: [] for name in AGREEMENTS}
    means: dict[str, list[Floats]] = {name: [] for name in AGREEMENTS}
    for weights in bootstrap_weights(int(recordings.max()) + 1, np.random.default_rng(seed)):
        drawn = np.stack([weights[:, recordings[tests]] @ moments[tests] for tests in tests_of])
        by_fold, of_all = _agreements(drawn.reshape(-1, moments.shape[1])), _agreements(drawn.sum(0))
        there = drawn[..., 0] > 0
        for name in AGREEMENTS:
            pooled[name].append(of_all[name])
            kept = np.where(there, by_fold[name].reshape(there.shape), 0.0)
            means[name].append(kept.sum(0) / there.sum(0))
    return {
        name: {"ci95": percentile_interval(pooled[name]), "mean_ci95": percentile_interval(means[name])}
        for name in AGREEMENTS
    }


def _moments(truth: Floats, predicted: Floats) -> Floats:
    """Return 1, x, y, x², y², xy and the absolute error of each row, less the mean of x: shape ``(rows, 7)``."""
    x, y = truth - truth.mean(), predicted - truth.mean()
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y, np.abs(x - y)], axis=1)


def _agreements(sums: Floats) -> dict[str, Floats]:
    """Return the figures of many sums of moments, shape ``(n, 7)``; of none, 0."""
    _, x, y, xx, yy, xy, error = (sums / np.maximum(sums[:, :1], 1)).T
    cross, spread_x, spread_y = xy - x * y, np.maximum(xx - x * x, 0), np.maximum(yy - y * y, 0)
    return {
        "ccc": _share(2 * cross, spread_x + spread_y + (x - y) ** 2),
        "pearson": _share(cross, np.sqrt(spread_x * spread_y)),
        "mae": error,
    }


def _share(part: Floats, whole: Floats) -> Floats:
    """Return ``part / whole``, 0 where whole is nothing but rounding."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 1e-12)
