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

from thymos.audio.mel_scale import hz_to_mel, mel_to_hz
from thymos.cnn.mel import mel_filterbank
from thymos.config import Settings


class ChannelSettings(Settings):
    """One channel of a spectrogram: which window, and which bands."""

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
    """From waveform to spectrogram."""

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
        """The value of a spectrogram where it is silent."""
        return (self.floor_db - self.centre_db) / self.spread_db

    def frames(self, samples: int) -> int:
        """Width of the spectrogram of so many samples."""
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
    the same spectrogram. The mean is that of the first channel's power over bands and frames: silences hardly move it.
    """

    def __init__(self, settings: LevelMelSettings):
        super().__init__()
        self.settings = settings
        self.spectra = nn.ModuleList(_BandPower(settings, channel) for channel in settings.channels)
        self.reach = max(_quarter(settings, channel) for channel in settings.channels)
        self.beside = max(_hops_apart(settings, channel) for channel in settings.channels)

    def forward(self, samples: Tensor) -> Tensor:
        """Return the spectrograms of ``samples``."""
        return self.scale(self.levels(samples))

    def levels(self, samples: Tensor) -> Tensor:
        """Return the spectrogram in dB, before the scaling: what is kept on disk and varied in training."""
        power = self.power(samples)
        mean = power[:, 0].mean(dim=(-2, -1)).clamp(min=_LEAST_MEAN)
        levels = 10 * torch.log10(power.clamp(min=_LEAST_POWER)) - 10 * torch.log10(mean)[:, None, None, None]
        return levels.clamp(min=self.settings.floor_db)

    def power(self, samples: Tensor) -> Tensor:
        """Return the power in bands, divided by that of each window: ``(batch, channels, bands, frames)``."""
        after, before = self._about_centres(samples)
        return torch.stack([spectrum(after, before, self.beside) for spectrum in self.spectra], dim=1)

    def scale(self, levels: Tensor) -> Tensor:
        """Bring levels in dB to the scale that networks see."""
        return scale_levels(levels, self.settings)

    def _about_centres(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Return the samples after and before each frame's centre, nearest first, zeros outside the recording.

        Twice ``(batch, beside + frames + beside, reach + 1)``: frames are centred at whole hops, and those beside the
        recording's own are what its first and last reach into.
        """
        hop, last = self.settings.hop, samples.shape[-1] // self.settings.hop
        margin = self.beside + -(-self.reach // hop)
        end = (last + 2 * margin) * hop  # a centre, as the first sample is one
        padded = functional.pad(samples, (margin * hop, (margin + 1) * hop))
        after = self._rows(padded[..., : end + hop], margin - self.beside)
        backwards = functional.pad(padded[..., : end + 1].flip(-1), (0, hop - 1))
        return after, self._rows(backwards, margin - self.beside).flip(1)

    def _rows(self, padded: Tensor, first: int) -> Tensor:
        """Return rows of ``reach + 1`` samples, one from each hop, without the first and the last ``first``."""
        hop = self.settings.hop
        blocks = padded.reshape(padded.shape[0], -1, hop)
        rows = blocks.shape[1] - 2 * first
        starts = range(0, self.reach + 1, hop)
        parts = [blocks[:, first + start // hop :, : self.reach + 1 - start][:, :rows] for start in starts]
        return torch.cat(parts, dim=-1)


_LEAST_POWER = 1e-20
_LEAST_MEAN = 1e-14
"""Below what one bit of 16 makes as noise, and 60 dB above the least power: digital silence lies at the usual floor."""


def scale_levels(levels: Tensor, settings: LevelMelSettings) -> Tensor:
    """Bring ``levels`` (any shape, dB) to the scale that networks see, none below the floor's value."""
    return (levels.clamp(min=settings.floor_db) - settings.centre_db) / settings.spread_db


class _BandPower(nn.Module):
    """Power in bands with one window, divided by the window's own: ``-> (batch, bands, frames)``.

    The Fourier transform is a product with matrices of the bins that the bands use, folded twice. About a frame's
    centre cosines are even and sines odd, so the samples before it are added to, or taken from, those after it. About
    the middle of each half, both are even or odd by whether the bin's number is; so the far quarters are folded onto
    the near ones, and each of four products has a quarter of the rows and half of the bins.
    """

    far: Tensor
    cosines_0: Tensor
    cosines_1: Tensor
    sines_0: Tensor
    sines_1: Tensor
    filters_0: Tensor
    filters_1: Tensor

    def __init__(self, settings: LevelMelSettings, channel: ChannelSettings):
        super().__init__()
        n_fft = _n_fft(settings, channel)
        self.quarter, self.hops_apart = _quarter(settings, channel), _hops_apart(settings, channel)
        distance = np.arange(self.quarter + 1)
        near, far = (_hann(channel.window, place) for place in (distance, n_fft // 2 - distance))
        # The centre is met on both its sides, and so is the quarter, on its way from either end.
        shares = np.where((distance == 0) | (distance == self.quarter), 0.5, 1.0)
        energy = np.sum(_hann(channel.window, np.arange(channel.window) - channel.window // 2) ** 2)
        weights = (near * shares / np.sqrt(energy))[:, None]
        self.register_buffer("far", _float32(far / np.where(near > 0, near, 1.0)), persistent=False)
        filters = _filters(channel, settings, n_fft)
        used = np.flatnonzero(filters.any(axis=0))
        for parity in (0, 1):
            bins = np.arange(used[0] + (used[0] + parity) % 2, used[-1] + 1, 2)
            angles = 2 * np.pi * distance[:, None] * bins / n_fft
            self.register_buffer(f"cosines_{parity}", _float32(np.cos(angles) * weights), persistent=False)
            self.register_buffer(f"sines_{parity}", _float32(np.sin(angles) * weights), persistent=False)
            self.register_buffer(f"filters_{parity}", _float32(filters[:, bins].T), persistent=False)

    def forward(self, after: Tensor, before: Tensor, beside: int) -> Tensor:
        """Return the power in each band of frames given by the samples about their centres (``LevelMel``)."""
        frames, samples = after.shape[1] - 2 * beside, slice(self.quarter + 1)
        here = slice(beside, beside + frames)
        ahead = slice(beside + self.hops_apart, beside + self.hops_apart + frames)
        behind = slice(beside - self.hops_apart, beside - self.hops_apart + frames)
        rising, falling = after[:, here, samples], before[:, here, samples]
        right, left = before[:, ahead, samples] * self.far, after[:, behind, samples] * self.far
        near_even, near_odd, far_even, far_odd = rising + falling, rising - falling, right + left, right - left
        even = ((near_even + far_even) @ self.cosines_0).square() + ((near_odd - far_odd) @ self.sines_0).square()
        odd = ((near_even - far_even) @ self.cosines_1).square() + ((near_odd + far_odd) @ self.sines_1).square()
        return (even @ self.filters_0 + odd @ self.filters_1).transpose(1, 2)


def _n_fft(settings: LevelMelSettings, channel: ChannelSettings) -> int:
    """Return the length of a channel's Fourier transform: a power of two, and whole hops on either side of a centre."""
    return max(1 << (channel.window - 1).bit_length(), 2 * settings.hop)


def _quarter(settings: LevelMelSettings, channel: ChannelSettings) -> int:
    return _n_fft(settings, channel) // 4


def _hops_apart(settings: LevelMelSettings, channel: ChannelSettings) -> int:
    """Return how many hops a frame reaches to either side of its centre."""
    return _n_fft(settings, channel) // 2 // settings.hop


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


def _hann(window: int, distance: NDArray[np.int64]) -> NDArray[np.float64]:
    """A Hann window at some distances from its middle, in samples."""
    inside = np.abs(distance) <= window // 2
    weights: NDArray[np.float64] = np.where(inside, 0.5 + 0.5 * np.cos(2 * np.pi * distance / window), 0.0)
    return weights


def _float32(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values).float()
