"""Fine-tune Whisper's first layers on all corpora beside AESDD, and write the encoder: see thymos.encoder.

A run that was killed goes on where its last checkpoint left it. What it does stands in train.log in its folder.
"""

import argparse
import time
from datetime import datetime, timedelta
from pathlib import Path

import torch

from thymos.encoder.fine_tuning import CHECKPOINT, FineTuning, FineTuningRecipe, Step, fine_tune, make_lesson
from thymos.encoder.sounds import read_sounds
from thymos.encoder.weights import write_encoder
from thymos.encoder.whisper_layers import read_whisper_layers

REPORT_EVERY = 25
"""Steps between lines of the log."""


class Log:
    """Writes a line each 25 steps."""

    def __init__(self, file: Path, steps: int):
        self.file, self.steps = file, steps
        self.latest: list[Step] = []

    def write(self, line: str) -> None:
        print(line, flush=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%H:%M:%S}  {line}\n")

    def note(self, step: Step) -> None:
        self.latest.append(step)
        if step.number % REPORT_EVERY and step.number != self.steps:
            return
        _, loss, accuracy, seconds = (sum(values) / len(self.latest) for values in zip(*self.latest, strict=True))
        left = timedelta(seconds=round(seconds * (self.steps - step.number)))
        self.write(
            f"step {step.number}/{self.steps}  loss {loss:.3f}  accuracy {accuracy:.3f}  "
            f"{seconds:.2f} s/step  {left} left, done at {datetime.now() + left:%H:%M}"
        )
        self.latest = []


def main() -> None:
    recipe = FineTuningRecipe()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, default=Path("../shared/corpora"), help="folder with clips.csv")
    parser.add_argument(
        "--layers-file", type=Path, default=Path("../shared/models/whisper-base-encoder-4.safetensors"),
        help="a Whisper checkpoint, such as model.safetensors of openai/whisper-base",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder, its log and its checkpoint")
    parser.add_argument("--cache", type=Path, default=Path("runs/sounds"), help="folder of the decoded sound, 1 GB")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=recipe.steps)
    parser.add_argument("--batch", type=int, default=recipe.batch)
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="CORPUS", help="corpora that it must not hear")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = recipe.model_copy(update={"steps": arguments.steps, "batch": arguments.batch})
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = Log(arguments.out / "train.log", recipe.steps)
    lesson = make_lesson(read_sounds(arguments.corpora, arguments.cache).without(arguments.leave_out), recipe)
    layers = read_whisper_layers(arguments.layers_file, recipe.layers)
    run = FineTuning(lesson, layers, recipe, arguments.seed, arguments.device)
    log.write(f"{len(lesson.sounds.clips)} clips, seed {arguments.seed}, {recipe.steps} steps of {recipe.batch}")
    start = time.monotonic()
    if run.resume(arguments.out):
        log.write(f"goes on after step {run.done}")
    network = fine_tune(run, arguments.out, on_step=log.note)
    write_encoder(arguments.out, network, lesson, recipe, arguments.seed)
    (arguments.out / CHECKPOINT).unlink()
    log.write(f"encoder written after {timedelta(seconds=round(time.monotonic() - start))}")


if __name__ == "__main__":
    main()
