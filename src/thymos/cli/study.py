"""``thymos study``: a declared set of evaluations, and one table that compares them."""

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from thymos.cli.console import (
    CacheOption,
    ColumnsOption,
    DeviceOption,
    EngineOption,
    FiguresOption,
    GpusOption,
    LabelMapOption,
    LabelsOption,
    QuietOption,
    RootOption,
    TrackOption,
    WorkersOption,
    console,
    label_map_of,
    notes,
    open_corpora_with_progress,
    say,
    shown,
)
from thymos.cli.evaluate import end_of, name_unusable

if TYPE_CHECKING:
    from thymos.evaluation.study import StudyWatcher
    from thymos.evaluation.study_table import RowOutcome


def study(
    config: Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or the name of a shipped one.")],
    corpora: Annotated[
        list[str],
        typer.Option(
            "--corpus",
            help="A folder, KIND:FOLDER (such as aesdd:PATH), or a table of files and emotions. May be repeated: "
            "several count as one.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The study's folder: new, or an earlier call's to go on with.")],
    quick: Annotated[bool, typer.Option("--quick", help="For a look: 2 folds, 5 epochs, no repeats.")] = False,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            "--rows",
            metavar="NAME",
            help="Only this row and what it is compared to. May be repeated. Needs an --out of its own.",
        ),
    ] = None,
    labels: LabelsOption = None,
    label_map: LabelMapOption = "",
    figures: FiguresOption = "png",
    track: TrackOption = None,
    root: RootOption = None,
    columns: ColumnsOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "local",
    gpus_per_task: GpusOption = None,
    cache_dir: CacheOption = None,
    quiet: QuietOption = False,
) -> None:
    """Run every row of a study; write study.html, study.csv and each row's own report to --out.

    Cut short, the same command goes on where it stopped and ends with the same numbers. A fit that fails is named and
    the others go on; the exit code is then 1.
    """
    from thymos.corpora.headings import parse_columns
    from thymos.engine.process import chosen_device
    from thymos.engine.tasks import in_use
    from thymos.evaluation.run import RunFolder
    from thymos.evaluation.study import study as run_study
    from thymos.evaluation.study_plan import load_study
    from thymos.files import figure_formats
    from thymos.reports.study_report import write_study_report
    from thymos.reports.tracking import tracker_of

    formats, tracker = figure_formats(figures), tracker_of(track)
    plan = load_study(config, quick)
    if rows:
        plan = plan.only(rows)
    RunFolder(out).check()
    found, mapped = chosen_device(device), label_map_of(labels, label_map, plan.labels)
    chosen = parse_columns(columns or ())
    with in_use(engine, workers, gpus_per_task) as used:
        opened = open_corpora_with_progress(corpora, cache_dir, quiet, mapped, root=root, columns=chosen)
        name_unusable(opened, strict=False, quiet=quiet)
        view = StudyView(len(plan.rows))
        with view.shown(quiet):
            content = run_study(
                opened,
                plan,
                out,
                cache_dir=cache_dir,
                workers=workers,
                device=found,
                engine=used,
                command=shlex.join(["thymos", *sys.argv[1:]]),
                watcher=view.watcher(),
            )
            view.note("Drawing the reports")
            page = write_study_report(out, formats)
    order = [row.name for row in plan.rows]
    console.print(view.table(sorted(view.outcomes, key=lambda outcome: order.index(outcome.row.name))))
    results = [outcome.run.results for outcome in view.outcomes if outcome.run]
    for note in dict.fromkeys(note for each in results for note in each["protocol"]["notes"]):
        say(note, "yellow")
    failed = [row for row in content["rows"] if row["failed"]]
    for row in failed:
        notes.print(f"[red]failed:[/red] {shown(row['row'])}: {shown(row['failed'])}", soft_wrap=True)
    console.print(f"Report: [bold]{shown(page)}[/bold]", soft_wrap=True)
    if tracker is not None:
        tracker.log_study(out)
    if failed:
        raise typer.Exit(1)
    end_of(opened)


