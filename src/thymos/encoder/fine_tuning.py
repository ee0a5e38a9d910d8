"""The gentle fine-tuning of Whisper's first layers on the emotions of many corpora.

Everything random about a step is drawn from the seed and the step's number, so a run that was killed goes on with the
very draws that it would have made.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from thymos.audio import Samples
from thymos.config import Settings, apply_change, first_complaint
from thymos.encoder.data_parallel import ALONE, Ranks
from thymos.encoder.log_mel import HOP
from thymos.encoder.network import EmotionNetwork, PoolingSettings, WhisperLayers
from thymos.encoder.sounds import HeardClip, Sounds
from thymos.encoder.variation import Augmenter, AugmentSettings, Mask
from thymos.errors import CorpusError, RecipeError, RunError, TrainingError
from thymos.files import whole_file
from thymos.labels import in_order

CHECKPOINT = "checkpoint.safetensors"
_BEFORE_ALL = 2**31
"""In the place of a step's number: what is drawn before the first."""


class FineTuningRecipe(Settings):
    """How the layers are fine-tuned."""

    layers: PositiveInt = 3
    pooling: PoolingSettings = PoolingSettings()
    augment: AugmentSettings = AugmentSettings()
    weights: dict[str, PositiveFloat] = Field({"tess": 0.5, "turev": 0.6, "ravdess": 1.3, "emovo": 1.5})
    """How often a clip of a corpus is drawn beside others; 1 where none is given."""
    balance: float = -0.3
    """A clip is drawn as often as the number of clips of its emotion, to this power."""
    smoothing: float = Field(0.05, ge=0, lt=1)
    """Of labels (Szegedy et al., CVPR 2016), over the emotions that the clip's corpus has."""
    steps: PositiveInt = 1700
    batch: PositiveInt = 64
    group: PositiveInt = 8
    """Clips of about one length that go through the layers together: what is padded costs as much as what is not."""
    encoder_rate: PositiveFloat = 3e-5
    head_rate: PositiveFloat = 1e-3
    decay: NonNegativeFloat = 0.02
    warm_up: PositiveInt = 200
    """Steps over which the rates rise; then they fall to 0 as a cosine does."""
    clip: PositiveFloat = 1.0
    """Longest gradient."""
    average: float = Field(0.998, ge=0, lt=1)
    """What a step leaves of the weight average, which is what comes out (Polyak, Juditsky 1992); less at first."""


def fine_tuning_recipe(changes: Iterable[str] = ()) -> FineTuningRecipe:
    """Return the recipe with ``changes`` such as ``encoder_rate=5e-5``.

    Raises:
        RecipeError: an unknown key (with the nearest right one), or a bad value.
    """
    content: dict[str, Any] = {}
    for change in changes:
        apply_change(content, change)
    try:
        return FineTuningRecipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(first_complaint(error, FineTuningRecipe)) from None


class Step(NamedTuple):
    """What a step tells."""

    number: int
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True)
class Lesson:
    """What a fine-tuning draws from.

    Attributes:
        sounds: the clips.
        labels: the emotions to tell apart.
        targets: of each clip, shape ``(clips,)``.
        asked: which emotions a clip's corpus has, shape ``(clips, labels)``: that it lacks disgust says nothing.
        shares: the probability with which each clip is drawn, shape ``(clips,)``.
    """

    sounds: Sounds
    labels: tuple[str, ...]
    targets: NDArray[np.int64]
    asked: NDArray[np.bool_]
    shares: NDArray[np.float64]


def make_lesson(sounds: Sounds, recipe: FineTuningRecipe) -> Lesson:
    """Return what a fine-tuning by ``recipe`` draws from.

    Raises:
        CorpusError: a corpus has but one emotion.
    """
    clips = sounds.clips
    labels = in_order({clip.emotion for clip in clips})
    targets = np.array([labels.index(clip.emotion) for clip in clips], np.int64)
    return Lesson(sounds, labels, targets, _asked(clips, labels), _shares(clips, recipe.weights, recipe.balance))


def _asked(clips: Sequence[HeardClip], labels: tuple[str, ...]) -> NDArray[np.bool_]:
    emotions: dict[str, set[str]] = {}
    for clip in clips:
        emotions.setdefault(clip.corpus, set()).add(clip.emotion)
    for name, words in emotions.items():
        if len(words) < 2:
            raise CorpusError(f"the corpus {name} has recordings of one emotion; two are needed")
    return np.array([[word in emotions[clip.corpus] for word in labels] for clip in clips])


