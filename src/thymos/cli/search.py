"""``thymos search``: settings of a recipe, sought on inner folds, and what they are worth on the outer ones."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from thymos.cli.console import (
    CacheOption,
    ChangesOption,
    ColumnsOption,
    CorpusArgument,
    DeviceOption,
    EngineOption,
    FiguresOption,
    GpusOption,
    LabelMapOption,
    LabelsOption,
    QuietOption,
    RecipeOption,
    RootOption,
    SeedOption,
    ThreadsOption,
    TrackOption,
    WorkersOption,
    console,
    label_map_of,
    open_corpus_with_progress,
    progress,
    shown,
)
from thymos.cli.evaluate import end_of, name_unusable


def search(
    corpus: CorpusArgument,
    out: Annotated[Path, typer.Option(help="The run folder: new, or an earlier call of the same to go on with.")],
    space: Annotated[
        list[str],
        typer.Option(
            "--space",
            metavar="KEY=DISTRIBUTION|FILE.yaml",
            help="What may be tried, such as training.learning_rate=loguniform(1e-5,1e-2); also uniform, int, logint,"
            " choice(a,b). May be repeated.",
        ),
    ],
    recipe: RecipeOption = "model3",
    protocol: Annotated[str, typer.Option(help="As for `thymos evaluate`.")] = "recording",
    folds: Annotated[int, typer.Option(min=2, help="For recording, take and sentence.")] = 5,
    fold: Annotated[int | None, typer.Option(min=0, help="Search and test this fold alone, counted from 0.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Of each fold.")] = 20,
    inner_folds: Annotated[int, typer.Option(min=1, max=5, help="That each trial is scored on.")] = 3,
    metric: Annotated[
        Literal["uar", "accuracy", "macro_f1"], typer.Option(help="What is highest in the best trial.")
    ] = "uar",
    seed: SeedOption = 0,
    changes: ChangesOption = None,
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
    quiet: QuietOption = False,
) -> None:
    """Search for a recipe's settings with Optuna, nested: each fold's on inner folds of its training part alone.

    What is found is fitted to the training part and tested once. Cut short, the same command goes on with the same
    trials; with more --trials it goes on with these.
    """
    from thymos.corpora.headings import parse_columns
    from thymos.engine.process import chosen_device
    from thymos.engine.tasks import in_use
    from thymos.evaluation.nested_search import SearchWatcher, check_optuna, settings_words
    from thymos.evaluation.nested_search import search as run_search
    from thymos.evaluation.search_space import check_space, read_space
    from thymos.files import figure_formats
    from thymos.reports.run_report import summary_table, write_report
    from thymos.reports.tracking import tracker_of

    formats, tracker = figure_formats(figures), tracker_of(track)
    check_optuna()
    check_space(read_space(space), recipe, changes or [])
    found, mapped = chosen_device(device), label_map_of(labels, label_map)
    headings = parse_columns(columns or ())
    with in_use(engine, workers, gpus_per_task) as used:
        opened = open_corpus_with_progress(corpus, cache_dir, quiet, mapped, root=root, columns=headings)
        name_unusable(opened, strict=False, quiet=quiet)
        with progress(quiet) as bars:
            task = bars.add_task("Trials", total=None)
            run = run_search(
                opened,
                recipe,
                space,
                out,
                protocol=protocol,
                changes=changes or [],
                folds=folds,
                seed=seed,
                only_fold=fold,
                trials=trials,
                inner_folds=inner_folds,
                metric=metric,
                cache_dir=cache_dir,
                workers=workers,
                threads=threads,
                device=found,
                engine=used,
                command=shlex.join(["thymos", *sys.argv[1:]]),
                watcher=SearchWatcher(
                    on_trials=lambda total: bars.update(task, total=total), on_trial=lambda trial: bars.advance(task)
                ),
            )
    page = write_report(out, formats)
    console.print(summary_table(run.results))
    chosen: list[dict[str, Any]] = run.results["search"]["chosen"]
    for each in chosen:
        console.print(
            f"{shown(each['fold'])}: {shown(settings_words(each['settings']))}; {metric} on inner folds "
            f"{each['score']:.3f}, trial {each['trial']}",
            soft_wrap=True,
            highlight=False,
        )
    console.print(f"Report: [bold]{shown(page)}[/bold]", soft_wrap=True)
    if tracker is not None:
        tracker.log_run(out)
    end_of(opened)
