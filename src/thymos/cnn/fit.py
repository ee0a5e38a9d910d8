"""Fitting a network to pictures: one readable loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from thymos.cnn.augment import BatchAugmentation
from thymos.cnn.front_end import front_end
from thymos.cnn.networks import build_model
from thymos.cnn.recipe import CnnRecipe, TrainingSettings
from thymos.errors import RecipeError, TrainingError
from thymos.experiment import Epoch

ADAM_EPSILON = 1e-7  # as in the study's library; torch's own default is 1e-8
SCORING_BATCH = 128


@dataclass(frozen=True)
class FittedNetwork:
    """A fitted network and its learning curve."""

    model: nn.Module
    curve: tuple[Epoch, ...]


def fit(
    recipe: CnnRecipe,
    pictures: NDArray[np.float32],
    targets: NDArray[np.int64],
    n_classes: int,
    seed: int,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    watch: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None,
) -> FittedNetwork:
    """Fit a new network. The same arguments and thread count give the same network on the same machine.

    Args:
        recipe: which network, and how it is trained.
        pictures: shape ``(segments, channels, bands, frames)``.
        targets: class of each segment, shape ``(segments,)``.
        n_classes: number of classes.
        seed: of initial weights, order, dropout and augmentation.
        on_epoch: called after each epoch.
        watch: pictures and targets that are scored after each epoch, never trained on; the network stays the same.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    settings = recipe.training
    inputs = torch.from_numpy(np.ascontiguousarray(pictures)).to(_input_type(settings))
    wanted = torch.from_numpy(targets)
    max_shift_frames = recipe.features.frames_in(recipe.augmentation.time_shift_s, recipe.sound.rate_hz)
    augmented = BatchAugmentation(recipe.augmentation, max_shift_frames, n_classes, seed)
    # Dropout draws from torch's global state, which is set aside and given back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(recipe.model, _shape(pictures), n_classes)
        optimiser = torch.optim.Adam(model.parameters(), settings.learning_rate, eps=ADAM_EPSILON, fused=True)
        order = torch.Generator().manual_seed(seed)
        curve = []
        for number in range(1, settings.epochs + 1):
            model.train()
            loss_sum = torch.zeros((), dtype=torch.float64)
            correct = torch.zeros((), dtype=torch.int64)
            for batch in torch.randperm(len(wanted), generator=order).split(settings.batch_size):
                shown, asked = augmented(inputs[batch], wanted[batch])
                logits = _logits(model, shown, settings)
                loss = functional.cross_entropy(logits, asked)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                loss_sum += loss.detach() * len(batch)
                correct += (logits.detach().argmax(1) == _heaviest(asked)).sum()
            epoch = Epoch(number, float(loss_sum) / len(wanted), int(correct) / len(wanted))
            if not math.isfinite(epoch.loss):
                raise TrainingError(f"training {recipe.name} diverged: its loss was not a number in epoch {number}")
            if watch is not None:
                loss_there, accuracy_there = _score(model.eval(), *watch, settings)
                epoch = replace(epoch, validation_loss=loss_there, validation_accuracy=accuracy_there)
            curve.append(epoch)
            on_epoch(epoch)
    return FittedNetwork(model.eval(), tuple(curve))


def check_buildable(recipe: CnnRecipe, n_classes: int) -> None:
    """Check, before any work, that the recipe's network can be built for the pictures that the recipe makes.

    Raises:
        RecipeError: it cannot, such as a picture too small for so many poolings.
    """
    silence = torch.zeros(1, recipe.sound.window)
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            picture = front_end(recipe.sound, recipe.features)(silence)
            build_model(recipe.model, _shape(picture.numpy()), n_classes)
    except (ValueError, RuntimeError) as error:
        raise RecipeError(f"recipe {recipe.name}: {error}") from None


def predict_probabilities(
    model: nn.Module, pictures: NDArray[np.float32], settings: TrainingSettings
) -> NDArray[np.float64]:
    """Return class probabilities, shape ``(segments, classes)``, of pictures as ``fit`` takes them."""
    probabilities: NDArray[np.float64] = _all_logits(model, pictures, settings).double().softmax(1).numpy()
    return probabilities


def _score(
    model: nn.Module, pictures: NDArray[np.float32], targets: NDArray[np.int64], settings: TrainingSettings
) -> tuple[float, float]:
    """Return the loss and accuracy of a network that is no longer, or not just now, trained."""
    logits, wanted = _all_logits(model, pictures, settings), torch.from_numpy(targets)
    loss = functional.cross_entropy(logits, wanted)
    return float(loss), int((logits.argmax(1) == wanted).sum()) / len(wanted)


def _all_logits(model: nn.Module, pictures: NDArray[np.float32], settings: TrainingSettings) -> Tensor:
    inputs = torch.from_numpy(np.ascontiguousarray(pictures)).to(_input_type(settings))
    with torch.inference_mode():
        return torch.cat([_logits(model, batch, settings) for batch in inputs.split(SCORING_BATCH)])


def _logits(model: nn.Module, inputs: Tensor, settings: TrainingSettings) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
        logits: Tensor = model(inputs)
    return logits.float()


def _heaviest(targets: Tensor) -> Tensor:
    """Return the class of each target, be it a class already or shares of classes."""
    return targets.argmax(1) if targets.is_floating_point() else targets


def _input_type(settings: TrainingSettings) -> torch.dtype:
    return torch.bfloat16 if settings.precision == "bf16" else torch.float32


def _shape(pictures: NDArray[np.float32]) -> tuple[int, int, int]:
    _, channels, bands, frames = pictures.shape
    return channels, bands, frames
