"""Arousal, valence and dominance by ridge regression on descriptions of recordings, each with a penalty of its own.

Source: Hoerl, Kennard 1970, Ridge regression: biased estimation for nonorthogonal problems, Technometrics 12:55–67.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thymos.encoder.discriminant import Floats, standardising
from thymos.scoring.agreement import agreement

PENALTIES = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01)
"""What a penalty is chosen among; of equals, the first. Beside the mean squared error of standardised descriptors."""
USUAL_PENALTY = 10.0
"""Where there is nothing to choose on."""
LEAST_KNOWN = 2
"""Values that a regression, or a choice among penalties, needs."""


@dataclass(frozen=True)
class Ridge:
    """A linear reading of standardised descriptions.

    Attributes:
        mean: of each descriptor over the training part: float64, shape ``(descriptors,)``.
        spread: its standard deviation.
        weights: shape ``(descriptors, dimensions)``.
        bias: shape ``(dimensions,)``; NaN of a dimension of which no value was known.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def values(self, descriptions: Floats) -> NDArray[np.float64]:
        """Return the values of ``descriptions`` (…, descriptors): shape ``(…, dimensions)``."""
        values: NDArray[np.float64] = (descriptions - self.mean) / self.spread @ self.weights + self.bias
        return values


def fit_ridge(
    descriptions: Floats,
    values: NDArray[np.float64],
    penalties: Sequence[float],
    shares: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
) -> Ridge:
    """Fit a regression to recordings in several versions, each a recording of its own; what is not told does not count.

    The weighted mean squared error of a dimension, plus its penalty times the squared length of its weights, is least.

    Args:
        descriptions: shape ``(versions, recordings, descriptors)``.
        values: shape ``(recordings, dimensions)``; NaN where a value is not known.
        penalties: of each dimension.
        shares: how much each version counts, shape ``(versions,)``; their sum is 1.
        weights: how much each recording counts, shape ``(recordings,)``; all alike if None.
    """
    counted = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    mean, spread = standardising(descriptions, shares, counted)
    found, bias = np.zeros((len(mean), values.shape[1])), np.full(values.shape[1], np.nan)
    for known, columns in _alike(values):
        if not known.any():
            continue
        own = counted[known] / counted[known].sum()
        rows = np.concatenate([(version[known] - mean) / spread for version in descriptions])
        truth = np.tile(values[known][:, columns], (len(descriptions), 1))
        each = np.concatenate([share * own for share in shares])
        middle, level = each @ rows, each @ truth
        scaled = (rows - middle) * np.sqrt(each)[:, None]
        found[:, columns] = _solved(scaled, (truth - level) * np.sqrt(each)[:, None], [penalties[at] for at in columns])
        bias[columns] = level - middle @ found[:, columns]
    return Ridge(mean, spread, found, bias)


def choose_penalties(
    splits: Sequence[tuple[Floats, NDArray[np.float64], Floats, NDArray[np.float64]]],
) -> tuple[float, ...]:
    """Return for each dimension the penalty of the best CCC, the mean over inner splits.

    Args:
        splits: of each, descriptions as recorded ``(recordings, descriptors)`` and values ``(recordings, dimensions)``
            of what is fitted to, and of what is held out. At least one.
    """
    dimensions = splits[0][1].shape[1]
    sums, counts = np.zeros((dimensions, len(PENALTIES))), np.zeros(dimensions)
    for fitted, values, held_out, truth in splits:
        every = np.repeat(values, len(PENALTIES), axis=1)
        ridge = fit_ridge(fitted[None], every, PENALTIES * dimensions, np.ones(1))
        said = ridge.values(held_out).reshape(len(held_out), dimensions, len(PENALTIES))
        for at in range(dimensions):
            known = np.isfinite(truth[:, at])
            if known.sum() < LEAST_KNOWN or np.isfinite(values[:, at]).sum() < LEAST_KNOWN:
                continue
            sums[at] += [agreement(truth[known, at], said[known, at, place])["ccc"] for place in range(len(PENALTIES))]
            counts[at] += 1
    best = [PENALTIES[int(own.argmax())] for own in sums]
    return tuple(penalty if count else USUAL_PENALTY for penalty, count in zip(best, counts, strict=True))


def _alike(values: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.bool_], list[int]]]:
    """Yield the rows that are known in some of the dimensions, and which dimensions these are."""
    known = np.isfinite(values)
    groups: dict[bytes, list[int]] = {}
    for at in range(values.shape[1]):
        groups.setdefault(known[:, at].tobytes(), []).append(at)
    for columns in groups.values():
        yield known[:, columns[0]], columns


def _solved(rows: NDArray[np.float64], truth: NDArray[np.float64], penalties: Sequence[float]) -> NDArray[np.float64]:
    """Return the weights, shape ``(descriptors, dimensions)``; in the smaller of both spaces, which is the same."""
    from scipy.linalg import solve

    fewer_rows = len(rows) < rows.shape[1]
    products = rows @ rows.T if fewer_rows else rows.T @ rows
    given = truth if fewer_rows else rows.T @ truth
    weights = np.zeros((rows.shape[1], truth.shape[1]))
    for penalty in dict.fromkeys(penalties):
        own = [at for at, other in enumerate(penalties) if other == penalty]
        found = solve(products + penalty * np.eye(len(products)), given[:, own], assume_a="pos")
        weights[:, own] = rows.T @ found if fewer_rows else found
    return weights
