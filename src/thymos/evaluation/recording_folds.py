"""What folds of whole recordings have in common, whatever is fitted: their parts, and the rows that a fold returns."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.corpora.folds import Fold, check_all_emotions
from thymos.corpora.protocols import Split
from thymos.corpora.table import Corpus
from thymos.evaluation.run import FoldResult
from thymos.scoring.predictions import predictions_frame

Rows = tuple[int, ...]
"""Places of recordings among the clips of their corpus."""


@dataclass(frozen=True, kw_only=True)
class RecordingTask:
    """What a worker process needs to know of one fold, beside how it is fitted."""

    fold: Fold
    labels: tuple[str, ...]
    targets: tuple[int, ...]
    """Class of every recording of the corpus."""
    train: Rows
    test: Rows
    test_clips: tuple[str, ...]
    test_speakers: tuple[str, ...]
    test_durations_s: tuple[float, ...]
    inner: tuple[tuple[Rows, Rows], ...]
    """Splits of the training part into a training and a validation part."""
    seed: int


def recording_parts(
    corpus: Corpus, split: Split, inner: int, seed: int, learns: bool = True
) -> Iterator[dict[str, Any]]:
    """Yield for each fold of ``split`` the fields of its ``RecordingTask``.

    Args:
        corpus: whose clips the folds name.
        split: whose protocol divides inner splits too, by its rule.
        inner: splits of each training part.
        seed: each fold's own is drawn from it and the fold's number.
        learns: whether anything is fitted, so that every emotion must be there to learn.

    Raises:
        ProtocolError: the training part of a fold, or of an inner split of it, lacks an emotion of the corpus, or it
            cannot be divided further.
    """
    labels = corpus.emotions
    place = {clip.path: i for i, clip in enumerate(corpus.clips)}
    targets = tuple(labels.index(clip.emotion) for clip in corpus.clips)

    def rows(paths: Sequence[str]) -> Rows:
        return tuple(sorted(place[path] for path in paths))

    for fold in split.folds:
        inner_folds = split.protocol.inner(corpus, fold, inner, seed) if inner else ()
        if learns:
            for part in (fold, *inner_folds):
                check_all_emotions(corpus, part)
        tested = [corpus.clips[i] for i in rows(fold.test)]
        yield {
            "fold": fold,
            "labels": labels,
            "targets": targets,
            "train": rows(fold.train),
            "test": rows(fold.test),
            "test_clips": tuple(clip.path for clip in tested),
            "test_speakers": tuple(clip.speaker for clip in tested),
            "test_durations_s": tuple(clip.sound.duration_s for clip in tested),
            "inner": tuple((rows(part.train), rows(part.test)) for part in inner_folds),
            "seed": int(np.random.SeedSequence([seed, fold.repeat, fold.index]).generate_state(1)[0]),
        }


def recording_result(
    task: RecordingTask, probabilities: NDArray[np.float64], started: float, facts: dict[str, Any]
) -> FoldResult:
    """Return a fold's facts and predictions: one row for each recording, from its start to its end.

    Args:
        task: the fold.
        probabilities: of the test part, shape ``(recordings, labels)``.
        started: when work on it began, by ``time.perf_counter``.
        facts: what else is to be told of it.
    """
    durations_s = np.array(task.test_durations_s)
    frame = predictions_frame(
        list(task.test_clips),
        np.stack([np.zeros_like(durations_s), durations_s], axis=1),
        (task.fold.repeat, task.fold.index),
        list(task.test_speakers),
        [task.labels[task.targets[i]] for i in task.test],
        task.labels,
        probabilities,
    )
    common = {
        "repeat": task.fold.repeat,
        "fold": task.fold.index,
        "name": task.fold.name,
        "train_clips": len(task.train),
        "test_clips": len(task.test),
        "train_segments": len(task.train),
        "test_segments": len(task.test),
        "wall_s": round(time.perf_counter() - started, 3),
    }
    return common | facts, frame
