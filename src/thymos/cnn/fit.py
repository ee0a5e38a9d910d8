"""Fitting a network to spectrograms: one readable loop, whose digits are the same on any number of threads.

torch adds in another order on another number of threads, and so rounds otherwise. Here every batch is divided into the
same shards, each is worked on by one thread from the spectrograms to its gradients, and these are added in one order.
Threads only decide how many shards are worked on at once; what is drawn is drawn from generators of the batch and the
shard. Networks with batch normalisation need the statistics of a whole batch: they have one shard, and use one thread.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.adam import adam

from thymos.cnn.augment import BatchAugmentation
from thymos.cnn.front_end import front_end
from thymos.cnn.networks import Network, build_model
from thymos.cnn.recipe import CnnRecipe, TrainingSettings
from thymos.engine.process import one_thread
from thymos.errors import RecipeError, TrainingError
from thymos.experiment import Epoch

SHARDS = 2
"""Of a training batch on a CPU: as many threads can be of use."""
SCORING_BATCH = 128
ADAM_EPSILON = 1e-7  # as in the study's library; torch's own default is 1e-8
ADAM_DECAY = 0.9, 0.999
_DROPOUT_STREAM = 2
"""Keeps these draws apart from others with the same seed."""

Item = TypeVar("Item")
Made = TypeVar("Made")


class SideBySide(Protocol):
    """What maps a function over items, at once or in turn; results come in the order of the items."""

    def __call__(self, function: Callable[[Item], Made], items: Iterable[Item], /) -> Iterable[Made]:
        """Return what ``function`` makes of each of ``items``."""


@dataclass(frozen=True)
class FittedNetwork:
    """A fitted network, on the CPU, and its learning curve."""

    model: Network
    curve: tuple[Epoch, ...]


def fit(
    recipe: CnnRecipe,
    spectrograms: NDArray[np.float32],
    targets: NDArray[np.int64],
    n_classes: int,
    seed: int,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    watch: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None,
    threads: int = 1,
    device: str = "cpu",
) -> FittedNetwork:
    """Fit a new network. The same arguments give the same network on one kind of processor, whatever ``threads``.

    Args:
        recipe: which network, and how it is trained.
        spectrograms: shape ``(segments, channels, bands, frames)``.
        targets: class of each segment, shape ``(segments,)``.
        n_classes: number of classes.
        seed: of initial weights, order, dropout and augmentation.
        on_epoch: called after each epoch.
        watch: spectrograms and targets that are scored after each epoch, never trained on; the network stays the same.
        threads: shards worked on at once, on a CPU; more than ``SHARDS`` are of no use.
        device: torch's name of where it is fitted; a GPU's digits are its own, and need not repeat.

    Raises:
        TrainingError: the loss stopped being a number.
    """
    settings = recipe.training
    inputs = _as_input(spectrograms, settings, torch.device(device)).to(device)
    wanted = torch.from_numpy(targets).to(device)
    max_shift_frames = recipe.features.frames_in(recipe.augmentation.time_shift_s, recipe.sound.rate_hz)
    augmented = BatchAugmentation(recipe.augmentation, max_shift_frames, n_classes, seed)
    # Initial weights come from torch's global state, which is set aside and given back.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = build_model(recipe.model, _shape(spectrograms), n_classes).to(device)
    with side_by_side(threads, device) as at_once:
        step = TrainingStep(model, settings, seed, at_once)
        order = torch.Generator().manual_seed(seed)
        curve = []
        for number in range(1, settings.epochs + 1):
            model.train()
            loss_sum, correct = 0.0, 0
            for batch in torch.randperm(len(wanted), generator=order).split(settings.batch_size):
                rows = batch.to(device)
                loss, hits = step(*augmented(inputs[rows], wanted[rows]))
                loss_sum, correct = loss_sum + loss, correct + hits
            epoch = Epoch(number, loss_sum / len(wanted), correct / len(wanted))
            if not math.isfinite(epoch.loss):
                raise TrainingError(f"training {recipe.name} diverged: its loss was not a number in epoch {number}")
            if watch is not None:
                loss_there, accuracy_there = _score(model.eval(), *watch, settings, at_once)
                epoch = replace(epoch, validation_loss=loss_there, validation_accuracy=accuracy_there)
            curve.append(epoch)
            on_epoch(epoch)
    return FittedNetwork(model.cpu().eval(), tuple(curve))


class TrainingStep:
    """One step of Adam after another, each on a batch that is worked on in shards."""

    def __init__(self, model: Network, settings: TrainingSettings, seed: int, at_once: SideBySide):
        self.model, self.settings, self.seed, self.at_once = model, settings, seed, at_once
        self.parameters: list[Tensor] = list(model.parameters())
        self.device = self.parameters[0].device
        whole = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
        self.shards = 1 if whole or self.device.type != "cpu" else SHARDS
        self.steps_done = 0
        # torch's functional Adam: setting up the class imports torch's compiler, which takes more than a second.
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.counts = [torch.zeros((), device=self.device) for _ in self.parameters]

    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[float, int]:
        """Change the weights once; return the batch's summed loss, and how many of it were right before."""
        shards = list(zip(range(self.shards), inputs.chunk(self.shards), targets.chunk(self.shards), strict=False))
        done = list(self.at_once(lambda shard: self._gradients(*shard, len(inputs)), shards))
        gradients = done[0][0]
        for others, _, _ in done[1:]:
            for total, own in zip(gradients, others, strict=True):
                total += own
        with torch.no_grad():
            adam(
                self.parameters,
                gradients,
                self.means,
                self.squares,
                [],
                self.counts,
                fused=self.device.type != "mps",
                amsgrad=False,
                beta1=ADAM_DECAY[0],
                beta2=ADAM_DECAY[1],
                lr=self.settings.learning_rate,
                weight_decay=0.0,
                eps=ADAM_EPSILON,
                maximize=False,
            )
        self.steps_done += 1
        return sum(loss for _, loss, _ in done), sum(hits for _, _, hits in done)

    def _gradients(self, shard: int, inputs: Tensor, targets: Tensor, batch: int) -> tuple[list[Tensor], float, int]:
        """Return a shard's share of the gradients of the batch's mean loss, its summed loss, and how many are right."""
        drawn = np.random.SeedSequence([self.seed, _DROPOUT_STREAM, self.steps_done, shard]).generate_state(1)
        generator = torch.Generator(self.device).manual_seed(int(drawn[0]))
        logits = _logits(self.model, inputs, self.settings, generator)
        loss = functional.cross_entropy(logits, targets, reduction="sum")
        # Laid out as the weights are, which the fused Adam takes for granted.
        gradients = [gradient.contiguous() for gradient in torch.autograd.grad(loss / batch, self.parameters)]
        hits = (logits.detach().argmax(1) == _heaviest(targets)).sum()
        return gradients, float(loss.detach()), int(hits)


