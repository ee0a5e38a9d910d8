"""The acoustic fingerprint of a recording: what another rate, level, codec or cut of it leaves as it is.

As Haitsma and Kalker (2002, A highly robust audio fingerprinting system, ISMIR) do it, a word of 32 bits tells of each
moment which of 33 bands of the telephone's range stand out from their neighbours; here, more than they do on average
over the quarter second around, which takes out what a line or a codec does to a band all the time. Two cuts of one
recording agree in most bits wherever they overlap, two takes of one sentence in little more than half of them:
``benchmarks/near_copies.py`` measures it. Chromaprint and its kin are made for music and need several seconds; half of
an emotional corpus is shorter.

No level, pitch or phase is in it, so no sound can be made of it again.
"""

import base64
from functools import cache

import numpy as np
from numpy.typing import NDArray

from thymos.audio import Samples, Waveform, resample
from thymos.audio.mel_scale import hz_to_mel, mel_to_hz

Words = NDArray[np.uint32]
"""Words of a fingerprint, in the order of time; 0 where there is nothing to tell of: silence, or a sound that stays."""

RATE_HZ = 8_000
HOP_S = 0.02
"""From one word of a whole fingerprint to the next."""
SPARSE = 4
"""Of a fingerprint that is kept to be compared with, each so manieth word is enough: 80 ms, 50 bytes a second."""
LONGEST_S = 120
"""What comes later in a recording is not looked at: no file, however long, costs more than this."""

_BITS = 32
_WINDOW, _HOP = 2048, 160
_LOWEST_HZ, _HIGHEST_HZ = 300.0, 3300.0
_AROUND = 6
"""Words on either side over which the usual contrast of two bands is taken."""
_FLOOR_DB = 50.0
"""So far below the loud moments of a recording, differences are of noise and count less and less."""
_SILENT_DB = 35.0
"""Moments so far below the loud ones have no word."""
_STEADY_DB = 0.5
"""Moments whose bands, in the mean, stand out by less than this from what is usual around them have none either."""
_MOST_UNEVEN = 8
"""Nor have those with more than 24 bits alike: such are clicks, and where a hum begins. Speech has 9 to 23."""


def fingerprint_of(waveform: Waveform) -> Words:
    """Return the fingerprint of ``waveform``, one word every 20 ms: shape ``(words,)``; none of digital silence."""
    samples = waveform.samples[: LONGEST_S * waveform.rate_hz]
    energies = _energies(resample(Waveform(samples, waveform.rate_hz), RATE_HZ).samples)
    power = energies.sum(1)
    loud = float(np.percentile(power, 95))
    if loud <= 0:
        return np.zeros(0, np.uint32)
    levels = 10 * np.log10(energies + loud * 10 ** (-_FLOOR_DB / 10) / energies.shape[1])
    contrasts = levels[:, :-1] - levels[:, 1:]
    unusual = contrasts - _running_mean(contrasts)
    bits = unusual > 0
    told = (power > loud * 10 ** (-_SILENT_DB / 10)) & (np.abs(unusual).mean(1) > _STEADY_DB)
    told &= np.abs(bits.sum(1) - _BITS // 2) <= _MOST_UNEVEN
    words = np.packbits(bits, axis=1, bitorder="little").view("<u4")[:, 0]
    return np.where(told, words, 0).astype(np.uint32)


def to_text(words: Words) -> str:
    """Return ``words`` as text that a table or JSON can hold."""
    return base64.b64encode(words.astype("<u4").tobytes()).decode("ascii")


def from_text(text: str) -> Words:
    """Return the words that ``to_text`` wrote.

    Raises:
        ValueError: it is no such text.
    """
    return np.frombuffer(base64.b64decode(text, validate=True), "<u4").astype(np.uint32)


def _energies(samples: Samples) -> NDArray[np.float32]:
    """Return the energies in the bands around each moment, shape ``(words, 33)``."""
    padded = np.pad(samples, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    window, bands = _window_and_bands()
    parts = []
    for first in range(0, len(frames), 64):  # few at a time: they stay in the processor's cache
        spectra = np.fft.rfft(frames[first : first + 64] * window, axis=1)[:, : len(bands)]
        parts.append((spectra.real**2 + spectra.imag**2).astype(np.float32) @ bands)
    return np.concatenate(parts)


@cache
def _window_and_bands() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a Hann window, and triangular bands of equal width in mel, shape ``(frequencies, 33)``."""
    frequencies = np.fft.rfftfreq(_WINDOW, 1 / RATE_HZ)
    lowest, highest = hz_to_mel(np.array([_LOWEST_HZ, _HIGHEST_HZ]))
    edges = mel_to_hz(np.linspace(lowest, highest, _BITS + 2))
    centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    bands = np.maximum(0, 1 - np.abs(frequencies[:, None] - centres) / widths)
    used = np.flatnonzero(bands.any(1))[-1] + 1
    return np.hanning(_WINDOW).astype(np.float32), bands[:used].astype(np.float32)


def _running_mean(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean over ``_AROUND`` rows before and after each row, the row's own included."""
    width = 2 * _AROUND + 1
    sums = np.cumsum(np.pad(values.astype(np.float64), ((_AROUND + 1, _AROUND), (0, 0)), mode="edge"), axis=0)
    # The row that was put before the first, so that sums begin with a whole width.
    return np.asarray((sums[width:] - sums[:-width]) / width)
