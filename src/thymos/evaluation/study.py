"""A whole study: corpus and plan in; a folder with a result for every row, and one table of them, out.

    DIR/run.json             which study this is, of which corpus
    DIR/cells/               finished fits (see ``study_cells``)
    DIR/rows/<row>/          results.json and predictions.csv of each row, as ``thymos evaluate`` writes them
    DIR/study.csv, .json     the table, and all that the page is made of
    DIR/timing.csv           where the time went

Times apart, what is written does not depend on kills and resumptions, on the number of workers, or on cells' order.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from thymos.cnn.experiment import fold_tasks
from thymos.cnn.spectrograms import Pictures, cache_key, make_pictures
from thymos.corpora.table import Corpus
from thymos.engine.workers import in_workers
from thymos.errors import ThymosError
from thymos.evaluation.run import FoldResult, RunFolder
from thymos.evaluation.study_cells import Cell, CellFailure, CellStore, CellTask, recording_hits, run_cell
from thymos.evaluation.study_plan import PlannedRow, StudyPlan
from thymos.evaluation.study_rows import THREADS, RowCells, names_of_chosen, row_cells
from thymos.evaluation.study_table import RowOutcome, csv_row, study_table, write_csv
from thymos.files import write_json
from thymos.recipes import Recipe
from thymos.scoring.comparison import FinishedRun
from thymos.scoring.predictions import write_predictions
from thymos.scoring.results import describe_corpus, make_results, versions


@dataclass(frozen=True)
class StudyWatcher:
    """Who is told how far it is; every part may be left out."""

    on_pictures: Callable[[int], None] = lambda total: None
    on_picture: Callable[[], None] = lambda: None
    on_cells: Callable[[int, int, float, float], None] = lambda cells, done, work, work_done: None
    """Gets the number of cells and of those done by an earlier call, and the same as work."""
    on_cell: Callable[[float], None] = lambda work: None
    on_failure: Callable[[str, str], None] = lambda cell, reason: None
    on_row: Callable[[RowOutcome], None] = lambda outcome: None


def run_study(
    corpus: Corpus,
    plan: StudyPlan,
    out: Path,
    cache_dir: Path,
    workers: int,
    command: str = "",
    watcher: StudyWatcher = StudyWatcher(),
) -> dict[str, Any]:
    """Run ``plan`` on ``corpus`` into ``out`` and return the content of ``study.json``.

    Args:
        corpus: what to evaluate on.
        plan: what to run; every name in it has been checked.
        out: the study's folder; new, empty, or an earlier call's of the same study on the same corpus.
        cache_dir: where pictures are kept.
        workers: cells fitted at once, each in a process of its own; does not change the numbers.
        command: for the record.
        watcher: told how far it is.

    Raises:
        RunError: ``out`` holds something else.
    """
    RunFolder(out).claim(_identity(corpus, plan))
    study = _Running(corpus, plan, out, cache_dir, workers, command, watcher)
    return study.run()


@dataclass
class _Running:
    """A study at work."""

    corpus: Corpus
    plan: StudyPlan
    out: Path
    cache_dir: Path
    workers: int
    command: str
    watcher: StudyWatcher
    started: float = field(default_factory=time.perf_counter)
    pictures_wall_s: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    """Reason by cell key."""
    outcomes: dict[str, RowOutcome] = field(default_factory=dict)
    """By row name."""

    def run(self) -> dict[str, Any]:
        self.store = CellStore(self.out / "cells")
        rows = self._plan_rows()
        self._tell_of_cells(rows)
        self._run_cells(rows, lambda row: row.needed())
        rows = [self._chosen(row) for row in rows]
        self._run_cells([row for row in rows if row.inner], lambda row: list(row.outer))
        for row in rows:
            self._finish(row)
        return self._write([self.outcomes[row.name] for row in self.plan.rows])

    def _plan_rows(self) -> list[RowCells]:
        """Divide the corpus for every row; a row whose protocol or recipe does not fit the corpus has failed."""
        rows = []
        for row in self.plan.rows:
            try:
                rows.append(row_cells(self.corpus, row, self.plan.seed))
            except ThymosError as error:
                self._fail(row, str(error))
        return rows

    def _tell_of_cells(self, rows: Sequence[RowCells]) -> None:
        cells = {cell.key: cell for row in rows for cell in row.needed()}
        # A row that chooses needs one more fit for each fold; which, is not known yet.
        later = [inner[0][0] for row in rows for inner in row.inner]
        done = [cell.work for cell in cells.values() if self.store.has(cell)]
        work = sum(cell.work for cell in (*cells.values(), *later))
        self.watcher.on_cells(len(cells) + len(later), len(done), work, sum(done))

    def _run_cells(self, rows: Sequence[RowCells], cells_of: Callable[[RowCells], list[Cell]]) -> None:
        """Run the cells of ``rows`` that have no result yet, and finish each row whose cells are all there."""
        waiting = {row.row.name: {cell.key for cell in cells_of(row)} for row in rows}
        missing = {cell.key: cell for row in rows for cell in cells_of(row) if not self.store.has(cell)}
        names = {
            key: f"{row}, {missing[key].fold.name}"
            for row, keys in reversed(waiting.items())
            for key in keys & missing.keys()
        }
        tasks, works = [], {}
        for cell, pictures in self._with_pictures(list(missing.values())):
            try:
                tasks.append(
                    CellTask(
                        cell.key, *fold_tasks(cell.corpus, cell.recipe, [cell.fold], pictures, cell.seed, cell.watched)
                    )
                )
                works[cell.key] = cell.work
            except ThymosError as error:
                self._cell_failed(cell.key, names[cell.key], str(error))
        done = {key for keys in waiting.values() for key in keys} - missing.keys()
        if not tasks:
            return
        for task, result in in_workers(run_cell, tasks, self.workers, THREADS, on_death=_killed):
            if isinstance(result, CellFailure):
                self._cell_failed(task.key, names[task.key], result.reason)
            else:
                self.store.save(task.key, result)
            done.add(task.key)
            self.watcher.on_cell(works[task.key])
            for row in rows:
                ready = row.outer and waiting[row.row.name] <= done
                if ready and row.row.name not in self.outcomes:
                    self._finish(row)

    def _with_pictures(self, cells: list[Cell]) -> Iterable[tuple[Cell, Pictures]]:
        """Yield ``cells`` with their pictures, each kind of which is made once."""
        by_kind: dict[str, list[Cell]] = {}
        for cell in cells:
            by_kind.setdefault(_kind_of_pictures(cell), []).append(cell)
        made_of = [group[0] for group in by_kind.values()]
        self.watcher.on_pictures(sum(len(cell.corpus.clips) * _sources(cell.recipe) for cell in made_of))
        started = time.perf_counter()
        made: dict[str, Pictures] = {}
        for kind, group in by_kind.items():
            try:
                made[kind] = self._pictures(group[0])
            except Exception as error:  # one recipe's pictures; the other rows go on
                for cell in group:
                    self._cell_failed(cell.key, f"pictures of {cell.recipe.name}", f"{type(error).__name__}: {error}")
        self.pictures_wall_s += time.perf_counter() - started
        # In the rows' order, so that the table fills from the top.
        return [(cell, made[kind]) for cell in cells if (kind := _kind_of_pictures(cell)) in made]

    def _pictures(self, cell: Cell) -> Pictures:
        recipe = cell.recipe
        return make_pictures(
            cell.corpus,
            recipe.sound,
            recipe.features,
            self.cache_dir,
            self.watcher.on_picture,
            self.workers,
            recipe.augmentation.copies,
        )

    def _chosen(self, row: RowCells) -> RowCells:
        """Choose for each fold of a row that chooses: the best on the inner splits; ties go to the first named."""
        if not row.inner or any(cell.key in self.failures for cell in row.needed()):
            return row
        outer = []
        for fold, candidates in zip(row.split.folds, row.inner, strict=True):
            scores = [
                recording_hits([self.store.load(cell) for cell in cells], row.corpus.emotions) for cells in candidates
            ]
            _, recipe = row.row.candidates[scores.index(max(scores))]
            outer.append(Cell(row.corpus, recipe, fold, self.plan.seed, THREADS))
        return replace(row, outer=tuple(outer))

    def _finish(self, cells: RowCells) -> None:
        """Write a row's results, or note why it has none."""
        row = cells.row
        if row.name in self.outcomes:
            return
        used = {cell.key: cell for cell in (*cells.needed(), *cells.outer)}
        reasons = [self.failures[key] for key in used if key in self.failures]
        if reasons:
            self._fail(row, reasons[0] + (f" (and {len(reasons) - 1} more cells fail)" if len(reasons) > 1 else ""))
            return
        chosen = names_of_chosen(cells)
        fold_results = [self.store.load(cell) for cell in cells.outer]
        wall_s = round(sum(self.store.load(cell)[0]["wall_s"] for cell in used.values()), 3)
        run = self._write_row(cells, fold_results, chosen, wall_s)
        curve = self._curve_cell(cells, chosen)
        outcome = RowOutcome(
            row=row,
            run=run,
            curve=self.store.load(curve)[0]["curve"] if curve else [],
            chosen=chosen,
            cells=len(used),
            wall_s=wall_s,
        )
        self.outcomes[row.name] = outcome
        self.watcher.on_row(outcome)

    def _curve_cell(self, cells: RowCells, chosen: tuple[str, ...]) -> Cell | None:
        if not chosen:
            return cells.curve
        names = [name for name, _ in cells.row.candidates]
        return cells.inner[0][names.index(chosen[0])][0]

    def _write_row(
        self, cells: RowCells, fold_results: list[FoldResult], chosen: tuple[str, ...], wall_s: float
    ) -> FinishedRun:
        facts = {
            "shuffled_labels": False,
            "threads": THREADS,
            "command": self.command,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_s": wall_s,
            "features_wall_s": None,
            "study": self.plan.name,
            "row": cells.row.name,
            "candidates": [
                {"name": name, "recipe": recipe.model_dump(mode="json")} for name, recipe in cells.row.candidates
            ],
            "chosen": list(chosen),
        }
        recipe = cells.row.recipe
        results = make_results(cells.corpus, recipe, cells.split, fold_results, self.plan.seed, facts)
        predictions = pd.concat([frame for _, frame in fold_results], ignore_index=True)
        folder = self.out / "rows" / cells.row.slug
        write_predictions(folder / "predictions.csv", predictions)
        write_json(folder / "results.json", results)
        return FinishedRun(results, predictions)

    def _cell_failed(self, key: str, cell: str, reason: str) -> None:
        self.failures[key] = reason
        self.watcher.on_failure(cell, reason)

    def _fail(self, row: PlannedRow, reason: str) -> None:
        self.outcomes[row.name] = RowOutcome(row=row, failure=reason)
        self.watcher.on_row(self.outcomes[row.name])

    def _write(self, outcomes: list[RowOutcome]) -> dict[str, Any]:
        rows = study_table(outcomes)
        study = {
            "format": 1,
            "name": self.plan.name,
            "description": self.plan.description,
            "quick": self.plan.quick,
            "seed": self.plan.seed,
            "threads": THREADS,
            "command": self.command,
            "corpus": describe_corpus(self.corpus),
            "excluded": [vars(left_out) for left_out in self.corpus.excluded],
            "versions": versions(),
            "rows": rows,
            "timing": {
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "wall_s": round(time.perf_counter() - self.started, 3),
                "pictures_wall_s": round(self.pictures_wall_s, 3),
                "cells_wall_s": round(sum(outcome.wall_s for outcome in outcomes), 3),
                "workers": self.workers,
            },
        }
        write_csv(self.out / "study.csv", [csv_row(row) for row in rows])
        write_csv(
            self.out / "timing.csv",
            [{"row": each.row.name, "cells": each.cells, "cells_wall_s": each.wall_s} for each in outcomes],
        )
        write_json(self.out / "study.json", study)
        return study


