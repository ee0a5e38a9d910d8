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

from thymos.cache import default_cache_dir
from thymos.corpora import open_corpus
from thymos.corpora.table import Corpus
from thymos.engine.process import chosen_device
from thymos.engine.tasks import Engine, in_use
from thymos.errors import ThymosError
from thymos.evaluation.node_features import for_nodes
from thymos.evaluation.run import RunFolder
from thymos.evaluation.study_cells import (
    Cell,
    CellFailure,
    CellStore,
    CellTask,
    RowCells,
    names_of_chosen,
    recording_hits,
    row_cells,
    run_cell,
)
from thymos.evaluation.study_plan import PlannedRow, StudyPlan, load_study
from thymos.evaluation.study_table import RowOutcome, csv_row, study_table
from thymos.experiment import Work
from thymos.files import write_csv, write_json
from thymos.machine import available_cores
from thymos.scoring.paired import FinishedRun
from thymos.scoring.predictions import FoldResult, write_predictions
from thymos.scoring.results import describe_corpus, describe_files, versions
from thymos.scoring.summary import make_results


@dataclass(frozen=True)
class StudyWatcher:
    """Who is told how far it is; every part may be left out."""

    on_features: Callable[[int], None] = lambda total: None
    on_feature: Callable[[], None] = lambda: None
    on_cells: Callable[[int, int, float, float], None] = lambda cells, done, work, work_done: None
    """Gets the number of cells and of those done by an earlier call, and the same as work."""
    on_cell: Callable[[float], None] = lambda work: None
    on_failure: Callable[[str, str], None] = lambda cell, reason: None
    on_row: Callable[[RowOutcome], None] = lambda outcome: None


def study(
    corpus: Corpus | str | Path,
    plan: StudyPlan | str | Path,
    out: str | Path,
    *,
    rows: Sequence[str] = (),
    quick: bool = False,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    device: str = "auto",
    engine: Engine | str = "local",
    command: str = "",
    watcher: StudyWatcher = StudyWatcher(),
) -> dict[str, Any]:
    """Run a study, many evaluations of one corpus compared with one another, and return the content of ``study.json``.

    Args:
        corpus: opened, or what ``open_corpus`` takes, then with the labels that the study maps; of several, ``joined``
            makes one.
        plan: a study's name, a study file, or a plan that ``load_study`` made.
        out: the study's folder; new, empty, or an earlier call's of the same study on the same corpus.
        rows: names of the rows to run, with those that they are compared to; none named: all.
        quick: few epochs and folds, no repeats: for a look.
        cache_dir: where features are kept; None: the user's cache folder.
        workers: fits at once, each in a process of its own; does not change the numbers. None: one a core.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        engine: where cells are fitted: ``local``, ``ray``, ``ray:HOST:PORT`` or an ``Engine``; changes no number.
        command: for the record.
        watcher: told how far it is.

    Raises:
        CorpusError: the corpus cannot be opened.
        EngineError: there is no such cluster, or its machines do not suit.
        RecipeError: there is no such study or row, or something in it is wrong; nothing has run then.
        RunError: ``out`` holds something else, or there is no such device.
    """
    cache = Path(cache_dir) if cache_dir else default_cache_dir()
    if not isinstance(plan, StudyPlan):
        plan = load_study(plan, quick)
    plan = plan.only(rows) if rows else plan
    work = Work(cache, workers or available_cores(), chosen_device(device), plan.seed, watcher.on_feature)
    RunFolder(Path(out)).check()
    with in_use(engine, workers) as used:
        if not isinstance(corpus, Corpus):
            corpus = open_corpus(str(corpus), labels=plan.labels, cache_dir=cache)
        RunFolder(Path(out)).claim(_identity(corpus, plan))
        return _Running(corpus, plan, Path(out), work, used, workers, command, watcher).run()


