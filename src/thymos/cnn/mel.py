"""The mel spectrogram in decibels, as a batched torch module. librosa is its reference, in the tests."""

import torch
from torch import Tensor, nn

from thymos.audio.mel_scale import mel_filterbank


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
