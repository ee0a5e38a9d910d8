"""What the world does to a voice before Thymos hears it, drawn anew each time a clip is trained on.

Waveforms are mono float32 at 16 kHz, shape ``(samples,)``. All draws come from the generator that is given, so the same
seed varies the same clips in the same way. A clip takes about 2 ms: what is long to make is made once, and rooms,
colours and limited bands are one product of spectra.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat
from scipy import fft

from thymos.audio import Samples
from thymos.config import Settings
from thymos.encoder.log_mel import N_MELS, RATE_HZ

Gain = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Of each frequency in Hz."""

_NOISE_CROPS, _BABBLE_CROPS = 6, 3
"""How many times as long as a crop a noise and a babble are."""
_SLOPES_DB = (0.0, 0.0, -3.0, -6.0, 3.0)
"""Per octave: white noise more often, then pink, brown and blue."""
_BABBLES = 32
_VOICES = (3, 7)
"""How many talk at once, the last not included."""


class AugmentSettings(Settings):
    """How far a clip is varied, and the share of clips that each change is made to."""

    crop_s: PositiveFloat = 5.0
    """Most that is heard of a clip."""
    speed: tuple[PositiveFloat, PositiveFloat] = (0.85, 1.15)
    """Tempo and pitch together."""
    room: float = Field(0.25, ge=0, le=1)
    rt60_s: tuple[PositiveFloat, PositiveFloat] = (0.15, 0.8)
    direct_to_reverberant_db: tuple[float, float] = (-3.0, 12.0)
    tilt: float = Field(0.5, ge=0, le=1)
    tilt_db: PositiveFloat = 3.0
    """Most that a colour rises or falls in an octave; it is level below 125 Hz and above 4 kHz."""
    band: float = Field(0.15, ge=0, le=1)
    lowest_hz: tuple[PositiveFloat, PositiveFloat] = (50.0, 350.0)
    highest_hz: tuple[PositiveFloat, PositiveFloat] = (2_800.0, 7_000.0)
    """A limited band's ends, of voice and noise together."""
    noise: float = Field(0.35, ge=0, le=1)
    """White or coloured."""
    babble: float = Field(0.15, ge=0, le=1)
    snr_db: tuple[float, float] = (5.0, 35.0)
    masks: NonNegativeInt = 2
    """SpecAugment (Park et al., Interspeech 2019): so many masks of bands, and as many of frames."""
    mask_bands: NonNegativeInt = 12
    """Most that one mask hides."""
    mask_frames: NonNegativeInt = 25
    """Most that one mask hides, and never more than a fifth of a clip."""


class Mask(NamedTuple):
    """What SpecAugment hides of one clip: bands and frames, from the first to before the last."""

    bands: tuple[tuple[int, int], ...]
    frames: tuple[tuple[int, int], ...]


