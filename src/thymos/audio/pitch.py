"""Pitch without time, and time without pitch, by Signalsmith Stretch (python-stretch). librosa is the reference."""

from typing import Any

import numpy as np

from thymos.audio.decode import Samples
from thymos.errors import MissingExtraError

_SEED = 0
"""The library spreads phases at random where it slows sound down a lot; seeded, it gives the same samples each time."""


def shift_pitch(samples: Samples, rate_hz: int, semitones: float) -> Samples:
    """Return ``samples`` (shape ``(samples,)``) with every frequency ``semitones`` higher; length and timing stay.

    Formants move with the pitch, as in ``librosa.effects.pitch_shift``.

    Raises:
        MissingExtraError: python-stretch is not installed.
    """
    stretcher = _stretcher(rate_hz)
    stretcher.setTransposeSemitones(semitones)
    return _exactly(stretcher.process(np.ascontiguousarray(samples)[None])[0], len(samples))


def stretch_to(samples: Samples, rate_hz: int, n_samples: int) -> Samples:
    """Return ``samples`` (shape ``(samples,)``) played slower or faster so as to last ``n_samples``; the pitch stays.

    Raises:
        MissingExtraError: python-stretch is not installed.
    """
    if len(samples) == n_samples:
        return samples
    stretcher = _stretcher(rate_hz)
    stretcher.setTimeFactor(len(samples) / n_samples)
    return _exactly(stretcher.process(np.ascontiguousarray(samples)[None])[0], n_samples)


def _stretcher(rate_hz: int) -> Any:
    try:
        from python_stretch.Signalsmith import Stretch
    except ImportError:
        raise MissingExtraError("shifting pitch or time needs python-stretch: pip install 'thymos[train]'") from None
    stretcher = Stretch(_SEED)
    stretcher.preset(1, rate_hz)
    return stretcher


def _exactly(samples: Samples, n_samples: int) -> Samples:
    """The library rounds the length, which may be off by a sample."""
    return np.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))
