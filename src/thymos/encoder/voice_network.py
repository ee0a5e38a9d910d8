"""Statistics of the voice and an encoder's embedding, side by side, and a linear layer that decides."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from thymos.encoder.attentive import AttentiveEncoder
from thymos.encoder.level_mel import LevelMelSettings, scale_levels
from thymos.encoder.voice_statistics import VoiceStatistics

SPREADS = 2.0
"""A standardised value z counts as SPREADS · tanh(z / SPREADS): what a strange voice drives far from the mean says
hardly more than what is a little off it."""


class Described(NamedTuple):
    """What a describer makes of recordings."""

    description: Tensor
    """Shape ``(batch, descriptors)``: statistics of the voice, then the embedding."""
    embedding: Tensor
    """Shape ``(batch, 2 × features)``."""
    frames: Tensor
    """Shape ``(batch, frames, features)``."""


class VoiceDescriber(nn.Module):
    """``(batch, channels, bands, frames), dB -> Described``, of any number of frames."""

    def __init__(self, encoder: AttentiveEncoder, features: LevelMelSettings):
        super().__init__()
        self.features = features
        self.statistics, self.encoder = VoiceStatistics(features), encoder

    def forward(self, levels: Tensor) -> Described:
        """Return the description of ``levels``."""
        encoded = self.encoder(scale_levels(levels, self.features))
        description = torch.cat([self.statistics(levels), encoded.embedding], dim=1)
        return Described(description, encoded.embedding, encoded.frames)


class VoiceNetwork(nn.Module):
    """A describer, standardisation, and one linear layer: levels in dB to logits.

    ``(batch, channels, bands, frames) -> (batch, classes)``. Its numbers come from ``training.discriminant``.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, describer: VoiceDescriber, descriptors: int, n_classes: int):
        super().__init__()
        self.describer = describer
        self.register_buffer("mean", torch.zeros(descriptors))
        self.register_buffer("spread", torch.ones(descriptors))
        self.linear = nn.Linear(descriptors, n_classes)

    def forward(self, levels: Tensor) -> Tensor:
        """Return the logits of ``levels``."""
        return self.decide(self.describer(levels).description)

    def decide(self, description: Tensor) -> Tensor:
        """Return the logits of descriptions: ``(batch, descriptors) -> (batch, classes)``."""
        logits: Tensor = self.linear(_drawn_in((description - self.mean) / self.spread))
        return logits

    def frame_logits(self, described: Described) -> Tensor:
        """Return how each frame spoke for each class: ``(batch, frames, classes)``.

        They are the recording's logits as if the frame's features were the embedding's mean.
        """
        features = described.frames.shape[2]
        part = slice(self.describer.statistics.count, self.describer.statistics.count + features)
        mean, spread = self.mean[part], self.spread[part]
        own = _drawn_in((described.frames - mean) / spread)
        usual = _drawn_in((described.description[:, None, part] - mean) / spread)
        logits: Tensor = self.decide(described.description)[:, None] + (own - usual) @ self.linear.weight[:, part].T
        return logits


def _drawn_in(standard: Tensor) -> Tensor:
    return SPREADS * torch.tanh(standard / SPREADS)
