"""Augmentation of a batch of spectrograms while a network is fitted: time shift, SpecAugment, mixup.

Spectrograms are ``(batch, channels, bands, frames)`` of any floating type, targets ``(batch,)``. All draws come from
one generator, in the order of the batches, so that the same seed varies the same spectrograms in the same way.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from thymos.cnn.recipe import AugmentationSettings, SpecAugmentSettings

_STREAM = 1
"""Keeps these draws apart from others with the same seed."""


class BatchAugmentation:
    """Varies one batch after another, as the settings say; with empty settings, batches pass as they are."""

    def __init__(self, settings: AugmentationSettings, max_shift_frames: int, n_classes: int, seed: int):
        """Set up.

        Args:
            settings: what is varied, and how far.
            max_shift_frames: ``time_shift_s`` in frames.
            n_classes: number of classes.
            seed: not negative.
        """
        self.settings, self.max_shift_frames, self.n_classes = settings, max_shift_frames, n_classes
        self.random = np.random.default_rng([seed, _STREAM])

    def __call__(self, spectrograms: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return both varied; with mixup, targets become shares of each class: shape ``(batch, n_classes)``."""
        spec_augment, alpha = self.settings.spec_augment, self.settings.mixup_alpha
        if self.max_shift_frames:
            reach = self.max_shift_frames
            shifts = self.random.integers(-reach, reach, len(spectrograms), endpoint=True)
            spectrograms = roll_frames(spectrograms, shifts)
        if spec_augment != SpecAugmentSettings():
            spectrograms = mask(spectrograms, *draw_masks(spec_augment, spectrograms.shape, self.random))
        if alpha:
            partner = torch.from_numpy(self.random.permutation(len(spectrograms)))
            shares = functional.one_hot(targets, self.n_classes).float()
            spectrograms, targets = mixup(spectrograms, shares, partner, self.random.beta(alpha, alpha))
        return spectrograms, targets


def roll_frames(spectrograms: Tensor, shifts: NDArray[np.int64]) -> Tensor:
    """Return each spectrogram as many frames later as ``shifts`` says; what leaves at its end enters at its start."""
    rolled = torch.empty_like(spectrograms)
    for spectrogram, target, shift in zip(spectrograms, rolled, shifts % spectrograms.shape[-1], strict=True):
        target[..., shift:] = spectrogram[..., : spectrogram.shape[-1] - shift]
        target[..., :shift] = spectrogram[..., spectrogram.shape[-1] - shift :]
    return rolled


def draw_masks(
    settings: SpecAugmentSettings, shape: torch.Size, random: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Draw which bands and which frames of each spectrogram are masked: ``(batch, bands)`` and ``(batch, frames)``.

    Widths from 0 to the setting's are alike likely, and so are all places where a mask of its width fits.
    """
    batch, _, bands, frames = shape
    return (
        _draw_spans(batch, settings.freq_masks, settings.freq_width, bands, random),
        _draw_spans(batch, settings.time_masks, settings.time_width, frames, random),
    )


def mask(spectrograms: Tensor, bands: NDArray[np.bool_], frames: NDArray[np.bool_]) -> Tensor:
    """Return ``spectrograms`` with the mean of each channel in the ``bands`` (batch, bands) and ``frames`` named."""
    hidden = torch.from_numpy(bands)[:, None, :, None] | torch.from_numpy(frames)[:, None, None, :]
    return torch.where(hidden.to(spectrograms.device), spectrograms.mean(dim=(-2, -1), keepdim=True), spectrograms)


def mixup(spectrograms: Tensor, shares: Tensor, partner: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Return ``weight`` of every spectrogram and its class shares, and the rest of its ``partner``'s in the batch."""
    return torch.lerp(spectrograms[partner], spectrograms, weight), torch.lerp(shares[partner], shares, weight)


def _draw_spans(batch: int, count: int, max_width: int, size: int, random: np.random.Generator) -> NDArray[np.bool_]:
    width = random.integers(0, max_width, (batch, count, 1), endpoint=True)
    start = random.integers(0, size - width, endpoint=True)
    place = np.arange(size)
    covered: NDArray[np.bool_] = np.any((start <= place) & (place < start + width), axis=1)
    return covered
