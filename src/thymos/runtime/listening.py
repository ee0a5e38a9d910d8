"""Hear a recording: everything that takes time. What is kept of it is small, and decisions are made from it at once."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from thymos.audio import Samples
from thymos.audio.blocks import Sound, open_blocks
from thymos.audio.conditioning import played
from thymos.audio.containers import Remark
from thymos.audio.decode import Waveform
from thymos.audio.mixing import Channel
from thymos.audio.source import DEFAULT_LIMITS, Limits
from thymos.errors import AudioError
from thymos.runtime.adaptation import Coordinates
from thymos.runtime.bundle import WHOLE_S, Bundle
from thymos.runtime.hearing import Heard, Moments, moments_in
from thymos.runtime.vad import FAINT_S, FRAME_S, Spans
from thymos.runtime.windows import WindowCutter, WindowSamples

LEAST_SPEECH_S = 0.25
"""With less speech, none is heard."""
FAINT_REACH = 1.05
"""Where the VAD is not sure that anybody speaks, the model is asked: what is like the speech that it knows, up to so
many times the distance that is in distribution, is faint speech. Measured by ``benchmarks/vad.py``."""


LEAST_TURN, MOST_TURN = 8, 32
"""Windows with speech before a long recording's next turn may begin, in a silence, and before it must."""


class Share(NamedTuple):
    """What one of several listeners hears of a long recording's windows, which know nothing of one another.

    The recording is split into turns at silences, and listeners take turns. All of them see all of it, since its rate
    and its VAD go by all that came before; what takes long, the model, is asked once for each window.
    """

    number: int
    """From 0."""
    listeners: int


class _Turns:
    """Whose turn each window of a recording is, told in their order."""

    def __init__(self, share: Share | None):
        self._share, self._turn, self._spoken = share, 0, 0

    def is_mine(self, window: WindowSamples) -> bool:
        """Return whether the next ``window`` is heard here."""
        silent = window.speech_s < LEAST_SPEECH_S
        if self._spoken >= (LEAST_TURN if silent else MOST_TURN):
            self._turn, self._spoken = self._turn + 1, 0
        self._spoken += not silent
        return self._share is None or self._turn % self._share.listeners == self._share.number


