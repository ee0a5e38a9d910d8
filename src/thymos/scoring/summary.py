"""Folds' facts and predictions -> the content of results.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from thymos.corpora.protocols import Split
from thymos.corpora.table import Corpus
from thymos.errors import ProtocolError
from thymos.labels import natural_key
from thymos.scoring.agreement import dimension_rows
from thymos.scoring.breakdown import Grouping, groupings
from thymos.scoring.calibration import calibration_summary, confidence_summary
from thymos.scoring.metrics import (
    METRICS,
    Level,
    bootstrap_interval,
    bootstrap_intervals,
    confusion,
    confusion_by_group,
    mean_and_sd,
    per_class,
    scores,
)
from thymos.scoring.predictions import FoldResult, Scored, scored_recordings, scored_segments
from thymos.scoring.results import LEVELS, Results, describe_corpus, describe_files, versions

ByLevel = dict[Level, Scored]


def make_results(
    corpus: Corpus,
    recipe: Mapping[str, Any],
    transductive: bool,
    split: Split,
    fold_results: Sequence[FoldResult],
    seed: int,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of ``results.json`` (see ``Results``).

    Args:
        corpus: what was evaluated, exclusions kept.
        recipe: settings of what was fitted, with its ``name``.
        transductive: whether predictions hinge on other recordings that are tested.
        split: how it was divided.
        fold_results: facts and predictions of each fold.
        seed: of the run.
        facts: more to say of the run: ``command``, ``finished`` and ``wall_s`` at least.

    Raises:
        ProtocolError: dimensions alone are told, and no fold both learns one and tests it.
    """
    labels = _labels_in(corpus, split)
    predictions = pd.concat([frame for _, frame in fold_results], ignore_index=True)
    dimensions = dimension_rows(predictions)
    if not labels and not dimensions:
        raise ProtocolError("no fold has values of a dimension both to learn from and to test: nothing can be scored")
    of_emotions = (
        _of_emotions(corpus, labels, split, fold_results, predictions) if labels else {"levels": ["recording"]}
    )
    labels_used = [asdict(use) for use in corpus.labels]
    content = {
        "format": 1,
        "corpus": describe_corpus(corpus) | describe_files(corpus) | ({"labels": labels_used} if labels_used else {}),
        "recipe": dict(recipe),
        "transductive": transductive,
        "protocol": {
            "name": split.name,
            "folds": len(split.folds),
            "repeats": len({fold.repeat for fold in split.folds}),
            "must_not_cross": list(split.must_not_cross),
            "absent": list(split.absent),
            "notes": list(split.notes),
        },
        "seed": seed,
        "labels": list(labels),
        **facts,
        "versions": versions(),
        "folds": [own for own, _ in fold_results],
        **of_emotions,
        **({"per_dimension": dimensions} if dimensions else {}),
        "excluded": [
            {"clip": left_out.clip, "reason": left_out.reason, "readable": left_out.readable}
            for left_out in corpus.excluded
        ],
    }
    return Results.model_validate(content).as_json()


def _labels_in(corpus: Corpus, split: Split) -> tuple[str, ...]:
    """Return the emotions that a fold trains on or tests: across corpora, some are on one side alone, and in none."""
    used = {path for fold in split.folds for side in (fold.train, fold.validation, fold.test) for path in side}
    return corpus.part(used).emotions or corpus.emotions


def chance_of(corpus: Corpus, split: Split) -> float:
    """Return the UAR that guessing scores on average over folds, as a share of one.

    A fold's model can name what was trained alone, so it guesses among these; an emotion that was not is never right.
    """
    emotion = {clip.path: clip.emotion for clip in corpus.clips}
    by_fold = []
    for fold in split.folds:
        trained, tested = ({emotion[path] for path in side} - {""} for side in (fold.train, fold.test))
        by_fold.append(len(trained & tested) / max(1, len(trained) * len(tested)))
    return float(np.mean(by_fold))


