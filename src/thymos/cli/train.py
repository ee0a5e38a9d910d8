"""``thymos train``: fit one model on a whole corpus, and write it as a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thymos.cli.console import (
    CacheOption,
    ChangesOption,
    ColumnsOption,
    CorporaArgument,
    DeviceOption,
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
    console,
    label_map_of,
    open_corpora_with_progress,
    progress,
    say,
    shown,
    tell,
)
from thymos.cli.evaluate import end_of, name_unusable, with_precision

if TYPE_CHECKING:
    from thymos.experiment import Epoch


def train(
    corpora: CorporaArgument,
    out: Annotated[Path, typer.Option(help="Folder for the model: new, empty, or an earlier model's.")],
    recipe: RecipeOption = "model3",
    seed: SeedOption = 0,
    changes: ChangesOption = None,
    precision: PrecisionOption = None,
    finetune: Annotated[
        bool, typer.Option("--finetune", help="Fine-tune the encoder, too (recipes of kind encoder): minutes a fit.")
    ] = False,
    labels: LabelsOption = None,
    label_map: LabelMapOption = "",
    root: RootOption = None,
    columns: ColumnsOption = None,
    track: TrackOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    cache_dir: CacheOption = None,
    strict: StrictOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit one model on all recordings of a corpus, or of several. How good it is, `thymos evaluate` tells.

    `thymos predict --model` hears with it; `thymos export` adds its name, licence and scores.
    """
    from thymos.corpora.headings import parse_columns
    from thymos.engine.process import chosen_device
    from thymos.evaluation.train import train as run_training
    from thymos.recipes import load_experiment
    from thymos.reports.tracking import tracker_of
    from thymos.runtime.rewriting import check_folder

    changes = [*with_precision(changes, precision), *(["finetune=fold"] if finetune else [])]
    tracker = tracker_of(track)
    experiment = load_experiment(recipe, changes)
    experiment.check_exportable()
    check_folder(out)
    found, mapped = chosen_device(device), label_map_of(labels, label_map)
    chosen = parse_columns(columns or ())
    opened = open_corpora_with_progress(corpora, cache_dir, quiet, mapped, root=root, columns=chosen)
    name_unusable(opened, strict, quiet)
    with progress(quiet) as bars:
        model = run_training(
            opened,
            experiment,
            out,
            seed=seed,
            cache_dir=cache_dir,
            threads=threads,
            device=found,
            watcher=_watcher(bars),
        )
    for note in model.notes:
        say(note, "yellow")
    said = f"; accuracy on these, at the end: {model.curve[-1].accuracy:.3f}" if model.curve else ""
    tell(f"Trained on {model.recordings} recordings{said}")
    console.print(f"Model: [bold]{shown(model.folder)}[/bold]", soft_wrap=True)
    if tracker is not None:
        tracker.log_model(model.folder)
    end_of(opened)


def _watcher(bars: Any) -> Any:
    """Return a TrainWatcher that moves two bars: features made, and epochs of all fits, or fits without epochs."""
    from thymos.evaluation.train import TrainWatcher

    features = bars.add_task("Making features", total=None)
    fitting = bars.add_task("Fitting", total=None, visible=False)
    has_epochs = False

    def on_fits(fits: int, epochs: int) -> None:
        nonlocal has_epochs
        has_epochs = epochs > 0
        description = "Fitting (epochs)" if has_epochs else "Fitting"
        bars.update(fitting, total=fits * (epochs or 1), visible=True, description=description)

    def on_epoch(epoch: "Epoch") -> None:
        bars.advance(fitting)

    def on_fit() -> None:
        if not has_epochs:
            bars.advance(fitting)

    return TrainWatcher(
        on_features=lambda total: bars.update(features, total=total),
        on_feature=lambda: bars.advance(features),
        on_fits=on_fits,
        on_epoch=on_epoch,
        on_fit=on_fit,
    )
