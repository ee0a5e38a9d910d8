"""What a live stream tells beside its answers: where utterances begin and end, as soon as the VAD knows (the same as of
a file), and how loud it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from thymos.audio import Samples
from thymos.live import FLOOR_DB, STATE_S
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


@dataclass(frozen=True)
class SoundState:
    """What is known of sound at once, before any emotion is: how loud it is, and whether somebody speaks."""

    at_s: float
    level_db: float
    """Root mean square of the last ``STATE_S``, dB of full scale, no less than ``FLOOR_DB``."""
    speaking: bool
    """Within an utterance, as ``UtteranceWatch`` tells it."""

    @property
    def level(self) -> float:
        """0 at ``FLOOR_DB``, 1 at full scale: as a fader takes it."""
        return min(1.0, 1 - self.level_db / FLOOR_DB)

    def to_dict(self) -> dict[str, Any]:
        """Return it as ``thymos listen`` prints it."""
        return {"level_db": round(self.level_db, 1), "speaking": self.speaking}


class StateWatch:
    """Cuts sound into pieces of ``STATE_S``, and says after each what its state is."""

    def __init__(self, rate_hz: int, vad: VadStream):
        """Take the rate of what comes in, and the VAD of the stream that is fed with the same."""
        self._rate_hz, self._size = rate_hz, max(1, round(STATE_S * rate_hz))
        self._utterances = UtteranceWatch(vad)
        self._samples, self._in_piece, self._squares = 0, 0, 0.0
        self.state = SoundState(0.0, FLOOR_DB, False)

    def pieces(self, samples: Samples) -> Iterator[Samples]:
        """Yield ``samples``, mono, shape ``(n,)``, in pieces none of which goes beyond the end of a ``STATE_S``."""
        at = 0
        while at < len(samples):
            size = self._size - self._in_piece
            yield samples[at : at + size]
            at += size

    def take(self, piece: Samples) -> SoundState | None:
        """Take a piece once the stream has been fed with it; return the state, if a ``STATE_S`` is over with it."""
        self._samples += len(piece)
        self._in_piece += len(piece)
        self._squares += float(np.square(piece, dtype=np.float64).sum())
        if self._in_piece < self._size:
            return None
        speaking = self.state.speaking
        for event in self._utterances.new_events(False):
            speaking = event.kind == "utterance.start"
        root = np.sqrt(self._squares / self._in_piece)
        level_db = max(FLOOR_DB, 20 * float(np.log10(max(root, 1e-9))))
        self.state = SoundState(self._samples / self._rate_hz, level_db, speaking)
        self._in_piece, self._squares = 0, 0.0
        return self.state
