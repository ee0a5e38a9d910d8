"""What is done to a waveform: resampling, level, noise reduction, pitch and tempo, length; and it is cut into segments.

Pitch and tempo are changed by Signalsmith Stretch (python-stretch); librosa is their reference, in the tests. Training
and use both cut here: a span is ``(start, stop)`` in samples, and may reach past the end, where the segment is filled
with zeros.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import soxr

from thymos.audio.decode import Waveform
from thymos.audio.source import Samples
from thymos.errors import MissingExtraError

_QUALITY = "HQ"
"""soxr's setting for all resampling: training and use must not differ."""
_STRETCH_SEED = 0
"""The library spreads phases at random where it slows sound down a lot; seeded, it gives the same samples each time."""


def resample(waveform: Waveform, rate_hz: int) -> Waveform:
    """Return ``waveform`` at ``rate_hz``, resampled by soxr's high quality setting if it has another."""
    if waveform.rate_hz == rate_hz:
        return waveform
    return Waveform(played(waveform, 1.0, rate_hz), rate_hz)


def played(waveform: Waveform, speed: float, rate_hz: int) -> Samples:
    """Return the samples of ``waveform`` at ``rate_hz``, tempo and pitch ``speed`` times as high: ``(samples,)``."""
    rate_now = waveform.rate_hz * speed
    if rate_now == rate_hz:
        return waveform.samples
    return np.asarray(soxr.resample(waveform.samples, rate_now, rate_hz, quality=_QUALITY), np.float32)


class Resampler:
    """Resampling as sound arrives: to the last bit the samples that ``resample`` gives of all of it at once."""

    def __init__(self, rate_hz: int, to_hz: int):
        """Take the rate of what comes in, and that of what goes out."""
        same = rate_hz == to_hz
        self._stream = None if same else soxr.ResampleStream(rate_hz, to_hz, 1, dtype="float32", quality=_QUALITY)

    def push(self, samples: Samples) -> Samples:
        """Return what can be given out once ``samples``, shape ``(n,)``, have come in; it lags behind a little."""
        return samples if self._stream is None else np.asarray(self._stream.resample_chunk(samples), np.float32)

    def finish(self) -> Samples:
        """Return the rest, shape ``(n,)``."""
        empty = np.empty(0, np.float32)
        return empty if self._stream is None else np.asarray(self._stream.resample_chunk(empty, last=True), np.float32)


def exactly(samples: Samples, n_samples: int) -> Samples:
    """Return ``samples``, shape ``(samples,)``, cut or zero-padded at the end to ``n_samples``."""
    if len(samples) == n_samples:
        return samples
    return np.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))


def normalise_peak(samples: Samples) -> Samples:
    """Scale ``samples`` (any shape; per row on the last axis) so that the largest magnitude is 1.

    As ``librosa.util.normalize`` does it: what is silent to the last bit stays as it is.
    """
    peak = np.abs(samples).max(axis=-1, keepdims=True)
    scale = np.where(peak < np.finfo(np.float32).tiny, np.float32(1), peak)
    return np.asarray(samples / scale, np.float32)


def wiener(samples: Samples) -> Samples:
    """Return ``samples``, shape ``(samples,)``, through ``scipy.signal.wiener`` with its default window of three.

    The filter divides by the local variance, which is zero in digital silence; that stays silent.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    try:
        from scipy.signal import wiener as scipy_wiener
    except ImportError:
        raise MissingExtraError("the Wiener filter needs scipy: pip install 'thymos[train]'") from None
    with np.errstate(divide="ignore", invalid="ignore"):
        filtered = scipy_wiener(samples.astype(np.float64))
    return np.nan_to_num(filtered).astype(np.float32)


def shift_pitch(samples: Samples, rate_hz: int, semitones: float) -> Samples:
    """Return ``samples`` (shape ``(samples,)``) with every frequency ``semitones`` higher; length and timing stay.

    Formants move with the pitch, as in ``librosa.effects.pitch_shift``.

    Raises:
        MissingExtraError: python-stretch is not installed.
    """
    stretcher = _stretcher(rate_hz)
    stretcher.setTransposeSemitones(semitones)
    return exactly(stretcher.process(np.ascontiguousarray(samples)[None])[0], len(samples))


def stretch_to(samples: Samples, rate_hz: int, n_samples: int) -> Samples:
    """Return ``samples`` (shape ``(samples,)``) played slower or faster so as to last ``n_samples``; the pitch stays.

    Raises:
        MissingExtraError: python-stretch is not installed.
    """
    if len(samples) == n_samples:
        return samples
    stretcher = _stretcher(rate_hz)
    stretcher.setTimeFactor(len(samples) / n_samples)
    # The library rounds the length, which may be off by a sample.
    return exactly(stretcher.process(np.ascontiguousarray(samples)[None])[0], n_samples)


def _stretcher(rate_hz: int) -> Any:
    try:
        from python_stretch.Signalsmith import Stretch
    except ImportError:
        raise MissingExtraError("shifting pitch or time needs python-stretch: pip install 'thymos[train]'") from None
    stretcher = Stretch(_STRETCH_SEED)
    stretcher.preset(1, rate_hz)
    return stretcher


Span = tuple[int, int]


def study_spans(n_samples: int, window: int) -> list[Span]:
    """Return the study's segments: ⌈length / window⌉ of them, evenly spread, first and last flush with the ends.

    So two windows' length and a bit gives three, the middle one centred; up to one window's length gives one,
    zero-padded at the end. All in samples.

    Raises:
        ValueError: ``n_samples`` or ``window`` is not positive.
    """
    _check_positive(n_samples=n_samples, window=window)
    count = -(-n_samples // window)
    if count == 1:
        return [(0, window)]
    starts = [round(i * (n_samples - window) / (count - 1)) for i in range(count)]
    return [(start, start + window) for start in starts]


def sliding_spans(n_samples: int, window: int, hop: int) -> list[Span]:
    """Return windows at 0, hop, 2 × hop … until the end is reached; the last may need padding. In samples.

    Every sample is covered unless the hop is longer than the window. Each window holds at least one sample.

    Raises:
        ValueError: an argument is not positive.
    """
    _check_positive(n_samples=n_samples, window=window, hop=hop)
    count = 1 + max(0, -(-(n_samples - window) // hop))
    count = min(count, -(-n_samples // hop))
    return [(i * hop, i * hop + window) for i in range(count)]


def cut(samples: Samples, spans: Sequence[Span]) -> Samples:
    """Return the segments of ``samples`` (shape ``(samples,)``) at ``spans``, zero-padded at the end.

    All spans have one length; the result has shape ``(segments, window)``.
    """
    window = spans[0][1] - spans[0][0]
    segments = np.zeros((len(spans), window), np.float32)
    for row, (start, stop) in zip(segments, spans, strict=True):
        piece = samples[start:stop]
        row[: len(piece)] = piece
    return segments


def _check_positive(**values: int) -> None:
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f"{name} must be positive, not {value}")
