"""Variation of level spectrograms while a network is fitted: what voices, rooms and lines do to a mel spectrogram.

Pictures are levels in dB beside the recording's mean, ``(batch, channels, bands, frames)`` float32, and are varied a
batch at a time, in a few passes over memory, so that training on two cores does not wait for them. All draws come from
the generator that is given, so the same seed varies the same spectrograms in the same way.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor
from torch.nn import functional

from thymos.audio.mel_scale import hz_to_mel
from thymos.cnn.augment import draw_masks, mask
from thymos.cnn.recipe import SpecAugmentSettings
from thymos.config import Settings
from thymos.encoder.level_mel import LevelMelSettings, scale_levels

REVERBERATION_S = (0.1, 0.7)
"""Range of the reverberation time, RT60."""
REVERBERANT_SHARE = (0.02, 0.4)
"""Range of the reverberant part of the power."""
NOISE_DB = (8.0, 45.0)
"""Range of how far noise lies below the recording's mean."""
HIGHEST_HZ, LOWEST_HZ = (2_500.0, 7_600.0), (60.0, 350.0)
"""Ranges of a limited band's ends."""
_STRETCH_STEP = 8


class DistortionSettings(Settings):
    """What is varied, and how far; zeros leave it out. Each is drawn anew for every recording and epoch."""

    band_warp: float = Field(0.08, ge=0, le=0.2)
    """Bands are stretched by up to this share either way along each channel, as another vocal tract's length would
    (Jaitly, Hinton 2013, Vocal tract length perturbation improves speech recognition)."""
    time_stretch: float = Field(0.12, ge=0, lt=1)
    """Half of the batches are stretched by up to this share along time."""
    colour_db: NonNegativeFloat = 3.0
    """Standard deviation of a smooth random colouring over the bands, such as another microphone's; in 70 of 100."""
    level_db: NonNegativeFloat = 2.0
    """Standard deviation of the level."""
    reverberated: float = Field(0.25, ge=0, le=1)
    """Share that is smeared along time as by a room of 0.1 to 0.7 s."""
    noisy: float = Field(0.4, ge=0, le=1)
    """Share that gets coloured noise, 8 to 45 dB below the mean."""
    band_limited: float = Field(0.15, ge=0, le=1)
    """Share that loses what lies above 2.5 to 7.6 kHz, and at times below 60 to 350 Hz, as on lines and in codecs."""
    freq_masks: NonNegativeInt = 2
    freq_width: NonNegativeInt = 14
    """SpecAugment: most bands that one mask hides."""
    time_masks: NonNegativeInt = 2
    time_width: NonNegativeInt = 24
    """SpecAugment: most frames that one mask hides."""


def distort(
    levels: Tensor, settings: DistortionSettings, features: LevelMelSettings, random: np.random.Generator
) -> Tensor:
    """Return ``levels`` varied, and scaled as the network sees them; time may be a little longer or shorter."""
    spectrograms = scale_levels(distort_levels(levels, settings, features, random), features)
    return mask(spectrograms, *draw_masks(_masks(settings, spectrograms.shape), spectrograms.shape, random))


def distort_levels(
    levels: Tensor, settings: DistortionSettings, features: LevelMelSettings, random: np.random.Generator
) -> Tensor:
    """Return ``levels`` varied in all ways but masks, in dB."""
    levels = warp_bands(levels, settings.band_warp, random)
    levels = stretch_time(levels, settings.time_stretch, random)
    places = places_of(features)
    levels = colour(levels, settings.colour_db, settings.level_db, places, random)
    levels = _in_some(levels, settings.reverberated, random, lambda some: reverberate(some, features, random))
    levels = _in_some(levels, settings.noisy, random, lambda some: add_noise(some, places, random))
    return _in_some(levels, settings.band_limited, random, lambda some: limit_band(some, features, random))


