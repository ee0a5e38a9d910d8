"""``thymos pretrain``: fine-tune Whisper's first layers on the emotions of several corpora."""

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thymos.cli.console import (
    CacheOption,
    ChangesOption,
    DeviceOption,
    QuietOption,
    SeedOption,
    StrictOption,
    ThreadsOption,
    console,
    notes,
    open_corpus_with_progress,
    progress,
    shown,
)
from thymos.cli.evaluate import end_of, name_unusable
from thymos.errors import RunError

if TYPE_CHECKING:
    from thymos.encoder.fine_tuning import Step

REPORT_EVERY = 25
"""Steps between lines, where no bar moves."""


def pretrain(
    corpora: Annotated[list[str], typer.Argument(metavar="CORPUS…", help="Corpora, as other commands take them.")],
    out: Annotated[Path, typer.Option(help="Folder for the encoder: encoder.safetensors and encoder.json.")],
    layers_file: Annotated[
        Path,
        typer.Option(help="A Whisper checkpoint to start from, such as model.safetensors of openai/whisper-base."),
    ],
    seed: SeedOption = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps (default: the recipe's 1700).")] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="Clips a step (default: the recipe's 64).")] = None,
    changes: ChangesOption = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="CORPUS", help="A corpus that it must not hear. May be repeated.")
    ] = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    cache_dir: CacheOption = None,
    strict: StrictOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fine-tune an encoder on several corpora; recipes of kind encoder start from it (start_from).

    What one corpus lacks is not held against its recordings. The encoder keeps the digests of all clips that it has
    heard, and `thymos evaluate` refuses to test on one of them. Cut short, the same command goes on where it stopped.
    Started by torchrun, several processes, or GPUs, take each step together.
    """
    import torch

    from thymos.cache import default_cache_dir
    from thymos.encoder.data_parallel import ranks_of_launcher
    from thymos.encoder.fine_tuning import CHECKPOINT, FineTuning, fine_tune, fine_tuning_recipe, make_lesson
    from thymos.encoder.network import read_whisper_layers
    from thymos.encoder.sounds import read_sounds
    from thymos.encoder.weights import ABOUT, write_encoder
    from thymos.engine.process import chosen_device
    from thymos.machine import available_cores
    from thymos.scoring.results import versions

    given = {"steps": steps, "batch": batch}
    recipe = fine_tuning_recipe([*(changes or []), *(f"{name}={value}" for name, value in given.items() if value)])
    if out.exists() and not out.is_dir():  # better said now than after hours of work
        raise RunError(f"{out} exists and is no folder; choose another --out")
    if (out / ABOUT).exists():
        raise RunError(f"{out} holds an encoder already; choose another --out")
    layers, found = read_whisper_layers(layers_file, recipe.layers), chosen_device(device)
    started = time.perf_counter()
    with ranks_of_launcher(found) as (ranks, own_device):
        quiet = quiet or not ranks.first
        opened = [open_corpus_with_progress(spec, cache_dir, quiet) for spec in corpora]
        for corpus in opened:
            name_unusable(corpus, strict, quiet)
        torch.set_num_threads(threads or max(1, available_cores() // ranks.on_this_machine))
        out.mkdir(parents=True, exist_ok=True)
        with progress(quiet) as bars:
            decoding = bars.add_task("Decoding", total=sum(len(corpus.clips) for corpus in opened))
            sounds = read_sounds(opened, cache_dir or default_cache_dir(), lambda: bars.advance(decoding))
            bars.update(decoding, visible=False)
            lesson = make_lesson(sounds.without(leave_out or ()), recipe)
            fitting = bars.add_task("Fine-tuning (steps)", total=recipe.steps)

            def on_step(step: "Step") -> None:
                bars.update(fitting, completed=step.number)
                if not quiet and not notes.is_terminal and step.number % REPORT_EVERY == 0:
                    notes.print(
                        f"step {step.number}: loss {step.loss:.3f}, accuracy {step.accuracy:.3f}, {step.seconds:.2f} s"
                    )

            run = FineTuning(lesson, layers, recipe, seed, own_device, ranks)
            network = fine_tune(run, out, on_step=on_step)
        if ranks.first:
            about = {
                "command": shlex.join(["thymos", *sys.argv[1:]]),
                "wall_s": round(time.perf_counter() - started, 1),
                "versions": versions(),
            }
            write_encoder(out, network, lesson, recipe, seed, about)
            (out / CHECKPOINT).unlink()
            console.print(f"Encoder: [bold]{shown(out)}[/bold]", soft_wrap=True)
        ranks.wait()
    if ranks.first:
        end_of(*opened)
