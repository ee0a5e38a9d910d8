"""One fold, whatever is fitted: the training part goes to the experiment, the test part is scored, and rows come out.

Every loop goes through here: evaluations, the cells of studies, robustness, and the models that ``thymos train`` makes.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from thymos.corpora.folds import Fold
from thymos.corpora.protocols import INNER_FOLDS, Split
from thymos.corpora.table import Corpus
from thymos.engine.tasks import Report
from thymos.errors import LeakageError, ProtocolError, ThymosError
from thymos.evaluation.node_features import features_here
from thymos.experiment import Calibration, Epoch, Experiment, Fitted, InnerSplit, Rows, Scores, TrainingPart, Work
from thymos.labels import in_order
from thymos.scoring.calibration import apply_temperature, fit_conformal, fit_temperature, log_probabilities
from thymos.scoring.predictions import FoldResult, predicted_column, predictions_frame, true_column

LEAST_HELD_OUT = 20
"""With fewer recordings to calibrate on, a temperature is rough, and a 95th percentile the largest of a handful."""


@dataclass(frozen=True, kw_only=True)
class FoldTask:
    """All that a worker process needs to fit and score one fold."""

    experiment: Experiment[Any]
    features: Any
    """As ``node_features.for_nodes`` returned them."""
    fold: Fold
    part: TrainingPart
    labels: tuple[str, ...]
    """All emotions of the corpus: of one that ``part`` lacks, a recording may be tested, and counts as wrong."""
    test: Rows
    test_clips: tuple[str, ...]
    test_speakers: tuple[str, ...]
    test_durations_s: tuple[float, ...]
    test_emotions: tuple[str, ...]
    test_values: NDArray[np.float64] | None = None
    """True value of each in each of the training part's dimensions, NaN where it is not told."""
    cache_dir: Path
    threads: int = 1
    device: str = "cpu"


def fold_tasks(
    corpus: Corpus,
    experiment: Experiment[Any],
    split: Split,
    features: Any,
    seed: int,
    work: Work,
    watched: bool = False,
) -> list[FoldTask]:
    """Turn the folds of ``split`` into tasks; each fold's seed is drawn from ``seed`` and the fold's number.

    Args:
        corpus: whose clips the folds name.
        experiment: what is fitted.
        split: its protocol divides inner splits, too.
        features: of ``corpus``, made by ``experiment``.
        seed: of the run.
        work: how it is done.
        watched: whether test parts are scored after each epoch: only where they are inner validation parts.

    Raises:
        ProtocolError: a training part has one emotion only, or cannot be divided further though it has to be.
    """
    targets = corpus.targets
    learnt = corpus if experiment.learns_dimensions else replace(corpus, clips=())
    dimensions, values = learnt.dimensions, learnt.values

    def rows(paths: Sequence[str]) -> Rows:
        return tuple(sorted(corpus.rows(paths).tolist()))

    def part(fold: Fold, own_seed: int) -> TrainingPart:
        return training_part(corpus, targets, rows(fold.train), own_seed, fold.name, experiment.learns)

    calibrated = experiment.calibrated
    heard = {row for row, clip in enumerate(corpus.clips) if calibrated and experiment.has_heard(clip)}

    def held_out(whole: TrainingPart, train: TrainingPart, fold: Fold) -> InnerSplit:
        # What is said of a recording that was heard promises too much.
        new = [row for row in rows(fold.test) if row not in heard]
        told = whole.labels or ("",)
        scored = [row for row in new if corpus.clips[row].emotion in (train.labels or told)]
        own = [told.index(corpus.clips[row].emotion) for row in scored]
        return InnerSplit(train, tuple(scored), np.array(own, np.int64))

    tasks = []
    for fold in split.folds:
        own_seed = int(np.random.SeedSequence([seed, fold.repeat, fold.index]).generate_state(1)[0])
        train = part(fold, own_seed)
        seen = held_out(train, train, fold) if watched else None
        test = rows(fold.test)
        tested = [corpus.clips[i] for i in test]
        tasks.append(
            FoldTask(
                experiment=experiment,
                features=features,
                fold=fold,
                part=replace(
                    train,
                    dimensions=dimensions,
                    values=None if values is None else values[list(train.rows)],
                    inner=tuple(
                        inner
                        for each in inner_folds(corpus, experiment, split, fold, seed)
                        if (inner := held_out(train, part(each, own_seed), each)).rows
                    ),
                    watched=seen if seen and seen.rows else None,
                ),
                labels=corpus.emotions,
                test=test,
                test_clips=tuple(clip.path for clip in tested),
                test_speakers=tuple(clip.speaker for clip in tested),
                test_durations_s=tuple(clip.sound.duration_s for clip in tested),
                test_emotions=tuple(clip.emotion for clip in tested),
                test_values=None if values is None else values[list(test)],
                cache_dir=work.cache_dir,
                threads=work.threads,
                device=work.device,
            )
        )
    return tasks


