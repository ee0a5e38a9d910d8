"""``thymos train``: fit one model on a whole corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from thymos.cache import default_cache_dir
from thymos.cli.console import console, cores, open_corpus_with_progress, progress
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
    from thymos.cnn.fit import Epoch
    from thymos.corpora import Corpus
    from thymos.encoder.recipe import WholeRecipe
    from thymos.recipes import Recipe

NO_LICENCE = "not stated: those of the recordings that it was trained on apply"
FIRST_VERSION = "1"


def train(
    corpus: CorpusArgument,
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    recipe: RecipeOption = "model3",
    seed: SeedOption = 0,
    changes: ChangesOption = None,
    precision: PrecisionOption = None,
    cache_dir: CacheOption = None,
    strict: StrictOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit one model on all recordings of a corpus. How good it is, `thymos evaluate` tells.

    A recipe of kind whole makes a bundle that `thymos predict` can use; `thymos export` adds its name, licence and
    scores.
    """
    from thymos.encoder.recipe import WholeRecipe
    from thymos.evaluation.evaluate import usable_for
    from thymos.recipes import Recipe, load_recipe

    if precision:
        changes = [*(changes or ()), f"training.precision={precision}"]
    settings = load_recipe(recipe, changes or ())
    if not isinstance(settings, Recipe | WholeRecipe):
        raise RecipeError(
            f"recipe {settings.name} is of kind {settings.kind}: only kind pictures or whole is trained into a model"
        )
    if settings.transductive:
        raise RecipeError(
            "features.normalise=speaker judges a speaker's recordings together: it is for evaluation only"
        )
    opened = open_corpus_with_progress(corpus, cache_dir, quiet)
    name_unusable(opened, strict)
    usable = usable_for(opened, settings)
    fit = _fit_pictures if isinstance(settings, Recipe) else _fit_whole
    accuracy = fit(usable, settings, seed, out, cache_dir or default_cache_dir(), quiet)  # type: ignore[arg-type]
    said = "" if accuracy is None else f"; accuracy on these, at the end: {accuracy:.3f}"
    console.print(f"Trained on {len(usable.clips)} recordings{said}")
    console.print(f"Model: [bold]{escape(str(out))}[/bold]", soft_wrap=True)


def _fit_pictures(
    corpus: "Corpus", settings: "Recipe", seed: int, out: Path, cache_dir: Path, quiet: bool
) -> float | None:
    """Fit a recipe of kind pictures, write its weights, and return the accuracy of the last epoch."""
    import numpy as np

    from thymos.cnn.fit import check_buildable, fit
    from thymos.cnn.parts import training_part
    from thymos.cnn.spectrograms import make_pictures
    from thymos.encoder.bundle_writer import write_weights
    from thymos.scoring.results import describe_corpus, versions

    labels = corpus.emotions
    check_buildable(settings, len(labels))
    copies = settings.augmentation.copies
    with progress(quiet) as bars:
        task = bars.add_task("Making pictures", total=len(corpus.clips) * (1 + len(copies)))
        pictures = make_pictures(
            corpus, settings.sound, settings.features, cache_dir, lambda: bars.advance(task), copies=copies
        )
        clip_labels = [labels.index(clip.emotion) for clip in corpus.clips]
        fitting = bars.add_task("Training (epochs)", total=settings.training.epochs)

        def on_epoch(epoch: "Epoch") -> None:
            bars.update(fitting, completed=epoch.epoch)

        targets = np.tile(np.array(clip_labels, np.int64)[pictures.clip_index], 1 + len(copies))
        values = training_part(pictures, range(len(pictures.values)))
        fitted = fit(settings, values, targets, len(labels), seed, on_epoch)
    about = {
        "kind": settings.kind,
        "name": settings.name,
        "version": FIRST_VERSION,
        "labels": list(labels),
        "rate_hz": settings.sound.rate_hz,
        "window_s": settings.sound.window_s,
        "picture_shape": list(pictures.values.shape[1:]),
        "recipe": settings.model_dump(mode="json"),
        "seed": seed,
        "trained_on": [describe_corpus(corpus) | {"stage": "training"}],
        "licence": NO_LICENCE,
        "versions": versions(),
    }
    write_weights(out, fitted.model, about)
    return fitted.curve[-1].accuracy


def _fit_whole(
    corpus: "Corpus", settings: "WholeRecipe", seed: int, out: Path, cache_dir: Path, quiet: bool
) -> float | None:
    """Fit and calibrate a recipe of kind whole, write a bundle, and return the accuracy of the last epoch of all."""
    from thymos.encoder import experiment as whole_folds
    from thymos.encoder.bundle_writer import write_recogniser
    from thymos.encoder.export import check_exportable
    from thymos.evaluation.train import make_recogniser

    check_exportable()
    accuracy = None
    with progress(quiet) as bars:
        making = bars.add_task("Making pictures", total=whole_folds.steps(corpus, settings))
        total = whole_folds.epochs(settings)
        fitting = bars.add_task("Training (epochs)", total=total)

        def on_epoch(epoch: "Epoch") -> None:
            nonlocal accuracy
            if epoch.epoch == settings.training.epochs * settings.members:
                accuracy = epoch.accuracy
            bars.update(fitting, completed=epoch.epoch)

        made = make_recogniser(corpus, settings, cache_dir, seed, lambda: bars.advance(making), on_epoch, cores())
    write_recogniser(out, made.recogniser, {"version": FIRST_VERSION, "licence": NO_LICENCE, **made.about})
    return accuracy
