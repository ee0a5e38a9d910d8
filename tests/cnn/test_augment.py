"""What happens to a batch of spectrograms while a network is fitted."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from thymos.cnn.augment import BatchAugmentation, draw_masks, mask, mixup, roll_frames
from thymos.cnn.recipe import AugmentationSettings, SpecAugmentSettings

BANDS, FRAMES = 20, 30
SPEC_AUGMENT = {"freq_masks": 2, "freq_width": 5, "time_masks": 1, "time_width": 7}
EACH: list[dict[str, Any]] = [{"spec_augment": SPEC_AUGMENT}, {"time_shift_s": 1.0}, {"mixup_alpha": 0.4}]


@pytest.fixture
def spectrograms() -> Tensor:
    return torch.randn(16, 3, BANDS, FRAMES, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def targets() -> Tensor:
    return torch.arange(16) % 4


def augmentation(seed: int = 0, **settings: Any) -> BatchAugmentation:
    return BatchAugmentation(AugmentationSettings(**settings), 10 if "time_shift_s" in settings else 0, 4, seed)


def test_empty_settings_hand_the_batch_on(spectrograms: Tensor, targets: Tensor) -> None:
    shown, asked = augmentation()(spectrograms, targets)
    assert shown is spectrograms
    assert asked is targets


@pytest.mark.parametrize("settings", EACH)
def test_the_seed_decides_and_batches_differ(spectrograms: Tensor, targets: Tensor, settings: dict[str, Any]) -> None:
    state = torch.get_rng_state()
    before = spectrograms.clone()
    one, other = augmentation(7, **settings), augmentation(7, **settings)
    first, second = one(spectrograms, targets), one(spectrograms, targets)
    torch.testing.assert_close(first, other(spectrograms, targets), rtol=0, atol=0)
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[0], augmentation(8, **settings)(spectrograms, targets)[0])
    assert torch.equal(spectrograms, before)
    assert torch.equal(torch.get_rng_state(), state)
    for dtype in (torch.float32, torch.bfloat16):
        assert one(spectrograms.to(dtype), targets)[0].dtype == dtype


def test_rolls_are_numpys() -> None:
    spectrograms = torch.arange(4 * 2 * 3 * 5).reshape(4, 2, 3, 5).float()
    shifts = np.array([0, 2, -1, 5])
    rolled = roll_frames(spectrograms, shifts)
    for spectrogram, result, shift in zip(spectrograms, rolled, shifts, strict=True):
        np.testing.assert_array_equal(result, np.roll(spectrogram.numpy(), shift, axis=-1))


def test_shifts_reach_as_far_as_allowed_either_way(targets: Tensor) -> None:
    spectrograms = torch.zeros(16, 1, 1, FRAMES)
    spectrograms[..., 15] = 1
    shift = augmentation(time_shift_s=1.0)
    places = torch.cat([shift(spectrograms, targets)[0].argmax(-1).flatten() for _ in range(100)]) - 15
    assert places.unique().tolist() == list(range(-10, 11))
    assert abs(places.double().mean()) < 0.5


def test_masks_hold_the_mean_and_leave_the_rest(spectrograms: Tensor) -> None:
    bands, frames = np.zeros((16, BANDS), bool), np.zeros((16, FRAMES), bool)
    bands[3, 4:6], frames[3, 10:13], frames[5, 0] = True, True, True
    masked = mask(spectrograms, bands, frames)
    means = spectrograms.mean(dim=(-2, -1), keepdim=True)
    torch.testing.assert_close(masked[3, :, 4:6], means[3].expand(3, 2, FRAMES))
    torch.testing.assert_close(masked[3, :, :, 10:13], means[3].expand(3, BANDS, 3))
    changed = (masked != spectrograms).all(dim=1)
    assert int(changed[3].sum()) == 2 * FRAMES + 3 * BANDS - 2 * 3
    assert int(changed[5].sum()) == BANDS
    assert int(changed.sum()) == int(changed[3].sum() + changed[5].sum())


def runs(covered: np.ndarray) -> int:
    return int((np.diff(covered.astype(int), prepend=0) == 1).sum())


def test_masks_are_as_many_and_as_wide_as_the_settings_say() -> None:
    settings = SpecAugmentSettings(freq_masks=1, freq_width=5, time_masks=3, time_width=2)
    bands, frames = draw_masks(settings, torch.Size((4000, 1, BANDS, FRAMES)), np.random.default_rng(0))
    assert (bands.shape, frames.shape) == ((4000, BANDS), (4000, FRAMES))
    widths = np.bincount(bands.sum(1))
    assert len(widths) == 6  # 0 to F
    assert widths.min() > 0.8 * widths.mean()
    assert {runs(row) for row in bands} == {0, 1}
    assert max(runs(row) for row in frames) == 3
    assert frames.sum(1).max() == 6
    assert bands.any(0).all()
    assert frames.any(0).all()


def test_each_spectrogram_has_masks_of_its_own(targets: Tensor) -> None:
    spectrograms = torch.randn(16, 1, BANDS, FRAMES)
    masked, asked = augmentation(spec_augment=SPEC_AUGMENT)(spectrograms, targets)
    assert torch.equal(asked, targets)
    assert len({tuple(rows.flatten().tolist()) for rows in masked != spectrograms}) > 10


def test_mixup_mixes_spectrograms_and_classes_alike(spectrograms: Tensor) -> None:
    shares = torch.eye(4)[torch.arange(16) % 4]
    partner = torch.arange(16).flip(0)
    mixed, classes = mixup(spectrograms, shares, partner, 0.7)
    torch.testing.assert_close(mixed[0], 0.7 * spectrograms[0] + 0.3 * spectrograms[15])
    torch.testing.assert_close(classes[0], torch.tensor([0.7, 0, 0, 0.3]))
    torch.testing.assert_close(classes.sum(1), torch.ones(16))


def test_mixups_loss_is_that_of_both_classes(spectrograms: Tensor, targets: Tensor) -> None:
    """λ times the loss with one class and 1 − λ times that with the other, as Zhang et al. (2018) have it."""
    _, classes = augmentation(mixup_alpha=0.4)(spectrograms, targets)
    assert classes.shape == (16, 4)
    logits = torch.randn(16, 4)
    both = torch.tensor([
        sum(share * torch.nn.functional.cross_entropy(row, torch.tensor(k)) for k, share in enumerate(shares))
        for row, shares in zip(logits, classes, strict=True)
    ])  # fmt: skip
    torch.testing.assert_close(torch.nn.functional.cross_entropy(logits, classes), both.mean())
