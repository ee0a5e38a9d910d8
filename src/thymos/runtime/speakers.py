"""Who speaks when, of two voices in one channel, and what is heard in each: experimental, and measured
(``benchmarks/speaker_turns.py``).

Sound is described every half second by its cepstra, which are clustered in two; then each voice is a Gaussian over the
cepstra of its frames, and the most probable course through both, in which a change costs, is found in turn with them.

Sources: Davis, Mermelstein 1980 (cepstra on the mel scale); Tranter, Reynolds 2006, An overview of automatic speaker
diarization systems, for clustering and resegmentation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from thymos.audio import Samples, Waveform, resample
from thymos.audio.blocks import Sound, open_blocks
from thymos.audio.containers import Remark
from thymos.audio.decode import joined_blocks
from thymos.audio.mel_scale import hz_to_mel, mel_to_hz
from thymos.audio.mixing import Channel
from thymos.errors import AudioError
from thymos.runtime.bundle import About
from thymos.runtime.hearing import moments_in
from thymos.runtime.listening import Listener, Recording
from thymos.runtime.prediction import Prediction
from thymos.runtime.vad import FRAME_S, Spans, VadStream, speech_spans
from thymos.runtime.windows import WindowSamples

if TYPE_CHECKING:
    from thymos.runtime.recognizer import Recognizer

RATE_HZ, HOP, WINDOW, FFT = 16_000, 160, 400, 512
BANDS, CEPSTRA, HIGHEST_HZ = 40, 19, 7_600.0
SLOT_S = 0.5
"""A voice is decided on for so long at once."""
AROUND_S = 1.5
"""What a slot is first described by: so much around its middle."""
CHANGE = 12.0
"""What a change of voice costs, in units of a slot's log-likelihood."""
INDEPENDENT = 0.2
"""Share of frames that tell something of their own."""
ROUNDS = 8
LONGEST_S = 3600.0
LEAST_SLOTS = 8
"""With fewer, nobody can be told apart."""

Turns = list[tuple[float, float, int]]
"""Beginning and end, in seconds, and which voice speaks, from 0, in order."""


@dataclass(frozen=True)
class _Slots:
    """Speech in slots: where each lies, and its frames among the cepstra."""

    times_s: list[tuple[float, float]]
    frames: list[slice]


def speaker_turns(samples: Samples, spans: Spans) -> Turns:
    """Return the turns of two voices in mono ``samples`` at 16 kHz, in whose ``spans`` somebody speaks.

    Of too little speech, all is of one voice.
    """
    slots = _slots(spans, len(samples))
    if len(slots.frames) < LEAST_SLOTS:
        return _turns(slots, np.zeros(len(slots.frames), np.int64))
    cepstra = cepstra_of(samples)
    half = round(AROUND_S / 2 * RATE_HZ / HOP)
    spoken = np.zeros(len(cepstra), bool)
    for part in slots.frames:
        spoken[part] = True
    described = np.array([_around(cepstra, spoken, part, half) for part in slots.frames])
    scaled = (described - described.mean(0)) / (described.std(0) + 1e-6)
    voices = two_clusters(scaled)
    for _ in range(ROUNDS):
        if not 0 < voices.sum() < len(voices):
            break
        likely = np.stack([_likely(cepstra, slots.frames, voices == voice) for voice in (0, 1)], axis=1)
        found = _course(likely, CHANGE)
        if np.array_equal(found, voices):
            break
        voices = found
    return _turns(slots, voices)


def predict_speakers(
    recognizer: "Recognizer", source: Sound, timeline: bool = False, channel: Channel = "mix"
) -> list[Prediction]:
    """Return what is heard in each of two voices that speak in turns in one channel; experimental.

    >>> from thymos.runtime.speakers import predict_speakers                      # doctest: +SKIP
    >>> one, other = predict_speakers(thymos.load(), "call.wav", timeline=True)    # doctest: +SKIP

    Each voice is centred on itself, where the model knows how: its offset is estimated from its own turns, and taken
    out. One in which nobody is found has no emotion.

    Raises:
        AudioError: as ``Recognizer.predict``, or it is longer than an hour.
    """
    voices = _voices(recognizer._listener, source, channel)
    offsets = recognizer.offsets(voices, ["first", "second"]) if recognizer.can_adapt else {}
    own = [recognizer.for_voice(offsets.get(name)) if name in offsets else recognizer for name in ("first", "second")]
    return [each.decide(voice, timeline) for each, voice in zip(own, voices, strict=True)]


