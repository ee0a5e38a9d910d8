"""Voices that nobody has, for babble: a corpus's own recordings would carry what is tested into what is fitted.

Each is a train of pulses or noise through resonances that change from syllable to syllable, with pauses: what
babble does to a description is that many such lie under it, in whatever language.

Source: Klatt 1980, Software for a cascade/parallel formant synthesizer.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from thymos.audio import Samples
from thymos.encoder.log_mel import RATE_HZ

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
