"""The pictures of one part of a fold, taken from disk as the recipe wants them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thymos.cnn.normalise import normalise_speakers, number_speakers, speaker_scale
from thymos.cnn.spectrograms import Pictures


def plain_part(
    pictures: Pictures, segments: Sequence[int], speakers: Sequence[str] | None = None
) -> NDArray[np.float32]:
    """Return the pictures of ``segments``, without any copies: what is tested on.

    Args:
        pictures: of the corpus.
        segments: which of them.
        speakers: who speaks in each segment of the corpus, to normalise by speaker; None: values stay as they are.
    """
    return _gather([pictures], segments, speakers)


def training_part(
    pictures: Pictures, segments: Sequence[int], speakers: Sequence[str] | None = None
) -> NDArray[np.float32]:
    """Return the pictures of ``segments``, then those of the same segments in each copy, as ``plain_part`` does.

    A copy is normalised by its own values: it stands for a speaker of its own.
    """
    return _gather([pictures, *pictures.copies], segments, speakers)


def _gather(
    sources: Sequence[Pictures], segments: Sequence[int], speakers: Sequence[str] | None
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
