"""The spectrograms of one part of a fold, taken from disk as the recipe wants them.

Normalisation by speaker gives every speaker's bands mean 0 and standard deviation 1 over all of that speaker's
segments, whichever side of a fold they are on. It looks at test recordings too, without their labels, so it is
transductive: a test speaker's recordings must be there all at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thymos.cnn.spectrograms import Spectrograms
from thymos.corpora.table import Corpus, clip_names
from thymos.errors import ProtocolError

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
