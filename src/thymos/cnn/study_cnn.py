"""The study's convolutional network: blocks of convolution, ReLU and pooling, then dense layers."""

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from thymos.cnn.pooled_conv import PooledConv, dropout
from thymos.config import Settings


class StudyCNNSettings(Settings):
    """Size of a ``StudyCNN``; the defaults are the study's model3."""

    family: Literal["study_cnn"] = "study_cnn"
    conv_channels: tuple[PositiveInt, ...] = Field((16, 32, 64, 128), min_length=1)
    """Filters of each convolution; as many blocks as there are numbers."""
    dense_units: tuple[PositiveInt, ...] = (128, 64, 32)
    """Units of each hidden dense layer."""
    kernel_size: Literal[1, 3, 5, 7, 9] = 3
    dropout: float = Field(0.5, ge=0, lt=1)
    """Between the flattened picture and the first dense layer."""


class StudyCNN(nn.Module):
    """Convolutions with ReLU and 2×2 max pooling after each, flattened, dropout, dense layers.

    ``(batch, channels, bands, frames) -> (batch, classes)`` logits, float32. Glorot-uniform weights and zero biases,
    as the study's library starts them. Under bfloat16 autocast the convolutions take the way of ``pooled_conv``.
    """

    def __init__(self, settings: StudyCNNSettings, picture_shape: tuple[int, int, int], n_classes: int):
        super().__init__()
        channels, bands, frames = picture_shape
        halvings = len(settings.conv_channels)
        if min(bands, frames) >> halvings == 0:
            raise ValueError(f"a picture of {bands} × {frames} is too small to be halved {halvings} times")
        flat = settings.conv_channels[-1] * (bands >> halvings) * (frames >> halvings)
        self.dropout = settings.dropout
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, settings.kernel_size, padding="same")
            for before, after in pairwise((channels, *settings.conv_channels))
        )
        self.dense = nn.ModuleList(
            nn.Linear(before, after) for before, after in pairwise((flat, *settings.dense_units, n_classes))
        )
        self.apply(_start_as_keras)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits of ``pictures``."""
        if torch.is_autocast_enabled("cpu"):
            x = self._features_bf16(pictures)
            x = dropout(x, self.dropout) if self.training and self.dropout else x
        else:
            x = self._features(pictures)
            x = functional.dropout(x, self.dropout, self.training)
        *hidden, last = self.dense
        for layer in hidden:
            x = functional.relu(layer(x))
        logits: Tensor = last(x)
        return logits.float()

    def _features(self, x: Tensor) -> Tensor:
        for convolution in self.convolutions:
            # ReLU and max pooling commute; behind the pooling there is a quarter of the work.
            x = functional.relu(functional.max_pool2d(convolution(x), 2))
        return x.flatten(1)

    def _features_bf16(self, x: Tensor) -> Tensor:
        x = x.to(torch.bfloat16).permute(0, 2, 3, 1).contiguous()
        for convolution in self.convolutions:
            x = PooledConv.apply(x, convolution.weight, convolution.bias)  # type: ignore[no-untyped-call]
        return x.permute(0, 3, 1, 2).flatten(1)  # flattened in the order of the other way


def _start_as_keras(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
