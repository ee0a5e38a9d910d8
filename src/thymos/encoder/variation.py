"""What the world does to a voice before Thymos hears it, drawn anew each time a clip is trained on.

Waveforms are mono float32 at 16 kHz, shape ``(samples,)``. All draws come from the generator that is given, so the same
seed varies the same clips in the same way. A clip takes about 2 ms: what is long to make is made once, and rooms,
colours and limited bands are one product of spectra.

Babble is made of voices that nobody has, since a corpus's own recordings would carry what is tested into what is
fitted. Each is a train of pulses or noise through resonances that change from syllable to syllable, with pauses: what
babble does to a description is that many such lie under it, in whatever language.

Source: Klatt 1980, Software for a cascade/parallel formant synthesizer.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat
from scipy import fft
from scipy.signal import lfilter

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


PITCHES_HZ = (85.0, 260.0)
"""Of voices: men's lowest to women's highest that are usual."""
RESONANCES_HZ = (
    *((280.0, 850.0), (850.0, 2_400.0), (2_300.0, 3_200.0), (3_300.0, 3_900.0)),
    *((4_200.0, 4_900.0), (5_200.0, 5_900.0), (6_200.0, 6_900.0), (7_200.0, 7_700.0)),
)
WIDTHS_HZ = (80.0, 110.0, 160.0, 220.0, 280.0, 340.0, 400.0, 460.0)
SYLLABLES_S = (0.10, 0.28)
PAUSES_S = (0.1, 0.5)
VOICED, PAUSED = 0.75, 0.15
"""Shares of syllables that have a pitch, and that a pause follows."""


def made_up_voices(count: int, seconds: float, random: np.random.Generator) -> list[Samples]:
    """Return so many voices that talk for so many seconds at 16 kHz, float32, shape ``(samples,)`` each."""
    return [_voice(int(seconds * RATE_HZ), random) for _ in range(count)]


def _voice(samples: int, random: np.random.Generator) -> Samples:
    usual_hz = random.uniform(*PITCHES_HZ)
    parts: list[NDArray[np.float64]] = []
    length, phase = 0, 0.0
    while length < samples:
        n = int(random.uniform(*SYLLABLES_S) * RATE_HZ)
        begins, ends = random.uniform(0.75, 1.35, 2)
        hz = usual_hz * np.linspace(begins, ends, n)
        phases = phase + np.cumsum(hz) / RATE_HZ
        phase = float(phases[-1] % 1)
        pulses = np.diff(np.floor(phases), prepend=np.floor(phases[0]))
        if random.random() < VOICED:
            spoken = lfilter([1.0], np.convolve([1.0, -0.97], [1.0, -0.8]), pulses)  # falls by 12 dB an octave
        else:
            spoken = 0.15 * random.standard_normal(n)
        for (low, high), width in zip(RESONANCES_HZ, WIDTHS_HZ, strict=True):
            spoken = _resonance(spoken, random.uniform(low, high), width)
        parts.append(spoken * np.sin(np.pi * (np.arange(n) + 0.5) / n) * random.uniform(0.4, 1.0))
        if random.random() < PAUSED:
            parts.append(np.zeros(int(random.uniform(*PAUSES_S) * RATE_HZ)))
        length = sum(map(len, parts))
    return np.concatenate(parts)[:samples].astype(np.float32)


def _resonance(sound: NDArray[np.float64], hz: float, width_hz: float) -> NDArray[np.float64]:
    """Return ``sound`` through a resonance of gain 1 at 0 Hz."""
    radius = np.exp(-np.pi * width_hz / RATE_HZ)
    second, third = -2 * radius * np.cos(2 * np.pi * hz / RATE_HZ), radius**2
    heard: NDArray[np.float64] = lfilter([1 + second + third], [1.0, second, third], sound)
    return heard