def _voices(listener: Listener, source: Sound, channel: Channel) -> list[Recording]:
    """Return the turns of each of two voices as a recording that was heard in windows."""
    about = listener.bundle.about
    waveform, remarks = _whole(listener, source, channel)
    samples, played = resample(waveform, RATE_HZ).samples, resample(waveform, about.rate_hz).samples
    vad = VadStream(RATE_HZ)
    vad.push(samples)
    vad.finish()
    turns = speaker_turns(samples, speech_spans(vad.probabilities()))
    recordings = []
    for voice in range(2):
        own = [(start_s, end_s) for start_s, end_s, speaker in turns if speaker == voice]
        spans = [[round(start_s / FRAME_S), round(end_s / FRAME_S)] for start_s, end_s in own]
        recordings.append(
            Recording(
                duration_s=waveform.duration_s,
                speech_s=sum(end_s - start_s for start_s, end_s in own),
                spans=np.array(spans, np.int64).reshape(-1, 2),
                loudest=vad.loudest,
                whole=None,
                in_windows=True,
                windows=tuple(
                    listener.window(cut, moments_in(cut.end_s - cut.start_s))
                    for start_s, end_s in own
                    for cut in _windows_of(played, about, start_s, end_s)
                ),
                remarks=remarks,
            )
        )
    return recordings


def _whole(listener: Listener, source: Sound, channel: Channel) -> tuple[Waveform, tuple[Remark, ...]]:
    """Return a recording in one piece, and what may be remarked of it."""
    blocks, frames = list[Samples](), 0
    with open_blocks(source, listener.limits, channel) as sound:
        for block in sound.blocks:
            frames += len(block)
            if frames > LONGEST_S * sound.rate_hz:
                raise AudioError(f"is longer than {LONGEST_S / 60:.0f} minutes, in which no voices are told apart")
            blocks.append(block)
    if not frames:
        raise AudioError("holds no samples")
    return Waveform(joined_blocks(blocks), sound.rate_hz), tuple(sorted(sound.remarks))


def _windows_of(played: Samples, about: About, start_s: float, end_s: float) -> Iterator[WindowSamples]:
    """Cut a turn into equal windows, none longer than the model's."""
    pieces = max(1, ceil((end_s - start_s) / about.window_s))
    for begin_s, stop_s in pairwise(np.linspace(start_s, end_s, pieces + 1).tolist()):
        part = played[round(begin_s * about.rate_hz) : round(stop_s * about.rate_hz)]
        yield WindowSamples(begin_s, stop_s, stop_s - begin_s, part)


