"""results.json: one schema, what makes it of folds' facts and predictions, and what reads it again."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, model_validator

from thymos.corpora.protocols import Split
from thymos.corpora.table import Corpus
from thymos.errors import RunError
from thymos.labels import natural_key
from thymos.machine import processor, versions_of
from thymos.scoring.calibration import calibration_summary
from thymos.scoring.metrics import (
    METRICS,
    Interval,
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

FORMAT = 1
"""The version of ``results.json`` that is written and read."""

LEVELS: tuple[Level, ...] = ("segment", "recording")
"""What a score may count."""

T = TypeVar("T")
Matrix = list[list[int]]
"""Counts, rows truth, columns prediction, both in the order of ``labels``."""


class _Part(BaseModel):
    """A part of results.json. Facts that have no field here are kept as they are."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, extra="allow")


class PerLevel(_Part, Generic[T]):
    """The same thing per segment and per recording."""

    segment: T
    recording: T

    def at(self, level: Level) -> T:
        """Return what stands for ``level``."""
        return self.segment if level == "segment" else self.recording


class LevelScores(_Part):
    """Shares of one."""

    accuracy: float
    uar: float
    macro_f1: float


class SpeakerScores(LevelScores):
    """One speaker's scores, over all folds."""

    accuracy_ci95: Interval | None = None


class Spread(_Part):
    """A metric over folds. One fold has no sd."""

    mean: float
    sd: float | None
    ci95: Interval | None
    """95 % interval of the pooled score, which stands under ``pooled``: not of the mean."""
    mean_ci95: Interval | None = None
    """95 % interval of the mean over folds. Both are bootstraps over recordings."""


class Summary(_Part):
    """Every metric over all folds."""

    accuracy: Spread
    uar: Spread
    macro_f1: Spread
    pooled: LevelScores
    """Of all folds' predictions scored together."""


class CurvePoint(_Part):
    """One pass over the training part."""

    epoch: int
    loss: float | None = None
    accuracy: float | None = None


class FoldScores(PerLevel[LevelScores]):
    """One fold's sizes, scores and learning curve."""

    repeat: int
    fold: int
    name: str
    train_clips: int
    test_clips: int
    train_segments: int
    test_segments: int
    wall_s: float
    curve: list[CurvePoint] = []
    confusion: PerLevel[Matrix] | None = None
    untrained: dict[str, int] = {}
    """Tested recordings of emotions that the training part lacks, by emotion: all of them count as wrong."""


class SpeakerRow(PerLevel[SpeakerScores]):
    """One speaker's scores over all folds."""

    speaker: str
    clips: int


class EmotionScores(_Part):
    """Shares of one; None where nothing was there to divide by."""

    support: int | None = None
    """How many rows have this emotion, over all folds and repeats."""
    recall: float | None
    precision: float | None
    f1: float | None


class EmotionRow(PerLevel[EmotionScores]):
    """One emotion's scores over all folds."""

    emotion: str


class CorpusFacts(_Part):
    """What was evaluated on."""

    kind: str
    name: str
    synthetic: bool = False
    clips: int
    duration_s: float
    emotions: dict[str, int]
    speakers: dict[str, int]
    labels: list[dict[str, Any]] = []
    """What each label of the corpus counts as (``emotion``; empty: left out), with its clips."""


class ProtocolFacts(_Part):
    """How the folds were made."""

    name: str
    folds: int
    repeats: int = Field(1, ge=1)
    must_not_cross: list[str] = []
    absent: list[str] = []
    """Recordings that a file protocol names and the corpus does not have."""


class Excluded(_Part):
    """A file left out; ``readable`` if its sound is fine and a rule left it out."""

    clip: str
    reason: str
    readable: bool = False


