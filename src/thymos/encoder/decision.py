"""A linear decision on standardised descriptions of recordings, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thymos.encoder.voice_statistics import SPREADS

Descriptions = NDArray[np.float32]
"""Shape ``(versions, recordings, descriptors)``: every speed, then distorted copies."""
LEAST_SPREAD = 1e-6
"""Keeps what never varies from being divided by 0."""


@dataclass(frozen=True)
class Discriminant:
    """A linear decision on standardised descriptions.

    Attributes:
        mean: of each descriptor over the training part: shape ``(descriptors,)``.
        spread: its standard deviation.
        weights: shape ``(descriptors, classes)``.
        bias: shape ``(classes,)``.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def standardise(self, descriptions: Descriptions) -> NDArray[np.float64]:
        """Return ``descriptions`` (…, descriptors) of about mean 0 and standard deviation 1, by tanh within bounds."""
        standard: NDArray[np.float64] = SPREADS * np.tanh((descriptions - self.mean) / (self.spread * SPREADS))
        return standard

    def logits(self, descriptions_file: Path, rows: Sequence[int], speeds: int) -> NDArray[np.float64]:
        """Return the mean logits of some recordings over the first speeds: ``(rows, classes)``."""
        descriptions: Descriptions = np.load(descriptions_file, mmap_mode="r")[:speeds, list(rows)]
        of_each: NDArray[np.float64] = self.standardise(descriptions) @ self.weights + self.bias
        mean: NDArray[np.float64] = of_each.mean(0)
        return mean

    def among(self, classes: Sequence[int]) -> "Discriminant":
        """Return the decision among some of the classes alone, in their order."""
        return replace(self, weights=self.weights[:, list(classes)], bias=self.bias[list(classes)])


def fit_to_versions(
    descriptions: Descriptions, targets: NDArray[np.int64], shares: NDArray[np.float64], shrinkage: float
) -> Discriminant:
    """Fit a linear discriminant with equal priors to recordings in several versions, each a recording of its own.

    The covariance is the mean over classes of how recordings lie about their class's mean, shrunk towards a multiple of
    the identity.

    Args:
        descriptions: shape ``(versions, recordings, descriptors)``.
        targets: class of each recording, shape ``(recordings,)``; every class occurs.
        shares: how much each version counts, shape ``(versions,)``; their sum is 1.
        shrinkage: 0 to 1.
    """
    mean = shares @ descriptions.mean(1, dtype=np.float64)
    spread = np.sqrt(shares @ np.square(descriptions - mean).mean(1)) + LEAST_SPREAD
    shape = Discriminant(mean, spread, np.empty(0), np.empty(0))
    means, covariance = [], np.zeros((len(mean), len(mean)))
    classes = np.unique(targets)
    for label in classes:
        own = shape.standardise(descriptions[:, targets == label])
        means.append(shares @ own.mean(1))
        weighted = (own - means[-1]) * np.sqrt(shares / own.shape[1])[:, None, None]
        flat = weighted.reshape(-1, len(mean))
        covariance += flat.T @ flat / len(classes)
    return _decide(shape, np.stack(means), covariance, shrinkage)


def fit_across_corpora(
    descriptions: Descriptions, targets: NDArray[np.int64], corpora: Sequence[str], shrinkage: float
) -> Discriminant:
    """Fit a linear discriminant to recordings of several corpora, each counting as much as any other.

    Means and spreads are the mean over corpora; so is the mean of a class, over the corpora that have it. The
    covariance is the mean over all classes of all corpora of how recordings lie about their class's mean, so what
    corpora do differently counts as noise. It is shrunk towards a multiple of the identity.

    Args:
        descriptions: shape ``(versions, recordings, descriptors)``.
        targets: class of each recording, shape ``(recordings,)``; every class occurs.
        corpora: whose each recording is.
        shrinkage: 0 to 1.
    """
    names = np.array(corpora)
    groups = [np.flatnonzero(names == name) for name in sorted(set(corpora))]

    def of(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return descriptions[:, rows].reshape(-1, descriptions.shape[2]).astype(np.float64)

    mean = np.mean([of(rows).mean(0) for rows in groups], axis=0)
    spread = np.sqrt(np.mean([np.square(of(rows) - mean).mean(0) for rows in groups], axis=0)) + LEAST_SPREAD
    shape = Discriminant(mean, spread, np.empty(0), np.empty(0))
    cells: dict[int, list[NDArray[np.float64]]] = {}
    for rows in groups:
        for label in np.unique(targets[rows]).tolist():
            standard = shape.standardise(of(rows[targets[rows] == label]).astype(np.float32))
            cells.setdefault(label, []).append(standard)
    means = np.stack([np.mean([cell.mean(0) for cell in cells[label]], axis=0) for label in sorted(cells)])
    covariance = np.zeros((len(mean), len(mean)))
    for label, own in cells.items():
        for cell in own:
            covariance += (cell - means[label]).T @ (cell - means[label]) / len(cell)
    covariance /= sum(map(len, cells.values()))
    return _decide(shape, means, covariance, shrinkage)


def _decide(
    shape: Discriminant, means: NDArray[np.float64], covariance: NDArray[np.float64], shrinkage: float
) -> Discriminant:
    """Return the discriminant of classes with these means, ``(classes, descriptors)``, and one covariance."""
    # No spread at all, as of single recordings, is still no certainty.
    identity = np.eye(len(covariance)) * max(np.trace(covariance) / len(covariance), LEAST_SPREAD)
    weights: NDArray[np.float64] = np.linalg.solve((1 - shrinkage) * covariance + shrinkage * identity, means.T)
    return replace(shape, weights=weights, bias=-0.5 * (means.T * weights).sum(0))
