"""Where utterances begin and end in a live stream, told as soon as the VAD knows: the same as of a file."""

from dataclasses import dataclass
from typing import Any, Literal

from thymos.runtime.timeline import BRIDGED_S
from thymos.runtime.vad import FRAME_S, VadStream


@dataclass(frozen=True)
class UtteranceEvent:
    """An utterance begins or is over."""

    kind: Literal["utterance.start", "utterance.end"]
    start_s: float
    end_s: float | None
    """None where it begins."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, but for its kind."""
        told = {"start_s": round(self.start_s, 3)}
        return told if self.end_s is None else told | {"end_s": round(self.end_s, 3)}


class UtteranceWatch:
    """Follows a VAD, frame by frame, by the rules of ``speech_spans``, pauses below ``BRIDGED_S`` being bridged."""

    def __init__(self, vad: VadStream):
        """Follow ``vad`` from its first frame."""
        self._vad = vad
        self._seen = 0
        self._run: int | None = None
        self._run_starts = False
        self._start: int | None = None
        """First frame of the utterance that goes on."""
        self._end = 0
        """Frame after the last one that is known to be in it."""

    def new_events(self, over: bool) -> list[UtteranceEvent]:
        """Return what has become known since the last call; ``over``: there will be no more sound."""
        events: list[UtteranceEvent] = []
        for probability in self._vad.probabilities(self._seen).tolist():
            self._take(probability, events)
        if over and self._start is not None:
            self._tell_end(events)
        return events

    def _take(self, probability: float, events: list[UtteranceEvent]) -> None:
        at, self._seen = self._seen, self._seen + 1
        if probability >= self._vad.goes_on:
            if self._run is None:
                self._run, self._run_starts = at, False
                self._end_if_paused(at, events)
            self._run_starts |= probability >= self._vad.starts
            if self._run_starts and at + 1 - self._run >= self._vad.shortest_frames:
                if self._start is None:
                    self._start = self._run
                    events.append(UtteranceEvent("utterance.start", self._start * FRAME_S, None))
                self._end = at + 1
            return
        self._run = None
        self._end_if_paused(at + 1, events)

    def _end_if_paused(self, at: int, events: list[UtteranceEvent]) -> None:
        """End the utterance if a run that begins at ``at`` would be too late to go on with it."""
        if self._start is not None and (at - self._end) * FRAME_S >= BRIDGED_S:
            self._tell_end(events)

    def _tell_end(self, events: list[UtteranceEvent]) -> None:
        assert self._start is not None
        events.append(UtteranceEvent("utterance.end", self._start * FRAME_S, self._end * FRAME_S))
        self._start = None
