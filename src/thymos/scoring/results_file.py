"""Reading ``results.json``: checked once, here, so that no page is made from half a file."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from thymos.errors import RunError

FORMAT = 1
"""The version of ``results.json`` that this module reads."""

T = TypeVar("T")
Interval = tuple[float, float]


class _Part(BaseModel):
    """A part of results.json. Fields that the report does not show may be there and are passed over."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Both(_Part, Generic[T]):
    """The same thing per segment and per recording."""

    segment: T
    recording: T


class Scores(_Part):
    """Shares of one."""

    accuracy: float
    uar: float
    macro_f1: float


class SpeakerScores(Scores):
    """One speaker's scores; the interval is known per recording only."""

    accuracy_ci95: Interval | None = None


class Spread(_Part):
    """A metric over folds, and the 95 % interval of the pooled figure. One fold has no sd."""

    mean: float
    sd: float | None
    ci95: Interval | None


class Summary(_Part):
    """Every metric over all folds."""

    accuracy: Spread
    uar: Spread
    macro_f1: Spread
    pooled: Scores


class Epoch(_Part):
    """One pass over the training part."""

    epoch: int
    loss: float | None = None
    accuracy: float | None = None


class Fold(Both[Scores]):
    """One fold's sizes, scores and learning curve."""

    repeat: int
    fold: int
    name: str
    train_clips: int
    test_clips: int
    train_segments: int
    test_segments: int
    wall_s: float
    curve: list[Epoch] = []
    confusion: Both[list[list[int]]] | None = None


class Speaker(Both[SpeakerScores]):
    """One speaker's scores over all folds."""

    speaker: str
    clips: int


class EmotionScores(_Part):
    """Shares of one; None where nothing was there to divide by."""

    recall: float | None
    precision: float | None
    f1: float | None


class Emotion(Both[EmotionScores]):
    """One emotion's scores over all folds."""

    emotion: str


class CorpusFacts(_Part):
    """What was evaluated on."""

    kind: str
    name: str
    clips: int
    emotions: dict[str, int]
    speakers: dict[str, int]
    duration_s: float
    synthetic: bool = False


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
    """``results.json``, format 1. Confusions are counts, rows truth, in the order of ``labels``."""

    corpus: CorpusFacts
    recipe: dict[str, Any]
    protocol: ProtocolFacts
    seed: int
    shuffled_labels: bool = False
    transductive: bool = False
    labels: list[str]
    versions: dict[str, str | int | float | None]
    command: str
    finished: datetime
    wall_s: float
    features_wall_s: float | None = None
    folds: list[Fold]
    summary: Both[Summary]
    per_speaker: list[Speaker] = []
    per_emotion: list[Emotion]
    confusion: Both[list[list[int]]]
    excluded: list[Excluded] = []

    @model_validator(mode="after")
    def _confusions_fit_labels(self) -> "Results":
        for counts in (self.confusion.segment, self.confusion.recording):
            if [len(row) for row in counts] != [len(self.labels)] * len(self.labels):
                raise ValueError("confusion does not have one row and one column per label")
            if not self.folds or not np.any(counts):
                raise ValueError("nothing was scored")
        return self


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
