"""``thymos train``: fit one model on a whole corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from thymos.cli.console import console, default_cache_dir, open_corpus_with_progress, progress
from thymos.cli.evaluate import name_unusable
from thymos.cli.options import (
    CacheOption,
    ChangesOption,
    CorpusArgument,
    PrecisionOption,
    QuietOption,
    RecipeOption,
    SeedOption,
    StrictOption,
)
from thymos.errors import RecipeError

if TYPE_CHECKING:
    from thymos.training.fit import Epoch


def train(
    corpus: CorpusArgument,
    out: Annotated[Path, typer.Option(help="Folder for the model: weights.safetensors and model.json.")],
    recipe: RecipeOption = "model3",
    seed: SeedOption = 0,
    changes: ChangesOption = None,
    precision: PrecisionOption = None,
    cache_dir: CacheOption = None,
    strict: StrictOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit one model on all recordings of a corpus. How good it is, `thymos evaluate` tells."""
    from thymos.evaluation.evaluate import usable_for
    from thymos.evaluation.results import describe_corpus, versions
    from thymos.features.parts import training_part
    from thymos.features.pictures import make_pictures
    from thymos.training.bundle import write_bundle
    from thymos.training.fit import check_buildable, fit
    from thymos.training.recipe import Recipe, load_recipe

    if precision:
        changes = [*(changes or ()), f"training.precision={precision}"]
    settings = load_recipe(recipe, changes or ())
    if not isinstance(settings, Recipe):
        raise RecipeError(
            f"recipe {settings.name} is of kind {settings.kind}: only kind pictures can be trained into a model"
        )
    if settings.transductive:
        raise RecipeError(
            "features.normalise=speaker judges a speaker's recordings together: it is for evaluation only"
        )
    opened = open_corpus_with_progress(corpus, cache_dir, quiet)
    name_unusable(opened, strict)
    usable = usable_for(opened, settings)
    labels = usable.emotions
    check_buildable(settings, len(labels))
    copies = settings.augmentation.copies
    with progress(quiet) as bars:
        task = bars.add_task("Making pictures", total=len(usable.clips) * (1 + len(copies)))
        pictures = make_pictures(
            usable,
            settings.sound,
            settings.features,
            cache_dir or default_cache_dir(),
            lambda: bars.advance(task),
            copies=copies,
        )
        clip_labels = [labels.index(clip.emotion) for clip in usable.clips]
        fitting = bars.add_task("Training (epochs)", total=settings.training.epochs)

        def on_epoch(epoch: "Epoch") -> None:
            bars.update(fitting, completed=epoch.epoch)

        import numpy as np

        targets = np.tile(np.array(clip_labels, np.int64)[pictures.clip_index], 1 + len(copies))
        values = training_part(pictures, range(len(pictures.values)))
        fitted = fit(settings, values, targets, len(labels), seed, on_epoch)
    about = {
        "name": settings.name,
        "labels": list(labels),
        "rate_hz": settings.sound.rate_hz,
        "window_s": settings.sound.window_s,
        "picture_shape": list(pictures.values.shape[1:]),
        "recipe": settings.model_dump(mode="json"),
        "seed": seed,
        "trained_on": [describe_corpus(usable)],
        "versions": versions(),
    }
    write_bundle(out, fitted.model, about)
    last = fitted.curve[-1]
    console.print(f"Trained on {len(usable.clips)} recordings; accuracy on these, at the end: {last.accuracy:.3f}")
    console.print(f"Model: [bold]{escape(str(out))}[/bold]", soft_wrap=True)
