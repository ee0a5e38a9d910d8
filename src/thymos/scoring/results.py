"""results.json: what a run found, made from its folds' facts and predictions alone."""

import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from thymos.corpora.protocols import Split
from thymos.corpora.table import Corpus
from thymos.scoring.calibration_summary import calibration_summary
from thymos.scoring.metrics import (
    METRICS,
    Counts,
    bootstrap_interval,
    confusion,
    mean_and_sd,
    per_class,
    scores,
)
from thymos.scoring.predictions import FoldResult, Scored, scored_recordings, scored_segments

FORMAT = 1
LEVELS = ("segment", "recording")


def make_results(
    corpus: Corpus,
    recipe: Mapping[str, Any],
    transductive: bool,
    split: Split,
    fold_results: Sequence[FoldResult],
    seed: int,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Return the content of ``results.json``.

    Args:
        corpus: what was evaluated, exclusions kept.
        recipe: settings of what was fitted, with its ``name``.
        transductive: whether predictions hinge on other recordings that are tested.
        split: how it was divided.
        fold_results: facts and predictions of each fold.
        seed: of the run.
        facts: more to say of the run: ``command``, ``wall_s`` and the like.
    """
    labels = corpus.emotions
    predictions = pd.concat([frame for _, frame in fold_results], ignore_index=True)
    levels = {
        "segment": scored_segments(predictions, labels),
        "recording": scored_recordings(predictions, labels),
    }
    calibration = calibration_summary(fold_results, labels)
    folds = [_fold_row(facts, frame, labels) for facts, frame in fold_results]
    return {
        "format": FORMAT,
        "corpus": describe_corpus(corpus),
        "recipe": dict(recipe),
        "transductive": transductive,
        "protocol": {
            "name": split.name,
            "folds": len(split.folds),
            "repeats": len({fold.repeat for fold in split.folds}),
            "must_not_cross": list(split.must_not_cross),
            "absent": list(split.absent),
        },
        "seed": seed,
        "labels": list(labels),
        **facts,
        "versions": versions(),
        "folds": folds,
        "summary": {level: _summary(levels[level], [fold[level] for fold in folds], len(labels)) for level in LEVELS},
        "per_speaker": _per_speaker(levels, len(labels)),
        "per_emotion": _per_emotion(levels, labels),
        "confusion": {level: _counts(levels[level], len(labels)).tolist() for level in LEVELS},
        **({"calibration": calibration} if calibration else {}),
        "excluded": [
            {"clip": left_out.clip, "reason": left_out.reason, "readable": left_out.readable}
            for left_out in corpus.excluded
        ],
    }


def describe_corpus(corpus: Corpus) -> dict[str, Any]:
    """Return what a reader of results needs to know of ``corpus``."""
    speakers = sorted({clip.speaker for clip in corpus.clips if clip.speaker}, key=lambda word: (len(word), word))
    return {
        "kind": corpus.kind,
        "name": corpus.root.name,
        "synthetic": corpus.synthetic,
        "clips": len(corpus.clips),
        "duration_s": round(sum(clip.sound.duration_s for clip in corpus.clips), 3),
        "emotions": {word: sum(clip.emotion == word for clip in corpus.clips) for word in corpus.emotions},
        "speakers": {word: sum(clip.speaker == word for clip in corpus.clips) for word in speakers},
    }


def versions() -> dict[str, str]:
    """Return the versions and the machine that numbers may depend on."""
    packages = ("thymos", "torch", "numpy", "scipy", "soundfile", "soxr", "scikit-learn")
    return {
        "python": platform.python_version(),
        **{package: version for package in packages if (version := _version(package))},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _fold_row(facts: dict[str, Any], frame: pd.DataFrame, labels: tuple[str, ...]) -> dict[str, Any]:
    scored = {"segment": scored_segments(frame, labels), "recording": scored_recordings(frame, labels)}
    counts = {level: _counts(rows, len(labels)) for level, rows in scored.items()}
    return (
        facts
        | {level: scores(counts[level]) for level in LEVELS}
        | {"confusion": {level: counts[level].tolist() for level in LEVELS}}
    )


def _counts(rows: Scored, n_classes: int) -> Counts:
    return confusion(rows.truth, rows.predicted, n_classes)


def _counts_per_recording(rows: Scored, n_classes: int) -> Counts:
    """Confusion matrix of each recording, over its segments and over repeats: shape (recordings, K, K)."""
    clips, place = np.unique(rows.clips, return_inverse=True)
    counts = np.zeros((len(clips), n_classes, n_classes), np.int64)
    np.add.at(counts, (place, rows.truth, rows.predicted), 1)
    return counts


def _summary(rows: Scored, folds: Sequence[dict[str, float]], n_classes: int) -> dict[str, Any]:
    per_recording = _counts_per_recording(rows, n_classes)
    intervals = bootstrap_interval(per_recording)
    summary: dict[str, Any] = {}
    for metric in METRICS:
        mean, sd = mean_and_sd([fold[metric] for fold in folds])
        summary[metric] = {"mean": mean, "sd": sd, "ci95": list(intervals[metric])}
    summary["pooled"] = scores(per_recording.sum(0))
    return summary


def _per_speaker(levels: dict[str, Scored], n_classes: int) -> list[dict[str, Any]]:
    speakers = sorted({str(word) for word in levels["recording"].speakers if word}, key=lambda word: (len(word), word))
    table = []
    for speaker in speakers:
        row: dict[str, Any] = {"speaker": speaker}
        for level, rows in levels.items():
            own = rows.where(rows.speakers == speaker)
            per_recording = _counts_per_recording(own, n_classes)
            row["clips"] = len(per_recording)
            row[level] = scores(per_recording.sum(0)) | {
                "accuracy_ci95": list(bootstrap_interval(per_recording)["accuracy"])
            }
        table.append(row)
    return table


def _per_emotion(levels: dict[str, Scored], labels: tuple[str, ...]) -> list[dict[str, Any]]:
    classes = {level: per_class(_counts(rows, len(labels))) for level, rows in levels.items()}
    return [{"emotion": word, **{level: classes[level][i] for level in levels}} for i, word in enumerate(labels)]
