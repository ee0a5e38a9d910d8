"""What a recording sounds like, in numbers: for searching, clustering, drawing, or a model of one's own."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thymos.errors import AudioError, BundleError
from thymos.runtime.hearing import Heard
from thymos.runtime.listening import Recording

What = Literal["embedding", "statistics"]


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of a recording, or of its windows.

    Attributes:
        start_s: where each begins, shape ``(n,)``.
        end_s: where it ends.
        values: float32, shape ``(n, E)``.
    """

    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    values: NDArray[np.float32]


def embeddings_of(recording: Recording, what: What, windows: bool) -> Embeddings:
    """Return the embedding of all of ``recording``, or those of its windows with speech.

    Raises:
        AudioError: nobody speaks.
        BundleError: the model has no statistics.
    """
    if not recording.vectors:
        raise AudioError("holds no speech, so it has no embedding")
    if not windows:
        first = recording.vectors[0]
        if recording.in_windows:
            seconds = np.array([window.speech_s for window in recording.windows if window.impression is not None])
            each = np.array([_vector(heard, what) for heard in recording.vectors], np.float64)
            values = (seconds @ each / seconds.sum()).astype(np.float32)
        else:
            values = _vector(first, what)
        return Embeddings(np.zeros(1), np.array([recording.duration_s]), values[None])
    spoken = [window for window in recording.windows if window.impression is not None]
    own = recording.vectors if recording.in_windows else recording.vectors[1:]
    if not spoken:
        raise AudioError("holds no window with enough speech for an embedding")
    return Embeddings(
        np.array([window.start_s for window in spoken]),
        np.array([window.end_s for window in spoken]),
        np.stack([_vector(heard, what) for heard in own]),
    )


def _vector(heard: Heard, what: What) -> NDArray[np.float32]:
    if what == "embedding":
        return heard.embedding
    if heard.description is None:
        raise BundleError("this model tells logits itself, and has no statistics of states: take its embedding")
    return heard.description
