"""The study's convolutional network: blocks of convolution, ReLU and pooling, then dense layers."""

from itertools import pairwise
from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from thymos.settings import Settings


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
    """Convolutions with 2×2 max pooling after each, flattened, dropout, dense layers.

    ``(batch, channels, bands, frames) -> (batch, classes)`` logits. Glorot-uniform weights and zero biases, as the
    study's library starts them.
    """

    def __init__(self, settings: StudyCNNSettings, picture_shape: tuple[int, int, int], n_classes: int):
        super().__init__()
        channels, bands, frames = picture_shape
        shrunk = 2 ** len(settings.conv_channels)
        if min(bands, frames) < shrunk:
            raise ValueError(
                f"a picture of {bands} × {frames} is too small to be halved {len(settings.conv_channels)} times"
            )
        blocks: list[nn.Module] = []
        for before, after in pairwise((channels, *settings.conv_channels)):
            convolution = nn.Conv2d(before, after, settings.kernel_size, padding="same")
            # ReLU and max pooling commute; after pooling there is a quarter of the work.
            blocks += [convolution, nn.MaxPool2d(2), nn.ReLU()]
        flat = settings.conv_channels[-1] * (bands // shrunk) * (frames // shrunk)
        dense: list[nn.Module] = [nn.Flatten(), nn.Dropout(settings.dropout)]
        for before, after in pairwise((flat, *settings.dense_units)):
            dense += [nn.Linear(before, after), nn.ReLU()]
        dense.append(nn.Linear((flat, *settings.dense_units)[-1], n_classes))
        self.layers = nn.Sequential(*blocks, *dense)
        self.apply(_start_as_keras)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits of ``pictures``."""
        logits: Tensor = self.layers(pictures)
        return logits


def _start_as_keras(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