def _killed(task: CellTask) -> CellFailure:
    return CellFailure("its worker process was killed, perhaps for want of memory")


def _sources(recipe: Recipe) -> int:
    """How many times each clip is turned into pictures: as it is, and once for each copy."""
    return 1 + len(recipe.augmentation.copies)


def _kind_of_pictures(cell: Cell) -> str:
    """Name the pictures of a cell and of its copies: cells of one kind share them."""
    recipe = cell.recipe
    keys = [cache_key(cell.corpus, recipe.sound, recipe.features, copy) for copy in recipe.augmentation.copies]
    return " ".join([cache_key(cell.corpus, recipe.sound, recipe.features), *keys])


def _identity(corpus: Corpus, plan: StudyPlan) -> dict[str, Any]:
    """What a study's folder belongs to. Rows may be declared otherwise later: cells are known by their content.

    Which rows are run does count: a table of some would replace the table of all, and be corrected for fewer tests.
    """
    now = versions()
    return {
        "format": 1,
        "study": plan.name,
        "quick": plan.quick,
        "choice of rows": None if plan.selected is None else list(plan.selected),
        "versions": {package: now[package] for package in ("thymos", "torch", "numpy")},
        "corpus": {clip.path: f"{clip.emotion} {clip.sound.sha256}" for clip in corpus.clips},
    }
