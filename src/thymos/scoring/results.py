"""results.json: one schema, and what reads it again; ``scoring.summary`` makes it."""

import json
import os
import platform
from collections.abc import Sized
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, model_validator

from thymos.config import in_words
from thymos.corpora.table import Corpus
from thymos.errors import RunError
from thymos.labels import natural_key
from thymos.machine import processor, versions_of
from thymos.scoring.metrics import Interval, Level

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


class FoldScores(_Part):
    """One fold's sizes, scores and learning curve."""

    segment: LevelScores | None = None
    recording: LevelScores | None = None
    """Both None where no emotions are told, only dimensions."""

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

    def at(self, level: Level) -> LevelScores:
        """Return the scores for ``level``, of a run that tells emotions."""
        found = self.segment if level == "segment" else self.recording
        if found is None:
            raise ValueError(f"{self.name} tells no emotions")
        return found


class SpeakerRow(PerLevel[SpeakerScores]):
    """One speaker's scores over all folds."""

    speaker: str
    clips: int


class GroupRow(PerLevel[SpeakerScores]):
    """The scores of recordings that have something in common, over all folds."""

    by: str
    """``gender``, ``language``, ``corpus`` or ``duration``."""
    group: str
    clips: int


class DimensionScores(_Part):
    """How well values of one dimension agree with the truth, over recordings."""

    ccc: float
    """Concordance correlation coefficient."""
    pearson: float
    mae: float
    """Mean absolute error, on the corpus's own scale."""


class DimensionFold(DimensionScores):
    """Of one fold."""

    repeat: int
    fold: int
    recordings: int


class DimensionRow(_Part):
    """One dimension's scores over all folds."""

    dimension: str
    recordings: int
    folds: list[DimensionFold]
    ccc: Spread
    pearson: Spread
    mae: Spread
    pooled: DimensionScores
    """Of all folds' values scored together."""


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


class FileCounts(_Part):
    """What became of the recordings that were found: ``found`` is the sum of the others."""

    found: int
    used: int
    left_out: int
    errors: int


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
    files: FileCounts | None = None
    notes: list[str] = []
    """What was passed over when it was read, guessed, or said twice."""


class ProtocolFacts(_Part):
    """How the folds were made."""

    name: str
    folds: int
    repeats: int = Field(1, ge=1)
    must_not_cross: list[str] = []
    absent: list[str] = []
    """Recordings that a file protocol names and the corpus does not have."""
    notes: list[str] = []
    """What else there is to say of the folds, a sentence each: labels and recordings that they leave out."""


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
    """The emotions that folds train on or test; none where the corpus tells dimensions alone, which has no scores of
    them."""
    chance: float | None = None
    """The UAR of guessing, on average over folds, each among the emotions that it trains on; None: an earlier run's."""
    levels: list[Level] = Field(list(LEVELS), min_length=1)
    """What was told apart: ``recording`` alone where each recording is scored as a whole, in one row."""
    shuffled_labels: bool = False
    command: str
    finished: datetime
    wall_s: float
    features_wall_s: float | None = None
    versions: dict[str, str | int | float | None]
    folds: list[FoldScores]
    summary: PerLevel[Summary] | None = None
    per_speaker: list[SpeakerRow] = []
    per_emotion: list[EmotionRow] = []
    per_group: list[GroupRow] = []
    """By gender, language and corpus, where the corpus tells them, and by thirds of the durations."""
    per_dimension: list[DimensionRow] = []
    """Arousal, valence, dominance: where the corpus tells them and the experiment learns them."""
    confusion: PerLevel[Matrix] | None = None
    confidence: dict[str, Any] | None = None
    """Whether probabilities of recordings mean what they say: ``ece``, ``nll``, bins of a reliability diagram."""
    calibration: dict[str, Any] | None = None
    """What calibration was worth (see ``calibration_summary``), where folds were calibrated."""
    provenance: dict[str, Any] = {}
    """What a fit starts from: an encoder's digest, and the corpora that it has heard."""
    excluded: list[Excluded] = []

    @field_serializer("finished")
    def _iso(self, finished: datetime) -> str:
        return finished.isoformat(timespec="seconds")

    @model_validator(mode="after")
    def _confusions_fit_labels(self) -> "Results":
        if not self.labels:
            if not self.folds or not self.per_dimension:
                raise ValueError("nothing was scored")
            return self
        if (
            self.summary is None
            or self.confusion is None
            or not all(fold.segment and fold.recording for fold in self.folds)
        ):
            raise ValueError("a score of emotions is missing")
        for counts in (self.confusion.segment, self.confusion.recording):
            if [len(row) for row in counts] != [len(self.labels)] * len(self.labels):
                raise ValueError("confusion does not have one row and one column per label")
            if not self.folds or not np.any(counts):
                raise ValueError("nothing was scored")
        return self

    def as_json(self) -> dict[str, Any]:
        """Return it as the file holds it: what is not known is left out."""
        return self.model_dump(mode="json", exclude_unset=True)


def chance_in(told: float | None, labels: Sized) -> float:
    """Return the UAR of guessing: as ``results.json`` tells it, else by its ``labels``, as for earlier runs."""
    return 1 / len(labels) if told is None else told


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
        raise RunError(f"{path} is damaged: {place}{': ' if place else ''}{in_words(first)}") from error


def describe_corpus(corpus: Corpus) -> dict[str, Any]:
    """Return what a reader of results needs to know of ``corpus``."""
    speakers = sorted({clip.speaker for clip in corpus.clips if clip.speaker}, key=natural_key)
    return {
        "kind": corpus.kind,
        "name": _name(corpus),
        "synthetic": corpus.synthetic,
        "clips": len(corpus.clips),
        "duration_s": round(sum(clip.sound.duration_s for clip in corpus.clips), 3),
        "emotions": {word: sum(clip.emotion == word for clip in corpus.clips) for word in corpus.emotions},
        "speakers": {word: sum(clip.speaker == word for clip in corpus.clips) for word in speakers},
    }


def _name(corpus: Corpus) -> str:
    """Return what ``corpus`` is called: the names of those that were joined, else that of its folder."""
    names = sorted({clip.corpus for clip in corpus.clips}) if corpus.kind == "joined" else []
    return " + ".join(names) or corpus.root.name


def describe_files(corpus: Corpus) -> dict[str, Any]:
    """Return what became of the recordings of ``corpus``, counted, and what was said of how it was read."""
    return {"files": asdict(corpus.tally)} | ({"notes": list(corpus.notes)} if corpus.notes else {})


def versions() -> dict[str, str]:
    """Return the versions and the machine that numbers may depend on. A library that is not installed is left out."""
    libraries = versions_of(("thymos", "torch", "numpy", "scipy", "soundfile", "soxr", "scikit-learn"))
    return libraries | {"platform": platform.platform(), "processor": processor(), "cores": str(os.cpu_count())}
