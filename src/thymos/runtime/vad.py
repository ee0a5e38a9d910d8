"""Voice activity detection (VAD): where somebody speaks. What is silence, music or noise is given no emotion.

Its model is Silero VAD (MIT), which comes along in ``weights/vad`` and runs on onnxruntime like the recogniser itself.
"""

from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thymos.audio import Samples
from thymos.audio.conditioning import Resampler
from thymos.runtime.model_files import GraphSession, open_session

RATE_HZ, FRAME = 16_000, 512
"""What the model takes: frames of 32 ms, each of which gets one probability of speech."""
FRAME_S = FRAME / RATE_HZ
STARTS, GOES_ON = 0.5, 0.35
"""Speech begins where its probability reaches the first, and goes on while it is above the second: 0.7 of the first,
where another is asked for."""
SHORTEST_FRAMES = 6
"""Shorter runs are no speech: a drum, a click, a note."""
FAINT_S = 0.03
"""Probabilities of frames, summed up over time: with less, there is nobody, however faint."""
_FAINT_FRAMES = 16
_CONTEXT, _STATE = 64, (1, 1, 128)
_MODEL = "vad.onnx"

Spans = NDArray[np.int64]
"""Runs of speech, shape ``(runs, 2)``: first frame, and frame after the last."""


@cache
def _session() -> GraphSession:
    path = Path(str(resources.files("thymos") / "weights" / "vad" / _MODEL))
    return open_session(path.read_bytes(), path)


@dataclass
class VadStream:
    """VAD over one recording, fed in blocks of any size.

    Attributes:
        rate_hz: samples per second of what it is fed.
        starts: probability of speech at which it begins.
        frames: frames that it has judged.
        loudest: root mean square of the loudest frame, full scale 1.
    """

    rate_hz: int
    starts: float = STARTS
    frames: int = 0
    loudest: float = 0.0
    _said: NDArray[np.float32] = field(default_factory=lambda: np.empty(1024, np.float32), repr=False)

    def __post_init__(self) -> None:
        self._resampler = Resampler(self.rate_hz, RATE_HZ)
        self._left = np.empty(0, np.float32)
        self._context = np.zeros(_CONTEXT, np.float32)
        self._hidden, self._cell = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
        self.goes_on, self.shortest_frames = self.starts * GOES_ON / STARTS, SHORTEST_FRAMES

    def push(self, samples: Samples) -> None:
        """Judge all whole frames up to the end of ``samples``: mono, full scale ±1, shape ``(n,)``."""
        self._judge(self._resampler.push(samples))

    def finish(self) -> None:
        """Judge what is left, filled up with silence."""
        self._judge(self._resampler.finish())
        if len(self._left):
            self._judge(np.zeros(FRAME - len(self._left), np.float32))

    def probabilities(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Return the probability of speech in each frame from ``start`` to before ``stop``: shape ``(frames,)``."""
        return self._said[: self.frames][start:stop]

    def speech_s(self, start_s: float, end_s: float) -> float:
        """Return the seconds of speech in the frames that lie within ``start_s`` to ``end_s``."""
        first, last = int(np.ceil(start_s / FRAME_S - 1e-9)), int(np.floor(end_s / FRAME_S + 1e-9))
        spans = self.spans(first, max(first, last))
        return float((spans[:, 1] - spans[:, 0]).sum() * FRAME_S)

    def spans(self, start: int = 0, stop: int | None = None) -> Spans:
        """Return the runs of speech among the frames from ``start`` to before ``stop``, counted from ``start``."""
        return speech_spans(self.probabilities(start, stop), self.starts, self.goes_on, self.shortest_frames)

    @property
    def expected_s(self) -> float:
        """Seconds of speech to expect by the probabilities alone, however they lie."""
        return float(self.probabilities().sum(dtype=np.float64)) * FRAME_S

    def take_faint_speech(self) -> None:
        """Take the frames that are likeliest to be speech for it, half a second of them, whatever their probabilities.

        To be called where something else than the VAD tells that somebody speaks.
        """
        said = np.sort(self.probabilities())[::-1]
        self.starts = self.goes_on = float(said[min(_FAINT_FRAMES, len(said)) - 1])
        self.shortest_frames = 1

    def _judge(self, samples: Samples) -> None:
        samples = np.concatenate([self._left, samples])
        whole = len(samples) // FRAME
        self._left = samples[whole * FRAME :]
        if not whole:
            return
        frames = samples[: whole * FRAME].reshape(whole, FRAME)
        contexts = np.concatenate([self._context[None], frames[:-1, -_CONTEXT:]])
        self._context = frames[-1, -_CONTEXT:]
        said, self._hidden, self._cell = _session().run(
            ["speech_probs", "hn", "cn"],
            {"input": np.concatenate([contexts, frames], axis=1), "h": self._hidden, "c": self._cell},
        )
        if self.frames + whole > len(self._said):
            self._said = np.resize(self._said, 2 * (self.frames + whole))
        self._said[self.frames : self.frames + whole] = said.reshape(-1)
        self.frames += whole
        power = np.einsum("ij,ij->i", frames, frames) / FRAME
        self.loudest = max(self.loudest, float(np.sqrt(power.max())))


def speech_spans(
    probabilities: NDArray[np.float32],
    starts: float = STARTS,
    goes_on: float = GOES_ON,
    shortest_frames: int = SHORTEST_FRAMES,
) -> Spans:
    """Return the runs of speech in ``probabilities``, shape ``(frames,)``: shape ``(runs, 2)``, in frames.

    A run is of frames of ``goes_on`` or more, one of them ``starts`` or more, and no shorter than ``shortest_frames``.
    """
    edges = np.diff(np.concatenate([[False], probabilities >= np.float32(goes_on), [False]]).astype(np.int8))
    spans = np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)
    if len(spans):
        begun = np.maximum.reduceat(probabilities, spans[:, 0]) >= np.float32(starts)
        spans = spans[begun & (spans[:, 1] - spans[:, 0] >= shortest_frames)]
    return spans
