"""What comes out of a live stream: each window as it is, and beside it the emotion smoothed over the last seconds."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from thymos.errors import AudioError
from thymos.live import HOLD_S, MARGIN, TIME_CONSTANT_S
from thymos.runtime.prediction import Window, most_probable, rounded
from thymos.runtime.stream import FIRST_S

PRESENT = 0.5
"""With a smaller share of the last seconds in which somebody spoke, the smoothed answer is that none is heard, unless
the last window holds ``FIRST_S`` of speech."""


@dataclass(frozen=True)
class HeldEmotion:
    """What a stage shows: an emotion, or that none is heard, since when."""

    emotion: str | None
    since_s: float


@dataclass(frozen=True)
class LiveAnswer:
    """What is heard now: the last window, and beside it the emotion smoothed over the last seconds."""

    window: Window
    smoothed: dict[str, float] | None
    """Smoothed probability of each emotion; None where for most of the last seconds nobody has spoken."""
    time_constant_s: float
    """Of the smoothing."""
    held: HeldEmotion | None = None
    """What ``Holder`` makes of it."""

    @property
    def smoothed_emotion(self) -> str | None:
        """The most probable emotion by the smoothed probabilities."""
        return most_probable(self.smoothed)

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``thymos listen`` prints it."""
        held = self.held
        return {
            **self.window.to_dict(),
            "none_heard": self.window.probabilities is None,
            "unfamiliar": self.window.out_of_distribution,
            "smoothed": {
                "emotion": self.smoothed_emotion,
                "probabilities": rounded(self.smoothed),
                "none_heard": self.smoothed is None,
                "time_constant_s": self.time_constant_s,
            },
            **({} if held is None else {"held": {"emotion": held.emotion, "since_s": round(held.since_s, 3)}}),
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
        present = self._spoken >= PRESENT * self._all or window.speech_s >= FIRST_S
        if present and self._speech_s > 0:
            smoothed = dict(zip(self.labels, (self._sums / self._speech_s).tolist(), strict=True))
        return LiveAnswer(window, smoothed, self.time_constant_s)


class Holder:
    """Hysteresis for what lights and sounds are steered by: no flicker between two emotions that are about as likely.

    An emotion is held for ``hold_s`` at least, and until another is ahead of it by ``margin`` in smoothed probability.
    That none is heard is held as an emotion is, but for the silence before the first one, and needs no margin.
    """

    def __init__(self, hold_s: float = HOLD_S, margin: float = MARGIN):
        """Take how long, in seconds, and by how much.

        Raises:
            AudioError: one of them is no such number.
        """
        if not 0 <= hold_s < np.inf:
            raise AudioError(f"an emotion is held for some seconds or none, not for {hold_s:g}")
        if not 0 <= margin < 1:
            raise AudioError(f"a margin is a difference of probabilities, 0 or more and below 1, not {margin:g}")
        self.hold_s, self.margin = hold_s, margin
        self._held: HeldEmotion | None = None
        self._heard_any = False

    def take(self, heard: LiveAnswer) -> LiveAnswer:
        """Return ``heard``, the next answer of the stream, with what is held once it is known."""
        now_s, wanted = heard.window.end_s, heard.smoothed_emotion
        if self._held is None or (wanted != self._held.emotion and self._gives_way(self._held, heard, now_s)):
            self._held = HeldEmotion(wanted, now_s)
            self._heard_any |= wanted is not None
        return replace(heard, held=self._held)

    def _gives_way(self, held: HeldEmotion, heard: LiveAnswer, now_s: float) -> bool:
        if not self._heard_any:
            return True
        if now_s - held.since_s < self.hold_s - 1e-9:
            return False
        if heard.smoothed is None or heard.smoothed_emotion is None or held.emotion is None:
            return True
        ahead = heard.smoothed[heard.smoothed_emotion] - heard.smoothed[held.emotion]
        return ahead >= self.margin
