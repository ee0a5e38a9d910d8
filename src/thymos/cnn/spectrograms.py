"""The spectrograms of a corpus: every clip decoded, cut and turned into spectrograms, once, and kept on disk.

The cache is named by a hash of everything that shapes the spectrograms: settings, the sound of every clip, and the
version of this code. Labels and folds do not shape them, so all protocols share one file. Changed copies of the
recordings, for augmentation, lie in files of their own.

A part of a fold is taken from disk as the recipe wants it. Normalisation by speaker gives every speaker's bands mean 0
and standard deviation 1 over all of that speaker's segments, whichever side of a fold they are on. It looks at test
recordings too, without their labels, so it is transductive: a test speaker's recordings must be there all at once.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from thymos.audio import (
    Samples,
    cut,
    normalise_peak,
    resample,
    shift_pitch,
    sliding_spans,
    stretch_to,
    study_spans,
    wiener,
)
from thymos.audio.conditioning import Span
from thymos.cache import is_sealed_folder, raw_to_npy, seal_folder, whole_folder
from thymos.cnn.front_end import front_end
from thymos.cnn.recipe import UNCHANGED, CopySettings, FeatureSettings, SoundSettings
from thymos.corpora.table import Clip, Corpus, clip_names
from thymos.engine.process import one_thread
from thymos.errors import ProtocolError

_SPECTROGRAMS_VERSION = 2


@dataclass(frozen=True)
class Spectrograms:
    """Spectrograms of a corpus, segment by segment in the order of its clips.

    Attributes:
        folder: where they lie.
        values: float32, shape ``(segments, channels, bands, frames)``; may lie on disk.
        clip_index: shape ``(segments,)``: each segment's place in ``corpus.clips``.
        times_s: shape ``(segments, 2)``: start and end in seconds; the end does not pass the recording's.
        copies: spectrograms of the same segments in changed copies of the recordings.
    """

    folder: Path
    values: NDArray[np.float32]
    clip_index: NDArray[np.int64]
    times_s: NDArray[np.float64]
    copies: tuple["Spectrograms", ...] = ()


def make_spectrograms(
    corpus: Corpus,
    sound: SoundSettings,
    features: FeatureSettings,
    cache_dir: Path,
    advance: Callable[[], None] = lambda: None,
    threads: int = 2,
    copies: Sequence[CopySettings] = (),
) -> Spectrograms:
    """Return the spectrograms of ``corpus``, from the cache where they are there.

    Args:
        corpus: whose clips.
        sound: how recordings become segments.
        features: how segments become spectrograms.
        cache_dir: where the spectrograms are kept.
        advance: called after each clip, for a progress bar; and again in each copy.
        threads: clips at work at once.
        copies: changed copies of the recordings, whose spectrograms are made beside.
    """
    folders = []
    for copy in (UNCHANGED, *copies):
        folder = cache_dir / "spectrograms" / cache_key(corpus, sound, features, copy)
        folders.append(folder)
        if not is_sealed_folder(folder):
            shutil.rmtree(folder, ignore_errors=True)  # what was changed since
            _write(folder, corpus, sound, features, copy, advance, threads)
        else:
            for _ in corpus.clips:
                advance()
    return open_spectrograms(folders[0], folders[1:])


def open_spectrograms(folder: Path, copies: Sequence[Path] = ()) -> Spectrograms:
    """Return the spectrograms that ``make_spectrograms`` left in ``folder``; their values stay on disk until used."""
    with np.load(folder / "index.npz") as index:
        clip_index, times_s = index["clip_index"], index["times_s"]
    values = np.load(folder / "values.npy", mmap_mode="r")
    return Spectrograms(folder, values, clip_index, times_s, tuple(open_spectrograms(copy) for copy in copies))


def cache_key(corpus: Corpus, sound: SoundSettings, features: FeatureSettings, copy: CopySettings = UNCHANGED) -> str:
    """Return the hash of all that shapes the spectrograms of ``corpus``, or of a changed copy of it."""
    shaping = {
        "version": _SPECTROGRAMS_VERSION,
        "sound": sound.model_dump(exclude={"max_silence_s"}),
        "features": features.model_dump(exclude={"normalise"}),
        "clips": [clip.sound.sha256 for clip in corpus.clips],
    }
    if copy != UNCHANGED:
        shaping["copy"] = copy.model_dump()
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:32]


def prepare(samples: Samples, sound: SoundSettings) -> Samples:
    """Return the samples of a recording, at the recipe's rate, as they are before cutting."""
    if sound.normalise == "peak":
        samples = normalise_peak(samples)
    return wiener(samples) if sound.wiener else samples