def cepstra_of(samples: Samples) -> NDArray[np.float64]:
    """Return cepstra 1 to 19 every 10 ms: shape ``(frames, 19)``."""
    padded = np.pad(samples, (0, max(0, WINDOW - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window, bands, cosines = _tables()
    parts = []
    for first in range(0, len(frames), 1024):
        spectra = np.fft.rfft(frames[first : first + 1024] * window, FFT, axis=1)
        power = (spectra.real**2 + spectra.imag**2) @ bands
        parts.append(np.log(power + 1e-8) @ cosines)
    return np.concatenate(parts)


@cache
def _tables() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return a Hann window, triangular bands, and the cosines of the transform of their logarithms."""
    frequencies = np.fft.rfftfreq(FFT, 1 / RATE_HZ)
    lowest, highest = hz_to_mel(np.array([60.0, HIGHEST_HZ]))
    edges = mel_to_hz(np.linspace(lowest, highest, BANDS + 2))
    rising = (frequencies[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies[:, None]) / (edges[2:] - edges[1:-1])
    places = (np.arange(BANDS)[:, None] + 0.5) * np.arange(1, CEPSTRA + 1)
    return np.hanning(WINDOW), np.clip(np.minimum(rising, falling), 0, None), np.cos(np.pi * places / BANDS)


def _slots(spans: Spans, count: int) -> _Slots:
    slots = _Slots([], [])
    for first, last in spans.tolist():
        start_s, end_s = first * FRAME_S, min(last * FRAME_S, count / RATE_HZ)
        pieces = max(1, round((end_s - start_s) / SLOT_S))
        edges = np.linspace(start_s, end_s, pieces + 1).tolist()
        for begin, end in pairwise(edges):
            frames = slice(round(begin * RATE_HZ / HOP), round(end * RATE_HZ / HOP))
            if frames.stop > frames.start:
                slots.times_s.append((begin, end))
                slots.frames.append(frames)
    return slots


def _around(cepstra: NDArray[np.float64], spoken: NDArray[np.bool_], part: slice, half: int) -> NDArray[np.float64]:
    middle = (part.start + part.stop) // 2
    wide = slice(max(0, middle - half), middle + half)
    own = cepstra[wide][spoken[wide]]
    mean: NDArray[np.float64] = (own if len(own) else cepstra[part]).mean(0)
    return mean


def two_clusters(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which of two clusters each of ``points`` (points, numbers) is in, by k-means from several beginnings."""
    random = np.random.default_rng(0)
    best, least = np.zeros(len(points), np.int64), np.inf
    for _ in range(10):
        centres = points[random.choice(len(points), 2, replace=False)]
        for _ in range(50):
            distances = np.square(points[:, None] - centres).sum(2)
            own = distances.argmin(1)
            if not 0 < own.sum() < len(own):
                break
            moved = np.stack([points[own == place].mean(0) for place in (0, 1)])
            if np.allclose(moved, centres):
                break
            centres = moved
        cost = float(distances.min(1).sum())
        if cost < least:
            best, least = own, cost
    return best


def _likely(cepstra: NDArray[np.float64], frames: list[slice], own: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the log-likelihood of each slot under the Gaussian of those that are a voice's ``own``."""
    spoken = np.concatenate([cepstra[part] for part, mine in zip(frames, own, strict=True) if mine])
    mean = spoken.mean(0)
    covariance = np.cov(spoken.T) if len(spoken) > 1 else np.eye(CEPSTRA)
    covariance += np.eye(CEPSTRA) * (np.trace(covariance) / CEPSTRA * 0.05 + 1e-6)
    precision = np.linalg.inv(covariance)
    constant = -0.5 * np.linalg.slogdet(covariance)[1]
    told = []
    for part in frames:
        apart = cepstra[part] - mean
        told.append(float((constant - 0.5 * np.einsum("ij,jk,ik->i", apart, precision, apart)).sum()) * INDEPENDENT)
    return np.array(told)


def _course(likely: NDArray[np.float64], change: float) -> NDArray[np.int64]:
    """Return the most probable voice of each slot (Viterbi), shape ``(slots,)``; a change costs ``change``."""
    best = likely[0].copy()
    before = np.zeros((len(likely), 2), np.int64)
    for place in range(1, len(likely)):
        switched = best[::-1] - change
        before[place] = np.where(switched > best, [1, 0], [0, 1])
        best = np.maximum(best, switched) + likely[place]
    course = np.zeros(len(likely), np.int64)
    course[-1] = best.argmax()
    for place in range(len(likely) - 1, 0, -1):
        course[place - 1] = before[place, course[place]]
    return course


def _turns(slots: _Slots, voices: NDArray[np.int64]) -> Turns:
    """Return slots as turns; the voice that speaks first is 0."""
    first = int(voices[0]) if len(voices) else 0
    turns: Turns = []
    for (start_s, end_s), voice in zip(slots.times_s, voices.tolist(), strict=True):
        own = int(voice != first)
        if turns and turns[-1][2] == own and start_s - turns[-1][1] < 1e-6:
            turns[-1] = (turns[-1][0], end_s, own)
        else:
            turns.append((start_s, end_s, own))
    return turns
