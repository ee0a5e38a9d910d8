"""A fitted recogniser as one graph, from waveform to emotions, and read again from a bundle's weights.

The front end inside the graph is the same module that training spectrograms were made with, so use cannot drift apart
from training.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
from thymos.encoder.level_mel import LevelMel, LevelMelSettings
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.voice_statistics import VoiceDescriber, VoiceNetwork
from thymos.errors import BundleError
from thymos.export import Exportable
from thymos.runtime.bundle import ABOUT, FORMAT, WEIGHTS

WINDOW_S, HOP_S = 5.0, 2.5
"""How long recordings are heard: in windows as long as the cuts that networks are trained on, half overlapping."""
_SIZE = "encoder"
"""Where ``model.json`` has the settings of the encoder's size."""
_NETWORK, ATTENTIVE, VOICE = "network", "attentive", "voice"
"""Where it says which sort of network, and the sorts."""


class RecognitionGraph(nn.Module):
    """Front end, encoder and head: ``(batch, samples)`` at the features' rate to ``OUTPUTS``.

    Frame logits are what the head says of an embedding whose mean is replaced by one frame's features, its standard
    deviations kept. The head being linear once it is fitted, the recording's logits are the frame logits' mean,
    weighted as the encoder's attention weights the frames: so they tell how much each frame spoke for each emotion.
    A voice network's are made alike, see there.
    """

    def __init__(self, network: EmotionNetwork | VoiceNetwork, features: LevelMelSettings):
        super().__init__()
        self.front_end = LevelMel(features)
        self.network = network

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits ``(batch, classes)``, embedding ``(batch, E)``, frame logits ``(batch, frames, classes)``."""
        levels = self.front_end.levels(waveform)
        if isinstance(self.network, VoiceNetwork):
            described = self.network.describer(levels)
            return (
                self.network.decide(described.description),
                described.embedding,
                self.network.frame_logits(described),
            )
        frames, embedding = self.network.encoder(self.front_end.scale(levels))
        deviations = embedding[:, None, frames.shape[2] :].expand(-1, frames.shape[1], -1)
        as_if = torch.cat([frames, deviations], dim=2)
        logits = self.network.head(embedding)
        frame_logits = self.network.head(as_if.flatten(0, 1)).reshape(as_if.shape[0], -1, logits.shape[1])
        return logits, embedding, frame_logits


def exportable(recipe: EncoderRecipe, network: EmotionNetwork | VoiceNetwork, labels: tuple[str, ...]) -> Exportable:
    """Return ``network``, fitted by the resolved ``recipe``, as it is exported."""
    features = recipe.features
    scored = recipe.discriminant.scored_speeds if recipe.discriminant else 1
    about = {
        "rate_hz": features.rate_hz,
        "window_s": WINDOW_S,
        "hop_s": HOP_S,
        "front_end": features.model_dump(mode="json"),
        "speeds": list(recipe.speeds[:scored]),
        _SIZE: recipe.model.model_dump(mode="json"),
        _NETWORK: VOICE if isinstance(network, VoiceNetwork) else ATTENTIVE,
    }
    return Exportable(RecognitionGraph(network, features), network, labels, about)


@dataclass(frozen=True)
class ReadNetwork:
    """What a bundle's weights are.

    Attributes:
        network: fitted; of either sort.
        features: the spectrograms that it takes.
        labels: the emotions that it tells apart.
        speeds: a recording's logits are the mean of those at these speeds.
        temperature: that logits are divided by.
    """

    network: EmotionNetwork | VoiceNetwork
    features: LevelMelSettings
    labels: tuple[str, ...]
    speeds: tuple[float, ...]
    temperature: float


def read_network(folder: Path) -> ReadNetwork:
    """Read the weights of a bundle as a network again; the graph is not looked at.

    Raises:
        BundleError: not there, damaged, changed, of another format, or of another kind.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{folder} holds no model: {error.strerror} ({error.filename})") from None
    except ValueError:
        raise BundleError(f"{folder / ABOUT} is damaged: it is no JSON") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise BundleError(f"{folder / ABOUT} is not of format {FORMAT}, which is all that this version reads")
    if _SIZE not in about:
        raise BundleError(f"{folder} is not of kind encoder, and only such models have gradients to follow")
    try:
        state = load(_checked(folder, WEIGHTS, about))
        features = LevelMelSettings.model_validate(about["front_end"])
        size = AttentiveSettings.model_validate(about[_SIZE])
        labels = tuple(map(str, about["labels"]))
        encoder = AttentiveEncoder(size, len(features.channels), features.n_bands)
        network: EmotionNetwork | VoiceNetwork
        if about.get(_NETWORK) == VOICE:
            network = VoiceNetwork(VoiceDescriber(encoder, features), len(state["mean"]), len(labels))
        else:
            network = EmotionNetwork(encoder, EmotionHead(size.embedding, len(labels), 0.0))
        network.load_state_dict(state)
        if isinstance(network, VoiceNetwork):  # another version may describe recordings by more or fewer numbers
            network.eval()(torch.zeros(1, len(features.channels), features.n_bands, 1))
    except (SafetensorError, KeyError, ValidationError, TypeError, ValueError, RuntimeError) as error:
        raise BundleError(f"{folder} is no model that this version can use: {' '.join(str(error).split())}") from None
    speeds = tuple(map(float, about.get("speeds", (1.0,))))
    return ReadNetwork(network.eval(), features, labels, speeds, float(about.get("temperature", 1.0)))


def _checked(folder: Path, name: str, about: dict[str, Any]) -> bytes:
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise BundleError(f"{folder / name} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != about.get("sha256", {}).get(name):
        raise BundleError(f"{folder / name} is not the file that {ABOUT} describes: its SHA-256 differs")
    return content
