"""A pretrained encoder on disk: ``encoder.safetensors`` and ``encoder.json``. Nothing in it is executed or unpickled.

The weights come with the digests of every clip that they were pretrained on, so that nobody tests on one of them.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from thymos.corpora.table import Clip
from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
from thymos.encoder.decision import Discriminant
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.recipe import SCRATCH, SHIPPED, EncoderRecipe
from thymos.errors import RecipeError
from thymos.files import whole_file, write_json

FORMAT = 1
WEIGHTS, ABOUT = "encoder.safetensors", "encoder.json"
_SEEN, _DECISION = "clips_seen", "discriminant."
_PARTS = tuple(field.name for field in fields(Discriminant))


@dataclass(frozen=True)
class Pretrained:
    """An encoder with the head of its pretraining.

    Attributes:
        labels: the emotions that the head knows.
        features: the spectrograms that it takes.
        model: its size.
        state: weights of an ``EmotionNetwork``, by name.
        discriminant: fitted to descriptions of the recordings that it was pretrained on, over the same labels; or None.
        clips_seen: digests of the clips that it was pretrained on, sorted: int64, shape ``(clips,)``.
        about: all that ``encoder.json`` says.
    """

    labels: tuple[str, ...]
    features: LevelMelSettings
    model: AttentiveSettings
    state: dict[str, Tensor]
    discriminant: Discriminant | None
    clips_seen: NDArray[np.int64]
    about: dict[str, Any]

    def has_seen(self, clip: Clip) -> bool:
        """Return whether ``clip`` was pretrained on."""
        digest = clip_digest(clip)
        place = int(np.searchsorted(self.clips_seen, digest))
        return place < len(self.clips_seen) and int(self.clips_seen[place]) == digest


def clip_digest(clip: Clip) -> int:
    """Return 63 bits of the digest of a clip's decoded sound."""
    return int(clip.sound.sha256[:16], 16) >> 1


def write_encoder(
    folder: Path,
    network: EmotionNetwork,
    labels: tuple[str, ...],
    features: LevelMelSettings,
    model: AttentiveSettings,
    seen: list[Clip],
    about: dict[str, Any],
    discriminant: Discriminant | None = None,
) -> None:
    """Write ``network`` to ``folder``; ``encoder.json`` comes last, so a folder that has it is whole."""
    (folder / ABOUT).unlink(missing_ok=True)  # an earlier encoder's, which would not fit these weights
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    state[_SEEN] = torch.tensor(sorted({clip_digest(clip) for clip in seen}), dtype=torch.int64)
    if discriminant is not None:
        state |= {_DECISION + name: torch.from_numpy(getattr(discriminant, name)) for name in _PARTS}
    with whole_file(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    content = {
        "format": FORMAT,
        "labels": list(labels),
        "features": features.model_dump(mode="json"),
        "model": model.model_dump(mode="json"),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        **about,
        "sha256": {WEIGHTS: hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()},
    }
    write_json(folder / ABOUT, content)


def encoder_folder(start_from: str) -> Path | None:
    """Return the folder of the encoder that a recipe starts from; None where it starts from scratch."""
    if start_from == SCRATCH:
        return None
    if start_from == SHIPPED:
        return Path(str(resources.files("thymos") / "weights" / "encoder"))
    return Path(start_from).expanduser()


def read_encoder(folder: Path) -> Pretrained:
    """Read what ``write_encoder`` wrote.

    Raises:
        RecipeError: not there, damaged, changed, or of another format.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        weights = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise RecipeError(f"{folder} holds no pretrained encoder: {error.strerror} ({error.filename})") from None
    except ValueError:
        raise RecipeError(f"{folder / ABOUT} is damaged") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise RecipeError(f"{folder / ABOUT} is not of format {FORMAT}, which is all that this version reads")
    if about.get("sha256") != {WEIGHTS: hashlib.sha256(weights).hexdigest()}:
        raise RecipeError(f"{folder / WEIGHTS} is not the file that {ABOUT} describes: its SHA-256 differs")
    try:
        state = load(weights)
        seen = state.pop(_SEEN).numpy()
        parts = {name: state.pop(_DECISION + name).numpy() for name in _PARTS if _DECISION + name in state}
        discriminant = Discriminant(**parts) if parts else None
        features = LevelMelSettings.model_validate(about["features"])
        model = AttentiveSettings.model_validate(about["model"])
        labels = tuple(map(str, about["labels"]))
    except (SafetensorError, KeyError, ValidationError, TypeError) as error:
        raise RecipeError(f"{folder} is no encoder that this version can use: {' '.join(str(error).split())}") from None
    if {name: tensor.shape for name, tensor in state.items()} != _shapes(features, model, len(labels)):
        raise RecipeError(f"{folder / WEIGHTS} holds weights of another network than {ABOUT} describes")
    return Pretrained(labels, features, model, state, discriminant, seen, about)


def _shapes(features: LevelMelSettings, model: AttentiveSettings, n_classes: int) -> dict[str, torch.Size]:
    """Return the shape of each weight of a network of that size."""
    with torch.device("meta"):  # takes neither memory nor random numbers
        encoder = AttentiveEncoder(model, len(features.channels), features.n_bands)
        network = EmotionNetwork(encoder, EmotionHead(model.embedding, n_classes, 0.0))
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def resolved(recipe: EncoderRecipe) -> tuple[EncoderRecipe, Pretrained | None]:
    """Return ``recipe`` with the features and size of the encoder that it starts from, and that encoder.

    Raises:
        RecipeError: there is no such encoder, or the recipe asks for others than its features and size.
    """
    folder = encoder_folder(recipe.start_from)
    if folder is None:
        return recipe, None
    pretrained = read_encoder(folder)
    for name, asked, decided in (
        ("features", recipe.features, pretrained.features),
        ("model", recipe.model, pretrained.model),
    ):
        if asked not in (type(asked)(), decided):
            raise RecipeError(
                f"recipe {recipe.name} sets {name}, which the encoder in {folder} decides: "
                f"leave {name} out, or start from {SCRATCH}"
            )
    return recipe.model_copy(update={"features": pretrained.features, "model": pretrained.model}), pretrained


def build_network(recipe: EncoderRecipe, pretrained: Pretrained | None, labels: tuple[str, ...]) -> EmotionNetwork:
    """Return the network that a fit starts from; torch's random state decides what is not pretrained.

    A head's rows are those of the emotions that pretraining knew, and new ones for others.

    Args:
        recipe: resolved.
        pretrained: where it starts; None: from random weights.
        labels: the emotions to tell apart.
    """
    encoder = AttentiveEncoder(recipe.model, len(recipe.features.channels), recipe.features.n_bands)
    network = EmotionNetwork(encoder, EmotionHead(recipe.model.embedding, len(labels), recipe.training.dropout))
    if pretrained is None:
        return network
    state = dict(pretrained.state)
    own = network.state_dict()
    for name in ("head.linear.weight", "head.linear.bias"):
        known = state[name]
        rows = [known[pretrained.labels.index(word)] if word in pretrained.labels else None for word in labels]
        state[name] = torch.stack([own[name][i] if row is None else row for i, row in enumerate(rows)])
    network.load_state_dict(state)
    return network
