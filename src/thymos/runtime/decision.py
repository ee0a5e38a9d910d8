"""Decide what was heard: which emotion of those asked for, how sure, of a voice that is known or not."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.runtime.adaptation import Coordinates, VoiceSpace
from thymos.runtime.bundle import About, AdaptationAbout
from thymos.runtime.hearing import MOMENT_S
from thymos.runtime.listening import HeardWindow, Impression, Recording
from thymos.runtime.prediction import Flag, Prediction, Timeline, Window, most_probable
from thymos.runtime.timeline import SHORTEST_S, make_timeline

ENOUGH_SPEECH_S = 0.5
"""With less, an answer is flagged ``too_short``."""
QUIET_DB = -50.0
"""A recording whose loudest 32 ms are below this beside full scale is flagged ``too_quiet``."""


UNSURE_BELOW = 0.3
"""An answer whose best probability is less is flagged ``unsure``; ``evaluation/left_out.py`` measures its worth."""


class Decider:
    """Probabilities, prediction sets and timelines of what a model has heard.

    Attributes:
        labels: the emotions that are told apart.
        chosen: their places among the model's.
        offset: of the voice that is heard, shape ``(Q,)``; None: of any voice.
        shortest_s: the shortest stretch of a timeline.
    """

    def __init__(
        self,
        about: About,
        space: VoiceSpace | None,
        chosen: Sequence[int],
        offset: NDArray[np.float64] | None = None,
        shortest_s: float = SHORTEST_S,
    ):
        """Take what the model says of itself, and its space of voices, which an offset is of."""
        self.shortest_s = shortest_s
        self.about, self.space, self.chosen, self.offset = about, space, tuple(chosen), offset
        self.labels = tuple(about.labels[place] for place in chosen)
        self.name = f"{about.name} {about.version}"

    def probabilities(self, impression: Impression) -> NDArray[np.float64]:
        """Return the probability of each of ``labels``: float64, shape ``(labels,)``."""
        if self.offset is None:
            return self.shares(impression.logits)
        assert self.space is not None and impression.coordinates is not None
        return self.shares(self.space.logits(impression.coordinates, self.offset))

    def shares(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what ``logits`` (…, classes) of all of the model's emotions make probable: shape ``(…, labels)``."""
        scaled = logits[..., list(self.chosen)] / self._calibration.temperature
        if not self.chosen:
            return np.zeros_like(scaled, np.float64)
        shares = np.exp(scaled - scaled.max(-1, keepdims=True))
        probabilities: NDArray[np.float64] = shares / shares.sum(-1, keepdims=True)
        return probabilities

    def window(self, heard: HeardWindow) -> Window:
        """Return what was heard in a window."""
        if heard.impression is None:
            return Window(heard.start_s, heard.end_s, heard.speech_s, None)
        probabilities = self._named(self.probabilities(heard.impression))
        unlike = heard.impression.out_of_distribution
        values = self._values(heard.impression.values)
        return Window(heard.start_s, heard.end_s, heard.speech_s, probabilities, unlike, values)

    def prediction(self, recording: Recording, timeline: bool) -> Prediction:
        """Return what was heard in a recording, and where if ``timeline``, for which it was heard in windows."""
        windows = [self.window(heard) for heard in recording.windows]
        if recording.in_windows:
            probabilities, unlike = self._mean(windows)
        elif recording.whole is None:
            probabilities, unlike = None, False
        else:
            probabilities, unlike = self.probabilities(recording.whole), recording.whole.out_of_distribution
        line: Timeline | None = None
        if self.labels and (timeline or recording.in_windows):
            moments = self._moments(recording)
            line = make_timeline(
                moments, windows, recording.spans, self.labels, recording.duration_s, shortest_s=self.shortest_s
            )
        named = None if probabilities is None else self._named(probabilities)
        return Prediction(
            emotion=most_probable(named),
            probabilities=named,
            prediction_set=() if probabilities is None else self._set(probabilities),
            speech_s=recording.speech_s,
            duration_s=recording.duration_s,
            flags=_flags(probabilities, recording, unlike),
            model=self.name,
            timeline=line if timeline else None,
            shares=None if line is None or probabilities is None else line.shares,
            long=recording.in_windows,
            dimensions=self._values(self._mean_values(recording)),
        )

    def _moments(self, recording: Recording) -> NDArray[np.float64]:
        """Return the probabilities of each moment: shape ``(moments, labels)``, NaN where no window has speech."""
        count = max(1, int(np.ceil(recording.duration_s / MOMENT_S - 1e-9)))
        sums, heard = np.zeros((count, len(self.about.labels))), np.zeros(count)
        for window in recording.windows:
            if window.impression is None or window.impression.moments is None:
                continue
            logits = window.impression.moments + self._moved(window.impression)
            middles_s = window.start_s + (np.arange(len(logits)) + 0.5) * (window.end_s - window.start_s) / len(logits)
            places = np.minimum(count - 1, (middles_s / MOMENT_S).astype(np.int64))
            np.add.at(sums, places, logits)
            np.add.at(heard, places, 1)
        probabilities = np.full((count, len(self.labels)), np.nan)
        probabilities[heard > 0] = self.shares(sums[heard > 0] / heard[heard > 0, None])
        return probabilities

    def _moved(self, impression: Impression) -> NDArray[np.float64] | float:
        """Return what the voice adds to all logits of an impression, its moments' included."""
        if self.offset is None:
            return 0.0
        assert self.space is not None and impression.coordinates is not None
        return self.space.logits(impression.coordinates, self.offset) - impression.logits

    def _values(self, values: NDArray[np.float64] | None) -> dict[str, float] | None:
        return None if values is None else dict(zip(self.about.dimensions, values.tolist(), strict=True))

    def _mean_values(self, recording: Recording) -> NDArray[np.float64] | None:
        """Return what dimensions have in a recording: in a long one, the mean of its windows by their speech."""
        if not recording.in_windows:
            return None if recording.whole is None else recording.whole.values
        read = [
            (window.speech_s, window.impression.values)
            for window in recording.windows
            if window.impression is not None and window.impression.values is not None
        ]
        if not read:
            return None
        return np.average([values for _, values in read], axis=0, weights=[speech_s for speech_s, _ in read])

    def _mean(self, windows: Sequence[Window]) -> tuple[NDArray[np.float64] | None, bool]:
        """Return the mean of windows by their seconds of speech; and whether most speech is out of distribution."""
        spoken = [window for window in windows if window.probabilities is not None]
        if not spoken:
            return None, False
        seconds = np.array([window.speech_s for window in spoken])
        each = np.array([list((window.probabilities or {}).values()) for window in spoken])
        unlike = np.array([window.out_of_distribution for window in spoken])
        return seconds @ each / seconds.sum(), bool(seconds @ unlike > seconds.sum() / 2)

    def _named(self, probabilities: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(self.labels, probabilities.tolist(), strict=True))

    def _set(self, probabilities: NDArray[np.float64]) -> tuple[str, ...]:
        """Return the split-conformal prediction set, never empty; without a threshold, every emotion."""
        conformal = self._calibration.conformal
        order = np.argsort(-probabilities, kind="stable")
        if conformal is None or conformal.threshold is None:
            return tuple(self.labels[i] for i in order)
        held = 1 - probabilities <= conformal.threshold
        held[order[:1]] = True
        return tuple(self.labels[i] for i in order if held[i])

    @property
    def _calibration(self) -> About | AdaptationAbout:
        """What says temperature and threshold: that of known voices, where one is known and the model has it."""
        return (self.about.adaptation if self.offset is not None else None) or self.about


