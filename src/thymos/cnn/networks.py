"""The network families. A family is one class of settings and the network that it builds.

Every network maps spectrograms ``(batch, channels, bands, frames)`` to logits ``(batch, classes)``.
"""

from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from thymos.cnn.pooled_conv import PooledConv, dropout
from thymos.config import Settings


class Network(nn.Module):
    """What the networks of all families are: ``(batch, channels, bands, frames) -> (batch, classes)`` logits.

    While it is trained, ``generator`` draws the dropout; None: torch's own does.
    """

    def embed(self, spectrograms: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the last hidden layer: ``(batch, units)``."""
        raise NotImplementedError

    def classify(self, embedding: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the logits of what ``embed`` returned."""
        raise NotImplementedError

    def forward(self, spectrograms: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the logits of ``spectrograms``."""
        return self.classify(self.embed(spectrograms, generator), generator)


class StudyCNNSettings(Settings):
    """Size of a ``StudyCNN``; the defaults are the study's model3."""

    family: Literal["study_cnn"] = "study_cnn"
    conv_channels: tuple[PositiveInt, ...] = Field((16, 32, 64, 128), min_length=1)
    """Filters of each convolution; as many blocks as there are numbers."""
    dense_units: tuple[PositiveInt, ...] = (128, 64, 32)
    """Units of each hidden dense layer."""
    kernel_size: Literal[1, 3, 5, 7, 9] = 3
    dropout: float = Field(0.5, ge=0, lt=1)
    """Between the flattened spectrogram and the first dense layer."""


class StudyCNN(Network):
    """The study's network: convolutions with ReLU and 2×2 max pooling after each, flattened, dropout, dense layers.

    ``(batch, channels, bands, frames) -> (batch, classes)`` logits, float32. Glorot-uniform weights and zero biases,
    as the study's library starts them. Under bfloat16 autocast on a CPU the convolutions take the way of
    ``PooledConv``.
    """

    def __init__(self, settings: StudyCNNSettings, spectrogram_shape: tuple[int, int, int], n_classes: int):
        super().__init__()
        channels, bands, frames = spectrogram_shape
        halvings = len(settings.conv_channels)
        if min(bands, frames) >> halvings == 0:
            raise ValueError(f"a spectrogram of {bands} × {frames} is too small to be halved {halvings} times")
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

    def embed(self, spectrograms: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the last hidden layer of ``spectrograms``: ``(batch, units)``."""
        fast = spectrograms.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        x = self._features_bf16(spectrograms) if fast else self._features(spectrograms)
        if self.training and self.dropout:
            x = dropout(x, self.dropout, generator)
        for layer in self.dense[:-1]:
            x = functional.relu(layer(x))
        return x

    def classify(self, embedding: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the logits of an embedding."""
        logits: Tensor = self.dense[-1](embedding)
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


class Head(nn.Module):
    """Dropout and one dense layer: ``(batch, units) -> (batch, classes)`` logits."""

    def __init__(self, units: int, n_classes: int, dropout: float):
        super().__init__()
        self.dropout, self.dense = dropout, nn.Linear(units, n_classes)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the logits of ``x``; ``generator`` draws the dropout."""
        logits: Tensor = self.dense(dropout(x, self.dropout, generator) if self.training and self.dropout else x)
        return logits


class ResidualSettings(Settings):
    """Size of a ``ResidualNetwork``."""

    family: Literal["residual"] = "residual"
    widths: tuple[PositiveInt, ...] = Field((16, 32, 64, 128), min_length=1)
    """Filters of each stage; every stage after the first halves the spectrogram."""
    blocks_per_stage: PositiveInt = 1
    """Blocks of two convolutions in each stage."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Between the mean over the spectrogram and the logits."""


class ResidualNetwork(Network):
    """Batch-normalised input, a stem that halves the spectrogram, stages of residual blocks, mean, dropout, logits.

    Source: He, Zhang, Ren, Sun, Deep residual learning for image recognition, CVPR 2016.

    ``(batch, channels, bands, frames) -> (batch, classes)`` logits. Spectrograms come as they are, in dB: the first
    layer brings each channel to zero mean and unit variance, with statistics of the training batches only.
    """

    def __init__(self, settings: ResidualSettings, spectrogram_shape: tuple[int, int, int], n_classes: int):
        super().__init__()
        channels, first, last = spectrogram_shape[0], settings.widths[0], settings.widths[-1]
        self.stem = nn.Sequential(nn.BatchNorm2d(channels), *_normalised_convolution(channels, first, 3, 2), nn.ReLU())
        self.stages = nn.Sequential()
        for number, (before, after) in enumerate(pairwise((first, *settings.widths))):
            self.stages.append(_Block(before, after, stride=1 if number == 0 else 2))
            self.stages.extend(_Block(after, after, stride=1) for _ in range(settings.blocks_per_stage - 1))
        self.head = Head(last, n_classes, settings.dropout)
        self.apply(_start_as_he)

    def embed(self, spectrograms: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the mean over the last maps of ``spectrograms``: ``(batch, units)``."""
        means: Tensor = self.stages(self.stem(spectrograms)).mean((2, 3))
        return means

    def classify(self, embedding: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the logits of an embedding."""
        logits: Tensor = self.head(embedding, generator)
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


class RecurrentNetwork(Network):
    """Batch-normalised input, convolutions with pooling, one recurrent layer, mean over time, dropout, logits.

    ``(batch, channels, bands, frames) -> (batch, classes)`` logits. Spectrograms come as they are, in dB: the first
    layer brings each channel to zero mean and unit variance, with statistics of the training batches only. The mean
    over time, not the last state, is classified: segments of short recordings end in silence, which a last state
    would remember best.
    """

    def __init__(self, settings: RecurrentSettings, spectrogram_shape: tuple[int, int, int], n_classes: int):
        super().__init__()
        channels, bands, frames = spectrogram_shape
        halvings, time_halvings = len(settings.conv_channels), min(settings.time_halvings, len(settings.conv_channels))
        if bands < 2**halvings or frames < 2**time_halvings:
            raise ValueError(
                f"a spectrogram of {bands} × {frames} is too small to be halved {halvings} times along its bands "
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
        self.directions = 2 if settings.bidirectional else 1
        self.head = Head(settings.hidden_units * self.directions, n_classes, settings.dropout)

    def embed(self, spectrograms: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the mean over time of the states for ``spectrograms``: ``(batch, units)``."""
        frames = self.convolutions(spectrograms).permute(0, 3, 2, 1).flatten(2)
        # Zeros made of the frames: an exported graph would keep those of torch's own for the batch it is traced with.
        start = frames.detach()[None, :, 0, :1].clamp(0, 0).repeat(self.directions, 1, self.recurrent.hidden_size)
        states, _ = self.recurrent(frames, (start, start) if isinstance(self.recurrent, nn.LSTM) else start)
        means: Tensor = states.mean(1)
        return means

    def classify(self, embedding: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the logits of an embedding."""
        logits: Tensor = self.head(embedding, generator)
        return logits


def _study_cnn_unless_named(content: Any) -> Any:
    return {"family": "study_cnn", **content} if isinstance(content, dict) else content


ModelSettings = Annotated[
    StudyCNNSettings | ResidualSettings | RecurrentSettings,
    Field(discriminator="family"),
    BeforeValidator(_study_cnn_unless_named),
]
"""The settings of any family; ``family`` tells which."""


def build_model(settings: ModelSettings, spectrogram_shape: tuple[int, int, int], n_classes: int) -> Network:
    """Return a freshly initialised network; torch's random state decides the weights.

    Args:
        settings: which family, and how large.
        spectrogram_shape: channels, bands, frames.
        n_classes: number of logits.

    Raises:
        ValueError: the spectrogram is too small for so many pooling steps.
    """
    match settings:
        case StudyCNNSettings():
            return StudyCNN(settings, spectrogram_shape, n_classes)
        case ResidualSettings():
            return ResidualNetwork(settings, spectrogram_shape, n_classes)
        case RecurrentSettings():
            return RecurrentNetwork(settings, spectrogram_shape, n_classes)