def _shares(clips: Sequence[HeardClip], weights: Mapping[str, float], balance: float) -> NDArray[np.float64]:
    counts = Counter(clip.emotion for clip in clips)
    each = np.array([weights.get(clip.corpus, 1.0) * counts[clip.emotion] ** balance for clip in clips])
    shares: NDArray[np.float64] = each / each.sum()
    return shares


def masked_loss(logits: Tensor, targets: Tensor, asked: Tensor, smoothing: float) -> Tensor:
    """Return the mean cross-entropy among the classes that each clip is asked about.

    Args:
        logits: shape ``(clips, classes)``.
        targets: int64, shape ``(clips,)``.
        asked: bool, shape ``(clips, classes)``.
        smoothing: what of a label goes to all of the asked classes alike.
    """
    logarithms = logits.float().masked_fill(~asked, -torch.inf).log_softmax(1).masked_fill(~asked, 0.0)
    own = logarithms.gather(1, targets[:, None])[:, 0]
    return -((1 - smoothing) * own + smoothing * logarithms.sum(1) / asked.sum(1)).mean()


class FineTuning:
    """A fine-tuning, one step at a time.

    Attributes:
        network: the weights as they are.
        average: the weight average.
        done: steps that were taken.
    """

    def __init__(
        self,
        lesson: Lesson,
        layers: WhisperLayers,
        recipe: FineTuningRecipe,
        seed: int,
        device: str = "cpu",
        ranks: Ranks = ALONE,
    ):
        """Begin at step 0.

        Args:
            lesson: what is drawn from.
            layers: where the encoder starts; it is changed in place.
            recipe: how.
            seed: of the head's first weights, and of all draws.
            device: where the network runs.
            ranks: processes that take its steps together; each is given the same of all else.

        Raises:
            RecipeError: there are more processes than groups of a batch.
        """
        parts = math.ceil(recipe.batch / recipe.group)
        if parts < ranks.world:
            raise RecipeError(
                f"a batch of {recipe.batch} clips in groups of {recipe.group} has work for {parts} processes, not for "
                f"{ranks.world}: make groups smaller (--set group=…)"
            )
        self.lesson, self.recipe, self.seed, self.device, self.ranks = lesson, recipe, seed, device, ranks
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = EmotionNetwork(layers, recipe.pooling, len(lesson.labels)).to(device)
        self.average = deepcopy(self.network).eval()
        new = [*self.network.pooling.parameters(), *self.network.head.parameters()]
        old = [parameter for parameter in layers.parameters() if parameter.requires_grad]
        groups = [{"params": old, "lr": recipe.encoder_rate}, {"params": new, "lr": recipe.head_rate}]
        self._optimiser = torch.optim.AdamW(groups, weight_decay=recipe.decay, fused=True)
        self._rates = [recipe.encoder_rate, recipe.head_rate]
        random = np.random.default_rng([seed, _BEFORE_ALL])
        drawn = random.choice(len(lesson.shares), 200, p=lesson.shares)
        self._augmenter = Augmenter(recipe.augment, [lesson.sounds.sound(int(i)) for i in drawn], random)
        self.done = 0

    def step(self) -> Step:
        """Take the next step.

        Raises:
            TrainingError: the loss is no number.
        """
        start = time.monotonic()
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * self._rise_and_fall()
        random = np.random.default_rng([self.seed, self.done])
        rows = random.choice(len(self.lesson.shares), self.recipe.batch, p=self.lesson.shares)
        waveforms = [self._augmenter.vary(self.lesson.sounds.sound(int(row)), random) for row in rows]
        masks = [self._augmenter.draw_mask(max(1, len(samples) // HOP), random) for samples in waveforms]
        order = np.argsort([len(samples) for samples in waveforms], kind="stable")
        targets = torch.from_numpy(self.lesson.targets[rows[order]]).to(self.device)
        asked = torch.from_numpy(self.lesson.asked[rows[order]]).to(self.device)
        self.network.train()
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            groups = np.split(np.arange(len(order)), range(self.recipe.group, len(order), self.recipe.group))
            own = self.ranks.own(groups)
            parts = [
                self._pooled([waveforms[i] for i in order[group]], [masks[i] for i in order[group]]) for group in own
            ]
            places = torch.from_numpy(np.concatenate(own)).to(self.device)
            logits = self.network.head(self.ranks.together(places, torch.cat(parts), len(order)))
        loss = masked_loss(logits, targets, asked, self.recipe.smoothing)
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss of step {self.done} is no number")
        self._optimiser.zero_grad()
        loss.backward()
        head = list(self.network.head.parameters())
        self.ranks.add_gradients([*self.network.layers.parameters(), *self.network.pooling.parameters()], head)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self._optimiser.step()
        self.done += 1
        self._update_average()
        right = logits.detach().masked_fill(~asked, -torch.inf).argmax(1) == targets
        return Step(self.done, float(loss.detach()), float(right.float().mean()), time.monotonic() - start)

    def _pooled(self, waveforms: Sequence[Samples], masks: Sequence[Mask]) -> Tensor:
        lengths = torch.tensor([len(samples) for samples in waveforms])
        batch = torch.zeros(len(waveforms), int(lengths.max()))
        for row, samples in zip(batch, waveforms, strict=True):
            row[: len(samples)] = torch.from_numpy(samples)
        with torch.no_grad():
            log_mels = self.network.hear(batch.to(self.device), lengths.to(self.device))
            hide(log_mels.values, log_mels.frames, masks)
        return self.network.pool(*log_mels)

    def _rise_and_fall(self) -> float:
        recipe = self.recipe
        rise = min(1.0, (self.done + 1) / recipe.warm_up)
        gone = max(0, self.done - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
        return rise * (1 + math.cos(math.pi * gone)) / 2

    @torch.no_grad()
    def _update_average(self) -> None:
        kept = min(self.recipe.average, (1 + self.done) / (10 + self.done))
        now, then = self.network.state_dict(), self.average.state_dict()
        floating = [name for name, value in now.items() if value.is_floating_point()]
        torch._foreach_lerp_([then[name] for name in floating], [now[name] for name in floating], 1 - kept)

    def save(self, folder: Path) -> None:
        """Write all that ``resume`` needs, whole or not at all."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for number, values in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in values.items()}
        with whole_file(folder / CHECKPOINT) as temporary:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, self._identity())

    def resume(self, folder: Path) -> bool:
        """Go on from the checkpoint in ``folder``; return whether there is one.

        Raises:
            RunError: it is damaged, or of another run.
        """
        file = folder / CHECKPOINT
        if not file.is_file():
            return False
        try:
            with safe_open(file, framework="pt", device=self.device) as checkpoint:
                identity = checkpoint.metadata()
                tensors = {name: checkpoint.get_tensor(name) for name in checkpoint.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise RunError(f"{file} is damaged: {error}") from None
        done = int(identity.pop("done"))
        if identity != {name: value for name, value in self._identity().items() if name != "done"}:
            raise RunError(f"{file} is of another recipe, seed or set of clips; remove it to begin anew")
        for name, network in (("network.", self.network), ("average.", self.average)):
            network.load_state_dict(_within(tensors, name))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _within(tensors, "optimiser.").items():
            number, _, what = name.partition(".")
            state.setdefault(int(number), {})[what] = value
        self._optimiser.load_state_dict({**self._optimiser.state_dict(), "state": state})
        self.done = done
        return True

    def _identity(self) -> dict[str, str]:
        digests = [clip.digest for clip in self.lesson.sounds.clips]
        return {
            "done": str(self.done),
            "seed": str(self.seed),
            "recipe": json.dumps(self.recipe.model_dump(mode="json"), sort_keys=True),
            "clips": f"{len(digests)}, {sum(digests) % 2**61}",
        }


def fine_tune(
    run: FineTuning, folder: Path, every: int = 50, on_step: Callable[[Step], None] = lambda step: None
) -> EmotionNetwork:
    """Take all steps that are left, with a checkpoint in ``folder`` after ``every`` so many; return the average.

    Of several processes, the first writes, and all read there.

    Raises:
        RunError: the checkpoint there is of another run.
        TrainingError: the loss stopped being a number.
    """
    run.resume(folder)
    run.ranks.check_alike(run.done, "steps that were taken before")
    while run.done < run.recipe.steps:
        on_step(run.step())
        if run.ranks.first and (run.done % every == 0 or run.done == run.recipe.steps):
            run.save(folder)
    return run.average


def hide(log_mels: Tensor, frames: Tensor, masks: Sequence[Mask]) -> None:
    """Put each clip's own mean in the place of what its mask hides, in ``log_mels`` (clips, mels, frames) itself."""
    means = (log_mels.sum((1, 2)) / (frames * log_mels.shape[1])).tolist()
    for clip, n, mean, mask in zip(log_mels, frames.tolist(), means, masks, strict=True):
        for first, last in mask.bands:
            clip[first:last, :n] = mean
        for first, last in mask.frames:
            clip[:, first:last] = mean


def _within(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
