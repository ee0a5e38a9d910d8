"""Cutting a waveform into segments of one length. Training and use both cut here.

A span is ``(start, stop)`` in samples; it may reach past the end, where the segment is filled with zeros.
"""

from collections.abc import Sequence

import numpy as np

from thymos.audio.decode import Samples

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
