"""What comes out of a live stream: each window as it is, and beside it the emotion smoothed over the last seconds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.errors import AudioError
from thymos.live import TIME_CONSTANT_S, PcmFormat
from thymos.runtime.prediction import Window, most_probable, rounded

PRESENT = 0.5
"""With a smaller share of the last seconds in which somebody spoke, the smoothed answer is that none is heard."""
LOUDEST = 1_000.0
"""Floats beyond it, 60 dB above full scale, are not sound at ±1 but bytes of something else."""

_TYPES: dict[PcmFormat, str] = {"s16le": "<i2", "f32le": "<f4"}


class RawPcm:
    """Raw PCM that arrives in pieces which need not end where a sample does."""

    def __init__(self, format: PcmFormat, channels: int = 1):
        """Take the format of the samples, and how many of them, one a channel, follow each other in a frame."""
        self._type, self._channels, self._format = np.dtype(_TYPES[format]), channels, format
        self._left = b""

    @property
    def left(self) -> int:
        """Bytes that have come in of a frame that is not whole yet."""
        return len(self._left)

    def push(self, content: bytes) -> NDArray[Any]:
        """Return the frames that are whole with ``content``: int16 or float32, shape ``(frames, channels)``.

        Raises:
            AudioError: floats that cannot be sound.
        """
        content = self._left + content
        whole = len(content) - len(content) % (self._type.itemsize * self._channels)
        self._left = content[whole:]
        samples = np.frombuffer(content[:whole], self._type).reshape(-1, self._channels)
        if self._type.kind == "f" and not (np.abs(samples) <= LOUDEST).all():
            raise AudioError(f"these bytes are not sound of the format {self._format}: its samples are floats at ±1")
        return samples


@dataclass(frozen=True)
class LiveAnswer:
    """What is heard now: the last window, and beside it the emotion smoothed over the last seconds."""

    window: Window
    smoothed: dict[str, float] | None
    """Smoothed probability of each emotion; None where for most of the last seconds nobody has spoken."""
    time_constant_s: float
    """Of the smoothing."""

    @property
    def smoothed_emotion(self) -> str | None:
        """The most probable emotion by the smoothed probabilities."""
        return most_probable(self.smoothed)

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``thymos listen`` prints it."""
        return {
            **self.window.to_dict(),
            "unfamiliar": self.window.out_of_distribution,
            "smoothed": {
                "emotion": self.smoothed_emotion,
                "probabilities": rounded(self.smoothed),
                "time_constant_s": self.time_constant_s,
            },
        }


class Smoother:
    """Exponential smoothing of the windows of one stream.

    A window counts by its seconds of speech, and ``exp(-age / time_constant_s)`` as much as one that ends now. Weights
    are divided by their sum, so that the first window is its own smoothed value instead of being drawn to zero (as in
    Kingma & Ba 2015, section 3). On silence the answer stays what it was until too little of the past is speech.
    """

    def __init__(self, labels: tuple[str, ...], time_constant_s: float = TIME_CONSTANT_S):
        """Take the model's emotions, and the time constant.

        Raises:
            AudioError: the time constant is not a positive number of seconds.
        """
        if not 0 < time_constant_s < np.inf:
            raise AudioError(f"a time constant must be a positive number of seconds, not {time_constant_s:g}")
        self.labels, self.time_constant_s = labels, time_constant_s
        self._end_s = 0.0
        self._all, self._spoken, self._speech_s = 0.0, 0.0, 0.0
        self._sums = np.zeros(len(labels))

    def take(self, window: Window) -> LiveAnswer:
        """Return what is heard once ``window``, the next one of the stream, is over."""
        kept = float(np.exp(-(window.end_s - self._end_s) / self.time_constant_s))
        new = 1 - kept
        self._end_s = window.end_s
        self._all = kept * self._all + new
        self._spoken = kept * self._spoken + new * (window.probabilities is not None)
        self._speech_s *= kept
        self._sums *= kept
        if window.probabilities is not None:
            self._speech_s += new * window.speech_s
            self._sums += new * window.speech_s * np.array([window.probabilities[word] for word in self.labels])
        smoothed = None
        if self._spoken >= PRESENT * self._all and self._speech_s > 0:
            smoothed = dict(zip(self.labels, (self._sums / self._speech_s).tolist(), strict=True))
        return LiveAnswer(window, smoothed, self.time_constant_s)