@dataclass(frozen=True)
class Impression:
    """What is kept of samples that were heard.

    Attributes:
        logits: of all of the model's emotions: float64, shape ``(classes,)``.
        coordinates: in the model's space of voices, shape ``(Q,)``; None where it has none.
        out_of_distribution: unlike the recordings that the model was trained on.
        values: of the dimensions that the model reads, shape ``(dimensions,)``; None where it reads none.
        moments: logits of moments evenly spread over what was heard, shape ``(moments, classes)``, for a timeline.
    """

    logits: NDArray[np.float64]
    coordinates: Coordinates | None
    out_of_distribution: bool
    values: NDArray[np.float64] | None = None
    moments: NDArray[np.float64] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, to the last digit."""
        places = None if self.coordinates is None else self.coordinates.tolist()
        told = {"logits": self.logits.tolist(), "coordinates": places, "out_of_distribution": self.out_of_distribution}
        more = {"values": self.values, "moments": self.moments}
        return told | {name: values.tolist() for name, values in more.items() if values is not None}


@dataclass(frozen=True)
class HeardWindow:
    """A window of a recording; nobody speaks where ``impression`` is None."""

    start_s: float
    end_s: float
    speech_s: float
    impression: Impression | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        heard = None if self.impression is None else self.impression.to_dict()
        return {"start_s": self.start_s, "end_s": self.end_s, "speech_s": self.speech_s, "impression": heard}


@dataclass(frozen=True)
class Recording:
    """A recording that was heard.

    Attributes:
        duration_s: how long it is.
        speech_s: seconds of speech.
        spans: runs of speech, in frames of the VAD.
        loudest: root mean square of its loudest frame, full scale being 1.
        whole: what was heard in all of it; None where nobody speaks, or where it was heard in windows.
        in_windows: whether it was too long to be heard whole.
        windows: what was heard in them, where they were asked for or it is long.
        vectors: of what was heard, if they were to be kept: of the whole, if it was heard, then of each window.
        remarks: what was found in the sound, or done to it, on its way in; sorted.
        faint: the VAD is not sure that anybody speaks; the model is.
    """

    duration_s: float
    speech_s: float
    spans: Spans
    loudest: float
    whole: Impression | None
    in_windows: bool
    windows: tuple[HeardWindow, ...]
    vectors: tuple[Heard, ...] = ()
    remarks: tuple[Remark, ...] = ()
    faint: bool = False

    @property
    def impressions(self) -> list[Impression]:
        """All impressions that stand for the recording: of the whole, or of its windows."""
        if not self.in_windows:
            return [] if self.whole is None else [self.whole]
        return [window.impression for window in self.windows if window.impression is not None]

    def to_dict(self) -> dict[str, Any]:
        """Return all that decisions are made from as JSON has it, which leaves the vectors out."""
        return {
            "duration_s": self.duration_s,
            "speech_s": self.speech_s,
            "spans": self.spans.tolist(),
            "loudest": self.loudest,
            "whole": None if self.whole is None else self.whole.to_dict(),
            "in_windows": self.in_windows,
            "windows": [window.to_dict() for window in self.windows],
            "remarks": list(self.remarks),
            "faint": self.faint,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Recording":
        """Return the recording that ``to_dict`` told, without its vectors."""
        own = dict(content)
        own["spans"] = np.array(own["spans"], np.int64).reshape(-1, 2)
        own["whole"] = _impression(own["whole"])
        own["windows"] = tuple(
            HeardWindow(**{**window, "impression": _impression(window["impression"])}) for window in own["windows"]
        )
        own["remarks"] = tuple(own["remarks"])
        return cls(**own)


def _impression(content: dict[str, Any] | None) -> Impression | None:
    if content is None:
        return None
    places = content["coordinates"]
    coordinates = None if places is None else np.array(places, np.float64)
    values, moments = (
        np.array(content[name], np.float64) if name in content else None for name in ("values", "moments")
    )
    logits = np.array(content["logits"], np.float64)
    return Impression(logits, coordinates, content["out_of_distribution"], values, moments)


class Listener:
    """A model that hears. Any number of threads may use it at once."""

    def __init__(self, bundle: Bundle, threads: int, limits: Limits = DEFAULT_LIMITS):
        """Take a checked bundle, how many windows of one recording are heard at once, and bounds on recordings."""
        self.bundle, self.threads, self.limits = bundle, threads, limits
        self.vad_threshold: float | None = None
        """Probability at which speech begins; None: the VAD's own, and the model is asked where it is not sure."""
        self._pool: tuple[int, ThreadPoolExecutor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pool": None}

    @property
    def pool(self) -> ThreadPoolExecutor:
        """Threads for windows: this process's own, since those of a parent do not come along through a fork."""
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), ThreadPoolExecutor(self.threads, "thymos-windows")
        return self._pool[1]

    def listen(
        self,
        source: Sound,
        windows: bool,
        channel: Channel = "mix",
        keep: bool = False,
        share: Share | None = None,
    ) -> Recording:
        """Hear a recording, in windows too if ``windows``; one ``channel`` of it, or all as one; ``keep`` its vectors.

        Of windows, only those of a ``share``, if one is given: see ``joined``.

        Raises:
            AudioError: it cannot be read, or is outside the bounds.
        """
        about = self.bundle.about
        longest_whole_s = 0.0 if about.window == "fixed" else WHOLE_S
        heard: list[HeardWindow] = []
        vectors: list[Heard] = []
        turns = _Turns(share)

        def take(window: HeardWindow, told: Heard | None) -> None:
            heard.append(window)
            if told is not None and keep:
                vectors.append(told)

        with open_blocks(source, self.limits, channel) as sound:
            cutter = WindowCutter(sound.rate_hz, about.rate_hz, about.window_s, about.hop_s, self.vad_threshold)
            at_work: deque[Future[tuple[HeardWindow, Heard | None]]] = deque()
            for block in sound.blocks:
                cutter.take(block)
                if cutter.duration_s > longest_whole_s:
                    self._hear_windows(cutter.full_windows(), turns, at_work, take, self.threads)
            cutter.end()
        if not cutter.taken:
            raise AudioError("holds no samples")
        is_long = cutter.duration_s > longest_whole_s
        # What is short is heard whole, by the first of those that share it.
        whole, told = (None, None) if is_long or (share and share.number) else self._whole(cutter)
        if told is not None and keep:
            vectors.append(told)
        if is_long or windows:
            self._hear_windows([*cutter.full_windows(), *cutter.last_window()], turns, at_work, take, 0)
        spans = cutter.vad.spans()
        speech_s = min(float((spans[:, 1] - spans[:, 0]).sum()) * FRAME_S, cutter.duration_s)
        return Recording(
            duration_s=cutter.duration_s,
            speech_s=speech_s,
            spans=spans,
            loudest=cutter.vad.loudest,
            whole=whole,
            in_windows=is_long,
            windows=tuple(heard),
            vectors=tuple(vectors),
            remarks=tuple(sorted(sound.remarks)),
            faint=cutter.vad.shortest_frames == 1,
        )

    def window(self, cut: WindowSamples, moments: Moments | None = None) -> HeardWindow:
        """Hear one window, and ``moments`` of it, if any."""
        return self._heard_window(cut, moments)[0]

    def hear(self, samples: Samples, moments: Moments | None = None) -> tuple[Impression, Heard]:
        """Hear samples at the model's rate, shape ``(samples,)``; return what is kept, and what the model said.

        With ``moments``, logits of these, too.

        One recording or window at a time, so that no answer hinges on its neighbours in a batch.
        """
        bundle = self.bundle
        waveform = Waveform(samples, bundle.about.rate_hz)
        rate_hz = bundle.about.rate_hz
        runs = [bundle.hear(played(waveform, speed, rate_hz), moments=moments) for speed in bundle.about.speeds]
        logits = np.asarray(np.mean([heard.logits for heard in runs], axis=0, dtype=np.float64))
        space, coordinates = bundle.hearing.space, None
        if space is not None:
            places = [space.coordinates(heard.description) for heard in runs if heard.description is not None]
            coordinates = np.asarray(np.mean(places, axis=0))
        embedding = runs[0].embedding
        distribution = bundle.distribution
        unlike = distribution is not None and not bool(distribution.contains(embedding[None])[0])
        read = [heard.values for heard in runs if heard.values is not None]
        values = np.asarray(np.mean(read, axis=0, dtype=np.float64)) if read else None
        each = [heard.moment_logits for heard in runs if heard.moment_logits is not None]
        # In thousandths: a journal of hours is kept small, and says what was said.
        told = np.asarray(np.mean(each, axis=0, dtype=np.float64).round(3)) if each else None
        return Impression(logits, coordinates, unlike, values, told), runs[0]

    def _whole(self, cutter: WindowCutter) -> tuple[Impression | None, Heard | None]:
        vad, distribution = cutter.vad, self.bundle.distribution
        if vad.speech_s(0, (vad.frames + 1) * FRAME_S) >= LEAST_SPEECH_S:
            return self.hear(cutter.whole())
        if self.vad_threshold is not None or distribution is None or vad.expected_s < FAINT_S:
            return None, None
        impression, told = self.hear(cutter.whole())
        if distribution.distances(told.embedding[None])[0] > FAINT_REACH * distribution.threshold:
            return None, None
        vad.take_faint_speech()
        return impression, told

    def _hear_windows(
        self,
        to_hear: list[WindowSamples],
        turns: _Turns,
        at_work: "deque[Future[tuple[HeardWindow, Heard | None]]]",
        take: Callable[[HeardWindow, Heard | None], None],
        most: int,
    ) -> None:
        """Hear windows on all threads, ``take`` them in order, and leave at most ``most``: so memory stays flat."""
        for window in to_hear:
            moments = moments_in(window.end_s - window.start_s)
            hear = self._heard_window if turns.is_mine(window) else _heard_elsewhere
            at_work.append(self.pool.submit(hear, window, moments))
            while len(at_work) > 2 * self.threads:
                take(*at_work.popleft().result())
        while len(at_work) > most:
            take(*at_work.popleft().result())

    def _heard_window(self, cut: WindowSamples, moments: Moments | None) -> tuple[HeardWindow, Heard | None]:
        if cut.speech_s < LEAST_SPEECH_S:
            return HeardWindow(cut.start_s, cut.end_s, cut.speech_s, None), None
        impression, told = self.hear(cut.samples, moments)
        return HeardWindow(cut.start_s, cut.end_s, cut.speech_s, impression), told


def _heard_elsewhere(cut: WindowSamples, moments: Moments | None) -> tuple[HeardWindow, Heard | None]:
    return HeardWindow(cut.start_s, cut.end_s, cut.speech_s, None), None


def joined(shares: Sequence[Recording]) -> Recording:
    """Return the recording whose every ``Share`` was heard, to the last digit as one listener hears all of it."""
    windows = zip(*(each.windows for each in shares), strict=True)
    heard = tuple(next((window for window in told if window.impression is not None), told[0]) for told in windows)
    return replace(shares[0], windows=heard)
