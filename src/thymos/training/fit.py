"""Fitting a network to pictures: one readable loop."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from thymos.models.registry import build_model
from thymos.training.recipe import Recipe, TrainingSettings

ADAM_EPSILON = 1e-7  # as in the study's library; torch's own default is 1e-8
SCORING_BATCH = 128


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training part gave, measured while it was trained on."""

    epoch: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Fitted:
    """A fitted network and its learning curve."""

    model: nn.Module
    curve: tuple[Epoch, ...]


def fit(
    recipe: Recipe,
    pictures: NDArray[np.float32],
    targets: NDArray[np.int64],
    n_classes: int,
    seed: int,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Fitted:
    """Fit a new network. The same arguments and thread count give the same network on the same machine.

    Args:
        recipe: which network, and how it is trained.
        pictures: shape ``(segments, channels, bands, frames)``.
        targets: class of each segment, shape ``(segments,)``.
        n_classes: number of classes.
        seed: of initial weights, order and dropout.
        on_epoch: called after each epoch.
    """
    settings = recipe.training
    inputs = torch.from_numpy(np.ascontiguousarray(pictures)).to(_input_type(settings))
    wanted = torch.from_numpy(targets)
    # Dropout draws from torch's global state, which is set aside and given back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(recipe.model, _shape(pictures), n_classes)
        optimiser = torch.optim.Adam(model.parameters(), settings.learning_rate, eps=ADAM_EPSILON, fused=True)
        order = torch.Generator().manual_seed(seed)
        curve = []
        model.train()
        for number in range(1, settings.epochs + 1):
            loss_sum = torch.zeros((), dtype=torch.float64)
            correct = torch.zeros((), dtype=torch.int64)
            for batch in torch.randperm(len(wanted), generator=order).split(settings.batch_size):
                logits = _logits(model, inputs[batch], settings)
                loss = functional.cross_entropy(logits, wanted[batch])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                loss_sum += loss.detach() * len(batch)
                correct += (logits.detach().argmax(1) == wanted[batch]).sum()
            epoch = Epoch(number, float(loss_sum) / len(wanted), int(correct) / len(wanted))
            curve.append(epoch)
            on_epoch(epoch)
    return Fitted(model.eval(), tuple(curve))


def predict_probabilities(
    model: nn.Module, pictures: NDArray[np.float32], settings: TrainingSettings
) -> NDArray[np.float64]:
    """Return class probabilities, shape ``(segments, classes)``, of pictures as ``fit`` takes them."""
    inputs = torch.from_numpy(np.ascontiguousarray(pictures)).to(_input_type(settings))
    with torch.inference_mode():
        logits = torch.cat([_logits(model, batch, settings) for batch in inputs.split(SCORING_BATCH)])
    probabilities: NDArray[np.float64] = logits.double().softmax(1).numpy()
    return probabilities


def _logits(model: nn.Module, inputs: Tensor, settings: TrainingSettings) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
        logits: Tensor = model(inputs)
    return logits.float()


def _input_type(settings: TrainingSettings) -> torch.dtype:
    return torch.bfloat16 if settings.precision == "bf16" else torch.float32


def _shape(pictures: NDArray[np.float32]) -> tuple[int, int, int]:
    _, channels, bands, frames = pictures.shape
    return channels, bands, frames
