"""Chroma: the power in each step of the octave, as a batched torch module. librosa is its reference, in the tests."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_LOWEST_A_HZ = 27.5
"""A0 where A4 is 440 Hz. Tuning is never estimated, so a picture does not hinge on an estimate from its own sound."""
_CENTRE_OCTAVE = 5.0
_OCTAVE_WIDTH = 2.0


def chroma_filterbank(rate_hz: int, n_fft: int, n_chroma: int) -> NDArray[np.float64]:
    """Return Gaussian filters around each step of the octave, from C: shape ``(n_chroma, n_fft // 2 + 1)``.

    Every bin's weights have norm 1, then fall with its distance from the fifth octave (Ellis, "Chroma feature analysis
    and synthesis", Columbia University, 2007; ``librosa.filters.chroma`` with tuning 0).
    """
    bins_hz = np.arange(1, n_fft // 2 + 2) * rate_hz / n_fft
    steps = n_chroma * np.log2(bins_hz / _LOWEST_A_HZ)
    # 0 Hz has no pitch; 1.5 octaves below the first bin it becomes so broad that it favours no step.
    steps = np.concatenate([[steps[0] - 1.5 * n_chroma], steps])
    widths = np.maximum(np.diff(steps), 1.0)
    steps = steps[:-1]
    half = n_chroma // 2
    distances = np.remainder(steps - np.arange(n_chroma)[:, None] + half, n_chroma) - half
    bumps = np.exp(-0.5 * (2 * distances / widths) ** 2)
    bumps /= np.linalg.norm(bumps, axis=0)
    bumps *= np.exp(-0.5 * ((steps / n_chroma - _CENTRE_OCTAVE) / _OCTAVE_WIDTH) ** 2)
    from_c: NDArray[np.float64] = np.roll(bumps, -3 * (n_chroma // 12), axis=0)
    return from_c


class Chroma(nn.Module):
    """Chroma of a power spectrogram, each frame's strongest step being 1; silent frames stay 0.

    ``(batch, n_fft // 2 + 1, frames) -> (batch, steps, frames), 0 to 1``. As ``librosa.feature.chroma_stft`` with
    tuning 0.
    """

    filters: Tensor

    def __init__(self, rate_hz: int, n_fft: int, n_chroma: int = 12):
        super().__init__()
        filters = chroma_filterbank(rate_hz, n_fft, n_chroma)
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)

    def forward(self, power: Tensor) -> Tensor:
        """Return the chroma of ``power``."""
        chroma = self.filters @ power
        strongest = chroma.amax(dim=-2, keepdim=True)
        return chroma / torch.where(strongest < torch.finfo(chroma.dtype).tiny, 1.0, strongest)
