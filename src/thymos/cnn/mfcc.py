"""Mel-frequency cepstral coefficients and their deltas, as batched torch modules. librosa is their reference."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

DELTA_WIDTH = 9
"""Frames that each delta is fitted to."""


def dct_matrix(n_out: int, n_in: int) -> NDArray[np.float64]:
    """Return the first rows of the orthonormal DCT-II: shape ``(n_out, n_in)``."""
    angles = np.pi / n_in * np.outer(np.arange(n_out), np.arange(n_in) + 0.5)
    rows: NDArray[np.float64] = math.sqrt(2 / n_in) * np.cos(angles)
    rows[0] /= math.sqrt(2)
    return rows


def delta_kernel(order: int, width: int = DELTA_WIDTH) -> NDArray[np.float64]:
    """Return the weights of ``width`` frames whose sum is the ``order``-th derivative: shape ``(width,)``.

    The derivative, per frame, of the polynomial of degree ``order`` that fits the frames best (Savitzky & Golay,
    Analytical Chemistry 36, 1964).
    """
    offsets = np.arange(width) - width // 2
    leading: NDArray[np.float64] = np.linalg.pinv(np.vander(offsets, order + 1))[0]
    return math.factorial(order) * leading


class Cepstrum(nn.Module):
    """The first coefficients of each frame's orthonormal DCT-II, as ``librosa.feature.mfcc``.

    ``(batch, mels, frames), dB -> (batch, coefficients, frames)``
    """

    rows: Tensor

    def __init__(self, n_mfcc: int, n_mels: int):
        super().__init__()
        self.register_buffer("rows", torch.from_numpy(dct_matrix(n_mfcc, n_mels)).float(), persistent=False)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Return the coefficients of ``log_mel``."""
        return self.rows @ log_mel


class WithDeltas(nn.Module):
    """A picture, its deltas and its delta-deltas as three channels, as ``librosa.feature.delta``.

    ``(batch, bands, frames) -> (batch, 3, bands, frames)``; at least ``DELTA_WIDTH`` frames.
    """

    kernels: Tensor

    def __init__(self) -> None:
        super().__init__()
        kernels = np.stack([delta_kernel(1), delta_kernel(2)])
        self.register_buffer("kernels", torch.from_numpy(kernels).float()[:, None], persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """Return ``picture`` and its deltas."""
        inner = functional.conv1d(picture.flatten(0, 1)[:, None], self.kernels)
        # The highest derivative of a polynomial is constant, so a fit to the outermost frames holds for all of them.
        deltas = functional.pad(inner, (DELTA_WIDTH // 2, DELTA_WIDTH // 2), mode="replicate")
        return torch.cat([picture[:, None], deltas.unflatten(0, picture.shape[:2]).transpose(1, 2)], dim=1)
