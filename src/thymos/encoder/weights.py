"""A fine-tuned network on disk: ``encoder.safetensors`` and ``encoder.json``. Nothing in it is executed or unpickled.

The weights come with the digests of every clip that they were fitted to, so that nobody tests on one of them.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from thymos.encoder.fine_tuning import FineTuningRecipe, Lesson
from thymos.encoder.network import EmotionNetwork, PoolingSettings
from thymos.encoder.whisper_layers import LayerSettings, WhisperLayers
from thymos.errors import RecipeError
from thymos.files import whole_file, write_json

FORMAT = 2
WEIGHTS, ABOUT = "encoder.safetensors", "encoder.json"
WHISPER = {
    "name": "openai/whisper-base",
    "licence": "MIT (OpenAI)",
    "source": "Radford et al. 2022, Robust speech recognition via large-scale weak supervision, arXiv 2212.04356",
}
LICENCE = "research and non-commercial use only: corpora that it was trained on forbid others"
_SEEN = "clips_seen"


@dataclass(frozen=True)
class FineTuned:
    """A network that was read.

    Attributes:
        network: ready to use, in float32.
        labels: the emotions that its head knows.
        clips_seen: digests of the clips that it was fitted to, sorted: int64, shape ``(clips,)``.
        about: all that ``encoder.json`` says.
    """

    network: EmotionNetwork
    labels: tuple[str, ...]
    clips_seen: NDArray[np.int64]
    about: dict[str, Any]

    def has_seen(self, digest: int) -> bool:
        """Return whether the sound of that digest was trained on."""
        place = int(np.searchsorted(self.clips_seen, digest))
        return place < len(self.clips_seen) and int(self.clips_seen[place]) == digest


def write_encoder(
    folder: Path,
    network: EmotionNetwork,
    lesson: Lesson,
    recipe: FineTuningRecipe,
    seed: int,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write ``network`` to ``folder``; ``encoder.json`` comes last, so a folder that has it is whole."""
    (folder / ABOUT).unlink(missing_ok=True)  # an earlier encoder's, which would not fit these weights
    state = {
        name: tensor.detach().cpu().to(torch.float16 if tensor.is_floating_point() else tensor.dtype).contiguous()
        for name, tensor in network.state_dict().items()
    }
    clips = lesson.sounds.clips
    state[_SEEN] = torch.tensor(sorted({clip.digest for clip in clips}), dtype=torch.int64)
    with whole_file(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    counts = Counter(clip.corpus for clip in clips)
    content = {
        "format": FORMAT,
        "labels": list(lesson.labels),
        "layers": network.layers.settings.model_dump(mode="json"),
        "pooling": recipe.pooling.model_dump(mode="json"),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "starts_from": WHISPER,
        "licence": LICENCE,
        "corpora": {name: counts[name] for name in sorted(counts)},
        "seed": seed,
        "recipe": recipe.model_dump(mode="json"),
        **(more or {}),
        "sha256": {WEIGHTS: hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()},
    }
    write_json(folder / ABOUT, content)


def read_encoder(folder: Path) -> FineTuned:
    """Read what ``write_encoder`` wrote.

    Raises:
        RecipeError: not there, damaged, changed, or of another format.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        weights = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise RecipeError(f"{folder} holds no encoder: {error.strerror} ({error.filename})") from None
    except ValueError:
        raise RecipeError(f"{folder / ABOUT} is damaged") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise RecipeError(f"{folder / ABOUT} is not of format {FORMAT}, which is all that this version reads")
    if about.get("sha256") != {WEIGHTS: hashlib.sha256(weights).hexdigest()}:
        raise RecipeError(f"{folder / WEIGHTS} is not the file that {ABOUT} describes: its SHA-256 differs")
    try:
        state = load(weights)
        seen = state.pop(_SEEN).numpy()
        labels = tuple(map(str, about["labels"]))
        layers = WhisperLayers(LayerSettings.model_validate(about["layers"]))
        network = EmotionNetwork(layers, PoolingSettings.model_validate(about["pooling"]), len(labels))
        network.load_state_dict(state)
    except (SafetensorError, KeyError, ValidationError, TypeError, RuntimeError) as error:
        raise RecipeError(f"{folder} is no encoder that this version can use: {' '.join(str(error).split())}") from None
    return FineTuned(network.eval(), labels, seen, about)
