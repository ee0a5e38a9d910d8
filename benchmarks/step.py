"""Measure one training step of model3 (64 spectrograms of 128 × 130): Thymos's way beside PyTorch's own layers.

    python benchmarks/step.py --threads 2

The two take turns in one process, so that a drift of the machine touches both; medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time

from thymos.engine.process import set_up_process

set_up_process()  # before torch is imported

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from thymos.cnn.networks import StudyCNN, StudyCNNSettings  # noqa: E402

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


def step_ms(model: nn.Module, optimiser: torch.optim.Optimizer, spectrograms: Tensor, targets: Tensor) -> float:
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(spectrograms)
    optimiser.zero_grad(set_to_none=True)
    functional.cross_entropy(logits, targets).backward()
    optimiser.step()
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a training step of model3, two ways in turns.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    spectrograms = torch.randn(BATCH, *SHAPE).bfloat16()
    targets = torch.randint(0, CLASSES, (BATCH,))
    ways: dict[str, nn.Module] = {
        "Thymos": StudyCNN(StudyCNNSettings(), SHAPE, CLASSES),
        "PyTorch's layers, bfloat16, channels last": PlainLayers(StudyCNN(StudyCNNSettings(), SHAPE, CLASSES)),
    }
    optimisers = {name: torch.optim.Adam(model.parameters(), fused=True) for name, model in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(WARM_UP + options.steps):
        for name, model in ways.items():
            times[name].append(step_ms(model, optimisers[name], spectrograms, targets))
    for name, taken in times.items():
        print(f"{name}: {statistics.median(taken[WARM_UP:]):.0f} ms a step, {options.threads} threads")


if __name__ == "__main__":
    main()
