"""Descriptions of recordings: how the states of some layers lie over time, for a linear decision."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thymos.audio import Samples, Waveform, played
from thymos.encoder.log_mel import RATE_HZ, LogMel, at_level
from thymos.encoder.whisper_layers import States, WhisperLayers

LAYERS = (2, 3)
"""Whose states carry emotion best, the first being 1."""
SPEEDS = (1.0, 0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.15, 1.2)
"""At which recordings are described for a fit: as recorded first, then as other voices and tempos."""
AS_RECORDED_SHARE = 0.3
"""How much the first of ``SPEEDS`` counts; the others share the rest."""
WINDOW_S = 30
"""Most that the layers hear at once."""

Descriptions = NDArray[np.float32]
"""Shape ``(versions, recordings, descriptors)``."""


class Describer(nn.Module):
    """Waveforms ``(clips, samples)`` at 16 kHz and lengths ``(clips,)`` -> descriptions ``(clips, descriptors)``.

    Descriptors are, layer by layer, the mean over time of each state, then its standard deviation.
    """

    def __init__(self, layers: WhisperLayers, which: Sequence[int] = LAYERS):
        super().__init__()
        self.log_mel, self.layers, self.which = LogMel(), layers, tuple(which)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Return the descriptions of ``waveforms``, each of at most ``WINDOW_S``; float32."""
        log_mels = self.log_mel(at_level(waveforms, lengths), lengths)
        return pooled_states(self.layers(*log_mels), self.which)


def pooled_states(states: States, which: Sequence[int]) -> Tensor:
    """Return mean and standard deviation over time of each layer in ``which``: ``(clips, descriptors)``."""
    own = states.own[:, :, None]
    count = own.sum(1)
    parts = []
    for number in which:
        layer = states.layers[number - 1].float()
        mean = torch.where(own, layer, 0.0).sum(1) / count
        variance = torch.where(own, layer - mean[:, None], 0.0).square().sum(1) / count
        parts += [mean, variance.sqrt()]
    return torch.cat(parts, dim=1)


def version_shares(speeds: Sequence[float] = SPEEDS) -> NDArray[np.float64]:
    """Return how much each speed counts in a fit, shape ``(speeds,)``; their sum is 1, the first is as recorded."""
    if len(speeds) == 1:
        return np.ones(1)
    others = (1 - AS_RECORDED_SHARE) / (len(speeds) - 1)
    return np.array([AS_RECORDED_SHARE] + [others] * (len(speeds) - 1))


def describe(
    describer: Describer,
    recordings: Sequence[Waveform],
    speeds: Sequence[float] = (1.0,),
    batch: int = 8,
    half: bool = False,
    on_recording: Callable[[], None] = lambda: None,
) -> Descriptions:
    """Describe ``recordings`` at each of ``speeds``: shape ``(speeds, recordings, descriptors)``.

    Recordings of more than ``WINDOW_S`` are described by windows of one length, and these taken together.

    Args:
        describer: in evaluation mode.
        recordings: at any rate.
        speeds: tempo and pitch together.
        batch: windows that are described at once; it changes no more than the last digits.
        half: reckon in bfloat16, more than twice as fast where the processor has it, at three digits.
        on_recording: called after each recording and speed.
    """
    windows: list[Samples] = []
    places: list[tuple[int, int]] = []
    order = sorted(range(len(recordings)), key=lambda i: recordings[i].duration_s)
    sums = np.zeros((len(speeds), len(recordings), 1 + 2 * _width(describer)))

    def flush() -> None:
        if windows:
            for (version, recording), row in zip(places, _moments(describer, windows, half), strict=True):
                sums[version, recording] += row
        windows.clear()
        places.clear()

    for version, speed in enumerate(speeds):
        for recording in order:
            samples = played(recordings[recording], speed, RATE_HZ)
            for window in np.array_split(samples, max(1, ceil(len(samples) / (WINDOW_S * RATE_HZ)))):
                windows.append(window)
                places.append((version, recording))
                if len(windows) == batch:
                    flush()
            on_recording()
        flush()
    mean, square = np.split(sums[:, :, 1:] / sums[:, :, :1], 2, axis=2)
    spread = np.sqrt(np.maximum(0, square - mean**2))
    by_layer = (len(speeds), len(recordings), len(describer.which), -1)
    joined = np.concatenate([mean.reshape(by_layer), spread.reshape(by_layer)], axis=3)
    return joined.reshape(len(speeds), len(recordings), -1).astype(np.float32)


def _width(describer: Describer) -> int:
    return len(describer.which) * describer.layers.settings.width


def _moments(describer: Describer, windows: Sequence[Samples], half: bool) -> NDArray[np.float64]:
    """Return, of each window, its seconds, and their product with the means and mean squares of its states."""
    lengths = torch.tensor([len(window) for window in windows])
    batch = torch.zeros(len(windows), int(lengths.max()))
    for row, window in zip(batch, windows, strict=True):
        row[: len(window)] = torch.from_numpy(np.ascontiguousarray(window))
    device = next(describer.layers.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16) if half else nullcontext():
        described = describer(batch.to(device), lengths.to(device)).cpu().double().numpy()
    parts = described.reshape(len(windows), len(describer.which), 2, -1)
    mean, spread = parts[:, :, 0].reshape(len(windows), -1), parts[:, :, 1].reshape(len(windows), -1)
    seconds = lengths.double().numpy()[:, None] / RATE_HZ
    return np.concatenate([seconds, seconds * mean, seconds * (spread**2 + mean**2)], axis=1)