class Augmenter:
    """Varies clips.

    Args:
        settings: how far.
        voices: clips of other people, which babble is made of.
        random: of the noises and babbles that are made once.
    """

    def __init__(self, settings: AugmentSettings, voices: Sequence[Samples], random: np.random.Generator):
        self.settings = settings
        crop = int(settings.crop_s * RATE_HZ)
        self._noises = [_coloured(slope, _NOISE_CROPS * crop, random) for slope in _SLOPES_DB]
        self._babbles = [_babble(voices, _BABBLE_CROPS * crop, random) for _ in range(_BABBLES)]

    def vary(self, samples: Samples, random: np.random.Generator) -> Samples:
        """Return a part of ``samples`` at another speed, in another place."""
        settings = self.settings
        speed = random.uniform(*settings.speed)
        most = int(settings.crop_s * speed * RATE_HZ)
        start = int(random.integers(max(1, len(samples) - most + 1)))
        played = soxr.resample(samples[start : start + most], RATE_HZ * speed, RATE_HZ, quality="HQ")
        voice = np.asarray(played, np.float32)[: int(settings.crop_s * RATE_HZ)]
        in_room, coloured, limited = random.random(3) < (settings.room, settings.tilt, settings.band)
        what = random.random()
        if in_room or coloured:
            response = self._room(random) if in_room else None
            tilt = random.uniform(-settings.tilt_db, settings.tilt_db) if coloured else 0.0
            voice = _filtered(voice, response, lambda hz: _tilted(hz, tilt))
        if what < settings.noise + settings.babble:
            pool = self._noises if what < settings.noise else self._babbles
            voice = _mixed(voice, pool[random.integers(len(pool))], random.uniform(*settings.snr_db), random)
        if limited:
            low, high = random.uniform(*settings.lowest_hz), random.uniform(*settings.highest_hz)
            voice = _filtered(voice, None, lambda hz: _limited(hz, low, high))
        return voice

    def draw_mask(self, frames: int, random: np.random.Generator) -> Mask:
        """Return what SpecAugment hides of a clip of so many frames."""
        settings = self.settings
        widest = min(settings.mask_frames, frames // 5)
        return Mask(
            tuple(_stretch(N_MELS, settings.mask_bands, random) for _ in range(settings.masks)),
            tuple(_stretch(frames, widest, random) for _ in range(settings.masks)),
        )

    def _room(self, random: np.random.Generator) -> Samples:
        """Return an impulse response: a one, then decaying noise (Polack 1988, thesis, Université du Maine)."""
        n = int(random.uniform(*self.settings.rt60_s) * RATE_HZ)
        tail = random.standard_normal(n, np.float32) * 10 ** (-3 * np.arange(1, n + 1, dtype=np.float32) / n)
        tail *= np.sqrt(10 ** (-random.uniform(*self.settings.direct_to_reverberant_db) / 10) / np.square(tail).sum())
        return np.concatenate([[1], tail]).astype(np.float32)


def _stretch(n: int, widest: int, random: np.random.Generator) -> tuple[int, int]:
    width = int(random.integers(widest + 1))
    start = int(random.integers(n - width + 1))
    return start, start + width


def _coloured(slope_db: float, samples: int, random: np.random.Generator) -> Samples:
    """Return noise whose level changes by ``slope_db`` an octave above 50 Hz, of mean power 1."""
    noise = random.standard_normal(samples, np.float32)
    spectrum = fft.rfft(noise)
    hz = np.maximum(np.arange(len(spectrum)) * RATE_HZ / samples, 50)
    return _of_power_1(fft.irfft(spectrum * (hz / 50) ** (slope_db / 6.02), samples))


def _babble(voices: Sequence[Samples], samples: int, random: np.random.Generator) -> Samples:
    """Return several voices at once, each speaking all the time, of mean power 1."""
    total = np.zeros(samples, np.float32)
    for _ in range(random.integers(*_VOICES)):
        spoken = [_of_power_1(voices[int(random.integers(len(voices)))])]
        while sum(map(len, spoken)) < samples:
            spoken.append(_of_power_1(voices[int(random.integers(len(voices)))]))
        total += np.concatenate(spoken)[:samples]
    return _of_power_1(total)


def _mixed(voice: Samples, noise: Samples, snr_db: float, random: np.random.Generator) -> Samples:
    """Return ``voice`` with a part of ``noise`` so far below its mean power."""
    start = int(random.integers(len(noise) - len(voice) + 1))
    part = _of_power_1(noise[start : start + len(voice)])
    return voice + part * np.float32(np.sqrt(np.square(voice).mean()) * 10 ** (-snr_db / 20))


def _filtered(voice: Samples, response: Samples | None, gain: Gain) -> Samples:
    """Return ``voice`` through an impulse response and a gain at each frequency, as long as it was."""
    n = fft.next_fast_len(len(voice) + (0 if response is None else len(response)) + RATE_HZ // 50, real=True)
    spectrum = fft.rfft(voice, n)
    if response is not None:
        spectrum *= fft.rfft(response, n)
    spectrum *= gain(np.arange(len(spectrum), dtype=np.float32) * np.float32(RATE_HZ / n))
    return np.asarray(fft.irfft(spectrum, n)[: len(voice)], np.float32)


def _tilted(hz: NDArray[np.float32], slope_db: float) -> NDArray[np.float32]:
    octaves = np.log2(np.clip(hz, 125, 4000) / np.float32(1000))
    return np.asarray(10 ** (octaves * np.float32(slope_db / 20)), np.float32)


def _limited(hz: NDArray[np.float32], low_hz: float, high_hz: float) -> NDArray[np.float32]:
    """The gain of a Butterworth band-pass of fourth order, without its phase."""
    high = 1 / np.sqrt(1 + (hz / np.float32(high_hz)) ** 8)
    low = 1 / np.sqrt(1 + (np.float32(low_hz) / np.maximum(hz, np.float32(1))) ** 8)
    return np.asarray(high * low, np.float32)


def _of_power_1(samples: Samples) -> Samples:
    return np.asarray(samples / np.sqrt(np.square(samples).mean() + 1e-12), np.float32)
