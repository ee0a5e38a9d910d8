"""The network of whole recordings: residual blocks with squeeze-excitation, then attentive statistics over time.

Sources: He et al., Deep residual learning for image recognition, CVPR 2016; Hu, Shen, Sun, Squeeze-and-excitation
networks, CVPR 2018; Okabe, Koshinaka, Shinoda, Attentive statistics pooling for deep speaker embedding, Interspeech
2018.
"""

from typing import Literal, NamedTuple

import torch
from pydantic import Field, PositiveInt, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.nn import functional

from thymos.config import Settings


class AttentiveSettings(Settings):
    """Size of an ``AttentiveEncoder``."""

    widths: tuple[PositiveInt, ...] = Field((32, 64, 128, 192), min_length=1)
    """Filters of each stage; every stage after the first halves the bands."""
    blocks: tuple[PositiveInt, ...] = (1, 1, 1, 1)
    """Residual blocks of each stage."""
    time_strides: tuple[Literal[1, 2], ...] = (2, 2, 1, 1)
    """How much each stage shortens time; the stem before them halves bands and frames."""
    frame_units: PositiveInt = 192
    """Features of each frame that is left."""
    attention_units: PositiveInt = 64

    @model_validator(mode="after")
    def _has_a_number_for_each_stage(self) -> "AttentiveSettings":
        if not len(self.widths) == len(self.blocks) == len(self.time_strides):
            raise PydanticCustomError("lengths", "widths, blocks and time_strides should have as many numbers each")
        return self

    @property
    def embedding(self) -> int:
        """Length of a recording's embedding: mean and standard deviation of each feature."""
        return 2 * self.frame_units


class Encoded(NamedTuple):
    """What an encoder makes of recordings."""

    frames: Tensor
    """Shape ``(batch, frames, features)``."""
    embedding: Tensor
    """Shape ``(batch, 2 × features)``."""


class AttentiveEncoder(nn.Module):
    """``(batch, channels, bands, frames) -> Encoded``, of any number of frames; values come scaled about 0 and 1."""

    def __init__(self, settings: AttentiveSettings, channels: int, bands: int):
        super().__init__()
        first = settings.widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, first, 3, 2, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        height, before = _halved(bands), first
        self.stages = nn.Sequential()
        for number, (width, blocks, time_stride) in enumerate(
            zip(settings.widths, settings.blocks, settings.time_strides, strict=True)
        ):
            band_stride = 1 if number == 0 else 2
            self.stages.append(_Block(before, width, (band_stride, time_stride)))
            self.stages.extend(_Block(width, width, (1, 1)) for _ in range(blocks - 1))
            height, before = height if number == 0 else _halved(height), width
        units = settings.frame_units
        self.project = nn.Linear(before * height, units)
        self.norm = nn.BatchNorm1d(units)
        self.attention = nn.Sequential(
            nn.Linear(units, settings.attention_units), nn.Tanh(), nn.Linear(settings.attention_units, 1)
        )

    def forward(self, spectrograms: Tensor) -> Encoded:
        """Return frames and embedding of ``spectrograms``."""
        maps = self.stages(self.stem(spectrograms))
        frames = self.project(maps.permute(0, 3, 1, 2).flatten(2))
        frames = functional.relu(self.norm(frames.transpose(1, 2)).transpose(1, 2)).float()
        return Encoded(frames, attentive_statistics(frames, self.attention(frames).float()))


def attentive_statistics(frames: Tensor, scores: Tensor) -> Tensor:
    """Return mean and standard deviation over time of ``frames`` (batch, frames, features).

    Frames are weighted by the softmax of ``scores``, shape ``(batch, frames, 1)``.
    """
    weights = scores.softmax(dim=1)
    mean = (weights * frames).sum(1)
    variance = (weights * frames.square()).sum(1) - mean.square()
    return torch.cat([mean, variance.clamp(min=_LEAST_VARIANCE).sqrt()], dim=1)


_LEAST_VARIANCE = 1e-4
"""Keeps the gradient of a standard deviation finite where all frames are alike."""


class EmotionHead(nn.Module):
    """``(batch, embedding) -> (batch, classes)`` logits: batch normalisation, dropout, one linear layer."""

    def __init__(self, embedding: int, n_classes: int, dropout: float):
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm1d(embedding), nn.Dropout(dropout)
        self.linear = nn.Linear(embedding, n_classes)

    def forward(self, embedding: Tensor) -> Tensor:
        """Return the logits of ``embedding``."""
        logits: Tensor = self.linear(self.dropout(self.norm(embedding)))
        return logits


class EmotionNetwork(nn.Module):
    """An encoder and a head: ``(batch, channels, bands, frames) -> (batch, classes)`` logits, float32."""

    def __init__(self, encoder: AttentiveEncoder, head: EmotionHead):
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, spectrograms: Tensor) -> Tensor:
        """Return the logits of ``spectrograms``."""
        logits: Tensor = self.head(self.encoder(spectrograms).embedding)
        return logits


class _Block(nn.Module):
    """Two convolutions and squeeze-excitation beside a shortcut, pooled and widened where the shape changes."""

    def __init__(self, before: int, after: int, stride: tuple[int, int]):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        self.excitation = _SqueezeExcitation(after)
        self.shortcut = nn.Sequential()
        if stride != (1, 1):
            self.shortcut.append(nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False))
        if stride != (1, 1) or before != after:
            self.shortcut.extend([nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after)])

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(self.excitation(self.residual(maps)) + self.shortcut(maps))


class _SqueezeExcitation(nn.Module):
    """Scales each channel by a gate that sees every channel's mean."""

    REDUCTION = 8

    def __init__(self, channels: int):
        super().__init__()
        squeezed = max(8, channels // self.REDUCTION)
        self.gate = nn.Sequential(nn.Linear(channels, squeezed), nn.ReLU(), nn.Linear(squeezed, channels), nn.Sigmoid())

    def forward(self, maps: Tensor) -> Tensor:
        gates: Tensor = self.gate(maps.mean((2, 3)))
        return maps * gates[:, :, None, None].to(maps.dtype)


def _halved(number: int) -> int:
    return (number + 1) // 2
