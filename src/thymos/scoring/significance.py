"""Tests of a difference between two runs, each on plain arrays: t-test over folds, McNemar, bootstrap, Holm.

Differences are always ``other`` minus ``base``, in shares of 1.

Sources:
    Nadeau & Bengio (2003), Inference for the Generalization Error, Machine Learning 52:239–281.
    Bouckaert & Frank (2004), Evaluating the Replicability of Significance Tests, PAKDD (for repeated k-fold).
    McNemar (1947), Psychometrika 12:153–157. Dietterich (1998), Neural Computation 10:1895–1923.
    Holm (1979), Scandinavian Journal of Statistics 6:65–70.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thymos.errors import ProtocolError
from thymos.scoring.metrics import BOOTSTRAP_DRAWS, Floats, Interval, bootstrap_weights, percentile_interval

ALPHA = 0.05
"""A difference is claimed at or below this p-value; intervals cover 1 − ALPHA."""


@dataclass(frozen=True)
class TTest:
    """Corrected resampled t-test over matched folds."""

    difference: float
    """Mean over folds."""
    t: float
    df: int
    p: float
    """Two-sided."""
    ci95: Interval
    """Of the difference."""


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test over matched recordings."""

    b: int
    """Recordings that only the base got right."""
    c: int
    """Recordings that only the other got right."""
    p: float
    """Two-sided."""


def corrected_t_test(differences: ArrayLike, n_train: float, n_test: float) -> TTest:
    """Corrected resampled t-test: training parts of folds overlap, so the mean of J folds varies by more than s²/J.

    Its variance is taken as ``(1/J + n_test/n_train) s²``, with J − 1 degrees of freedom (Nadeau & Bengio 2003;
    Bouckaert & Frank 2004 for repeated k-fold).

    Args:
        differences: other minus base, one per matched fold of every repeat, shape ``(J,)``.
        n_train: training clips of a fold; where folds differ in size, their mean (only ``n_test/n_train`` counts).
        n_test: test clips of a fold, likewise.

    Raises:
        ProtocolError: fewer than two folds, or no spread among them to judge by.
        ValueError: a difference that is not finite, or a size that is not positive.
    """
    from scipy import stats  # a second, and only tests need it

    values = np.asarray(differences, np.float64)
    if not np.isfinite(values).all() or n_train <= 0 or n_test <= 0:
        raise ValueError("needs finite differences and positive sizes")
    if values.size < 2:
        raise ProtocolError("a t-test needs at least two matched folds")
    if np.ptp(values) < 1e-12:
        raise ProtocolError("the difference is the same in all matched folds, so there is no spread to judge it by")
    mean, df = float(values.mean()), values.size - 1
    error = float(np.sqrt((1 / values.size + n_test / n_train) * values.var(ddof=1)))
    t = mean / error
    reach = float(stats.t.ppf(1 - ALPHA / 2, df)) * error
    return TTest(mean, t, df, float(2 * stats.t.sf(abs(t), df)), (mean - reach, mean + reach))


def mcnemar(base_right: NDArray[np.bool_], other_right: NDArray[np.bool_]) -> McNemar:
    """McNemar's test in its exact, binomial form.

    Args:
        base_right: whether the base got each recording right, shape ``(recordings,)``.
        other_right: the same of the other, in the same order.
    """
    from scipy import stats

    b, c = int((base_right & ~other_right).sum()), int((other_right & ~base_right).sum())
    return McNemar(b, c, float(stats.binomtest(b, b + c).pvalue) if b + c else 1.0)


def bootstrap_difference(
    base_counts: Floats, other_counts: Floats, seed: int = 0, draws: int = BOOTSTRAP_DRAWS
) -> Interval:
    """Return the 95 % percentile interval of the accuracy difference, resampling recordings with replacement.

    Args:
        base_counts: right decisions and decisions of each recording, shape ``(recordings, 2)``.
        other_counts: the same of the other run, recordings in the same order.
        seed: of the draws.
        draws: how many.
    """
    drawn = []
    for weights in bootstrap_weights(len(base_counts), np.random.default_rng(seed), draws):
        base, other = weights @ base_counts, weights @ other_counts
        drawn.append(other[:, 0] / other[:, 1] - base[:, 0] / base[:, 1])
    return percentile_interval(drawn)


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values adjusted by Holm's step-down method (Holm 1979), in the order given, shape ``(tests,)``.

    Rejecting where the adjusted value is at most α keeps the chance of any false rejection at most α.

    Raises:
        ValueError: something is not a p-value.
    """
    p = np.asarray(p_values, np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1)
    return adjusted