def warp_bands(levels: Tensor, most: float, random: np.random.Generator) -> Tensor:
    """Stretch each spectrogram along its bands, by a share drawn evenly from ``-most`` to ``most``."""
    if not most:
        return levels
    steps = round(most * _WARP_STEPS)
    drawn = random.integers(-steps, steps, len(levels), endpoint=True)
    return torch.matmul(_warps(levels.shape[2])[drawn + _WARP_STEPS // 5][:, None], levels)


_WARP_STEPS = 100
"""Warps are drawn from a grid of whole percents."""


@cache
def _warps(bands: int) -> Tensor:
    """Return the matrices that stretch ``bands`` by −20 to 20 percent: shape ``(41, bands, bands)``."""
    percents = np.arange(-_WARP_STEPS // 5, _WARP_STEPS // 5 + 1)
    source = np.minimum(np.arange(bands) * (1 + percents[:, None] / _WARP_STEPS), bands - 1)
    lower = source.astype(np.int64)
    share = source - lower
    upper = np.minimum(lower + 1, bands - 1)
    matrices = np.zeros((len(percents), bands, bands), np.float32)
    rows = (np.arange(len(percents))[:, None], np.arange(bands)[None, :])
    np.add.at(matrices, (*rows, lower), 1 - share)
    np.add.at(matrices, (*rows, upper), share)
    return torch.from_numpy(matrices)


def stretch_time(levels: Tensor, most: float, random: np.random.Generator) -> Tensor:
    """Stretch every second batch along time, by a share drawn evenly from ``-most`` to ``most``."""
    if not most or random.random() < 0.5:
        return levels
    bands, frames = levels.shape[2:]
    wanted = frames * (1 + random.uniform(-most, most))
    rounded = max(_STRETCH_STEP, round(wanted / _STRETCH_STEP) * _STRETCH_STEP)
    return functional.interpolate(levels, size=(bands, rounded), mode="bilinear", align_corners=False)


def colour(
    levels: Tensor, colour_db: float, level_db: float, places: NDArray[np.float64], random: np.random.Generator
) -> Tensor:
    """Add a smooth curve over frequency, four cosines of falling weight, and a level, to each spectrogram."""
    batch = len(levels)
    turns = np.arange(1, 5)
    weights = random.normal(0, 1, (batch, len(turns))) * colour_db / turns
    weights[random.random(batch) < 0.3] = 0
    curves = np.cos(np.pi * turns[:, None, None] * places)
    added = np.tensordot(weights, curves, 1) + random.normal(0, 1, (batch, 1, 1)) * level_db
    return levels + _float32(added)[..., None]


def reverberate(levels: Tensor, features: LevelMelSettings, random: np.random.Generator) -> Tensor:
    """Smear power along time with an exponential decay, beside what is direct."""
    power = 10 ** (levels / 10)
    frame_s = features.hop / features.rate_hz
    decay = np.exp(-6 * np.log(10) * frame_s / random.uniform(*REVERBERATION_S, len(levels)))
    kept = _column(decay)
    smeared, reach = power, 1
    while reach < min(_LONGEST_SMEAR, levels.shape[-1]):  # each turn doubles how far the decay reaches
        smeared = smeared + functional.pad(smeared[..., :-reach], (reach, 0)) * kept**reach
        reach *= 2
    share = _column(random.uniform(*REVERBERANT_SHARE, len(levels)))
    mixed = power * (1 - share) + smeared * (1 - kept) * _REVERBERANT_GAIN * share
    return _to_db(mixed)


_LONGEST_SMEAR = 32
_REVERBERANT_GAIN = 4
"""A decaying tail has this much of the power of speech, whose loud frames are a quarter of all."""


def add_noise(levels: Tensor, places: NDArray[np.float64], random: np.random.Generator) -> Tensor:
    """Add noise of a random level and colour, which wavers by 2 dB from band to band and frame to frame."""
    batch, _, bands, frames = levels.shape
    place = 2 * places - 1
    level = -random.uniform(*NOISE_DB, (batch, 1, 1))
    level = level + random.normal(0, 6, (batch, 1, 1)) * place
    level = level + random.normal(0, 4, (batch, 1, 1)) * np.cos(2 * np.pi * place)
    wavering = random.standard_normal((batch, 1, bands, frames), dtype=np.float32) * np.float32(2)
    noise = _float32(level)[..., None] + torch.from_numpy(wavering)
    return _to_db(10 ** (levels / 10) + 10 ** (noise / 10))


def limit_band(levels: Tensor, features: LevelMelSettings, random: np.random.Generator) -> Tensor:
    """Silence what lies above a random frequency, and in 40 of 100 also what lies below one."""
    centres_hz = features.band_centres_hz()
    batch = (len(levels), 1, 1)
    silent = centres_hz > random.uniform(*HIGHEST_HZ, batch)
    silent |= (centres_hz < random.uniform(*LOWEST_HZ, batch)) & (random.random(batch) < 0.4)
    return levels.masked_fill(torch.from_numpy(silent)[..., None], features.floor_db)


def places_of(features: LevelMelSettings) -> NDArray[np.float64]:
    """Return where each band lies between 0 Hz and the highest on the mel scale, 0 to 1: ``(channels, bands)``."""
    mels = hz_to_mel(features.band_centres_hz())
    places: NDArray[np.float64] = mels / mels.max()
    return places


def _masks(settings: DistortionSettings, shape: torch.Size) -> SpecAugmentSettings:
    """Return the masks for a batch of ``shape``: none where their number or their width is 0, none that hides all."""
    freq_width = min(settings.freq_width, shape[2] - 1) if settings.freq_masks else 0
    time_width = min(settings.time_width, shape[3] - 1) if settings.time_masks else 0
    return SpecAugmentSettings(
        freq_masks=settings.freq_masks if freq_width else 0, freq_width=freq_width,
        time_masks=settings.time_masks if time_width else 0, time_width=time_width,
    )  # fmt: skip


def _in_some(levels: Tensor, share: float, random: np.random.Generator, change: Callable[[Tensor], Tensor]) -> Tensor:
    chosen = torch.from_numpy(np.flatnonzero(random.random(len(levels)) < share))
    if not len(chosen):
        return levels
    return levels.index_copy(0, chosen, change(levels[chosen]))


def _to_db(power: Tensor) -> Tensor:
    return 10 * torch.log10(power.clamp(min=1e-9))


def _float32(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _column(values: NDArray[np.float64]) -> Tensor:
    return _float32(values)[:, None, None, None]
