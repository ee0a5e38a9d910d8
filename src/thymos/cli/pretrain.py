"""``thymos pretrain``: fit an encoder to several corpora at once."""

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from thymos.cli.console import (
    CacheOption,
    ChangesOption,
    QuietOption,
    SeedOption,
    StrictOption,
    console,
    notes,
    open_corpus_with_progress,
    progress,
)
from thymos.cli.evaluate import name_unusable
from thymos.errors import RecipeError, RunError
from thymos.machine import available_cores

if TYPE_CHECKING:
    from thymos.experiment import Epoch


def pretrain(
    corpora: Annotated[list[str], typer.Argument(metavar="CORPUS…", help="Corpora, as other commands take them.")],
    out: Annotated[Path, typer.Option(help="Folder for the encoder: encoder.safetensors and encoder.json.")],
    recipe: Annotated[str, typer.Option(help="A shipped pretraining recipe's name, or a YAML file.")] = "pretraining",
    seed: SeedOption = 0,
    changes: ChangesOption = None,
    cache_dir: CacheOption = None,
    strict: StrictOption = False,
    quiet: QuietOption = False,
) -> None:
    """Pretrain an encoder on several corpora; recipes of kind encoder start from it (start_from).

    What one corpus lacks is not held against its recordings. The encoder keeps the digests of all clips that it has
    seen, and `thymos evaluate` refuses to test on one of them.
    """
    from thymos.cache import default_cache_dir
    from thymos.encoder.encoder_file import write_encoder
    from thymos.encoder.pretrain import pretrain as run_pretraining
    from thymos.encoder.recipe import PretrainingRecipe
    from thymos.engine.process import one_thread
    from thymos.recipes import load_recipe
    from thymos.scoring.results import describe_corpus, versions

    settings = load_recipe(recipe, changes or ())
    if not isinstance(settings, PretrainingRecipe):
        raise RecipeError(
            f"recipe {settings.name} is of kind {settings.kind}: pretraining needs one of kind pretraining"
        )
    if out.exists() and not out.is_dir():  # better said now than after hours of work
        raise RunError(f"{out} exists and is no folder; choose another --out")
    started = time.perf_counter()
    opened = [open_corpus_with_progress(spec, cache_dir, quiet) for spec in corpora]
    for corpus in opened:
        name_unusable(corpus, strict)
    with progress(quiet) as bars, one_thread():
        making = bars.add_task("Making spectrograms", total=sum(len(corpus.clips) for corpus in opened))
        fitting = bars.add_task("Pretraining (epochs)", total=settings.training.epochs)

        def on_epoch(epoch: "Epoch") -> None:
            bars.update(fitting, completed=epoch.epoch)
            if not quiet and not notes.is_terminal:
                notes.print(f"epoch {epoch.epoch}: loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.3f}")

        result = run_pretraining(
            opened,
            settings,
            cache_dir or default_cache_dir(),
            seed,
            lambda: bars.advance(making),
            on_epoch,
            available_cores(),
        )
    about = {
        "recipe": settings.model_dump(mode="json"),
        "seed": seed,
        "command": shlex.join(["thymos", *sys.argv[1:]]),
        "wall_s": round(time.perf_counter() - started, 1),
        "trained_on": [describe_corpus(corpus) for corpus in opened],
        "validation": result.validation,
        "curve": [{"epoch": at.epoch, "loss": at.loss, "accuracy": at.accuracy} for at in result.curve],
        "versions": versions(),
    }
    features, size = settings.features, settings.model
    write_encoder(out, result.network, result.labels, features, size, result.seen, about, result.discriminant)
    for row in result.validation:
        console.print(f"held-out speakers of {row['corpus']}: UAR {row['uar']:.3f} on {row['clips']} recordings")
    console.print(f"Encoder: [bold]{escape(str(out))}[/bold]", soft_wrap=True)
