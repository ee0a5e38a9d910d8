"""What describes recordings: the encoder that a recipe starts from, and how the states of its layers lie over time.

It is the shipped encoder, one in a folder, or Whisper's layers as they were published.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thymos.audio import Samples, Waveform, played
from thymos.corpora.near_copies import from_text
from thymos.corpora.table import Clip
from thymos.encoder.log_mel import RATE_HZ, WhisperLogMel, at_level
from thymos.encoder.network import EmotionNetwork, States, WhisperLayers, read_whisper_layers
from thymos.encoder.recipe import SHIPPED, EncoderRecipe
from thymos.encoder.sounds import digest_of
from thymos.encoder.weights import WEIGHTS, WHISPER, FineTuned, read_encoder
from thymos.errors import RecipeError
from thymos.files import home_path
from thymos.runtime.bundle import shipped_encoder

LAYERS = (2, 3)
"""Whose states carry emotion best, the first being 1."""
WINDOW_S = 30
"""Most that the layers hear at once."""

Descriptions = NDArray[np.float32]
"""Shape ``(versions, recordings, descriptors)``."""


class Describer(nn.Module):
    """Waveforms ``(clips, samples)`` at 16 kHz and lengths ``(clips,)`` -> descriptions ``(clips, descriptors)``.

    Descriptors are, layer by layer, the mean over time of each state, then its standard deviation. Those of a
    fine-tuned network are followed by its embedding, which out-of-distribution input is told by.
    """

    def __init__(self, layers: WhisperLayers, which: Sequence[int] = LAYERS, network: EmotionNetwork | None = None):
        super().__init__()
        self.log_mel, self.layers, self.which = WhisperLogMel(), layers, tuple(which)
        self.pooling = None if network is None else network.pooling
        self.head = None if network is None else network.head

    @property
    def descriptors(self) -> int:
        """How many numbers decide; what follows them is the embedding."""
        return 2 * _width(self)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """Return the descriptions of ``waveforms``, each of at most ``WINDOW_S``; float32."""
        return self.of_states(self.states(waveforms, lengths))

    def states(self, waveforms: Tensor, lengths: Tensor) -> States:
        """Return the layers' states."""
        states: States = self.layers(*self.log_mel(at_level(waveforms, lengths), lengths))
        return states

    def of_states(self, states: States) -> Tensor:
        """Return the descriptions of clips by their states."""
        described = pooled_states(states, self.which)
        if self.pooling is None or self.head is None:
            return described
        return torch.cat([described, self.head.embed(self.pooling(states))], dim=1)


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


