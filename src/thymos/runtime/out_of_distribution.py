"""Out-of-distribution input: how far an embedding lies from those of the training recordings.

Its distance is Mahalanobis's under a Gaussian whose covariance is shrunk to a few principal directions and one variance
for all the others: what probabilistic principal component analysis fits. Far from the training recordings, a network's
probabilities mean little, whatever they are; the distance tells.

Sources: Tipping & Bishop (1999), Probabilistic Principal Component Analysis, J. R. Statist. Soc. B 61(3), 611–622; Lee,
Lee, Lee & Shin (2018), A Simple Unified Framework for Detecting Out-of-Distribution Samples, NeurIPS.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.float32] | NDArray[np.float64]
"""Shape ``(recordings, E)``."""


@dataclass(frozen=True)
class EmbeddingDistribution:
    """The Gaussian of the training recordings' embeddings, and how far from its mean an embedding may lie.

    Attributes:
        table: float32, shape ``(2 + directions, E)``: the mean; then one row of which the first value is 1 / σ, σ being
            the standard deviation of all directions that are not listed; then each direction, of length 1 / its own
            standard deviation.
        threshold: the largest distance that is in distribution.
    """

    table: NDArray[np.float32]
    threshold: float

    @property
    def length(self) -> int:
        """Length of the embeddings."""
        return int(self.table.shape[1])

    def distances(self, embeddings: Embeddings) -> NDArray[np.float64]:
        """Return the distance of each of ``embeddings``, shape ``(n, E)``: shape ``(n,)``.

        It is divided by the square root of E, so that it is about 1 for the recordings that the Gaussian was fitted to.
        """
        table = self.table.astype(np.float64)
        apart = np.asarray(embeddings, np.float64) - table[0]
        directions = table[2:]
        precisions = (directions**2).sum(1)
        along = apart @ directions.T
        rest = (apart**2).sum(1) - (along**2 / precisions).sum(1)
        squared = (along**2).sum(1) + np.maximum(rest, 0) * table[1, 0] ** 2
        distances: NDArray[np.float64] = np.sqrt(squared / self.length)
        return distances

    def contains(self, embeddings: Embeddings) -> NDArray[np.bool_]:
        """Return whether each of ``embeddings``, shape ``(n, E)``, is in distribution: shape ``(n,)``."""
        inside: NDArray[np.bool_] = self.distances(embeddings) <= self.threshold
        return inside


def fit_gaussian(embeddings: Embeddings, most_directions: int) -> NDArray[np.float32]:
    """Return the table of a ``EmbeddingDistribution`` for ``embeddings``, shape ``(n, E)``.

    Args:
        embeddings: of the training recordings.
        most_directions: principal directions that get a variance of their own; fewer where there are few recordings.

    Raises:
        ValueError: fewer than 4 embeddings, or values that are not finite.
    """
    rows = np.asarray(embeddings, np.float64)
    if rows.ndim != 2 or len(rows) < 4 or not np.isfinite(rows).all():
        raise ValueError(f"needs 4 finite embeddings or more, not shape {rows.shape}")
    mean = rows.mean(0)
    _, spreads, directions = np.linalg.svd(rows - mean, full_matrices=False)
    variances = spreads**2 / (len(rows) - 1)
    least = max(float(variances.sum()) / rows.shape[1] * 1e-6, np.finfo(np.float32).tiny)
    count = min(most_directions, len(rows) // 4, rows.shape[1] - 1)
    others = max(float(variances[count:].sum()) / (rows.shape[1] - count), least)
    own = np.maximum(variances[:count], others)
    precision = np.zeros_like(mean)
    precision[0] = 1 / np.sqrt(others)
    return np.vstack([mean, precision, directions[:count] / np.sqrt(own)[:, None]]).astype(np.float32)
