"""Fitting a network to whole recordings: one loop for pretraining on many corpora and for fine-tuning on one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thymos.encoder.attentive import EmotionNetwork
from thymos.encoder.distortions import DistortionSettings, distort
from thymos.encoder.encoder_file import Pretrained, build_network
from thymos.encoder.level_mel import LevelMelSettings, scale_levels
from thymos.encoder.level_spectrograms import Recordings
from thymos.encoder.recipe import EncoderRecipe, OptimiserSettings
from thymos.encoder.voice_statistics import VoiceNetwork
from thymos.errors import TrainingError
from thymos.experiment import Epoch

_POOL_BATCHES = 8
"""Lengths are sorted within so many batches: alike enough, and still another mixture in each epoch."""
_WIDTH_STEP = 8
"""Batches are as wide as the next multiple: fewer shapes for the convolution library to prepare for."""

Batch = NDArray[np.int64]


def length_batches(
    drawn: Batch, lengths: NDArray[np.int64], batch_size: int, random: np.random.Generator
) -> list[Batch]:
    """Divide the recordings ``drawn``, in their order by chance, into batches of similar lengths, in random order.

    A last batch of one recording is left out: it has no variance to normalise by.
    """
    batches = []
    for start in range(0, len(drawn), batch_size * _POOL_BATCHES):
        pool = drawn[start : start + batch_size * _POOL_BATCHES]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    batches = [batch for batch in batches if len(batch) > 1]
    return [batches[i] for i in random.permutation(len(batches))]


def load_batch(
    recordings: Recordings, batch: Sequence[int] | Batch, longest: int, silence_db: float, random: np.random.Generator
) -> Tensor:
    """Return the levels of ``batch``, each at a random speed: float32, shape ``(batch, channels, bands, frames)``, dB.

    Recordings longer than ``longest`` frames are cut at a random place; shorter ones lie at a random place in silence.
    """
    spans = []
    for recording in batch:
        speed = int(random.integers(len(recordings.values)))
        start, stop = recordings.starts[speed][recording : recording + 2]
        if stop - start > longest:
            start += random.integers(stop - start - longest + 1)
            stop = start + longest
        spans.append((speed, start, stop))
    longest_here = max(stop - start for _, start, stop in spans)
    width = -(-longest_here // _WIDTH_STEP) * _WIDTH_STEP
    levels = np.full((len(batch), width, *recordings.values[0].shape[1:]), silence_db, np.float16)
    for row, (speed, start, stop) in zip(levels, spans, strict=True):
        place = random.integers(width - (stop - start) + 1)
        row[place : place + stop - start] = recordings.values[speed][start:stop]
    return torch.from_numpy(levels).permute(0, 2, 3, 1).float()


GRADIENT_NORM = 2.0
"""Gradients are scaled down to this norm."""
LEAST_RATE = 0.01
"""The learning rate's lowest share, at the end of the cosine."""
_NOT_ASKED = -30.0
"""Logit of an emotion that a recording's corpus does not have."""
_STREAM = 2
"""Keeps these draws apart from others with the same seed."""


@dataclass(frozen=True)
class Lesson:
    """Recordings to fit, and what is asked of each.

    Attributes:
        recordings: spectrograms of them, and perhaps of others.
        rows: which of them, and how often: called anew for each epoch with the generator to draw with.
        targets: class of each recording, shape ``(recordings,)``.
        asked: which classes are asked of each, bool, shape ``(recordings, classes)``: those that its corpus has.
    """

    recordings: Recordings
    rows: Callable[[np.random.Generator], Batch]
    targets: NDArray[np.int64]
    asked: NDArray[np.bool_]