def describe(
    describer: Describer,
    recordings: Sequence[Waveform],
    speeds: Sequence[float] = (1.0,),
    batch: int = 8,
    half: bool = False,
    on_recording: Callable[[], None] = lambda: None,
) -> Descriptions:
    """Describe ``recordings`` at each of ``speeds``: shape ``(speeds, recordings, descriptors)``.

    Recordings of more than ``WINDOW_S`` are described by windows of one length, and these taken together; their
    embedding is the windows' mean.

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
    sums: dict[tuple[int, int], NDArray[np.float64]] = {}

    def flush() -> None:
        if windows:
            for place, row in zip(places, _moments(describer, windows, half), strict=True):
                sums[place] = sums.get(place, 0.0) + row
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
    return _of_moments(
        describer, np.array([[sums[version, i] for i in range(len(recordings))] for version in range(len(speeds))])
    )


def _width(describer: Describer) -> int:
    return len(describer.which) * describer.layers.settings.width


def _of_moments(describer: Describer, sums: NDArray[np.float64]) -> Descriptions:
    """Turn what ``_moments`` told of the windows of each recording, added up, into descriptions."""
    means = sums[:, :, 1:] / sums[:, :, :1]
    mean, square, embedding = np.split(means, [_width(describer), 2 * _width(describer)], axis=2)
    spread = np.sqrt(np.maximum(0, square - mean**2))
    by_layer = (*means.shape[:2], len(describer.which), -1)
    joined = np.concatenate([mean.reshape(by_layer), spread.reshape(by_layer)], axis=3)
    return np.concatenate([joined.reshape(*means.shape[:2], -1), embedding], axis=2).astype(np.float32)


def _moments(describer: Describer, windows: Sequence[Samples], half: bool) -> NDArray[np.float64]:
    """Return, of each window, its seconds, and their product with the means and mean squares of its states."""
    lengths = torch.tensor([len(window) for window in windows])
    batch = torch.zeros(len(windows), int(lengths.max()))
    for row, window in zip(batch, windows, strict=True):
        row[: len(window)] = torch.from_numpy(np.ascontiguousarray(window))
    device = next(describer.layers.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16) if half else nullcontext():
        described = describer(batch.to(device), lengths.to(device)).cpu().double().numpy()
    states, embedding = np.split(described, [describer.descriptors], axis=1)
    parts = states.reshape(len(windows), len(describer.which), 2, -1)
    mean, spread = parts[:, :, 0].reshape(len(windows), -1), parts[:, :, 1].reshape(len(windows), -1)
    seconds = lengths.double().numpy()[:, None] / RATE_HZ
    return np.concatenate([seconds, seconds * mean, seconds * (spread**2 + mean**2), seconds * embedding], axis=1)


@dataclass(frozen=True)
class Start:
    """What describes recordings.

    Attributes:
        describer: in evaluation mode.
        digest: SHA-256 of its weights' file.
        fine_tuned: its network and what it has heard; None: Whisper as it was published, which has heard no corpus.
        folder: where the encoder lies; None: Whisper as it was published.
    """

    describer: Describer
    digest: str
    fine_tuned: FineTuned | None
    folder: Path | None = None
    _answers: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)
    """Whether it has heard a sound, by its digest: several ask."""

    def provenance(self) -> dict[str, Any]:
        """Return what a bundle tells of it: its digest, Whisper with its licence, and the corpora that it has heard."""
        about = {} if self.fine_tuned is None else self.fine_tuned.about
        heard = [
            {"name": name, "clips": clips, "stage": "pretraining"} for name, clips in about.get("corpora", {}).items()
        ]
        knows = {"near_copies": True} if self.fine_tuned is not None and self.fine_tuned.heard else {}
        return {"start_from": {"sha256": self.digest, "layers_of": WHISPER, **knows}, "trained_on": heard}

    def has_heard_exactly(self, clip: Clip) -> bool:
        """Return whether the encoder was fitted to the very sound of ``clip``."""
        return self.fine_tuned is not None and self.fine_tuned.has_seen(digest_of(clip))

    def has_heard(self, clip: Clip) -> bool:
        """Return whether the encoder was fitted to ``clip``, or to a near-copy of it."""
        if self.fine_tuned is None:
            return False
        if clip.sound.sha256 not in self._answers:
            self._answers[clip.sound.sha256] = self.has_heard_exactly(clip) or bool(
                self.fine_tuned.fingerprints.near_copies(from_text(clip.sound.fingerprint))
            )
        return self._answers[clip.sound.sha256]


def start_of(recipe: EncoderRecipe) -> Start:
    """Return what ``recipe`` starts from.

    Raises:
        RecipeError: there is no such encoder, it cannot be used, or it has fewer layers than are asked for.
    """
    path = shipped_encoder() if recipe.start_from == SHIPPED else home_path(recipe.start_from)
    return read_start(path, recipe.layers)


@lru_cache(maxsize=2)
def read_start(path: Path, layers: tuple[int, ...]) -> Start:
    """Return the encoder in the folder ``path``, or the layers of the Whisper checkpoint of that name.

    Raises:
        RecipeError: as ``start_of``.
    """
    if path.is_dir() or not path.suffix:
        fine_tuned = read_encoder(path)
        depth = len(fine_tuned.network.layers.layers)
        if max(layers) > depth:
            raise RecipeError(f"layers: the encoder in {path} has {depth}, not {max(layers)}")
        digest = str(fine_tuned.about["sha256"][WEIGHTS])
        return Start(Describer(fine_tuned.network.layers, layers, fine_tuned.network).eval(), digest, fine_tuned, path)
    # States of published layers are taken as they are, and nothing after the layers was ever fitted: no embedding.
    whisper = read_whisper_layers(path, max(layers))
    return Start(Describer(whisper, layers).eval(), hashlib.sha256(path.read_bytes()).hexdigest(), None)
