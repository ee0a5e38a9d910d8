"""``thymos evaluate``: cross-validate a recipe on a corpus."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thymos.cli.console import (
    CacheOption,
    ChangesOption,
    ColumnsOption,
    CorporaArgument,
    DeviceOption,
    EngineOption,
    FiguresOption,
    GpusOption,
    LabelMapOption,
    LabelsOption,
    PrecisionOption,
    QuietOption,
    RecipeOption,
    RootOption,
    SeedOption,
    StrictOption,
    ThreadsOption,
    TrackOption,
    WorkersOption,
    console,
    label_map_of,
    name_labels,
    name_tally,
    notes,
    open_corpora_with_progress,
    open_corpus_with_progress,
    progress,
    say,
    shown,
    tell,
)
from thymos.errors import ProtocolError

DEFAULT_PROTOCOL = "recording"

if TYPE_CHECKING:
    from thymos.corpora import Corpus
    from thymos.corpora.folds import Fold


def evaluate(
    corpora: CorporaArgument,
    out: Annotated[Path, typer.Option(help="The run folder: new, or an earlier run of the same to go on with.")],
    recipe: RecipeOption = "model3",
    protocol: Annotated[
        str | None,
        typer.Option(
            help="recording (the default), take, sentence, speaker, own (the corpus's own split), serab, corpus (leave "
            "one of several out), pairs, or file:PATH (EmoBox lists or a table).",
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CORPUS",
            help="Train on all of the corpora named before, and test on this one, on the labels that both have. May be "
            "repeated: one fold each.",
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="For recording, take and sentence.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="How often those folds are drawn anew.")] = 1,
    seed: SeedOption = 0,
    fold: Annotated[int | None, typer.Option(min=0, help="Run this fold alone, counted from 0.")] = None,
    changes: ChangesOption = None,
    precision: PrecisionOption = None,
    shuffle_labels: Annotated[
        bool,
        typer.Option("--shuffle-labels", help="A control: deal the labels out at random; must score at chance."),
    ] = False,
    labels: LabelsOption = None,
    label_map: LabelMapOption = "",
    figures: FiguresOption = "png",
    track: TrackOption = None,
    root: RootOption = None,
    columns: ColumnsOption = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "local",
    gpus_per_task: GpusOption = None,
    cache_dir: CacheOption = None,
    strict: StrictOption = False,
    quiet: QuietOption = False,
) -> None:
    """Cross-validate a recipe on a corpus; write results.json, predictions.csv and report.html to --out.

    Several corpora count as one; --protocol corpus leaves each out in turn, and --test tests on others.
    Cut short, the same command goes on where it stopped and ends with the same numbers.
    Files that cannot be used are named and left out, and the exit code is then 1.
    """
    from thymos.corpora.headings import parse_columns
    from thymos.corpora.protocols import protocol_named
    from thymos.engine.process import chosen_device
    from thymos.engine.tasks import in_use
    from thymos.evaluation.evaluate import evaluate as run_evaluation
    from thymos.evaluation.run import RunFolder
    from thymos.files import figure_formats
    from thymos.recipes import load_experiment
    from thymos.reports.run_report import fold_notes, heard_line, summary_table, write_report
    from thymos.reports.tracking import tracker_of

    formats, tracker = figure_formats(figures), tracker_of(track)
    if test and protocol:
        raise ProtocolError(f"--test says what is tested, and --protocol {protocol} too: give one of both")
    protocol = protocol or DEFAULT_PROTOCOL
    experiment = load_experiment(recipe, with_precision(changes, precision))
    protocol_named(protocol, folds, repeats)  # a word that is none, or lists that cannot be read
    RunFolder(out).check()
    found, mapped, chosen = chosen_device(device), label_map_of(labels, label_map), parse_columns(columns or ())
    with in_use(engine, workers, gpus_per_task) as used:
        opened = open_corpora_with_progress(corpora, cache_dir, quiet, mapped, not test, root, chosen)
        others = [open_corpus_with_progress(spec, cache_dir, quiet, mapped) for spec in test or ()]
        for each in (opened, *others):
            name_unusable(each, strict, quiet)
        with progress(quiet) as bars:
            run = run_evaluation(
                opened,
                experiment,
                protocol,
                test=others,
                folds=folds,
                repeats=repeats,
                seed=seed,
                only_fold=fold,
                shuffle=shuffle_labels,
                out=out,
                cache_dir=cache_dir,
                workers=workers,
                threads=threads,
                device=found,
                engine=used,
                command=shlex.join(["thymos", *sys.argv[1:]]),
                watcher=_watcher(bars),
            )
    for note in fold_notes(run.results["folds"]):
        say(note, "yellow")
    for note in run.results["protocol"].get("notes", ()):
        say(note, "yellow")
    absent = run.results["protocol"]["absent"]
    if absent:
        notes.print(f"[yellow]named by the protocol and not in the corpus:[/yellow] {shown(', '.join(absent))}")
    page = write_report(out, formats)
    console.print(summary_table(run.results))
    tell(heard_line(run.results))
    console.print(f"Report: [bold]{shown(page)}[/bold]", soft_wrap=True)
    if tracker is not None:
        tracker.log_run(out)
    end_of(opened, *others)


def with_precision(changes: list[str] | None, precision: str | None) -> list[str]:
    """Return ``changes`` of a recipe, and --precision as one of them."""
    return [*(changes or ()), *([f"training.precision={precision}"] if precision else ())]


def name_unusable(corpus: "Corpus", strict: bool, quiet: bool = False) -> None:
    """Count the recordings of ``corpus``, name its labels and files that cannot be used; if there are some and
    ``strict``, do no more, and exit with 1. Else who calls goes on with the others, and ends by ``end_of``."""
    if not quiet or corpus.tally.left_out or corpus.tally.errors:
        name_tally(corpus)
    name_labels(corpus)
    for left_out in corpus.unusable:
        notes.print(f"[yellow]left out:[/yellow] {shown(left_out.clip)} {shown(left_out.reason)}", soft_wrap=True)
    if strict and corpus.unusable:
        say(f"{len(corpus.unusable)} files cannot be used, and --strict was given: nothing was done")
        raise typer.Exit(1)


def end_of(*corpora: "Corpus") -> None:
    """End a command that has done its work on the recordings that can be used: with 1, as ``predict`` and ``audit``
    do, if some of ``corpora`` hold files that cannot be, and were named; else return. What a rule left out is used as
    was asked."""
    count = sum(len(corpus.unusable) for corpus in corpora)
    if count:
        say(f"done without {count} {'file' if count == 1 else 'files'} that could not be used, so the exit code is 1")
        raise typer.Exit(1)


def _watcher(bars: Any) -> Any:
    """Return a Watcher that moves two bars: features made, and epochs trained, or folds where there are no epochs."""
    from thymos.evaluation.evaluate import Watcher

    features = bars.add_task("Making features", total=None)
    fitting = bars.add_task("Fitting", total=None, visible=False)
    epochs_of_fold: dict[str, int] = {}
    epochs_each = 0

    def show() -> None:
        bars.update(fitting, completed=sum(epochs_of_fold.values()))

    def on_folds(folds: int, epochs: int) -> None:
        nonlocal epochs_each
        epochs_each = epochs or 1
        description = f"Fitting {folds} folds (epochs)" if epochs else "Fitting (folds)"
        bars.update(fitting, total=folds * epochs_each, visible=True, description=description)

    def on_report(message: tuple[str, int]) -> None:
        fold, epochs = message
        epochs_of_fold[fold] = epochs
        show()

    def on_fold(fold: "Fold") -> None:
        epochs_of_fold[fold.name] = epochs_each
        show()

    return Watcher(
        on_features=lambda total: bars.update(features, total=total),
        on_feature=lambda: bars.advance(features),
        on_folds=on_folds,
        on_report=on_report,
        on_fold=on_fold,
    )