def fit_recordings(
    network: EmotionNetwork,
    lesson: Lesson,
    settings: OptimiserSettings,
    distortions: DistortionSettings,
    features: LevelMelSettings,
    seed: int,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> tuple[Epoch, ...]:
    """Fit ``network`` where it is; in the end it holds the moving average of its weights. Return the learning curve.

    Args:
        network: freshly made, or pretrained.
        lesson: what is learnt.
        settings: how.
        distortions: how recordings are varied.
        features: of the recordings.
        seed: of order, cuts, variation and dropout.
        on_epoch: called after each epoch.

    Raises:
        TrainingError: there are fewer than two recordings to fit to, or the loss stopped being a number.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    targets, asked = torch.from_numpy(lesson.targets), torch.from_numpy(lesson.asked)
    random = np.random.default_rng([seed, _STREAM])
    longest = max(1, features.frames_in(settings.crop_s))
    optimiser = _optimiser(network, settings)
    average = WeightAverage(network, settings.averaging)
    curve: list[Epoch] = []
    step, steps = 0, 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for number in range(1, settings.epochs + 1):
            network.train()
            batches = length_batches(lesson.rows(random), lesson.recordings.lengths(), settings.batch_size, random)
            if not batches:
                raise TrainingError("there are fewer than two recordings to fit to")
            steps = steps or len(batches) * settings.epochs
            loss_sum, correct, seen = 0.0, 0, 0
            for batch in batches:
                _set_rate(optimiser, settings, step, steps)
                spectrograms = distort(
                    load_batch(lesson.recordings, batch, longest, features.floor_db, random),
                    distortions,
                    features,
                    random,
                )
                shares, allowed = _targets(targets[batch], asked[batch], settings.label_smoothing)
                if settings.mixup_alpha and random.random() < 0.5:
                    weight = random.beta(settings.mixup_alpha, settings.mixup_alpha)
                    partner = torch.from_numpy(random.permutation(len(batch)))
                    spectrograms = torch.lerp(spectrograms[partner], spectrograms, weight)
                    shares = torch.lerp(shares[partner], shares, weight)
                    allowed = allowed | allowed[partner]
                logits = _logits(network, spectrograms, settings).masked_fill(~allowed, _NOT_ASKED)
                loss = -(shares * logits.log_softmax(1)).sum(1).mean()
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
                optimiser.step()
                average.update()
                step += 1
                loss_sum += float(loss.detach()) * len(batch)
                correct += int((logits.detach().argmax(1) == shares.argmax(1)).sum())
                seen += len(batch)
            epoch = Epoch(number, loss_sum / seen, correct / seen)
            if not math.isfinite(epoch.loss):
                raise TrainingError(f"training diverged: its loss was not a number in epoch {number}")
            curve.append(epoch)
            on_epoch(epoch)
    if curve:
        average.keep()
    network.eval()
    return tuple(curve)


class WeightAverage:
    """An exponential moving average of a network's weights and normalisation statistics.

    Young averages follow faster, so that the first steps are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.network, self.decay, self.updates = network, decay, 0
        self.averages = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the network's present weights in."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.averages[name].lerp_(value, 1 - decay)
            else:
                self.averages[name].copy_(value)

    def keep(self) -> None:
        """Give the network the averages."""
        self.network.load_state_dict(self.averages)


def score_recordings(
    network: EmotionNetwork, recordings: Recordings, rows: Sequence[int], features: LevelMelSettings, speed: int = 0
) -> NDArray[np.float64]:
    """Return the logits of whole recordings, one by one and in float32: shape ``(rows, classes)``."""
    network.eval()
    with torch.inference_mode():
        logits = [network(scale_levels(recordings.levels(row, speed), features))[0] for row in rows]
    return torch.stack(logits).double().numpy()


@dataclass(frozen=True)
class NetworkAnswers:
    """What a network says of recordings: logits ``(rows, classes)``, embeddings ``(rows, E)``; float64, float32."""

    logits: NDArray[np.float64]
    embeddings: NDArray[np.float32]


def hear(
    network: EmotionNetwork | VoiceNetwork,
    recordings: Recordings,
    rows: Sequence[int],
    features: LevelMelSettings,
    speeds: int = 1,
) -> NetworkAnswers:
    """Return what ``network`` says of whole recordings, one by one and in float32.

    Logits are the mean over the first ``speeds`` of the recordings' speeds; embeddings are those of the first.
    """
    network.eval()
    logits, embeddings = [], []
    with torch.inference_mode():
        for row in rows:
            answers = [_answer(network, recordings.levels(row, speed), features) for speed in range(speeds)]
            logits.append(torch.stack([answer for answer, _ in answers]).mean(0))
            embeddings.append(answers[0][1])
    return NetworkAnswers(torch.stack(logits).double().numpy(), torch.stack(embeddings).numpy())


def _answer(
    network: EmotionNetwork | VoiceNetwork, levels: Tensor, features: LevelMelSettings
) -> tuple[Tensor, Tensor]:
    """Return logits ``(classes,)`` and embedding ``(E,)`` of one recording."""
    if isinstance(network, VoiceNetwork):
        described = network.describer(levels)
        return network.decide(described.description)[0], described.embedding[0]
    embedding = network.encoder(scale_levels(levels, features)).embedding
    return network.head(embedding)[0], embedding[0]


def _optimiser(network: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """AdamW that decays matrices and kernels alone: normalisations and biases have nothing to be pulled to."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, settings.learning_rate, fused=True)


def _set_rate(optimiser: torch.optim.Optimizer, settings: OptimiserSettings, step: int, steps: int) -> None:
    rising = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    falling = LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
    for group in optimiser.param_groups:
        group["lr"] = settings.learning_rate * rising * falling


def _targets(classes: Tensor, asked: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Return shares of each class, smoothed over those that are asked, and which are asked."""
    exact = nn.functional.one_hot(classes, asked.shape[1]).float()
    return exact * (1 - smoothing) + smoothing * asked / asked.sum(1, keepdim=True), asked


def _logits(network: EmotionNetwork, spectrograms: Tensor, settings: OptimiserSettings) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
        encoded = network.encoder(spectrograms.contiguous(memory_format=torch.channels_last))
    logits: Tensor = network.head(encoded.embedding.float())
    return logits


def fine_tune(
    recipe: EncoderRecipe,
    pretrained: Pretrained | None,
    recordings: Recordings,
    targets: NDArray[np.int64],
    train: Sequence[int],
    labels: tuple[str, ...],
    seed: int,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> EmotionNetwork:
    """Fit a network that starts from ``pretrained``.

    Args:
        recipe: resolved.
        pretrained: where it starts; None: from random weights.
        recordings: of the corpus.
        targets: class of each recording of ``train``, shape ``(train,)``.
        train: which of them are trained on.
        labels: the classes.
        seed: of initial weights and all draws.
        on_epoch: called after each epoch.

    Raises:
        TrainingError: there are fewer than two recordings to fit to, or the loss stopped being a number.
    """
    rows = np.array(train, np.int64)
    of_all = np.zeros(len(recordings), np.int64)
    of_all[rows] = targets
    asked = np.ones((len(recordings), len(labels)), np.bool_)
    lesson = Lesson(recordings, lambda random: random.permutation(rows), of_all, asked)
    own_seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(own_seed)
        network = build_network(recipe, pretrained, labels)
    fit_recordings(network, lesson, recipe.training, recipe.distortions, recipe.features, own_seed, on_epoch)
    return network.eval()