def check_fit(experiment: Experiment[Any], corpus: Corpus, split: Split, seed: int) -> None:
    """Check, before features are made, that ``experiment`` can be fitted to every fold of ``split`` and tested on it.

    What it has heard may be trained on: of recordings that are never tested, that is no leak.

    Raises:
        LeakageError: it has heard recordings that would be tested.
        ProtocolError: a training part has one emotion only, or cannot be divided further though it has to be.
        ThymosError: it cannot be fitted to such a corpus, or a library that it needs is not installed.
    """
    tested = {path for fold in split.folds for path in fold.test}
    try:
        experiment.check(corpus)
    except LeakageError:
        if len(tested) == len(corpus.clips):
            raise
        experiment.check(corpus.part(tested))
    targets = corpus.targets
    for fold in split.folds if experiment.learns else ():
        inner = inner_folds(corpus, experiment, split, fold, seed) if experiment.inner_splits else ()
        for each in (fold, *inner):
            training_part(corpus, targets, tuple(corpus.rows(each.train).tolist()), seed, each.name)


def training_part(
    corpus: Corpus, targets: NDArray[np.int64], rows: Rows, seed: int, where: str, learns: bool = True
) -> TrainingPart:
    """Return ``rows`` of ``corpus`` as a part to fit to: its labels are the emotions that it has.

    Args:
        corpus: whose recordings they are.
        targets: of all of them, as ``corpus.targets``.
        rows: which are fitted to.
        seed: of the fit.
        where: the fold, for the message.
        learns: False where nothing is fitted to the corpus: all its emotions can then be told apart.

    Raises:
        ProtocolError: they are of one emotion.
    """
    own = targets[list(rows)]
    if not learns or not corpus.emotions:
        return TrainingPart(corpus.emotions, rows, own, seed)
    classes, places = np.unique(own, return_inverse=True)
    labels = tuple(corpus.emotions[label] for label in classes)
    if len(labels) < 2:
        raise ProtocolError(f"{where} has no recording but of {labels[0]} to train on; two emotions are needed")
    return TrainingPart(labels, rows, places.astype(np.int64), seed)


def usable_folds(corpus: Corpus, folds: Sequence[Fold]) -> tuple[Fold, ...]:
    """Return the ``folds`` that have two emotions to train on, if any are told, and recordings of these to test."""
    emotion = {clip.path: clip.emotion for clip in corpus.clips}
    trained = [{emotion[path] for path in fold.train} for fold in folds]
    return tuple(
        fold
        for fold, heard in zip(folds, trained, strict=True)
        if (len(heard) > 1 or heard == {""}) and any(emotion[path] in heard for path in fold.test)
    )


def among_all(probabilities: NDArray[np.float64], own: Sequence[str], every: Sequence[str]) -> NDArray[np.float64]:
    """Return what is said of the labels ``own`` as said of ``every`` label: 0 of those that are not among them.

    Args:
        probabilities: shape ``(rows, own)``.
        own: labels that a model tells apart.
        every: labels of the result, shape ``(rows, every)``.
    """
    result = np.zeros((len(probabilities), len(every)))
    result[:, [every.index(label) for label in own]] = probabilities
    return result


