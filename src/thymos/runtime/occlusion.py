"""Sound with regions of time and frequency taken out, in such a way that it stays sound.

A region is not cut out: its Fourier magnitudes are brought down to what the recording itself has where it is quiet, at
each frequency, and phases stay. Holes of digital silence would be unlike anything that a model has heard, and it would
answer the hole, not the loss.

Sources: Zeiler & Fergus (2014), Visualizing and Understanding Convolutional Networks, ECCV (occlusion); Allen & Rabiner
(1977), A Unified Approach to Short-Time Fourier Analysis and Synthesis, Proc. IEEE 65(11) (overlap-add).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thymos.audio import Samples

QUIET_QUANTILE = 0.1
"""Each frequency's quiet level is this quantile of its magnitudes over the recording."""
_WINDOW_S = 0.064
_OVERLAP = 4
"""Frames that cover each sample: squared Hann windows then add up to a constant."""

Mask = NDArray[np.bool_]
"""Which regions of a grid: shape ``(bands, columns)``, the lowest band first."""
Edges = NDArray[np.float64]
"""Where columns (s) or bands (Hz) begin and end: ascending, one more than there are of them."""


@dataclass(frozen=True)
class ComplexSpectrogram:
    """Windowed Fourier transforms of a sound, from which it can be put together again.

    Attributes:
        values: complex, shape ``(frames, bins)``; frame t is centred at sample ``t * hop``.
        rate_hz: of the sound.
        samples: length of the sound.
    """

    values: NDArray[np.complex128]
    rate_hz: int
    samples: int

    @property
    def n_fft(self) -> int:
        """Samples of a frame."""
        return _n_fft(self.rate_hz)

    @property
    def hop(self) -> int:
        """Samples from frame to frame."""
        return self.n_fft // _OVERLAP

    @property
    def times_s(self) -> NDArray[np.float64]:
        """The middle of each frame, s: shape ``(frames,)``."""
        return np.arange(len(self.values)) * self.hop / self.rate_hz

    @property
    def bins_hz(self) -> NDArray[np.float64]:
        """The frequency of each bin, Hz: shape ``(bins,)``."""
        return np.arange(self.values.shape[1]) * self.rate_hz / self.n_fft


def complex_spectrogram(samples: Samples, rate_hz: int) -> ComplexSpectrogram:
    """Return the short-time Fourier transform of ``samples``, shape ``(samples,)``, by Hann windows of about 64 ms."""
    n_fft = _n_fft(rate_hz)
    hop = n_fft // _OVERLAP
    frames = -(-len(samples) // hop) + 1
    padded = np.zeros((frames - 1) * hop + n_fft)
    padded[n_fft // 2 : n_fft // 2 + len(samples)] = samples
    cut = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    return ComplexSpectrogram(np.fft.rfft(cut * _hann(n_fft), axis=1), rate_hz, len(samples))


class Occluder:
    """One recording, and what it would be without some regions of a grid."""

    def __init__(self, samples: Samples, rate_hz: int, times_s: Edges, bands_hz: Edges):
        """Take ``samples``, shape ``(samples,)``, and the edges of the grid's columns, s, and bands, Hz."""
        self._samples = samples.astype(np.float64)
        self.spectrogram = complex_spectrogram(samples, rate_hz)
        self._columns = interval_of(self.spectrogram.times_s, times_s)
        self._bands = interval_of(self.spectrogram.bins_hz, bands_hz)
        magnitudes = np.abs(self.spectrogram.values)
        quiet = np.quantile(magnitudes, QUIET_QUANTILE, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            gains = np.where(magnitudes > quiet, quiet / magnitudes, 1.0)
        # What taking a bin out takes away: so that a mask needs no transform but of the frames that it touches.
        self._excess = self.spectrogram.values * (1 - gains)

    def without(self, mask: Mask) -> Samples:
        """Return the recording with the regions of ``mask`` brought down to its quiet level: shape ``(samples,)``."""
        n_fft, hop = self.spectrogram.n_fft, self.spectrogram.hop
        some = np.asarray(mask.any(axis=0))
        touched = np.flatnonzero(some[self._columns])
        excess = np.where(mask[self._bands][:, self._columns[touched]].T, self._excess[touched], 0)
        pieces = np.fft.irfft(excess, n_fft, axis=1) * _hann(n_fft)
        taken = np.zeros((len(self._columns) - 1) * hop + n_fft)
        for frame, piece in zip(touched.tolist(), pieces, strict=True):
            taken[frame * hop : frame * hop + n_fft] += piece
        # Squared periodic Hann windows, a quarter apart, add up to 3/2.
        own = taken[n_fft // 2 : n_fft // 2 + len(self._samples)] / 1.5
        return (self._samples - own).astype(np.float32)


def interval_of(points: NDArray[np.float64], edges: Edges) -> NDArray[np.int64]:
    """Return the number of the interval between ``edges`` that each of ``points``, any shape, lies in: the same shape.

    Points beyond the ends belong to the outermost intervals.
    """
    return np.clip(np.searchsorted(edges, points, side="right") - 1, 0, len(edges) - 2).astype(np.int64)


def _n_fft(rate_hz: int) -> int:
    return int(2 ** max(5, round(float(np.log2(_WINDOW_S * rate_hz)))))


def _hann(length: int) -> NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
