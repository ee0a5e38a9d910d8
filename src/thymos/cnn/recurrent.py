"""Convolutions that summarise a picture's bands, then an LSTM or a GRU along its frames."""

from itertools import pairwise
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from thymos.config import Settings


class RecurrentSettings(Settings):
    """Size of a ``RecurrentNetwork``; the defaults are the recipe conv_lstm."""

    family: Literal["recurrent"] = "recurrent"
    conv_channels: tuple[PositiveInt, ...] = Field((16, 32, 64, 128), min_length=1)
    """Filters of each convolution; as many blocks as there are numbers, each halving the bands."""
    time_halvings: NonNegativeInt = 2
    """How many of the blocks, from the first, halve the frames too."""
    cell: Literal["lstm", "gru"] = "lstm"
    bidirectional: bool = False
    hidden_units: PositiveInt = 64
    """Of each direction."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Between the mean over time and the logits."""


class RecurrentNetwork(nn.Module):
    """Batch-normalised input, convolutions with pooling, one recurrent layer, mean over time, dropout, logits.

    ``(batch, channels, bands, frames) -> (batch, classes)`` logits. Pictures come as they are, in dB: the first layer
    brings each channel to zero mean and unit variance, with statistics of the training batches only. The mean over
    time, not the last state, is classified: segments of short recordings end in silence, which a last state would
    remember best.
    """

    def __init__(self, settings: RecurrentSettings, picture_shape: tuple[int, int, int], n_classes: int):
        super().__init__()
        channels, bands, frames = picture_shape
        halvings, time_halvings = len(settings.conv_channels), min(settings.time_halvings, len(settings.conv_channels))
        if bands < 2**halvings or frames < 2**time_halvings:
            raise ValueError(
                f"a picture of {bands} × {frames} is too small to be halved {halvings} times along its bands "
                f"and {time_halvings} times along its frames"
            )
        blocks: list[nn.Module] = []
        for number, (before, after) in enumerate(pairwise((channels, *settings.conv_channels))):
            pooling = nn.MaxPool2d((2, 2) if number < time_halvings else (2, 1))
            blocks += [nn.Conv2d(before, after, 3, padding="same"), pooling, nn.ReLU()]
        self.convolutions = nn.Sequential(nn.BatchNorm2d(channels), *blocks)
        layer = nn.LSTM if settings.cell == "lstm" else nn.GRU
        per_frame = settings.conv_channels[-1] * (bands // 2**halvings)
        self.recurrent = layer(per_frame, settings.hidden_units, batch_first=True, bidirectional=settings.bidirectional)
        states = settings.hidden_units * (2 if settings.bidirectional else 1)
        self.head = nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(states, n_classes))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits of ``pictures``."""
        frames = self.convolutions(pictures).permute(0, 3, 2, 1).flatten(2)
        states, _ = self.recurrent(frames)
        logits: Tensor = self.head(states.mean(1))
        return logits
