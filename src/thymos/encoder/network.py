"""The network that is fine-tuned: Whisper's first layers, pooling over time, an embedding, and a class head.

The layers take sound of any length up to 30 s. Their tensor names are those of the published checkpoints
(``openai/whisper-base``, ``model.safetensors``).

Sources: Radford et al., Robust speech recognition via large-scale weak supervision, 2022, arXiv 2212.04356 (weights of
OpenAI under the MIT licence); Okabe, Koshinaka, Shinoda, Attentive statistics pooling for deep speaker embedding,
Interspeech 2018; Peters et al., Deep contextualized word representations, NAACL 2018, for the weighted sum of layers.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import PositiveInt, model_validator
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from thymos.config import Settings
from thymos.encoder.log_mel import N_MELS, LogMels, WhisperLogMel, at_level
from thymos.errors import RecipeError

PREFIX = "model.encoder."
"""Before every name in a published checkpoint."""


class LayerSettings(Settings):
    """Size of the layers; that of Whisper-base."""

    layers: PositiveInt = 3
    width: PositiveInt = 512
    heads: PositiveInt = 8
    hidden: PositiveInt = 2048
    positions: PositiveInt = 1500
    """Most states of a clip: 30 s."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "LayerSettings":
        if self.width % self.heads:
            raise ValueError("heads must divide width")
        return self


class States(NamedTuple):
    """What the layers make of clips."""

    layers: tuple[Tensor, ...]
    """After each layer: shape ``(clips, states, width)``; what lies past a clip's end means nothing."""
    own: Tensor
    """Which states are a clip's own: bool, shape ``(clips, states)``."""


