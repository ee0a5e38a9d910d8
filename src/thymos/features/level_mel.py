"""The front end of whole recordings: band levels beside the recording's own mean, as one torch module.

It is made of slices and matrix products alone, so that the same module is exported inside a shipped model's graph:
training and use cannot drift apart.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.nn import functional

from thymos.features.mel import hz_to_mel, mel_filterbank, mel_to_hz
from thymos.settings import Settings


class ChannelSettings(Settings):
    """One channel of a picture: which window, and which bands."""

    window: PositiveInt = Field(multiple_of=2)
    """Length of the Hann window in samples: short ones resolve time, long ones the harmonics of a voice."""
    scale: Literal["mel", "log"] = "mel"
    """``log``: bands of equal width in octaves, where a voice's harmonics keep their shape as its pitch moves."""
    fmin_hz: PositiveFloat = 50.0
    fmax_hz: PositiveFloat = Field(7_600.0, validate_default=True)

    @field_validator("fmax_hz")
    @classmethod
    def _lies_above_the_lowest(cls, fmax_hz: float, info: ValidationInfo) -> float:
        if not info.data.get("fmin_hz", 0) < fmax_hz:
            raise PydanticCustomError("not_above", "should be above fmin_hz")
        return fmax_hz


class LevelMelSettings(Settings):
    """From waveform to picture."""

    rate_hz: PositiveInt = 16_000
    """Sampling rate; other sound is resampled to it. The pretraining corpora have no more."""
    hop: PositiveInt = 256
    """Samples from frame to frame; a power of two, so that Fourier frames are made of whole hops."""
    channels: tuple[ChannelSettings, ...] = Field(
        (
            ChannelSettings(window=400),
            ChannelSettings(window=1024),
            ChannelSettings(window=2048, scale="log", fmin_hz=60.0, fmax_hz=1_200.0),
        ),
        min_length=1,
        validate_default=True,
    )
    n_bands: PositiveInt = Field(80, ge=8)
    """Bands of each channel."""
    floor_db: float = Field(-60.0, lt=0)
    """Levels below this, beside the recording's mean, count as this: no digital silence stands out."""
    centre_db: float = -22.0
    """Level that becomes 0; a round number near the mean of six corpora's speech."""
    spread_db: float = Field(18.0, gt=0)
    """Decibels that become 1; near their standard deviation."""

    @field_validator("hop")
    @classmethod
    def _is_a_power_of_two(cls, hop: int) -> int:
        if hop & (hop - 1):
            raise PydanticCustomError("not_a_power", "should be a power of two")
        return hop

    @field_validator("channels")
    @classmethod
    def _begin_with_mel_and_fit_the_rate(
        cls, channels: tuple[ChannelSettings, ...], info: ValidationInfo
    ) -> tuple[ChannelSettings, ...]:
        if channels[0].scale != "mel":
            raise PydanticCustomError("not_mel", "should begin with a mel channel: levels are beside its mean power")
        if max(channel.fmax_hz for channel in channels) > info.data.get("rate_hz", np.inf) / 2:
            raise PydanticCustomError("above_half_the_rate", "should have no fmax_hz above half of rate_hz")
        return channels

    @property
    def floor(self) -> float:
        """The value of a picture where it is silent."""
        return (self.floor_db - self.centre_db) / self.spread_db

    def frames(self, samples: int) -> int:
        """Width of the picture of so many samples."""
        return 1 + samples // self.hop

    def frames_in(self, seconds: float) -> int:
        """Return ``seconds`` in frames, rounded."""
        return round(seconds * self.rate_hz / self.hop)

    def band_centres_hz(self) -> NDArray[np.float64]:
        """Return the middle of each band: shape ``(channels, bands)``."""
        return np.stack([band_edges_hz(channel, self.n_bands)[1:-1] for channel in self.channels])


def band_edges_hz(channel: ChannelSettings, n_bands: int) -> NDArray[np.float64]:
    """Return the points that a channel's triangular bands begin, peak and end at: shape ``(n_bands + 2,)``."""
    if channel.scale == "log":
        return np.geomspace(channel.fmin_hz, channel.fmax_hz, n_bands + 2)
    low, high = hz_to_mel(np.array([channel.fmin_hz, channel.fmax_hz]))
    return mel_to_hz(np.linspace(low, high, n_bands + 2))


