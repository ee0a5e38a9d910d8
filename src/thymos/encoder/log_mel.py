"""Whisper's log-mel spectrogram as a torch module, and the level that sound is brought to before it.

A clip comes out the same alone and in a batch: all that is measured of a clip is measured over its own samples or
frames. Nothing here needs a complex number, so that the whole can be part of an ONNX graph.

Source: Radford et al., Robust speech recognition via large-scale weak supervision, 2022, arXiv 2212.04356.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

RATE_HZ = 16_000
WINDOW, HOP = 400, 160
"""Samples: 25 ms and 10 ms."""
N_MELS = 80
FLOOR = 1e-10
"""Least power that a logarithm is taken of."""
RANGE = 8.0
"""Powers of ten below the loudest of a clip at which a spectrogram ends: 80 dB."""
LEVEL_DB = -26.0
"""Mean power that every clip is brought to, below full scale's square wave; the level of active speech that ITU-T
P.830 asks of recordings for listening tests."""
LEAST_POWER = 1e-12
"""Keeps digital silence silent: far below the noise of any converter."""


class LogMels(NamedTuple):
    """Log-mel spectrograms of clips."""

    values: Tensor
    """Shape ``(clips, mels, frames)``, about −1 to 1.5; 0 past a clip's end."""
    frames: Tensor
    """How many frames each clip has: int64, shape ``(clips,)``."""


class WhisperLogMel(nn.Module):
    """``(clips, samples)`` at 16 kHz and their lengths ``(clips,)`` -> ``LogMels``; always in float32.

    As Whisper's, with the silence that it pads clips with left out: a window is centred on every 160th sample, the
    beginning is mirrored, and after the end comes silence.
    """

    analysis: Tensor
    mel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("analysis", torch.from_numpy(_analysis()), persistent=False)
        self.register_buffer("mel", torch.from_numpy(mel_filters()), persistent=False)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> LogMels:
        """Return the log-mel spectrograms of ``waveforms``; what lies past a clip's length is not looked at."""
        with torch.autocast(waveforms.device.type, enabled=False):
            own = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]
            sound = torch.where(own, waveforms.float(), 0.0)
            if sound.shape[1] < WINDOW:  # too short to be mirrored
                sound = functional.pad(sound, (0, WINDOW - sound.shape[1]))
            # As many windows as there are whole hops: the first is centred on the first sample.
            sound = torch.cat([sound[:, 1 : WINDOW // 2 + 1].flip(1), sound], dim=1)
            sound = functional.pad(sound, (0, WINDOW // 2 - HOP))
            parts = functional.conv1d(sound[:, None], self.analysis, stride=HOP)
            real, imaginary = parts.square().chunk(2, dim=1)
            power = self.mel @ (real + imaginary)
            frames = (lengths // HOP).clamp(min=1)
            return LogMels(*_scaled(power.clamp(min=FLOOR).log10(), frames))


def at_level(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Return ``waveforms`` (clips, samples) with mean 0 and the mean power ``LEVEL_DB``; 0 past a clip's length."""
    own = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]
    count = lengths[:, None].clamp(min=1).float()
    sound = torch.where(own, waveforms.float(), 0.0)
    sound = torch.where(own, sound - sound.sum(1, keepdim=True) / count, 0.0)
    power = sound.square().sum(1, keepdim=True) / count
    return sound * (10 ** (LEVEL_DB / 10) / (power + LEAST_POWER)).sqrt()


def _scaled(logarithms: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Cut ``logarithms`` (clips, mels, frames) off below each clip's own range, and bring them to about −1 to 1.5."""
    own = (torch.arange(logarithms.shape[2], device=frames.device) < frames[:, None])[:, None]
    peak = torch.where(own, logarithms, -torch.inf).amax((1, 2), keepdim=True)
    return torch.where(own, (torch.maximum(logarithms, peak - RANGE) + 4) / 4, 0.0), frames


def mel_filters() -> NDArray[np.float32]:
    """Return Slaney's mel filters up to 8 kHz, each of area 1: shape ``(mels, bins)``.

    Source: Slaney, Auditory toolbox, 1998, Interval Research Corporation: linear to 1 kHz, logarithmic above.
    """
    linear_hz, step = 200 / 3, np.log(6.4) / 27
    top = 15 + np.log(RATE_HZ / 2 / 1000) / step
    mels = np.linspace(0, top, N_MELS + 2)
    edges = np.where(mels < 15, mels * linear_hz, 1000 * np.exp(step * (mels - 15)))
    bins = np.arange(WINDOW // 2 + 1) * RATE_HZ / WINDOW
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * (2 / (edges[2:] - edges[:-2]))[:, None], np.float32)


def _analysis() -> NDArray[np.float32]:
    """Return windowed cosines, then sines, of every bin's frequency: shape ``(2 × bins, 1, window)``."""
    time = np.arange(WINDOW)
    angle = 2 * np.pi * np.outer(np.arange(WINDOW // 2 + 1), time) / WINDOW
    window = 0.5 - 0.5 * np.cos(2 * np.pi * time / WINDOW)
    return (np.concatenate([np.cos(angle), np.sin(angle)]) * window)[:, None].astype(np.float32)
