"""A linear discriminant on descriptions of recordings: class means and one covariance, shrunk.

Sources: Fisher 1936, The use of multiple measurements in taxonomic problems; Friedman 1989, Regularized discriminant
analysis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

SHRINKAGE = 0.3
TOO_SURE = 10.0
"""How many times too large the logits of many descriptors are, by the temperature that corpora left out ask for."""
LEAST_SPREAD = 1e-6
"""Keeps what never varies from being divided by 0, and recordings of one a class from a singular covariance."""

Floats = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True)
class Discriminant:
    """A linear decision on standardised descriptions.

    Attributes:
        mean: of each descriptor over the training part: float64, shape ``(descriptors,)``.
        spread: its standard deviation.
        weights: shape ``(descriptors, classes)``.
        bias: shape ``(classes,)``.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, descriptions: Floats) -> NDArray[np.float64]:
        """Return the logits of ``descriptions`` (…, descriptors): shape ``(…, classes)``."""
        logits: NDArray[np.float64] = (descriptions - self.mean) / self.spread @ self.weights + self.bias
        return logits

    def among(self, classes: Sequence[int]) -> "Discriminant":
        """Return the decision among some of the classes alone, in their order."""
        return replace(self, weights=self.weights[:, list(classes)], bias=self.bias[list(classes)])

    def leaning(self, priors: Sequence[float]) -> "Discriminant":
        """Return the decision where each class is so many times as likely beforehand as others: shape ``(classes,)``.

        What is ``TOO_SURE`` of what it hears has to be as sure of what it knows.
        """
        return replace(self, bias=self.bias + TOO_SURE * np.log(priors))


def fit_discriminant(
    descriptions: Floats,
    targets: NDArray[np.int64],
    shares: NDArray[np.float64],
    shrinkage: float = SHRINKAGE,
    weights: NDArray[np.float64] | None = None,
) -> Discriminant:
    """Fit a linear discriminant with equal priors to recordings in several versions, each a recording of its own.

    The covariance is the mean over classes of how recordings lie about their class's mean, shrunk towards a multiple of
    the identity.

    Args:
        descriptions: shape ``(versions, recordings, descriptors)``.
        targets: class of each recording, shape ``(recordings,)``; every class from 0 to the last occurs.
        shares: how much each version counts, shape ``(versions,)``; their sum is 1.
        shrinkage: 0 to 1.
        weights: how much each recording counts, shape ``(recordings,)``; all alike if None.
    """
    counted = np.ones(len(targets)) if weights is None else np.asarray(weights, np.float64)
    mean, spread = standardising(descriptions, shares, counted)
    covariance = np.zeros((len(mean), len(mean)))
    means = []
    classes = range(int(targets.max()) + 1)
    for label in classes:
        of_class = targets == label
        own = counted[of_class] / counted[of_class].sum()
        standard = [(version[of_class] - mean) / spread for version in descriptions]
        means.append(sum(share * (own @ rows) for share, rows in zip(shares, standard, strict=True)))
        # All versions in one product: of few recordings, adding up the covariance is what takes long.
        spread_out = np.concatenate(
            [
                (rows - means[-1]) * np.sqrt(share * own / len(classes))[:, None]
                for share, rows in zip(shares, standard, strict=True)
            ]
        )
        covariance += spread_out.T @ spread_out
    centres = np.stack(means)
    level = shrinkage * np.trace(covariance) / len(mean) + LEAST_SPREAD
    directions = np.linalg.solve((1 - shrinkage) * covariance + level * np.eye(len(mean)), centres.T)
    return Discriminant(mean, spread, directions, -np.einsum("cd,dc->c", centres, directions) / 2)


def without_classes(
    descriptions: Floats, shares: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> Discriminant:
    """Return a decision among no classes, whose descriptions are standardised as those of ``fit_discriminant``."""
    recordings = descriptions.shape[1]
    counted = np.ones(recordings) if weights is None else np.asarray(weights, np.float64)
    mean, spread = standardising(descriptions, shares, counted)
    return Discriminant(mean, spread, np.zeros((len(mean), 0)), np.zeros(0))


def standardising(
    descriptions: Floats, shares: NDArray[np.float64], counted: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and spread of each descriptor over versions and recordings, each of shape ``(descriptors,)``.

    Args:
        descriptions: shape ``(versions, recordings, descriptors)``.
        shares: how much each version counts.
        counted: how much each recording counts.
    """
    mean = _weighted(descriptions, shares, counted)
    variance = _weighted(np.square(descriptions - mean.astype(descriptions.dtype)), shares, counted)
    return mean, np.sqrt(variance) + LEAST_SPREAD


def centred(descriptions: Floats, groups: Sequence[str]) -> Floats:
    """Return ``descriptions`` (versions, recordings, descriptors) less the mean of their group, in each version apart.

    A voice at another speed is another voice. What is fitted to descriptions that are centred on their speaker decides
    on descriptions that are.

    Args:
        descriptions: what is centred.
        groups: of each recording, such as its speaker.
    """
    names = np.array(groups)
    result = descriptions.copy()
    for name in set(groups):
        own = names == name
        result[:, own] -= descriptions[:, own].mean(1, dtype=np.float64, keepdims=True).astype(descriptions.dtype)
    return result


def _weighted(descriptions: Floats, shares: NDArray[np.float64], counted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over versions and recordings: shape ``(descriptors,)``."""
    mean: NDArray[np.float64] = shares @ np.stack([counted @ version for version in descriptions]) / counted.sum()
    return mean
