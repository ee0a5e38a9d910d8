"""The answer for a long recording: the mean of its windows' answers, summed up as they come."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thymos.runtime.prediction import Window


@dataclass(frozen=True)
class Answer:
    """What the model says of some samples.

    Attributes:
        probabilities: float64, shape ``(labels,)``.
        embedding: float32, shape ``(E,)``.
    """

    probabilities: NDArray[np.float64]
    embedding: NDArray[np.float32]


class WindowMean:
    """The mean of windows, weighted by their seconds of speech.

    It keeps sums only: the embeddings of ten hours' windows would take as much memory as the model.
    """

    def __init__(self, labels: Sequence[str]):
        """Take the model's emotions."""
        self._labels = labels
        self._speech_s = self._unfamiliar_s = 0.0
        self._probabilities = np.zeros(len(labels))
        self._embedding = np.zeros(0)

    def add(self, window: Window, embedding: NDArray[np.float32] | None) -> None:
        """Count ``window``, unless nobody speaks in it."""
        if window.probabilities is None or embedding is None:
            return
        self._speech_s += window.speech_s
        self._unfamiliar_s += window.speech_s * window.unfamiliar
        self._probabilities += window.speech_s * np.array([window.probabilities[word] for word in self._labels])
        own = window.speech_s * embedding.astype(np.float64)
        self._embedding = own + self._embedding if len(self._embedding) else own

    def answer(self) -> tuple[Answer | None, bool]:
        """Return the mean, None if nobody speaks; and whether most of the speech is unfamiliar."""
        if not self._speech_s:
            return None, False
        embedding = (self._embedding / self._speech_s).astype(np.float32)
        return Answer(self._probabilities / self._speech_s, embedding), self._unfamiliar_s > self._speech_s / 2