def _of_emotions(
    corpus: Corpus,
    labels: tuple[str, ...],
    split: Split,
    fold_results: Sequence[FoldResult],
    predictions: pd.DataFrame,
) -> dict[str, Any]:
    """Return what is scored of emotions: on each level, by fold and over folds, by speaker, emotion and group."""
    rows, divided = _by_level(predictions, labels), groupings(corpus)
    calibration = calibration_summary(fold_results, labels, divided)
    folds = [_fold_row(own, frame, labels) for own, frame in fold_results]
    return {
        "levels": ["recording"] if len(rows["segment"].clips) == len(rows["recording"].clips) else list(LEVELS),
        "chance": chance_of(corpus, split),
        "folds": folds,
        "summary": {level: _summary(rows[level], [fold[level] for fold in folds], len(labels)) for level in LEVELS},
        "per_speaker": _per_speaker(rows, len(labels)),
        "per_emotion": _per_emotion(rows, labels),
        "per_group": [row for grouping in divided for row in _per_group(rows, grouping, len(labels))],
        "confusion": {level: _counts(rows[level], len(labels)) for level in LEVELS},
        "confidence": confidence_summary(rows["recording"]),
        **({"calibration": calibration} if calibration else {}),
    }


def _by_level(predictions: pd.DataFrame, labels: tuple[str, ...]) -> ByLevel:
    return {
        "segment": scored_segments(predictions, labels),
        "recording": scored_recordings(predictions, labels),
    }


def _fold_row(facts: dict[str, Any], frame: pd.DataFrame, labels: tuple[str, ...]) -> dict[str, Any]:
    counts = {
        level: confusion(rows.truth, rows.predicted, len(labels)) for level, rows in _by_level(frame, labels).items()
    }
    return {
        **facts,
        **{level: scores(counts[level]) for level in LEVELS},
        "confusion": {level: counts[level].tolist() for level in LEVELS},
    }


def _counts(rows: Scored, n_classes: int) -> list[list[int]]:
    counts: list[list[int]] = confusion(rows.truth, rows.predicted, n_classes).tolist()
    return counts


def _summary(rows: Scored, folds: Sequence[Mapping[str, float]], n_classes: int) -> dict[str, Any]:
    # One confusion matrix for each recording in each fold: what the bootstrap draws.
    clips = np.unique(rows.clips, return_inverse=True)[1]
    tests, first, place = np.unique(
        np.column_stack([rows.folds, clips]), axis=0, return_index=True, return_inverse=True
    )
    counts = confusion_by_group(place.reshape(-1), rows.truth, rows.predicted, n_classes)
    fold_numbers = np.unique(tests[:, :2], axis=0, return_inverse=True)[1].reshape(-1)
    pooled, means = bootstrap_intervals(counts, clips[first], fold_numbers)
    summary: dict[str, Any] = {}
    for metric in METRICS:
        mean, sd = mean_and_sd([fold[metric] for fold in folds])
        summary[metric] = {"mean": mean, "sd": sd, "ci95": pooled[metric], "mean_ci95": means[metric]}
    summary["pooled"] = scores(counts.sum(0))
    return summary


def _per_speaker(levels: ByLevel, n_classes: int) -> list[dict[str, Any]]:
    speakers = sorted({str(word) for word in levels["recording"].speakers if word}, key=natural_key)
    return [
        {
            "speaker": speaker,
            **_scores_of({level: rows.where(rows.speakers == speaker) for level, rows in levels.items()}, n_classes),
        }
        for speaker in speakers
    ]


def _per_group(levels: ByLevel, grouping: Grouping, n_classes: int) -> list[dict[str, Any]]:
    groups = {level: np.array([grouping.group_of[str(clip)] for clip in rows.clips]) for level, rows in levels.items()}
    return [
        {
            "by": grouping.by,
            "group": name,
            **_scores_of({level: rows.where(groups[level] == name) for level, rows in levels.items()}, n_classes),
        }
        for name in grouping.names
        if name in groups["recording"]
    ]


def _scores_of(levels: ByLevel, n_classes: int) -> dict[str, Any]:
    """Return how many clips there are, and their scores on each level."""
    row: dict[str, Any] = {}
    for level, own in levels.items():
        per_recording = confusion_by_group(own.clips, own.truth, own.predicted, n_classes)
        row["clips"] = len(per_recording)
        row[level] = scores(per_recording.sum(0)) | {"accuracy_ci95": bootstrap_interval(per_recording)["accuracy"]}
    return row


def _per_emotion(levels: ByLevel, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    classes = {level: per_class(confusion(rows.truth, rows.predicted, len(labels))) for level, rows in levels.items()}
    return [{"emotion": word, **{level: classes[level][i] for level in levels}} for i, word in enumerate(labels)]
