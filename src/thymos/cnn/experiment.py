"""Folds of recipes of kind pictures: fit a network to segments' pictures, score the pictures of the test part."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from thymos.cnn.fit import Epoch, check_buildable, fit, predict_probabilities
from thymos.cnn.normalise import speakers_of
from thymos.cnn.parts import plain_part, training_part
from thymos.cnn.spectrograms import Pictures, make_pictures, open_pictures
from thymos.corpora.folds import Fold, check_all_emotions
from thymos.corpora.protocols import Split
from thymos.corpora.table import Corpus
from thymos.engine.workers import Report
from thymos.evaluation.run import FoldResult
from thymos.recipes import Recipe
from thymos.scoring.predictions import predictions_frame


@dataclass(frozen=True)
class FoldTask:
    """All that a worker process needs to fit and score one fold."""

    fold: Fold
    recipe: Recipe
    pictures_folder: Path
    labels: tuple[str, ...]
    train_segments: tuple[int, ...]
    test_segments: tuple[int, ...]
    segment_labels: tuple[int, ...]
    """Class of every segment of the corpus."""
    test_clips: tuple[str, ...]
    """Clip path of each test segment."""
    test_speakers: tuple[str, ...]
    seed: int
    copy_folders: tuple[Path, ...] = ()
    """Pictures of each of the recipe's copies, for the training part."""
    segment_speakers: tuple[str, ...] | None = None
    """Speaker of every segment of the corpus, where the recipe normalises by speaker."""
    watched: bool = False
    """Whether the test part is scored after each epoch too: only where it is an inner validation part."""


def fold_tasks(
    corpus: Corpus,
    recipe: Recipe,
    folds: Sequence[Fold],
    pictures: Pictures,
    seed: int,
    watched: bool = False,
) -> list[FoldTask]:
    """Turn folds of clips into tasks on segments. Segments follow their clip: none can leave it.

    Args:
        corpus: whose clips the folds name.
        recipe: what is fitted.
        folds: of the corpus.
        pictures: of ``corpus``, made by this recipe, with a copy for each of its ``augmentation.copies``.
        seed: each fold's own is drawn from it and the fold's number.
        watched: whether test parts are scored after each epoch too.

    Raises:
        ProtocolError: the training part of a fold lacks an emotion of the corpus, or the recipe normalises by speaker
            and the corpus does not tell who speaks.
        ValueError: ``pictures`` lack the recipe's copies, so the fit would not be augmented.
    """
    if len(pictures.copies) != len(recipe.augmentation.copies):
        raise ValueError("pictures were made without the recipe's augmentation.copies")
    labels = corpus.emotions
    speakers = np.array(speakers_of(corpus)) if recipe.features.normalise == "speaker" else None
    place = {clip.path: i for i, clip in enumerate(corpus.clips)}
    clip_labels = np.array([labels.index(clip.emotion) for clip in corpus.clips])
    segment_labels = clip_labels[pictures.clip_index]
    tasks = []
    for fold in folds:
        check_all_emotions(corpus, fold)
        test = np.flatnonzero(np.isin(pictures.clip_index, [place[path] for path in fold.test]))
        tested = [corpus.clips[i] for i in pictures.clip_index[test]]
        tasks.append(
            FoldTask(
                fold=fold,
                recipe=recipe,
                pictures_folder=pictures.folder,
                labels=labels,
                train_segments=tuple(
                    np.flatnonzero(np.isin(pictures.clip_index, [place[path] for path in fold.train])).tolist()
                ),
                test_segments=tuple(test.tolist()),
                segment_labels=tuple(segment_labels.tolist()),
                test_clips=tuple(clip.path for clip in tested),
                test_speakers=tuple(clip.speaker for clip in tested),
                seed=int(np.random.SeedSequence([seed, fold.repeat, fold.index]).generate_state(1)[0]),
                copy_folders=tuple(copy.folder for copy in pictures.copies),
                segment_speakers=None if speakers is None else tuple(speakers[pictures.clip_index].tolist()),
                watched=watched,
            )
        )
    return tasks


def run_fold(task: FoldTask, report: Report) -> FoldResult:
    """Fit one fold and score its test part; ``report`` gets ``(fold name, epoch)`` after each epoch."""
    started = time.perf_counter()
    pictures = open_pictures(task.pictures_folder, task.copy_folders)
    targets = np.array(task.segment_labels, np.int64)
    train, test = list(task.train_segments), list(task.test_segments)

    def on_epoch(epoch: Epoch) -> None:
        report((task.fold.name, epoch))

    tested = plain_part(pictures, test, task.segment_speakers)
    fitted = fit(
        task.recipe,
        training_part(pictures, train, task.segment_speakers),
        np.tile(targets[train], 1 + len(pictures.copies)),
        len(task.labels),
        task.seed,
        on_epoch,
        watch=(tested, targets[test]) if task.watched else None,
    )
    probabilities = predict_probabilities(fitted.model, tested, task.recipe.training)
    frame = predictions_frame(
        list(task.test_clips),
        pictures.times_s[test],
        (task.fold.repeat, task.fold.index),
        list(task.test_speakers),
        [task.labels[i] for i in targets[test]],
        task.labels,
        probabilities,
    )
    facts = {
        "repeat": task.fold.repeat,
        "fold": task.fold.index,
        "name": task.fold.name,
        "train_clips": len(task.fold.train),
        "test_clips": len(task.fold.test),
        "train_segments": len(train),
        "test_segments": len(test),
        "parameters": sum(p.numel() for p in fitted.model.parameters()),
        "wall_s": round(time.perf_counter() - started, 3),
        "curve": [_row(epoch) for epoch in fitted.curve],
    }
    return facts, frame


def _row(epoch: Epoch) -> dict[str, float]:
    return {name: value for name, value in asdict(epoch).items() if value is not None}


def check(corpus: Corpus, recipe: Recipe) -> None:
    """Check that the recipe's network can be built; see ``check_buildable``."""
    check_buildable(recipe, len(corpus.emotions))


def steps(corpus: Corpus, recipe: Recipe) -> int:
    """Return how many pictures of clips are made, copies counted."""
    return len(corpus.clips) * (1 + len(recipe.augmentation.copies))


def prepare(
    corpus: Corpus, recipe: Recipe, cache_dir: Path, advance: Callable[[], None], threads: int, seed: int
) -> Pictures:
    """Return the pictures of ``corpus`` and of the recipe's copies; see ``make_pictures``.

    Nothing is drawn, so ``seed`` changes nothing.
    """
    copies = recipe.augmentation.copies
    return make_pictures(corpus, recipe.sound, recipe.features, cache_dir, advance, threads, copies)


def tasks(corpus: Corpus, recipe: Recipe, split: Split, pictures: Pictures, seed: int) -> list[FoldTask]:
    """Return a task for each fold of ``split``; see ``fold_tasks``."""
    return fold_tasks(corpus, recipe, split.folds, pictures, seed)


def epochs(recipe: Recipe) -> int:
    """Return how many epochs each fold reports."""
    return recipe.training.epochs
