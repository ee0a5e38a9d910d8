"""Cells of a study: single fits, known by the hash of all that decides their numbers, each kept once it is done.

    DIR/cells/<key>.csv   its predictions
    DIR/cells/<key>.json  sizes, times and learning curve; written last, so a cell that has it is whole

Rows that need the same fit share its cell, and a study that was cut short fits only what is missing. A row needs one
cell for each fold, those to choose by, and one for the learning curve.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from thymos.cache import read_sealed, write_sealed
from thymos.corpora.folds import Fold
from thymos.corpora.protocols import Split, protocol_named, shuffle_labels
from thymos.corpora.table import Corpus
from thymos.engine.tasks import Report
from thymos.errors import EngineError, LeakageError, ProtocolError, RunError
from thymos.evaluation.fitting import FoldTask, check_fit, fold_tasks, run_fold, usable_folds
from thymos.evaluation.study_plan import PlannedRow
from thymos.experiment import Experiment, Work, corpus_of_emotions
from thymos.scoring.predictions import FoldResult, read_predictions, scored_recordings, write_predictions

_CELLS_VERSION = 2


@dataclass(frozen=True)
class Cell:
    """One fit: an experiment, fitted to the training part of a fold and scored on its test part."""

    corpus: Corpus
    """Without the clips that the experiment's rules leave out."""
    experiment: Experiment[Any]
    split: Split
    """With this fold alone; its protocol divides inner splits."""
    seed: int
    """Of the row; the fit's own is drawn from it and the fold's number."""
    device: str
    watched: bool = False
    """Whether the learning curve holds the scored part too: only where that is an inner validation part."""

    @property
    def fold(self) -> Fold:
        """What it is fitted to and scored on."""
        return self.split.folds[0]

    @cached_property
    def key(self) -> str:
        """The hash of all that decides the cell's numbers. Names of recipes and folds do not."""
        clips = {clip.path: clip.identity for clip in sorted(self.corpus.clips, key=lambda clip: clip.path)}
        settings = {
            name: value for name, value in self.experiment.settings().items() if name not in ("name", "description")
        }
        identity = {
            "version": _CELLS_VERSION,
            "settings": settings,
            "versions": self.experiment.versions(),
            "corpus": clips,
            "train": sorted(self.fold.train),
            "test": sorted(self.fold.test),
            "divided by": list(self.split.must_not_cross) if self._needs_inner_splits else [],
            "seed": [self.seed, self.fold.repeat, self.fold.index],
            "device": self.device,
            "watched": self.watched,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def _needs_inner_splits(self) -> bool:
        learns = self.experiment.learns_dimensions and bool(self.corpus.dimensions)
        return self.experiment.calibrated or self.experiment.inner_splits > 0 or learns

    @property
    def work(self) -> float:
        """A rough measure of how long it takes."""
        return self.experiment.work_of(len(self.fold.train))

    def task(self, features: Any, work: Work) -> "CellTask":
        """Return it ready for a worker process.

        Raises:
            ProtocolError: the fold does not suit what is fitted.
        """
        (task,) = fold_tasks(self.corpus, self.experiment, self.split, features, self.seed, work, self.watched)
        return CellTask(self.key, task)


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
    except EngineError:  # the fault of the machine, not the cell's
        raise
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
        """Return whether ``cell`` has a result that is as it was written; one that is not is said, and made again."""
        return self._facts(cell) is not None

    def save(self, key: str, result: FoldResult) -> None:
        """Keep the result of the cell called ``key``."""
        facts, predictions = result
        predicted = self._file(key, ".csv")
        write_predictions(predicted, predictions)
        write_sealed(self._file(key, ".json"), facts, [predicted])

    def load(self, cell: Cell) -> FoldResult:
        """Return what ``save`` kept, under the fold's name in ``cell``.

        Raises:
            RunError: changed since.
        """
        facts = self._facts(cell)
        if facts is None:
            raise RunError(f"{self._file(cell.key, '.json')} was changed just now; run again")
        return facts | {"name": cell.fold.name}, read_predictions(self._file(cell.key, ".csv"))

    def _facts(self, cell: Cell) -> dict[str, Any] | None:
        return read_sealed(self._file(cell.key, ".json"), [self._file(cell.key, ".csv")])

    def _file(self, key: str, suffix: str) -> Path:
        return self.path / f"{key}{suffix}"


@dataclass(frozen=True)
class RowCells:
    """The cells of one row."""

    row: PlannedRow
    corpus: Corpus
    split: Split
    outer: tuple[Cell, ...]
    """One a fold; empty for a row that chooses, until it has chosen."""
    inner: tuple[tuple[tuple[Cell, ...], ...], ...]
    """For each fold and candidate, one cell for each inner split; empty for a row that does not choose."""
    curve: Cell | None
    """A fit on an inner split of the first fold; what it shows decides nothing. None where there are no epochs."""

    def needed(self) -> list[Cell]:
        """Return the cells that do not depend on a choice."""
        inner = [cell for fold in self.inner for candidate in fold for cell in candidate]
        return [*self.outer, *([self.curve] if self.curve else []), *inner]

    def with_choice(self, chosen: Sequence[int]) -> "RowCells":
        """Return the row with an outer cell for each fold, of the candidate of that number."""
        outer = [
            replace(
                self.inner[0][0][0],
                experiment=self.row.candidates[number][1],
                split=replace(self.split, folds=(fold,)),
                watched=False,
            )
            for fold, number in zip(self.split.folds, chosen, strict=True)
        ]
        return replace(self, outer=tuple(outer))


def row_cells(corpus: Corpus, row: PlannedRow, device: str = "cpu") -> RowCells:
    """Divide ``corpus`` by the row's protocol and return its cells. Inner splits never hold a clip of the test part.

    Raises:
        ThymosError: the protocol does not fit the corpus, its folds leak, the experiment leaves out too much or cannot
            be fitted to such a corpus, or needs a library that is not installed.
    """
    if "$" in row.protocol:
        raise ProtocolError(
            f"protocol {row.protocol}: that variable of the environment is to name the folder or file of the folds"
        )
    usable = corpus_of_emotions(row.experiment, corpus, "a study")
    if row.shuffle:
        usable = shuffle_labels(usable, row.seed)
    split = protocol_named(row.protocol, row.folds, row.repeats).split(usable, row.seed)
    split = replace(split, folds=split.folds[: row.most_folds])
    for experiment in (row.experiment, *(candidate for _, candidate in row.candidates)):
        check_fit(experiment, usable, split, row.seed)

    def cell(experiment: Experiment[Any], fold: Fold, watched: bool = False) -> Cell:
        return Cell(usable, experiment, replace(split, folds=(fold,)), row.seed, device, watched)

    if not row.candidates:
        outer = tuple(cell(row.experiment, fold) for fold in split.folds)
        curve = None
        if row.experiment.epochs:
            curve = _curve_cell(usable, split, row, cell)
        return RowCells(row, usable, split, outer, (), curve)
    inner = []
    for fold in split.folds:
        folds = split.protocol.inner(usable, fold, row.inner_folds, row.seed)
        inner.append(
            tuple(tuple(cell(candidate, each, watched=True) for each in folds) for _, candidate in row.candidates)
        )
    return RowCells(row, usable, split, (), tuple(inner), None)


def _curve_cell(corpus: Corpus, split: Split, row: PlannedRow, cell: Callable[..., Cell]) -> Cell | None:
    """Return the fit whose curve is shown: none where the first fold has too few recordings to hold some out again."""
    try:
        inner = split.protocol.inner(corpus, split.folds[0], 1, row.seed)
    except LeakageError:
        raise
    except ProtocolError:
        return None
    usable = usable_folds(corpus, inner)
    return cell(row.experiment, usable[0], watched=True) if usable else None


def names_of_chosen(cells: RowCells) -> tuple[str, ...]:
    """Return the name of the candidate chosen for each fold; none where nothing was chosen among."""
    if not cells.inner:
        return ()
    candidates = cells.row.candidates
    return tuple(next(name for name, each in candidates if each is cell.experiment) for cell in cells.outer)


def recording_hits(results: Sequence[FoldResult], labels: tuple[str, ...]) -> float:
    """Return the share of recordings that ``results`` got right, over all their test parts."""
    right = [scored.predicted == scored.truth for scored in (scored_recordings(frame, labels) for _, frame in results)]
    return float(np.concatenate(right).mean())
