"""What a model makes of each moment of a window that it has heard once: a finer grid than that of windows, at no cost.

A moment is judged by the states around it alone, ``POOLED_S`` long, as if they were a recording of their own.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOMENT_S = 0.25
"""From one moment to the next."""
POOLED_S = 2.0
"""Chosen on AESDD's and EMOVO's first speakers (``benchmarks/change_points.py``): shorter parts swing."""

Parts = NDArray[np.int64]
"""First frame, and frame after the last, of each moment's part: shape ``(moments, 2)``."""


class Moments(NamedTuple):
    """Moments evenly spread over some samples.

    Attributes:
        number: how many.
        share: how much of the samples each is judged by.
    """

    number: int
    share: float

    def parts_of(self, frames: int) -> Parts:
        """Return the frames around each moment; parts at the edges are as long as the others."""
        length = min(frames, max(1, round(frames * self.share)))
        middles = (np.arange(self.number) + 0.5) * frames / self.number
        first = np.clip(np.round(middles - length / 2).astype(np.int64), 0, frames - length)
        return np.stack([first, first + length], axis=1)


def moments_in(duration_s: float) -> Moments:
    """Return the moments of a window of ``duration_s``, at least one."""
    return Moments(max(1, round(duration_s / MOMENT_S)), min(1.0, POOLED_S / duration_s))


def means_of(values: NDArray[np.floating], parts: Parts) -> NDArray[np.float64]:
    """Return the mean of ``values`` (frames, n) in each of ``parts``: shape ``(moments, n)``."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    means: NDArray[np.float64] = (sums[parts[:, 1]] - sums[parts[:, 0]]) / (parts[:, 1] - parts[:, 0])[:, None]
    return means


def descriptions_of(states: NDArray[np.float32], layers: int, parts: Parts) -> NDArray[np.float64]:
    """Return the description of each of ``parts``: layer by layer the mean of the states, then their deviation.

    Args:
        states: of all layers, shape ``(frames, layers * width)``.
        layers: how many there are.
        parts: see ``Moments``.

    Returns:
        Shape ``(moments, 2 * layers * width)``.
    """
    means = means_of(states, parts)
    squares = means_of(np.square(states, dtype=np.float64), parts)
    deviations = np.sqrt(np.maximum(0, squares - np.square(means)))
    shape = (len(parts), layers, -1)
    return np.stack([means.reshape(shape), deviations.reshape(shape)], axis=2).reshape(len(parts), -1)
