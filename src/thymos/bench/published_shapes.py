"""wav2vec 2.0 BASE and WavLM LARGE as torch modules of the published shapes, with random weights.

What they hear is nonsense, and it takes exactly as long as with trained weights. Sources: Baevski et al., wav2vec 2.0,
NeurIPS 2020 (95 million parameters with what pretraining alone needs); Chen et al., WavLM, IEEE J-STSP 16(6), 2022
(317 million). Where a choice is free, the faster one is taken: the weight of the positional convolution is not
normalised anew at each step, and attention is torch's fused one.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

RATE_HZ = 16_000
_CONVOLUTIONS = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
"""Kernel and stride of each layer of the feature encoder: one frame every 20 ms."""
_CHANNELS = 512
_POSITIONAL_KERNEL, _POSITIONAL_GROUPS = 128, 16
_BUCKETS, _FARTHEST = 320, 800
"""WavLM: how many distances between frames are told apart, and from how many frames on they are not."""


@dataclass(frozen=True)
class Shape:
    """Size of a network, and in what the two differ."""

    layers: int
    width: int
    hidden: int
    heads: int
    norm_first: bool
    """Layer normalisation before each part of a layer, and in each layer of the feature encoder; else after each part,
    and one group normalisation in the feature encoder's first layer."""
    relative: bool
    """WavLM's gated relative position bias."""


SHAPES = {
    "wav2vec2-base": Shape(12, 768, 3072, 12, norm_first=False, relative=False),
    "wavlm-large": Shape(24, 1024, 4096, 16, norm_first=True, relative=True),
}


class SpeechTransformer(nn.Module):
    """``(batch, samples) at 16 kHz -> (batch, frames, width)``."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.convolutions = nn.ModuleList(
            _Convolution(1 if i == 0 else _CHANNELS, kernel, stride, _norm_of(shape, i))
            for i, (kernel, stride) in enumerate(_CONVOLUTIONS)
        )
        self.before_projection = nn.LayerNorm(_CHANNELS)
        self.projection = nn.Linear(_CHANNELS, shape.width)
        padding = _POSITIONAL_KERNEL // 2
        self.positions = nn.Conv1d(
            shape.width, shape.width, _POSITIONAL_KERNEL, padding=padding, groups=_POSITIONAL_GROUPS
        )
        self.norm = nn.LayerNorm(shape.width)
        self.norm_first = shape.norm_first
        self.distances = nn.Embedding(_BUCKETS, shape.heads) if shape.relative else None
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the last layer's frames."""
        maps = waveform[:, None]
        for convolution in self.convolutions:
            maps = convolution(maps)
        frames: Tensor = self.projection(self.before_projection(maps.transpose(1, 2)))
        # The kernel is even, so there is a frame too many.
        frames = frames + functional.gelu(self.positions(frames.transpose(1, 2))[:, :, :-1]).transpose(1, 2)
        frames = frames if self.norm_first else self.norm(frames)
        bias = None if self.distances is None else self.distances(_buckets(frames.shape[1])).permute(2, 0, 1)
        for layer in self.layers:
            frames = layer(frames, bias)
        if self.norm_first:
            frames = self.norm(frames)
        return frames


class _Convolution(nn.Module):
    def __init__(self, channels: int, kernel: int, stride: int, norm: str):
        super().__init__()
        self.convolution = nn.Conv1d(channels, _CHANNELS, kernel, stride, bias=False)
        self.group = nn.GroupNorm(_CHANNELS, _CHANNELS) if norm == "group" else None
        self.layer = nn.LayerNorm(_CHANNELS) if norm == "layer" else None

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.convolution(maps)
        if self.group is not None:
            maps = self.group(maps)
        if self.layer is not None:
            maps = self.layer(maps.transpose(1, 2)).transpose(1, 2)
        heard: Tensor = functional.gelu(maps)
        return heard


def _norm_of(shape: Shape, layer: int) -> str:
    if shape.norm_first:
        return "layer"
    return "group" if layer == 0 else "none"


class _Layer(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        width, self.heads, self.norm_first = shape.width, shape.heads, shape.norm_first
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm_attention, self.norm_hidden = nn.LayerNorm(width), nn.LayerNorm(width)
        self.into, self.back = nn.Linear(width, shape.hidden), nn.Linear(shape.hidden, width)
        self.gate = nn.Linear(width // shape.heads, 8) if shape.relative else None
        if shape.relative:
            self.gate_scale = nn.Parameter(torch.ones(1, shape.heads, 1, 1))

    def forward(self, frames: Tensor, bias: Tensor | None) -> Tensor:
        if self.norm_first:
            frames = frames + self._attend(self.norm_attention(frames), bias)
            return frames + self._think(self.norm_hidden(frames))
        attended: Tensor = self.norm_attention(frames + self._attend(frames, bias))
        thought: Tensor = self.norm_hidden(attended + self._think(attended))
        return thought

    def _attend(self, frames: Tensor, bias: Tensor | None) -> Tensor:
        query, key, value = (self._by_head(layer(frames)) for layer in (self.query, self.key, self.value))
        mask = None
        if bias is not None and self.gate is not None:
            gates = self.gate(self._by_head(frames)).unflatten(-1, (2, 4)).sum(-1).sigmoid()
            update, reset = gates[..., :1], gates[..., 1:]
            mask = (update * (reset * self.gate_scale - 1) + 2) * bias
        heard = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        mixed: Tensor = self.out(heard.transpose(1, 2).flatten(2))
        return mixed

    def _think(self, frames: Tensor) -> Tensor:
        thought: Tensor = self.back(functional.gelu(self.into(frames)))
        return thought

    def _by_head(self, frames: Tensor) -> Tensor:
        parted: Tensor = frames.unflatten(2, (self.heads, -1))
        return parted.transpose(1, 2)


def _buckets(frames: int) -> Tensor:
    """Return which of the distances lies between each two of ``frames``: ``(frames, frames)``.

    Half of them are for either direction; near ones are told apart one by one, far ones by their logarithm (Raffel et
    al., Exploring the limits of transfer learning, JMLR 21, 2020).
    """
    places = torch.arange(frames)
    distance = places[None] - places[:, None]
    half = _BUCKETS // 2
    near = half // 2
    far = near + (distance.abs().clamp(min=1) / near).log() / math.log(_FARTHEST / near) * (half - near)
    bucket = torch.where(distance.abs() < near, distance.abs(), far.long().clamp(max=half - 1))
    return bucket + half * (distance > 0)