def inner_folds(corpus: Corpus, experiment: Experiment[Any], split: Split, fold: Fold, seed: int) -> Iterator[Fold]:
    """Yield the inner folds of ``fold`` that can be fitted to: none where only calibration, or the penalty of a
    regression, needs them and there are too few recordings for it.

    Raises:
        ProtocolError: the fit itself needs them, and the training part cannot be divided.
    """
    chooses = experiment.calibrated or (experiment.learns_dimensions and bool(corpus.dimensions))
    most = INNER_FOLDS if chooses else experiment.inner_splits
    if not most:
        return
    try:
        inner = split.protocol.inner(corpus, fold, most, seed)
    except LeakageError:
        raise
    except ProtocolError:
        if experiment.inner_splits:
            raise
        return
    usable = usable_folds(corpus, inner)
    if experiment.inner_splits and not usable:
        raise ProtocolError(f"{fold.name} has too few recordings to train on: no inner split has two emotions")
    yield from usable


def epochs_reported(experiment: Experiment[Any]) -> int:
    """Return how many epochs a fold reports at most, inner fits counted; 0: it has none."""
    return experiment.epochs * (1 + (INNER_FOLDS if experiment.calibrated else 0))


def run_fold(task: FoldTask, report: Report) -> FoldResult:
    """Fit one fold and score its test part; ``report`` gets ``(fold name, epochs done)`` after each epoch."""
    started = time.perf_counter()
    done = 0

    def on_epoch(epoch: Epoch) -> None:
        nonlocal done
        done += 1
        report((task.fold.name, done))

    with features_here(task.features, task.cache_dir, task.threads) as (features, cache_dir):
        work = Work(cache_dir, task.threads, task.device, on_epoch=on_epoch)
        fitted, calibration = fit_calibrated(task.experiment, features, task.part, work)
        asked = len(task.part.dimensions)
        scores = scores_of(task.experiment, fitted, features, task.test, task.part.labels, task.fold.name, asked)
    frame = predictions_of(task, tempered(scores, calibration, fitted))
    facts: dict[str, Any] = {
        "repeat": task.fold.repeat,
        "fold": task.fold.index,
        "name": task.fold.name,
        "train_clips": len(task.part.rows),
        "test_clips": len(task.test),
        "train_segments": len(task.part.rows),
        "test_segments": len(frame),
        "parameters": fitted.parameters,
        "wall_s": round(time.perf_counter() - started, 3),
        "curve": [told(epoch) for epoch in fitted.curve],
        **fitted.facts,
    }
    if calibration:
        facts["calibration"] = calibration.as_json()
    unheard = Counter(emotion for emotion in task.test_emotions if emotion and emotion not in task.part.labels)
    if unheard:
        facts["untrained"] = {emotion: unheard[emotion] for emotion in in_order(unheard)}
    return facts, frame


def scores_of(
    experiment: Experiment[Any],
    fitted: Fitted[Any],
    features: Any,
    rows: Rows,
    labels: Sequence[str],
    where: str,
    dimensions: int = 0,
) -> Scores:
    """Return what ``fitted`` says of ``rows``, checked: an experiment of one's own may get it wrong.

    Args:
        experiment: for the message.
        fitted: whom it is asked.
        features: as ``experiment`` made them.
        rows: of the corpus.
        labels: what is told apart.
        where: the fold, for the message.
        dimensions: how many values it is to tell of each.

    Raises:
        ThymosError: it has the wrong shape, or holds no probabilities; the message names experiment and ``where``.
    """
    scores = fitted.predict(features, rows)
    complaint = _complaint(scores, rows, len(labels), dimensions)
    if complaint:
        raise ThymosError(f"{experiment.name or type(experiment).__name__}, {where}: {complaint}")
    return scores


