"""A small residual network: stages of basic blocks with batch normalisation, then the mean over the picture.

Source: He, Zhang, Ren, Sun, Deep residual learning for image recognition, CVPR 2016.
"""

from itertools import pairwise
from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from thymos.config import Settings


class ResidualSettings(Settings):
    """Size of a ``ResidualNetwork``."""

    family: Literal["residual"] = "residual"
    widths: tuple[PositiveInt, ...] = Field((16, 32, 64, 128), min_length=1)
    """Filters of each stage; every stage after the first halves the picture."""
    blocks_per_stage: PositiveInt = 1
    """Blocks of two convolutions in each stage."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Between the mean over the picture and the logits."""


class ResidualNetwork(nn.Module):
    """Batch-normalised input, a stem that halves the picture, stages of residual blocks, global mean, dropout, logits.

    ``(batch, channels, bands, frames) -> (batch, classes)`` logits. Pictures come as they are, in dB: the first layer
    brings each channel to zero mean and unit variance, with statistics of the training batches only.
    """

    def __init__(self, settings: ResidualSettings, picture_shape: tuple[int, int, int], n_classes: int):
        super().__init__()
        channels, first, last = picture_shape[0], settings.widths[0], settings.widths[-1]
        self.stem = nn.Sequential(nn.BatchNorm2d(channels), *_normalised_convolution(channels, first, 3, 2), nn.ReLU())
        self.stages = nn.Sequential()
        for number, (before, after) in enumerate(pairwise((first, *settings.widths))):
            self.stages.append(_Block(before, after, stride=1 if number == 0 else 2))
            self.stages.extend(_Block(after, after, stride=1) for _ in range(settings.blocks_per_stage - 1))
        self.head = nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(last, n_classes))
        self.apply(_start_as_he)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits of ``pictures``."""
        logits: Tensor = self.head(self.stages(self.stem(pictures)).mean((2, 3)))
        return logits


class _Block(nn.Module):
    """Two convolutions beside a shortcut, which is a 1×1 convolution where the shape changes."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.residual = nn.Sequential(
            *_normalised_convolution(before, after, 3, stride), nn.ReLU(), *_normalised_convolution(after, after, 3, 1)
        )
        same = before == after and stride == 1
        self.shortcut = nn.Sequential(*([] if same else _normalised_convolution(before, after, 1, stride)))

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(self.residual(maps) + self.shortcut(maps))


def _normalised_convolution(before: int, after: int, kernel_size: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, kernel_size, stride, padding=kernel_size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(after)]


def _start_as_he(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