def spans_of(n_samples: int, sound: SoundSettings) -> list[Span]:
    """Return where a recording of ``n_samples`` is cut, or all of it where it is stretched."""
    match sound.segments:
        case "study":
            return study_spans(n_samples, sound.window)
        case "sliding":
            return sliding_spans(n_samples, sound.window, round(sound.hop_s * sound.rate_hz))
        case "stretch":
            return [(0, n_samples)]


def segments_of(samples: Samples, sound: SoundSettings) -> Samples:
    """Return the segments of a prepared recording, one for each of ``spans_of``: shape ``(segments, window)``."""
    if sound.segments == "stretch":
        return stretch_to(samples, sound.rate_hz, sound.window)[None]
    return cut(samples, spans_of(len(samples), sound))


def _write(
    folder: Path,
    corpus: Corpus,
    sound: SoundSettings,
    features: FeatureSettings,
    copy: CopySettings,
    advance: Callable[[], None],
    threads: int,
) -> None:
    module = front_end(sound, features).eval()

    def spectrogram(clip: Clip) -> tuple[NDArray[np.float32], list[tuple[float, float]]]:
        waveform = resample(corpus.waveform(clip), sound.rate_hz)
        samples = changed_copy(prepare(waveform.samples, sound), sound.rate_hz, copy, clip.sound.sha256)
        with torch.inference_mode():
            values = module(torch.from_numpy(segments_of(samples, sound))).numpy()
        spans = spans_of(len(samples), sound)
        times = [(start / sound.rate_hz, min(stop, len(samples)) / sound.rate_hz) for start, stop in spans]
        advance()
        return values, times

    # OpenMP counts the threads of each thread apart, so each has to be told.
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    with whole_folder(folder) as temporary, one_thread(), pool:
        clip_index: list[int] = []
        times_s: list[tuple[float, float]] = []
        shape: tuple[int, ...] = ()
        with (temporary / "values.raw").open("wb") as raw:
            for i, (values, times) in enumerate(pool.map(spectrogram, corpus.clips)):
                raw.write(np.ascontiguousarray(values).data)
                shape = values.shape[1:]
                clip_index += [i] * len(times)
                times_s += times
        raw_to_npy(temporary / "values.raw", temporary / "values.npy", (len(clip_index), *shape))
        np.savez(temporary / "index.npz", clip_index=np.array(clip_index, np.int64), times_s=np.array(times_s))
        seal_folder(temporary, folder.name)


def changed_copy(samples: Samples, rate_hz: int, copy: CopySettings, sha256: str) -> Samples:
    """Return ``samples`` (shape ``(samples,)``) as ``copy`` says: pitch first, then noise, then gain.

    Args:
        samples: a recording, normalised as it is going to be.
        rate_hz: its rate.
        copy: what changes.
        sha256: of the recording, in hexadecimal; it alone seeds the noise.

    Raises:
        MissingExtraError: the pitch changes, and python-stretch is not installed.
    """
    if copy.pitch_semitones:
        samples = shift_pitch(samples, rate_hz, copy.pitch_semitones)
    if copy.noise_snr_db is not None:
        samples = samples + _noise(samples, copy.noise_snr_db, int(sha256, 16))
    if copy.gain_db:
        samples = samples * np.float32(10 ** (copy.gain_db / 20))
    return samples


def _noise(samples: Samples, snr_db: float, seed: int) -> Samples:
    power = np.mean(samples.astype(np.float64) ** 2)
    level = np.float32(np.sqrt(power * 10 ** (-snr_db / 10)))
    return level * np.random.default_rng(seed).standard_normal(len(samples), dtype=np.float32)