class StudyView:
    """What the user sees while a study runs: cells done, time left, and the table so far."""

    LINES_AROUND_TABLE = 8

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.outcomes: list[RowOutcome] = []
        self.failures: list[str] = []
        self.plain = False
        self.bars = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}")
        )
        self.features = self.bars.add_task("Making features", total=None, visible=False, left="")
        self.cells = self.bars.add_task("Fitting cells", total=None, visible=False, left="")
        self.work = self.work_done = self.work_before = 0.0
        self.started = time.monotonic()

    @contextmanager
    def shown(self, quiet: bool) -> Iterator[None]:
        """Show it: redrawn on a terminal, as plain lines in a pipe, not at all if ``quiet``."""
        if notes.is_terminal and not quiet:
            with Live(get_renderable=self.render, console=notes, refresh_per_second=2, transient=True):
                yield
        else:
            self.plain = not quiet
            yield

    def watcher(self) -> "StudyWatcher":
        """Return what tells this view how far the study is."""
        from thymos.evaluation.study import StudyWatcher

        return StudyWatcher(
            on_features=self._on_features,
            on_feature=self._on_feature,
            on_cells=self._on_cells,
            on_cell=self._on_cell,
            on_failure=self._on_failure,
            on_row=self._on_row,
        )

    def note(self, words: str) -> None:
        """Say ``words`` where lines are plain."""
        if self.plain:
            print(words, file=sys.stderr, flush=True)

    def render(self) -> RenderableType:
        """Return the whole view; of a table taller than the screen, its end."""
        room = max(3, notes.height - self.LINES_AROUND_TABLE)
        failures = [f"[red]failed:[/red] {shown(line)}" for line in self.failures[-3:]]
        table = [self.table(self.outcomes[-room:])] if self.outcomes else []
        return Group(*table, *failures, self.bars)

    def table(self, outcomes: "list[RowOutcome]") -> Table:
        """Return ``outcomes`` as a table."""
        table = Table(
            "", "per segment", "per recording", caption=f"accuracy in %, mean ± sd over folds; {self._rows_done()}"
        )
        for outcome in outcomes:
            table.add_row(shown(outcome.row.name), *_scores(outcome))
        return table

    def _rows_done(self) -> str:
        return f"{len(self.outcomes)} of {self.rows} rows"

    def _on_features(self, total: int) -> None:
        if total:
            self.bars.update(self.features, total=total, completed=0, visible=True)
            self.note(f"making features: {total} steps")

    def _on_feature(self) -> None:
        self.bars.advance(self.features)
        if self.work_done == self.work_before:  # the pace is that of fits, which begin when features are there
            self.started = time.monotonic()

    def _on_cells(self, cells: int, done: int, work: float, work_done: float) -> None:
        self.bars.update(self.cells, total=cells, completed=done, visible=True)
        self.work, self.work_done, self.work_before = work, work_done, work_done
        self.note(f"{cells} cells, {done} of them done before")

    def _on_cell(self, work: float) -> None:
        self.work_done += work
        self.bars.update(self.cells, advance=1, left=self._left())
        task = self.bars.tasks[self.cells]
        self.note(f"cell {task.completed:.0f} of {task.total:.0f}, {self._left()}")

    def _left(self) -> str:
        """Return about how long the rest takes, at the pace of this call."""
        from thymos.reports.page import clock

        done = self.work_done - self.work_before
        seconds = (time.monotonic() - self.started) * (self.work - self.work_done) / done
        return f"about {clock(max(0.0, seconds))} left"

    def _on_failure(self, cell: str, reason: str) -> None:
        self.failures.append(f"{cell}: {reason}")
        self.note(f"failed: {cell}: {reason}")

    def _on_row(self, outcome: "RowOutcome") -> None:
        self.outcomes.append(outcome)
        segment, recording = _scores(outcome)
        scores = f"{segment} per segment, {recording} per recording" if segment else f"{recording} per recording"
        said = f"failed, {outcome.failure}" if outcome.failure else scores
        self.note(f"{outcome.row.name}: {said} ({self._rows_done()})")


def _scores(outcome: "RowOutcome") -> tuple[str, str]:
    """Return accuracy per segment and per recording as "63.1 ± 2.0"."""
    if outcome.run is None:
        return "failed", ""
    cells = []
    for level in ("segment", "recording"):
        if level not in outcome.run.results["levels"]:
            cells.append("")
            continue
        score = outcome.run.results["summary"][level]["accuracy"]
        spread = "" if score["sd"] is None else f" ± {100 * score['sd']:.1f}"
        cells.append(f"{100 * score['mean']:.1f}{spread}")
    return cells[0], cells[1]