class RunningOffset:
    """The offset of the voice, room or line of a stream, estimated anew with each window.

    It rests on the latest ``MOST`` windows with speech, so that it follows who speaks, and takes no more and no more.
    """

    MOST = 240

    def __init__(self, space: VoiceSpace, among: Sequence[int] | None = None):
        """Begin without a window, where every voice may speak; ``among`` as in ``VoiceSpace.offset``."""
        self._space, self._among = space, among
        self._heard: list[Coordinates] = []

    def add(self, coordinates: Coordinates) -> NDArray[np.float64]:
        """Take a window's coordinates, shape ``(Q,)``; return the offset with it."""
        self._heard = [*self._heard[-self.MOST + 1 :], coordinates]
        return self._space.offset(np.array(self._heard), self._among).values


def _flags(
    probabilities: NDArray[np.float64] | None, recording: Recording, out_of_distribution: bool
) -> tuple[Flag, ...]:
    heard = probabilities is not None
    flags: list[tuple[Flag, Any]] = [
        ("too_short", (recording.speech_s if heard else recording.duration_s) < ENOUGH_SPEECH_S),
        ("too_quiet", recording.loudest < 10 ** (QUIET_DB / 20)),
        ("no_speech", not heard),
        ("faint_speech", heard and recording.faint),
        ("unsure", probabilities is not None and len(probabilities) > 0 and probabilities.max() < UNSURE_BELOW),
        ("unfamiliar", out_of_distribution),
    ]
    return (*(name for name, raised in flags if raised), *recording.remarks)