def _complaint(scores: Scores, rows: Rows, labels: int, dimensions: int) -> str | None:
    given, of, times_s = np.asarray(scores.probabilities), scores.recordings, scores.times_s
    needed = (len(rows) if of is None else len(of), labels)
    if given.shape != needed:
        what = "recording" if of is None else "segment"
        return f"predict gave probabilities of shape {given.shape}, not {needed}: a row a {what}, a column an emotion"
    if of is not None and (others := set(np.asarray(of).tolist()) ^ set(rows)):
        place = min(others)
        return f"predict {'left out' if place in rows else 'was not asked for'} recording {place}"
    if times_s is not None and np.shape(times_s) != (len(given), 2):
        return f"predict gave times of shape {np.shape(times_s)}, not {(len(given), 2)}"
    if scores.values is not None and dimensions and np.shape(scores.values) != (len(given), dimensions):
        return f"predict gave values of shape {np.shape(scores.values)}, not {(len(given), dimensions)}"
    if not np.isfinite(given).all():
        return "predict gave probabilities that are not numbers"
    if (given < 0).any() or (labels and not np.allclose(given.sum(axis=1), 1, rtol=0, atol=1e-3)):
        worst = given.sum(axis=1)[np.abs(given.sum(axis=1) - 1).argmax()]
        return f"predict gave probabilities that are negative or do not sum to 1, such as {worst:.4g}"
    return None


def predictions_of(task: FoldTask, scores: Scores) -> pd.DataFrame:
    """Return what was said of the test part of ``task`` as rows of ``predictions.csv``."""
    place = {row: i for i, row in enumerate(task.test)}
    of = list(range(len(task.test))) if scores.recordings is None else [place[int(row)] for row in scores.recordings]
    ends_s = np.array(task.test_durations_s)[of]  # of the whole recording, where no times are told
    times_s = np.stack([np.zeros_like(ends_s), ends_s], axis=1) if scores.times_s is None else scores.times_s
    frame = predictions_frame(
        [task.test_clips[i] for i in of],
        times_s,
        (task.fold.repeat, task.fold.index),
        [task.test_speakers[i] for i in of],
        [task.test_emotions[i] for i in of],
        task.labels,
        among_all(scores.probabilities, task.part.labels, task.labels),
    )
    if task.test_values is not None and scores.values is not None:
        for at, name in enumerate(task.part.dimensions):
            frame[true_column(name)] = task.test_values[of, at]
            frame[predicted_column(name)] = scores.values[:, at]
    return frame


def told(epoch: Epoch) -> dict[str, float]:
    """Return an epoch as JSON has it; what was not watched is left out."""
    return {name: value for name, value in asdict(epoch).items() if value is not None}


def fit_calibrated(
    experiment: Experiment[Any], features: Any, part: TrainingPart, work: Work
) -> tuple[Fitted[Any], Calibration | None]:
    """Fit ``experiment`` to ``part``; where it is to be calibrated, once more on each of its inner splits.

    Returns:
        The model, and what goes with its probabilities: its own calibration, or that of the inner splits, if any.
    """
    fitted = experiment.fit(features, part, work)
    if not experiment.calibrated or not part.inner or not part.labels:
        return fitted, fitted.calibration
    held_out = []
    for number, split in enumerate(part.inner, start=1):
        inner = experiment.fit(features, split.train, work)
        scores = scores_of(experiment, inner, features, split.rows, split.train.labels, f"inner split {number}")
        held_out.append(among_all(scores.of_recordings(split.rows), split.train.labels, part.labels))
    truth = np.concatenate([split.targets for split in part.inner])
    return fitted, calibration_of(np.concatenate(held_out), truth)


def calibration_of(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> Calibration:
    """Return the calibration that fits what models say of recordings that they were not fitted to.

    Args:
        probabilities: shape ``(rows, labels)``, one row a recording.
        truth: class of each, shape ``(rows,)``.
    """
    return calibration_of_logits(log_probabilities(probabilities), truth)


def calibration_of_logits(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> Calibration:
    """Return what ``calibration_of`` does, by the logits, shape ``(rows, labels)``, that probabilities were made of."""
    temperature = fit_temperature(logits, truth)
    if len(truth) < LEAST_HELD_OUT:
        temperature = max(1.0, temperature)  # a handful that are all right must not make it surer of everything
    return Calibration(temperature, fit_conformal(apply_temperature(logits, temperature), truth))


def tempered(scores: Scores, calibration: Calibration | None, fitted: Fitted[Any]) -> Scores:
    """Return ``scores`` at the temperature of ``calibration``, unless the model has applied it itself."""
    if calibration is None or calibration is fitted.calibration:
        return scores
    logits = log_probabilities(scores.probabilities)
    return replace(scores, probabilities=apply_temperature(logits, calibration.temperature))