_CHUNK = 64
_CONSTANT = 1e-6
"""A band whose standard deviation is this small beside its mean is constant up to rounding, and only centred."""


def plain_part(
    spectrograms: Spectrograms, segments: Sequence[int], speakers: Sequence[str] | None = None
) -> NDArray[np.float32]:
    """Return the spectrograms of ``segments``, without any copies: what is tested on.

    Args:
        spectrograms: of the corpus.
        segments: which of them.
        speakers: who speaks in each segment of the corpus, to normalise by speaker; None: values stay as they are.
    """
    return _gather([spectrograms], segments, speakers)


def training_part(
    spectrograms: Spectrograms, segments: Sequence[int], speakers: Sequence[str] | None = None
) -> NDArray[np.float32]:
    """Return the spectrograms of ``segments``, then those of the same segments in each copy, as ``plain_part`` does.

    A copy is normalised by its own values: it stands for a speaker of its own.
    """
    return _gather([spectrograms, *spectrograms.copies], segments, speakers)


def _gather(
    sources: Sequence[Spectrograms], segments: Sequence[int], speakers: Sequence[str] | None
) -> NDArray[np.float32]:
    """Fill one array from all ``sources``, so that nothing is in memory twice."""
    rows = np.asarray(segments, np.int64)
    numbers = None if speakers is None else number_speakers(speakers)
    part = np.empty((len(sources), len(rows), *sources[0].values.shape[1:]), np.float32)
    for own, source in zip(part, sources, strict=True):
        np.take(source.values, rows, axis=0, out=own, mode="clip")  # the default mode fills a buffer first
        if numbers is not None:
            normalise_speakers(own, numbers[rows], speaker_scale(source.values, numbers))
    return part.reshape(-1, *part.shape[2:])


@dataclass(frozen=True)
class SpeakerScale:
    """Mean and standard deviation of each speaker's bands: float32, shape ``(speakers, channels, bands, 1)``."""

    mean: NDArray[np.float32]
    sd: NDArray[np.float32]


def speakers_of(corpus: Corpus) -> tuple[str, ...]:
    """Return the speaker of each clip.

    Raises:
        ProtocolError: the corpus does not tell them all.
    """
    unknown = [clip.path for clip in corpus.clips if not clip.speaker]
    if unknown:
        raise ProtocolError(f"features.normalise=speaker needs to know who speaks, but not in {clip_names(unknown)}")
    return tuple(clip.speaker for clip in corpus.clips)


def speaker_scale(values: NDArray[np.float32], speakers: NDArray[np.int64]) -> SpeakerScale:
    """Measure each speaker's bands over all segments and frames, a few segments at a time.

    Args:
        values: shape ``(segments, channels, bands, frames)``; may lie on disk.
        speakers: number of each segment's speaker, from 0 without gaps: shape ``(segments,)``.
    """
    _, channels, bands, frames = values.shape
    sums = np.zeros((2, speakers.max() + 1, channels, bands))
    for first in range(0, len(values), _CHUNK):
        chunk = values[first : first + _CHUNK].astype(np.float64)
        own = speakers[first : first + _CHUNK]
        np.add.at(sums[0], own, chunk.sum(-1))
        np.add.at(sums[1], own, np.square(chunk).sum(-1))
    mean, square = sums / (np.bincount(speakers)[:, None, None] * frames)
    sd = np.sqrt(np.maximum(square - mean**2, 0))
    sd[sd <= _CONSTANT * np.maximum(1, np.abs(mean))] = 1
    return SpeakerScale(mean[..., None].astype(np.float32), sd[..., None].astype(np.float32))


def normalise_speakers(values: NDArray[np.float32], speakers: NDArray[np.int64], scale: SpeakerScale) -> None:
    """Normalise ``values`` where they are; ``speakers`` tells whose each of them is."""
    for row, speaker in zip(values, speakers, strict=True):
        row -= scale.mean[speaker]
        row /= scale.sd[speaker]


def number_speakers(speakers: Sequence[str]) -> NDArray[np.int64]:
    """Return ``speakers`` as numbers from 0 without gaps."""
    return np.unique(np.array(speakers), return_inverse=True)[1]
