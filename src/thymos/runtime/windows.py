"""One recording on its way in: resampled, judged by the VAD and cut into windows, in blocks of any size. Memory stays
flat, however long it is.

Files and live streams go through the same steps here. Where blocks were cut decides nothing: samples, frames of the VAD
and windows lie on grids that are counted from the recording's first sample.
"""

from dataclasses import dataclass

import numpy as np

from thymos.audio import Samples
from thymos.audio.conditioning import Resampler
from thymos.runtime.vad import FRAME_S, STARTS, VadStream

SILENCE_S = 0.5
"""Of a live stream's windows: what is longer, before anybody speaks, is left out of one."""


@dataclass(frozen=True)
class WindowSamples:
    """What lies in one window.

    Attributes:
        start_s: where it begins in the recording.
        end_s: where it ends.
        speech_s: seconds of speech inside it.
        samples: at the model's rate, full scale ±1: float32, shape ``(samples,)``.
    """

    start_s: float
    end_s: float
    speech_s: float
    samples: Samples


class WindowCutter:
    """The windows of one recording.

    All but the last are ``window_s`` long and begin every ``hop_s``. The last one begins where the next would and ends
    with the recording, if there is anything that no window has covered; a recording shorter than a window is one.

    With ``first_s``, shorter ones come before, so that nobody waits for a whole window: all begin where the recording
    does, the first is so long, and from it to the first of full length each is a hop longer. Of those of full length, a
    silence before anybody speaks is left out: it would be heard as a part of how something is said.
    """

    def __init__(
        self,
        rate_hz: int,
        model_rate_hz: int,
        window_s: float,
        hop_s: float,
        vad_threshold: float | None = None,
        first_s: float | None = None,
    ):
        """Take the recording's own rate and the model's, the grid of windows in seconds, and where speech begins."""
        self.rate_hz, self.model_rate_hz = rate_hz, model_rate_hz
        self.window, self.hop = (max(1, round(seconds * model_rate_hz)) for seconds in (window_s, hop_s))
        self.vad = VadStream(model_rate_hz, STARTS if vad_threshold is None else vad_threshold)
        self._resampler = Resampler(rate_hz, model_rate_hz)
        self._kept: list[Samples] = []
        self._kept_from = 0
        self._next = 0
        self._early = [] if first_s is None else early_ends(round(first_s * model_rate_hz), self.window, self.hop)
        self._live = first_s is not None
        self._covered = 0
        self.taken = 0
        """Samples so far, at the recording's own rate."""
        self.resampled = 0
        """Samples so far, at the model's rate."""

    @property
    def duration_s(self) -> float:
        """Seconds so far."""
        return self.resampled / self.model_rate_hz

    def take(self, samples: Samples) -> None:
        """Let ``samples`` in, at the recording's own rate: float32, shape ``(n,)``."""
        self.taken += len(samples)
        self._take(self._resampler.push(samples))

    def end(self) -> None:
        """Say that no more will come."""
        self._take(self._resampler.finish())
        self.vad.finish()

    def full_windows(self) -> list[WindowSamples]:
        """Return the windows of full length that have come in since the last call."""
        windows = []
        while self._early and self._early[0] <= self.resampled and self._is_judged(self._early[0]):
            self._covered = self._early.pop(0)
            windows.append(self._cut(0, self._covered))
        while self._next + self.window <= self.resampled and self._is_judged(self._next + self.window):
            self._covered = self._next + self.window
            windows.append(self._cut(self._begins(self._next, self._covered), self._covered))
            self._next += self.hop
        self._forget(self._next)
        return windows

    def last_window(self) -> list[WindowSamples]:
        """Return the shorter window at the end, if it has anything new; call it after ``full_windows``."""
        return [self._cut(self._next, self.resampled)] if self.resampled > self._covered else []

    def whole(self) -> Samples:
        """Return all samples at the model's rate, shape ``(samples,)``; to be called before any window is cut."""
        self._kept = [np.concatenate(self._kept)] if self._kept else [np.empty(0, np.float32)]
        return self._kept[0]

    def _take(self, samples: Samples) -> None:
        if len(samples):
            self._kept.append(samples)
            self.resampled += len(samples)
            self.vad.push(samples)

    def _cut(self, start: int, stop: int) -> WindowSamples:
        kept = self.whole()
        start_s, end_s = start / self.model_rate_hz, stop / self.model_rate_hz
        samples = kept[start - self._kept_from : stop - self._kept_from]
        return WindowSamples(start_s, end_s, self.vad.speech_s(start_s, end_s), samples)

    def _begins(self, start: int, stop: int) -> int:
        """Return where a window from ``start`` to ``stop`` of a live stream begins: with speech, after a silence."""
        if not self._live:
            return start
        first = int(np.ceil(start / self.model_rate_hz / FRAME_S - 1e-9))
        spans = self.vad.spans(first, int(stop / self.model_rate_hz / FRAME_S + 1e-9))
        if not len(spans):
            return start
        onset = round((first + int(spans[0, 0])) * FRAME_S * self.model_rate_hz)
        return onset if onset - start >= round(SILENCE_S * self.model_rate_hz) else start

    def _is_judged(self, stop: int) -> bool:
        """Whether the VAD, which may lag behind, has judged all of its frames up to ``stop``."""
        return self.vad.frames >= int(stop / self.model_rate_hz / FRAME_S + 1e-9)

    def _forget(self, before: int) -> None:
        """Let go of samples that no window will need."""
        drop = min(before, self.resampled) - self._kept_from
        if drop > self.window and self._kept:
            self._kept = [self.whole()[drop:].copy()]
            self._kept_from += drop


def early_ends(first: int, window: int, hop: int) -> list[int]:
    """Return where windows end that come before the first of full length; all in samples.

    The first is ``first`` long, or there is none; the others lie hops before the full one's end, at least half a hop
    after the first.
    """
    if not 0 < first < window:
        return []
    steps = max(0, (window - first - hop // 2) // hop)
    return [first, *(window - step * hop for step in range(steps, 0, -1))]