def check_buildable(recipe: CnnRecipe, n_classes: int) -> None:
    """Check, before any work, that the recipe's network can be built for the spectrograms that the recipe makes.

    Raises:
        RecipeError: it cannot, such as a spectrogram too small for so many poolings.
    """
    silence = torch.zeros(1, recipe.sound.window)
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            spectrogram = front_end(recipe.sound, recipe.features)(silence)
            build_model(recipe.model, _shape(spectrogram.numpy()), n_classes)
    except (ValueError, RuntimeError) as error:
        raise RecipeError(f"recipe {recipe.name}: {error}") from None


def predict_probabilities(
    model: Network,
    spectrograms: NDArray[np.float32],
    settings: TrainingSettings,
    threads: int = 1,
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Return class probabilities, shape ``(segments, classes)``, of spectrograms as ``fit`` takes them.

    The digits are the same for any ``threads``. The model is back on the CPU afterwards.
    """
    with side_by_side(threads, device) as at_once:
        logits = _all_logits(model.to(device), spectrograms, settings, at_once)
    model.cpu()
    probabilities: NDArray[np.float64] = logits.double().softmax(1).numpy()
    return probabilities


def _score(
    model: Network,
    spectrograms: NDArray[np.float32],
    targets: NDArray[np.int64],
    settings: TrainingSettings,
    at_once: SideBySide,
) -> tuple[float, float]:
    """Return the loss and accuracy of a network that is no longer, or not just now, trained."""
    logits, wanted = _all_logits(model, spectrograms, settings, at_once), torch.from_numpy(targets)
    loss = functional.cross_entropy(logits, wanted)
    return float(loss), int((logits.argmax(1) == wanted).sum()) / len(wanted)


def _all_logits(
    model: Network, spectrograms: NDArray[np.float32], settings: TrainingSettings, at_once: SideBySide
) -> Tensor:
    """Return the logits of all spectrograms, on the CPU; always made in the same batches."""
    device = next(model.parameters()).device
    inputs = _as_input(spectrograms, settings, device)

    def logits_of(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return _logits(model, batch.to(device), settings).cpu()

    return torch.cat(list(at_once(logits_of, inputs.split(SCORING_BATCH))))


def _logits(
    model: Network, inputs: Tensor, settings: TrainingSettings, generator: torch.Generator | None = None
) -> Tensor:
    # Without autocast's cache, which all threads of a process would share: each weight is cast once here anyway.
    low = _in_bfloat16(settings, inputs.device)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=low, cache_enabled=False):
        logits: Tensor = model(inputs, generator)
    return logits.float()


@contextmanager
def side_by_side(threads: int, device: str) -> Iterator[SideBySide]:
    """Yield what maps a function over items with so many threads at once, each torch thread working alone."""
    with one_thread():
        if min(threads, SHARDS) == 1 or device != "cpu":
            yield map
            return
        # OpenMP counts the threads of each thread apart, so each has to be told.
        with ThreadPoolExecutor(SHARDS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool.map


def _heaviest(targets: Tensor) -> Tensor:
    """Return the class of each target, be it a class already or shares of classes."""
    return targets.argmax(1) if targets.is_floating_point() else targets


def _as_input(spectrograms: NDArray[np.float32], settings: TrainingSettings, device: torch.device) -> Tensor:
    kind = torch.bfloat16 if _in_bfloat16(settings, device) else torch.float32
    return torch.from_numpy(np.ascontiguousarray(spectrograms)).to(kind)


def _in_bfloat16(settings: TrainingSettings, device: torch.device) -> bool:
    """Whether ``precision: bf16`` is followed on such a device: Apple's works in float32."""
    return settings.precision == "bf16" and device.type != "mps"


def _shape(spectrograms: NDArray[np.float32]) -> tuple[int, int, int]:
    _, channels, bands, frames = spectrograms.shape
    return channels, bands, frames
