"""Measure one training step of model3 (64 spectrograms of 128 × 130): Thymos's way beside PyTorch's own layers.

    python benchmarks/step.py --threads 2

The two take turns in one process, so that a drift of the machine touches both; medians are printed. Thymos works on
the batch in shards of one thread each, so that its digits are the same for any ``--threads``; PyTorch's layers share
each operation among the threads.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from thymos.engine.process import set_up_process

set_up_process()  # before torch is imported

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from thymos.cnn.fit import TrainingStep, side_by_side  # noqa: E402
from thymos.cnn.networks import StudyCNN, StudyCNNSettings  # noqa: E402
from thymos.cnn.recipe import TrainingSettings  # noqa: E402

BATCH, SHAPE, CLASSES = 64, (1, 128, 130), 5
WARM_UP = 3


class PlainLayers(nn.Module):
    """The same network by PyTorch's own layers, channels last."""

    def __init__(self, model: StudyCNN):
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, spectrograms: Tensor) -> Tensor:
        x = spectrograms.contiguous(memory_format=torch.channels_last)
        for convolution in self.model.convolutions:
            x = functional.max_pool2d(functional.relu(convolution(x)), 2)
        x = functional.dropout(x.flatten(1), self.model.dropout)
        *hidden, last = self.model.dense
        for layer in hidden:
            x = functional.relu(layer(x))
        return last(x).float()


def plain_step(spectrograms: Tensor, targets: Tensor) -> Callable[[], object]:
    model = PlainLayers(StudyCNN(StudyCNNSettings(), SHAPE, CLASSES))
    optimiser = torch.optim.Adam(model.parameters(), fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(spectrograms)
        optimiser.zero_grad(set_to_none=True)
        functional.cross_entropy(logits, targets).backward()
        optimiser.step()

    return step


def timed_ms(step: Callable[..., object], *arguments: Tensor) -> float:
    started = time.perf_counter()
    step(*arguments)
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a training step of model3, two ways in turns.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    torch.manual_seed(0)
    spectrograms = torch.randn(BATCH, *SHAPE).bfloat16()
    targets = torch.randint(0, CLASSES, (BATCH,))
    plain = plain_step(spectrograms, targets)
    model = StudyCNN(StudyCNNSettings(), SHAPE, CLASSES).train()
    times: dict[str, list[float]] = {"Thymos": [], "PyTorch's layers, bfloat16, channels last": []}
    for _ in range(WARM_UP + options.steps):
        with side_by_side(options.threads, "cpu") as at_once:
            own = TrainingStep(model, TrainingSettings(), 0, at_once)
            own(spectrograms, targets)  # starts the threads, which a fit does once
            times["Thymos"].append(timed_ms(own, spectrograms, targets))
        torch.set_num_threads(options.threads)
        times["PyTorch's layers, bfloat16, channels last"].append(timed_ms(plain))
    for name, taken in times.items():
        print(f"{name}: {statistics.median(taken[WARM_UP:]):.0f} ms a step, {options.threads} threads")


if __name__ == "__main__":
    main()
