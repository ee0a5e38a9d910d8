"""The network that is fine-tuned: Whisper's first layers, pooling over time, an embedding, and a class head.

Sources: Okabe, Koshinaka, Shinoda, Attentive statistics pooling for deep speaker embedding, Interspeech 2018; Peters et
al., Deep contextualized word representations, NAACL 2018, for the weighted sum of layers.
"""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from thymos.config import Settings
from thymos.encoder.log_mel import LogMels, WhisperLogMel, at_level
from thymos.encoder.whisper_layers import States, WhisperLayers

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