class WhisperLayers(nn.Module):
    """Log-mel spectrograms ``(clips, mels, frames)`` and their frames ``(clips,)`` -> ``States``, one each 20 ms."""

    def __init__(self, settings: LayerSettings):
        super().__init__()
        self.settings = settings
        self.conv1 = nn.Conv1d(N_MELS, settings.width, 3, padding=1)
        self.conv2 = nn.Conv1d(settings.width, settings.width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(settings.positions, settings.width)
        self.embed_positions.weight.requires_grad_(False)  # a fixed table of sines
        self.layers = nn.ModuleList(_Layer(settings) for _ in range(settings.layers))

    def forward(self, log_mels: Tensor, frames: Tensor) -> States:
        """Return the states after each layer.

        The convolutions see 0 past a clip's end, and attention nothing, so a clip gives the same alone and in a batch.
        """
        heard = _own(log_mels.shape[2], frames)[:, None]
        maps = functional.gelu(self.conv1(torch.where(heard, log_mels, 0.0)))
        maps = functional.gelu(self.conv2(torch.where(heard, maps, 0.0)))
        own = _own(maps.shape[2], (frames + 1) // 2)
        states = maps.transpose(1, 2) + self.embed_positions.weight[: maps.shape[2]]
        bias = torch.where(own, 0.0, -1e4)[:, None, None].to(maps.dtype)
        after = []
        for layer in self.layers:
            states = layer(states, bias)
            after.append(states)
        return States(tuple(after), own)


class _Layer(nn.Module):
    """Attention and two linear layers, each after a normalisation and beside a shortcut."""

    def __init__(self, settings: LayerSettings):
        super().__init__()
        self.self_attn_layer_norm = nn.LayerNorm(settings.width)
        self.self_attn = _Attention(settings.width, settings.heads)
        self.final_layer_norm = nn.LayerNorm(settings.width)
        self.fc1 = nn.Linear(settings.width, settings.hidden)
        self.fc2 = nn.Linear(settings.hidden, settings.width)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        states = states + self.self_attn(self.self_attn_layer_norm(states), bias)
        hidden = functional.gelu(self.fc1(self.final_layer_norm(states)))
        states = states + self.fc2(hidden)
        return states


class _Attention(nn.Module):
    """Of every state to every state of its clip; ``k_proj`` has no bias."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.q_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        queries, keys, values = (
            project(states).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        # Written out: on a processor, torch's fused attention takes four times as long in bfloat16.
        weights = (queries * self.scale @ keys.transpose(2, 3) + bias).softmax(dim=-1)
        joined: Tensor = self.out_proj((weights.to(values.dtype) @ values).transpose(1, 2).flatten(2))
        return joined


def read_whisper_layers(file: Path, n_layers: int) -> WhisperLayers:
    """Read the first ``n_layers`` of the encoder in a published checkpoint, in float32.

    Raises:
        RecipeError: the file cannot be read, or holds no such encoder.
    """
    if not file.is_file():  # a pipe would be waited for
        raise RecipeError(f"{file} cannot be read as a Whisper checkpoint: it is no file")
    try:
        with safe_open(file, framework="pt") as checkpoint:
            names = [name for name in checkpoint.keys() if name.startswith(PREFIX)]  # noqa: SIM118 it is no dictionary
            state = {name.removeprefix(PREFIX): checkpoint.get_tensor(name).float() for name in names}
    except (OSError, SafetensorError) as error:
        raise RecipeError(f"{file} cannot be read as a Whisper checkpoint: {error}") from None
    deepest = [f"layers.{i}." for i in range(n_layers)]
    state = {name: value for name, value in state.items() if _is_kept(name, deepest)}
    try:
        width = state["conv1.weight"].shape[0]
        settings = LayerSettings(
            layers=n_layers,
            width=width,
            heads=width // 64,  # in all of Whisper's sizes
            hidden=state["layers.0.fc1.weight"].shape[0],
            positions=state["embed_positions.weight"].shape[0],
        )
        layers = WhisperLayers(settings)
        layers.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError, IndexError) as error:
        raise RecipeError(f"{file} does not hold {n_layers} layers of Whisper's encoder: {error}") from None
    return layers


def _is_kept(name: str, deepest: list[str]) -> bool:
    return not name.startswith(("layers.", "layer_norm.")) or any(name.startswith(layer) for layer in deepest)


def _own(n: int, counts: Tensor) -> Tensor:
    """Return which of ``n`` places are a clip's own: shape ``(clips, n)``."""
    return torch.arange(n, device=counts.device) < counts[:, None]


LEAST_VARIANCE = 1e-4
"""Keeps the gradient of a standard deviation finite where all states are alike."""


class PoolingSettings(Settings):
    """Size of what comes after the layers."""

    attention: PositiveInt = 128
    embedding: PositiveInt = 256


class AttentivePooling(nn.Module):
    """``States -> (clips, 2 × width)``: mean and standard deviation over time, of states that attention chooses.

    The layers' states are normalised and summed, with weights that are learnt.
    """

    def __init__(self, layers: int, width: int, attention: int):
        super().__init__()
        self.width = width
        self.layer_weights = nn.Parameter(torch.zeros(layers))
        self.attention = nn.Sequential(nn.Linear(width, attention), nn.Tanh(), nn.Linear(attention, 1))

    def forward(self, states: States) -> Tensor:
        """Return the pooled states of each clip, float32."""
        shares = self.layer_weights.softmax(0)
        normal = [functional.layer_norm(layer.float(), (self.width,)) for layer in states.layers]
        mixed = torch.stack([share * layer for share, layer in zip(shares, normal, strict=True)]).sum(0)
        scores = self.attention(mixed).float().masked_fill(~states.own[:, :, None], -torch.inf)
        weights = scores.softmax(dim=1)
        mean = (weights * mixed).sum(1)
        variance = (weights * (mixed - mean[:, None]).square()).sum(1)
        return torch.cat([mean, variance.clamp(min=LEAST_VARIANCE).sqrt()], dim=1)


class EmotionHead(nn.Module):
    """``(clips, features) -> (clips, classes)`` logits, float32, by way of an embedding with batch normalisation."""

    def __init__(self, features: int, embedding: int, classes: int):
        super().__init__()
        self.project, self.norm = nn.Linear(features, embedding), nn.BatchNorm1d(embedding)
        self.classify = nn.Linear(embedding, classes)

    def embed(self, pooled: Tensor) -> Tensor:
        """Return embeddings: ``(clips, embedding)``."""
        with torch.autocast(pooled.device.type, enabled=False):
            embedding: Tensor = self.norm(self.project(pooled.float()))
            return embedding

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the logits of ``pooled``."""
        with torch.autocast(pooled.device.type, enabled=False):
            logits: Tensor = self.classify(self.embed(pooled))
            return logits


class EmotionNetwork(nn.Module):
    """Waveforms ``(clips, samples)`` at 16 kHz and their lengths ``(clips,)`` -> logits ``(clips, classes)``."""

    def __init__(self, layers: WhisperLayers, settings: PoolingSettings, classes: int):
        super().__init__()
        self.log_mel, self.layers = WhisperLogMel(), layers
        width = layers.conv2.out_channels
        self.pooling = AttentivePooling(len(layers.layers), width, settings.attention)
        self.head = EmotionHead(2 * width, settings.embedding, classes)

    def hear(self, waveforms: Tensor, lengths: Tensor) -> LogMels:
        """Return the log-mel spectrograms of ``waveforms``, each brought to one level."""
        log_mels: LogMels = self.log_mel(at_level(waveforms, lengths), lengths)
        return log_mels

    def pool(self, log_mels: Tensor, frames: Tensor) -> Tensor:
        """Return the pooled states of log-mel spectrograms: ``(clips, 2 × width)``."""
        pooled: Tensor = self.pooling(self.layers(log_mels, frames))
        return pooled

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits of ``waveforms``."""
        logits: Tensor = self.head(self.pool(*self.hear(waveforms, lengths)))
        return logits
