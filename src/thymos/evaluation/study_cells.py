"""Cells of a study: single fits, known by the hash of all that decides their numbers, each kept once it is done.

    DIR/cells/<key>.csv   its predictions
    DIR/cells/<key>.json  sizes, times and learning curve; written last, so a cell that has it is whole

Rows that need the same fit share its cell, and a study that was cut short fits only what is missing.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from thymos.cnn.experiment import FoldTask, run_fold
from thymos.corpora.folds import Fold
from thymos.corpora.table import Corpus
from thymos.engine.workers import Report
from thymos.errors import RunError
from thymos.evaluation.run import FoldResult
from thymos.files import write_json
from thymos.recipes import Recipe
from thymos.scoring.predictions import read_predictions, scored_recordings, write_predictions

_CELLS_VERSION = 1


@dataclass(frozen=True)
class Cell:
    """One fit: a recipe, fitted on the training part of a fold and scored on its test part."""

    corpus: Corpus
    """Without the clips that the recipe's rules leave out."""
    recipe: Recipe
    fold: Fold
    seed: int
    """Of the study; the fit's own is drawn from it and the fold's number."""
    threads: int
    watched: bool = False
    """Whether the learning curve holds the scored part too: only where that is an inner validation part."""

    @cached_property
    def key(self) -> str:
        """The hash of all that decides the cell's numbers. Names of recipes and folds do not; all are of one kind."""
        clips = {
            clip.path: f"{clip.emotion} {clip.speaker} {clip.sound.sha256}"
            for clip in sorted(self.corpus.clips, key=lambda clip: clip.path)
        }
        deciding = {
            "version": _CELLS_VERSION,
            "recipe": self.recipe.model_dump(mode="json", exclude={"name", "description", "kind"}),
            "corpus": clips,
            "train": sorted(self.fold.train),
            "test": sorted(self.fold.test),
            "seed": [self.seed, self.fold.repeat, self.fold.index],
            "threads": self.threads,
            "watched": self.watched,
        }
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def work(self) -> float:
        """A rough measure of how long it takes: epochs × training clips and their copies."""
        return float(self.recipe.training.epochs * len(self.fold.train) * (1 + len(self.recipe.augmentation.copies)))


@dataclass(frozen=True)
class CellTask:
    """A cell, ready for a worker process."""

    key: str
    task: FoldTask


@dataclass(frozen=True)
class CellFailure:
    """Why a cell has no result."""

    reason: str


def run_cell(task: CellTask, report: Report) -> FoldResult | CellFailure:
    """Fit and score one cell. What goes wrong inside is returned, so that the other cells go on."""
    try:
        facts, predictions = run_fold(task.task, lambda message: report((task.key, message[1])))
    except Exception as error:
        return CellFailure(f"{type(error).__name__}: {error}")
    diverged = [at["epoch"] for at in facts["curve"] if not all(map(math.isfinite, at.values()))]
    if diverged:
        return CellFailure(f"training diverged: a loss was not a number after epoch {diverged[0]}")
    return facts, predictions


@dataclass(frozen=True)
class CellStore:
    """The cells of a study's folder that are done."""

    path: Path

    def has(self, cell: Cell) -> bool:
        """Return whether ``cell`` has a result."""
        return self._file(cell.key, ".json").is_file()

    def save(self, key: str, result: FoldResult) -> None:
        """Keep the result of the cell called ``key``."""
        facts, predictions = result
        write_predictions(self._file(key, ".csv"), predictions)
        write_json(self._file(key, ".json"), facts)

    def load(self, cell: Cell) -> FoldResult:
        """Return what ``save`` kept, under the fold's name in ``cell``.

        Raises:
            RunError: damaged since.
        """
        file = self._file(cell.key, ".json")
        try:
            facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise RunError(f"{file} is damaged; delete it and run again") from None
        return facts | {"name": cell.fold.name}, read_predictions(self._file(cell.key, ".csv"))

    def _file(self, key: str, suffix: str) -> Path:
        return self.path / f"{key}{suffix}"


def recording_hits(results: Sequence[FoldResult], labels: tuple[str, ...]) -> float:
    """Return the share of recordings that ``results`` got right, over all their test parts."""
    right = [scored.predicted == scored.truth for scored in (scored_recordings(frame, labels) for _, frame in results)]
    return float(np.concatenate(right).mean())