@dataclass
class _Running:
    """A study at work."""

    corpus: Corpus
    plan: StudyPlan
    out: Path
    work: Work
    engine: Engine
    asked: int | None
    """How many fits at once; None: as many as there is room for. Each has one thread."""
    command: str
    watcher: StudyWatcher
    started: float = field(default_factory=time.perf_counter)
    features_wall_s: float = 0.0
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
                rows.append(row_cells(self.corpus, row, self.work.device))
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
        tasks: list[CellTask] = []
        works: dict[str, float] = {}
        each = replace(self.work, threads=1)
        for cell, features in self._with_features(list(missing.values())):
            try:
                tasks.append(cell.task(features, each))
                works[cell.key] = cell.work
            except ThymosError as error:
                self._cell_failed(cell.key, names[cell.key], str(error))
        done = {key for keys in waiting.values() for key in keys} - missing.keys()
        if not tasks:
            return
        done_now = self.engine.run(run_cell, tasks, self._workers, on_death=_killed, gpus=self.work.gpus)
        for task, result in done_now:
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

    @property
    def _workers(self) -> int:
        if self.engine.many_machines:
            return self.asked or self.engine.capacity(self.work.gpus)
        return self.work.threads if self.work.device == "cpu" else 1

    def _with_features(self, cells: list[Cell]) -> Iterable[tuple[Cell, Any]]:
        """Yield ``cells`` with their features; those that several share are made once."""
        by_kind: dict[str, list[Cell]] = {}
        for cell in cells:
            by_kind.setdefault(_kind_of_features(cell), []).append(cell)
        firsts = [group[0] for group in by_kind.values()]
        self.watcher.on_features(sum(cell.experiment.steps(cell.corpus) for cell in firsts))
        started = time.perf_counter()
        made: dict[str, Any] = {}
        for kind, group in by_kind.items():
            first, work = group[0], replace(self.work, seed=group[0].seed)
            try:
                features = first.experiment.features(first.corpus, work)
                made[kind] = for_nodes(self.engine, first.experiment, first.corpus, features, work)
            except Exception as error:  # one recipe's features; the other rows go on
                for cell in group:
                    self._cell_failed(
                        cell.key, f"features of {cell.experiment.name}", f"{type(error).__name__}: {error}"
                    )
        self.features_wall_s += time.perf_counter() - started
        # In the rows' order, so that the table fills from the top.
        return [(cell, made[kind]) for cell in cells if (kind := _kind_of_features(cell)) in made]

    def _chosen(self, row: RowCells) -> RowCells:
        """Choose for each fold of a row that chooses: the best on the inner splits; ties go to the first named."""
        if not row.inner or any(cell.key in self.failures for cell in row.needed()):
            return row
        chosen = []
        for candidates in row.inner:
            scores = [
                recording_hits([self.store.load(cell) for cell in cells], row.corpus.emotions) for cells in candidates
            ]
            chosen.append(scores.index(max(scores)))
        return row.with_choice(chosen)

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
            "shuffled_labels": cells.row.shuffle,
            "threads": 1,
            "device": self.work.device,
            "command": self.command,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_s": wall_s,
            "features_wall_s": None,
            "study": self.plan.name,
            "row": cells.row.name,
            "candidates": [{"name": name, "recipe": candidate.settings()} for name, candidate in cells.row.candidates],
            "chosen": list(chosen),
        }
        experiment = cells.row.experiment
        if told := experiment.provenance():
            facts["provenance"] = told
        results = make_results(
            cells.corpus,
            experiment.settings(),
            experiment.transductive,
            cells.split,
            fold_results,
            cells.row.seed,
            facts,
        )
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
            "threads": 1,
            "device": self.work.device,
            "command": self.command,
            "corpus": describe_corpus(self.corpus) | describe_files(self.corpus),
            "excluded": [vars(left_out) for left_out in self.corpus.excluded],
            "versions": versions(),
            "rows": rows,
            "timing": {
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "wall_s": round(time.perf_counter() - self.started, 3),
                "features_wall_s": round(self.features_wall_s, 3),
                "cells_wall_s": round(sum(outcome.wall_s for outcome in outcomes), 3),
                "workers": self._workers,
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


def _kind_of_features(cell: Cell) -> str:
    """Name the features of a cell: cells of one kind share them. Labels do not shape them, so controls do, too."""
    return f"{cell.experiment.features_key(cell.corpus)} {cell.seed} {len(cell.corpus.clips)}"


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
        "versions": {package: now.get(package) for package in ("thymos", "torch", "numpy")},
        "corpus": {clip.path: f"{clip.emotion} {clip.sound.sha256}" for clip in corpus.clips},
    }
