"""The front end: the torch module that turns segments into the spectrograms a recipe asks for.

The mel spectrogram in decibels, mel-frequency cepstral coefficients, their deltas and chroma; librosa is their
reference, in the tests.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from thymos.audio.mel_scale import mel_filterbank
from thymos.cnn.recipe import FeatureSettings, SoundSettings
from thymos.errors import RecipeError


class PowerSpectrogram(nn.Module):
    """Squared magnitude of the short-time Fourier transform: Hann window, frames centred, zeros beyond the ends.

    ``(batch, samples) -> (batch, n_fft // 2 + 1, 1 + samples // hop)``
    """

    window: Tensor

    def __init__(self, n_fft: int, hop: int):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        # Computed in double precision: a window rounded at every step costs the faint bands 1e-3 dB.
        window = torch.hann_window(n_fft, dtype=torch.float64).float()
        self.register_buffer("window", window, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the power of ``samples``."""
        # As for ONNX, which knows no complex numbers; torch.onnx itself takes a third of a second to be asked.
        tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        spectrum = torch.stft(
            samples,
            self.n_fft,
            self.hop,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=not tracing,
        )
        real, imaginary = spectrum.unbind(-1) if tracing else (spectrum.real, spectrum.imag)
        return real.square() + imaginary.square()


class LogMel(nn.Module):
    """Mel spectrogram in dB relative to 1, no lower than ``top_db`` under each spectrogram's own maximum.

    ``(batch, samples), full scale ±1 -> (batch, mels, frames), dB``. As ``librosa.power_to_db`` of
    ``librosa.feature.melspectrogram``.
    """

    filters: Tensor

    def __init__(
        self,
        rate_hz: int,
        n_fft: int = 2048,
        hop: int = 1024,
        n_mels: int = 128,
        fmin_hz: float = 0.0,
        fmax_hz: float | None = None,
        top_db: float | None = 80.0,
    ):
        super().__init__()
        self.power = PowerSpectrogram(n_fft, hop)
        self.top_db = top_db
        filters = mel_filterbank(rate_hz, n_fft, n_mels, fmin_hz, fmax_hz)
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the spectrograms of ``samples``."""
        return power_to_db(self.filters @ self.power(samples), self.top_db)


def power_to_db(power: Tensor, top_db: float | None = 80.0) -> Tensor:
    """Return ``power`` (batch, bands, frames) in dB relative to 1, at least 1e-10 and within ``top_db`` of the top."""
    decibels = 10 * torch.log10(power.clamp(min=1e-10))
    if top_db is None:
        return decibels
    return torch.maximum(decibels, decibels.amax(dim=(-2, -1), keepdim=True) - top_db)


DELTA_WIDTH = 9
"""Frames that each delta is fitted to."""
_LOWEST_A_HZ = 27.5
"""A0 where A4 is 440 Hz. Tuning is never estimated, so no spectrogram hinges on an estimate from its own sound."""
_CENTRE_OCTAVE = 5.0
_OCTAVE_WIDTH = 2.0


def front_end(sound: SoundSettings, features: FeatureSettings) -> nn.Module:
    """Return the module ``(batch, samples) -> (batch, channels, bands, frames)``.

    ========================= ========== ========== ==========================================
    kind                      channels   bands      values
    ========================= ========== ========== ==========================================
    ``mel``                   1          n_mels     dB
    ``mfcc``                  3 or 1     n_mfcc     coefficients of dB; their deltas per frame
    ``chroma``                1          n_chroma   0 to 1
    ``mel_mfcc_chroma``       3          n_mels     see ``MelMfccChroma``
    ========================= ========== ========== ==========================================

    Raises:
        RecipeError: a segment has too few frames for deltas.
    """
    if features.kind == "chroma":
        chroma = Chroma(sound.rate_hz, features.n_fft, features.n_chroma)
        return nn.Sequential(PowerSpectrogram(features.n_fft, features.hop), chroma, _one_channel(features.n_chroma))
    mel = LogMel(
        sound.rate_hz,
        features.n_fft,
        features.hop,
        features.n_mels,
        features.fmin_hz,
        features.fmax_hz,
        features.top_db,
    )
    if features.kind == "mel":
        return nn.Sequential(mel, _one_channel(features.n_mels))
    cepstrum = Cepstrum(features.n_mfcc, features.n_mels)
    if features.kind == "mel_mfcc_chroma":
        return MelMfccChroma(mel, cepstrum, Chroma(sound.rate_hz, features.n_fft, features.n_chroma))
    if not features.deltas:
        return nn.Sequential(mel, cepstrum, _one_channel(features.n_mfcc))
    frames = features.frames(sound.window)
    if frames < DELTA_WIDTH:
        raise RecipeError(f"segments have {frames} frames, and deltas need {DELTA_WIDTH}: lengthen sound.window_s")
    return nn.Sequential(mel, cepstrum, WithDeltas())


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
    """A spectrogram, its deltas and its delta-deltas as three channels, as ``librosa.feature.delta``.

    ``(batch, bands, frames) -> (batch, 3, bands, frames)``; at least ``DELTA_WIDTH`` frames.
    """

    kernels: Tensor

    def __init__(self) -> None:
        super().__init__()
        kernels = np.stack([delta_kernel(1), delta_kernel(2)])
        self.register_buffer("kernels", torch.from_numpy(kernels).float()[:, None], persistent=False)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return ``spectrogram`` and its deltas."""
        inner = functional.conv1d(spectrogram.flatten(0, 1)[:, None], self.kernels)
        # The highest derivative of a polynomial is constant, so a fit to the outermost frames holds for all of them.
        deltas = functional.pad(inner, (DELTA_WIDTH // 2, DELTA_WIDTH // 2), mode="replicate")
        return torch.cat([spectrogram[:, None], deltas.unflatten(0, spectrogram.shape[:2]).transpose(1, 2)], dim=1)


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


class MelMfccChroma(nn.Module):
    """Mel spectrogram, MFCC and chroma as three channels of one height and of about one scale.

    ``(batch, samples), full scale ±1 -> (batch, 3, mels, frames)``. MFCC and chroma reach the height of the mel
    spectrogram by repeating their rows. What scales them is fixed, never estimated from the data that are evaluated:
    round numbers near the mean and spread of peak-normalised speech, as 25 recordings of EMOVO showed them.
    """

    mfcc_weights: Tensor

    MEL_CENTRE_DB = -30.0
    """Mel level that becomes 0, in the mel channel and under the MFCCs."""
    MEL_SPREAD_DB = 20.0
    """Decibels that become 1 in the mel channel."""
    MFCC_SPREAD_DB = 9.0
    """What coefficient k is divided by, as ``MFCC_SPREAD_DB * sqrt(mels) / (k + 1)``.

    Coefficients fall about as 1 / (k + 1): weighting by index evens them out (Paliwal, Speech Communication 1, 1982).
    An orthonormal DCT's coefficients grow with the root of its length.
    """
    CHROMA_CENTRE = 0.5
    """Chroma that becomes 0; the range 0 to 1 becomes −1 to 1."""

    def __init__(self, mel: LogMel, cepstrum: Cepstrum, chroma: Chroma):
        super().__init__()
        self.mel, self.cepstrum, self.chroma = mel, cepstrum, chroma
        n_mfcc, self.n_mels = cepstrum.rows.shape
        weights = torch.arange(1, n_mfcc + 1) / (self.MFCC_SPREAD_DB * math.sqrt(self.n_mels))
        self.register_buffer("mfcc_weights", weights[:, None], persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the spectrograms of ``samples``."""
        power = self.mel.power(samples)
        level = power_to_db(self.mel.filters @ power, self.mel.top_db) - self.MEL_CENTRE_DB
        mfcc = self.cepstrum(level) * self.mfcc_weights
        chroma = (self.chroma(power) - self.CHROMA_CENTRE) * 2
        channels = [level / self.MEL_SPREAD_DB, repeat_rows(mfcc, self.n_mels), repeat_rows(chroma, self.n_mels)]
        return torch.stack(channels, dim=1)


def repeat_rows(spectrogram: Tensor, height: int) -> Tensor:
    """Stretch ``(batch, bands, frames)`` to ``(batch, height, frames)``: row i is row ⌊i · bands / height⌋."""
    bands = spectrogram.shape[-2]
    return spectrogram.index_select(-2, torch.arange(height, device=spectrogram.device) * bands // height)


def _one_channel(bands: int) -> nn.Module:
    return nn.Unflatten(1, (1, bands))