class Results(_Part):
    """``results.json``, format 1."""

    format: int = FORMAT
    corpus: CorpusFacts
    recipe: dict[str, Any]
    transductive: bool = False
    protocol: ProtocolFacts
    seed: int
    labels: list[str]
    levels: list[Level] = Field(list(LEVELS), min_length=1)
    """What was told apart: ``recording`` alone where each recording is scored as a whole, in one row."""
    shuffled_labels: bool = False
    command: str
    finished: datetime
    wall_s: float
    features_wall_s: float | None = None
    versions: dict[str, str | int | float | None]
    folds: list[FoldScores]
    summary: PerLevel[Summary]
    per_speaker: list[SpeakerRow] = []
    per_emotion: list[EmotionRow]
    confusion: PerLevel[Matrix]
    calibration: dict[str, Any] | None = None
    """What calibration was worth (see ``calibration_summary``), where folds were calibrated."""
    excluded: list[Excluded] = []

    @field_serializer("finished")
    def _iso(self, finished: datetime) -> str:
        return finished.isoformat(timespec="seconds")

    @model_validator(mode="after")
    def _confusions_fit_labels(self) -> "Results":
        for counts in (self.confusion.segment, self.confusion.recording):
            if [len(row) for row in counts] != [len(self.labels)] * len(self.labels):
                raise ValueError("confusion does not have one row and one column per label")
            if not self.folds or not np.any(counts):
                raise ValueError("nothing was scored")
        return self

    def as_json(self) -> dict[str, Any]:
        """Return it as the file holds it: what is not known is left out."""
        return self.model_dump(mode="json", exclude_unset=True)


def recipe_name(recipe: dict[str, Any]) -> str:
    """Return the own name of a recipe as ``results.json`` has it."""
    return str(recipe.get("name", "unnamed recipe"))


def read_results(run_dir: Path) -> Results:
    """Read ``run_dir/results.json``.

    Raises:
        RunError: it is missing, is no JSON, has another format, or lacks a field.
    """
    path = run_dir / "results.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{run_dir} holds no results.json: the evaluation has not finished there") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} is damaged: it holds no JSON object")
    if content.get("format") != FORMAT:
        raise RunError(f"{path} has format {content.get('format')!r}; this version of Thymos reads format {FORMAT}")
    try:
        return Results.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path} is damaged: {place}{': ' if place else ''}{first['msg']}") from error


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
    """
    labels = corpus.emotions
    predictions = pd.concat([frame for _, frame in fold_results], ignore_index=True)
    rows = _by_level(predictions, labels)
    calibration = calibration_summary(fold_results, labels)
    folds = [_fold_row(own, frame, labels) for own, frame in fold_results]
    content = {
        "format": 1,
        "corpus": describe_corpus(corpus) | ({"labels": list(map(asdict, corpus.labels))} if corpus.labels else {}),
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
        "levels": ["recording"] if len(rows["segment"].clips) == len(rows["recording"].clips) else list(LEVELS),
        **facts,
        "versions": versions(),
        "folds": folds,
        "summary": {level: _summary(rows[level], [fold[level] for fold in folds], len(labels)) for level in LEVELS},
        "per_speaker": _per_speaker(rows, len(labels)),
        "per_emotion": _per_emotion(rows, labels),
        "confusion": {level: _counts(rows[level], len(labels)) for level in LEVELS},
        **({"calibration": calibration} if calibration else {}),
        "excluded": [
            {"clip": left_out.clip, "reason": left_out.reason, "readable": left_out.readable}
            for left_out in corpus.excluded
        ],
    }
    return Results.model_validate(content).as_json()


def describe_corpus(corpus: Corpus) -> dict[str, Any]:
    """Return what a reader of results needs to know of ``corpus``."""
    speakers = sorted({clip.speaker for clip in corpus.clips if clip.speaker}, key=natural_key)
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
    """Return the versions and the machine that numbers may depend on. A library that is not installed is left out."""
    libraries = versions_of(("thymos", "torch", "numpy", "scipy", "soundfile", "soxr", "scikit-learn"))
    return libraries | {"platform": platform.platform(), "processor": processor(), "cores": str(os.cpu_count())}


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
    table = []
    for speaker in speakers:
        row: dict[str, Any] = {"speaker": speaker}
        for level, rows in levels.items():
            own = rows.where(rows.speakers == speaker)
            per_recording = confusion_by_group(own.clips, own.truth, own.predicted, n_classes)
            row["clips"] = len(per_recording)
            row[level] = scores(per_recording.sum(0)) | {"accuracy_ci95": bootstrap_interval(per_recording)["accuracy"]}
        table.append(row)
    return table


def _per_emotion(levels: ByLevel, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    classes = {level: per_class(confusion(rows.truth, rows.predicted, len(labels))) for level, rows in levels.items()}
    return [{"emotion": word, **{level: classes[level][i] for level in levels}} for i, word in enumerate(labels)]