class LevelMel(nn.Module):
    """Spectrograms in dB beside the mean power of the whole input, scaled to about zero mean and unit variance.

    ``(batch, samples) -> (batch, channels, bands, frames)``. A recording's level does not matter: twice as loud gives
    the same picture. The mean is that of the first channel's power over bands and frames: silences hardly move it.
    """

    def __init__(self, settings: LevelMelSettings):
        super().__init__()
        self.settings = settings
        self.spectra = nn.ModuleList(_BandPower(settings, channel) for channel in settings.channels)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the pictures of ``samples``."""
        return self.scale(self.levels(samples))

    def levels(self, samples: Tensor) -> Tensor:
        """Return the picture in dB, before the scaling: what is kept on disk and varied in training."""
        power = torch.stack([spectrum(samples) for spectrum in self.spectra], dim=1)
        mean = power[:, 0].mean(dim=(-2, -1)).clamp(min=_LEAST_POWER)
        levels = 10 * torch.log10(power.clamp(min=_LEAST_POWER)) - 10 * torch.log10(mean)[:, None, None, None]
        return levels.clamp(min=self.settings.floor_db)

    def scale(self, levels: Tensor) -> Tensor:
        """Bring levels in dB to the scale that networks see."""
        return scale_levels(levels, self.settings)


_LEAST_POWER = 1e-12


def scale_levels(levels: Tensor, settings: LevelMelSettings) -> Tensor:
    """Bring ``levels`` (any shape, dB) to the scale that networks see, none below the floor's value."""
    return (levels.clamp(min=settings.floor_db) - settings.centre_db) / settings.spread_db


class _BandPower(nn.Module):
    """Power in bands with one window: ``(batch, samples) -> (batch, bands, frames)``, divided by the window's own.

    The Fourier transform is a product with a matrix of the bins that the bands use. A real frame's cosine part is that
    of its even half, and its sine part that of its odd half, so that each product has half the rows.
    """

    cosines: Tensor
    sines: Tensor
    filters: Tensor

    def __init__(self, settings: LevelMelSettings, channel: ChannelSettings):
        super().__init__()
        self.hop = settings.hop
        n_fft = max(_next_power_of_two(channel.window), 2 * settings.hop)
        self.n_fft = n_fft
        filters = _filters(channel, settings, n_fft)
        used = np.flatnonzero(filters.any(axis=0))
        bins = np.arange(used[0], used[-1] + 1)
        weights = _hann(channel.window, n_fft)
        half = np.arange(n_fft // 2 + 1)
        angles = 2 * np.pi * half[:, None] * bins[None, :] / n_fft
        norm = 1 / np.sqrt(np.sum(weights**2))
        halved = weights[half, None] * norm
        self.register_buffer("cosines", _float32(np.cos(angles) * halved), persistent=False)
        self.register_buffer("sines", _float32((np.sin(angles) * halved)[1:-1]), persistent=False)
        self.register_buffer("filters", _float32(filters[:, bins]), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the power of ``samples`` in each band."""
        frames = self._frames(samples)
        middle = self.n_fft // 2
        ahead, behind = frames[..., 1:middle], frames[..., middle + 1 :].flip(-1)
        even = torch.cat([frames[..., :1], ahead + behind, frames[..., middle : middle + 1]], dim=-1)
        power = (even @ self.cosines).square() + ((ahead - behind) @ self.sines).square()
        return (power @ self.filters.T).transpose(1, 2)

    def _frames(self, samples: Tensor) -> Tensor:
        """``(batch, samples) -> (batch, frames, n_fft)``, frame t centred at sample ``t * hop``, zeros outside."""
        n_frames = samples.shape[-1] // self.hop + 1
        hops = self.n_fft // self.hop
        needed = (n_frames - 1 + hops) * self.hop
        padded = functional.pad(samples, (self.n_fft // 2, self.n_fft // 2))[..., :needed]
        blocks = padded.reshape(samples.shape[0], -1, self.hop)
        return torch.cat([blocks[:, i : i + n_frames] for i in range(hops)], dim=-1)


def _filters(channel: ChannelSettings, settings: LevelMelSettings, n_fft: int) -> NDArray[np.float64]:
    """Return triangular filters of area 1, no narrower than a bin: shape ``(bands, n_fft // 2 + 1)``."""
    if channel.scale == "mel":
        return mel_filterbank(settings.rate_hz, n_fft, settings.n_bands, channel.fmin_hz, channel.fmax_hz)
    bins_hz = np.fft.rfftfreq(n_fft, 1 / settings.rate_hz)
    edges_hz = band_edges_hz(channel, settings.n_bands)
    width_hz = np.maximum((edges_hz[2:] - edges_hz[:-2]) / 2, bins_hz[1])[:, None]
    triangles = np.maximum(0, 1 - np.abs(bins_hz - edges_hz[1:-1, None]) / width_hz)
    filters: NDArray[np.float64] = triangles / width_hz
    return filters


def _hann(window: int, n_fft: int) -> NDArray[np.float64]:
    """A periodic Hann window in the middle of ``n_fft`` samples."""
    weights = np.zeros(n_fft)
    start = (n_fft - window) // 2
    weights[start : start + window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return weights


def _next_power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _float32(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values).float()
