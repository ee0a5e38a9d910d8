"""Why an emotion was heard, by the network's gradients: integrated gradients over the spectrograms of levels.

The network is shown levels beside the recording's own mean. That mean is taken anew at every point of the way: what
falls silent in one place lifts all others, as it does when a region is taken out of the sound. And the way goes but a
part of that to quiet: a recording that is quiet everywhere is far from one that lacks a region, and what the network
says on the way there has little to do with it.

It needs a bundle with weights, since gradients go through the torch network; the shipped graph is explained by
occlusion (``runtime.explain``), which asks for answers only.

Source: Sundararajan, Taly & Yan (2017), Axiomatic Attribution for Deep Networks, ICML; computed by captum.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thymos.audio import Waveform, played
from thymos.encoder.export import read_network
from thymos.encoder.level_mel import LevelMel
from thymos.encoder.voice_statistics import VoiceNetwork
from thymos.engine.process import one_thread
from thymos.errors import MissingExtraError, ThymosError
from thymos.runtime.bundle import WEIGHTS
from thymos.runtime.explain import ExplainedPart
from thymos.runtime.occlusion import QUIET_QUANTILE, Edges, interval_of
from thymos.runtime.prediction import ExplainMethod

STEPS = 32
"""Points on the way from the quieter spectrogram to the recording's at which the gradient is taken."""
_AT_ONCE = 8
"""Of these points, so many are in memory."""
WAY = 0.25
"""The way's length, as a share of that to where all is quiet."""
_LEAST_POWER = 1e-20
"""Digital silence has a logarithm, too."""


class GradientEffects:
    """The part of each region in how far the emotion's log-probability is above that of a quieter spectrogram.

    The parts of all regions add up to that difference. Quiet is, as in occlusion, each band's quiet level in the
    recording itself; the quieter spectrogram is ``WAY`` of the way there. With several speeds, each one's spectrogram
    is followed and laid over the recording's own time and frequency.
    """

    method: ExplainMethod = "gradients"

    def __init__(self, folder: Path):
        """Read the bundle in ``folder``.

        Raises:
            MissingExtraError: captum is not installed.
            ThymosError: the bundle holds no weights.
            BundleError: it cannot be used.
        """
        try:
            from captum.attr import IntegratedGradients
        except ModuleNotFoundError:
            raise MissingExtraError("gradients need the library captum: pip install 'thymos[explain]'") from None
        if not (folder / WEIGHTS).is_file():
            raise ThymosError(
                f"the model in {folder} has a graph without weights, which has no gradients: explain it by occlusion,"
                " or export it without --graph-only"
            )
        self._read = read_network(folder)
        self._temperature = self._read.temperature
        self._front_end = LevelMel(self._read.features)
        self._integrated = IntegratedGradients(self._log_probability)

    def __call__(self, part: ExplainedPart, times_s: Edges, bands_hz: Edges, label: int) -> NDArray[np.float64]:
        """Return the effects of regions, shape ``(bands, columns)``; see ``runtime.explain.Effects``."""
        with one_thread():  # another number adds in another order, and other regions may be marked
            spectrograms = self._spectrograms(part)
            attributions = self._integrated.attribute(
                spectrograms,
                baselines=tuple(map(_quieter, spectrograms)),
                target=label,
                n_steps=STEPS,
                internal_batch_size=_AT_ONCE,
            )
        effect = np.zeros((len(bands_hz) - 1, len(times_s) - 1))
        centres_hz = self._read.features.band_centres_hz()
        for speed, found in zip(self._read.speeds, attributions, strict=True):
            values = found[0].detach().double().numpy()
            at_s = np.arange(values.shape[2]) * self._read.features.hop / part.rate_hz * speed
            columns = interval_of(at_s, times_s)
            for channel, own_hz in zip(values, centres_hz, strict=True):
                rows = interval_of(own_hz / speed, bands_hz)
                np.add.at(effect, (rows[:, None], columns[None, :]), channel)
        return effect

    def fall(self, part: ExplainedPart, label: int) -> float:
        """Return how far the label's log-probability is above the quieter spectrogram's: what all effects add up to."""
        with one_thread(), torch.inference_mode():
            spectrograms = self._spectrograms(part)
            heard, quieter = self._log_probability(*spectrograms), self._log_probability(*map(_quieter, spectrograms))
        return float(heard[0, label] - quieter[0, label])

    def _spectrograms(self, part: ExplainedPart) -> tuple[Tensor, ...]:
        """Return the power of ``part`` at each speed, dB: shapes ``(1, channels, bands, frames)``."""
        heard = Waveform(part.samples, part.rate_hz)
        sounds = [played(heard, speed, part.rate_hz) for speed in self._read.speeds]
        with torch.no_grad():
            powers = [self._front_end.power(torch.from_numpy(np.ascontiguousarray(sound))[None]) for sound in sounds]
            return tuple(10 * torch.log10(power.clamp(min=_LEAST_POWER)) for power in powers)

    def _log_probability(self, *spectrograms: Tensor) -> Tensor:
        """Return log-probabilities ``(batch, classes)``, as the recogniser computes them from all speeds."""
        logits = torch.stack(self._logits(spectrograms)).mean(0)
        return torch.log_softmax(logits / self._temperature, dim=1)

    def _logits(self, spectrograms: Sequence[Tensor]) -> list[Tensor]:
        network = self._read.network
        levels = [_beside_mean(power_db).clamp(min=self._read.features.floor_db) for power_db in spectrograms]
        if isinstance(network, VoiceNetwork):
            return [network(spectrogram) for spectrogram in levels]
        return [network(self._front_end.scale(spectrogram)) for spectrogram in levels]


def _beside_mean(power_db: Tensor) -> Tensor:
    """Return power in dB as levels beside the mean power of the first channel, as ``LevelMel`` does."""
    mean = (10 ** (power_db[:, 0] / 10)).mean(dim=(-2, -1))
    return power_db - 10 * torch.log10(mean)[:, None, None, None]


def _quieter(power_db: Tensor) -> Tensor:
    """Return ``power_db`` with what is above each band's quiet level brought nearer to it."""
    quiet = torch.minimum(power_db, torch.quantile(power_db, QUIET_QUANTILE, dim=-1, keepdim=True))
    return torch.lerp(power_db, quiet, WAY)
