"""What a clip goes through in training: drawn from a seed, as strong as it says, and within bounds."""

import numpy as np
import pytest

from thymos.encoder.log_mel import N_MELS, RATE_HZ
from thymos.encoder.variation import Augmenter, AugmentSettings

VOICES = [np.random.default_rng(i).normal(0, 0.1, RATE_HZ).astype(np.float32) for i in range(4)]
PLAIN = AugmentSettings(speed=(1, 1), room=0, tilt=0, band=0, noise=0, babble=0)


def augmenter(**changes) -> Augmenter:
    return Augmenter(PLAIN.model_copy(update=changes), VOICES, np.random.default_rng(0))


@pytest.fixture(scope="module")
def all_of_it() -> Augmenter:
    return Augmenter(AugmentSettings(room=1, tilt=1, band=1, noise=0.5, babble=0.5), VOICES, np.random.default_rng(0))


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(np.arange(int(seconds * RATE_HZ)) * 2 * np.pi * hz / RATE_HZ).astype(np.float32)


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.square(samples).mean()))


def test_one_seed_varies_in_one_way(all_of_it):
    clip = tone(300)
    first, again, other = (all_of_it.vary(clip, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or not np.array_equal(first, other)


def test_no_change_is_no_change():
    clip = tone(300)
    np.testing.assert_allclose(augmenter().vary(clip, np.random.default_rng(0)), clip, atol=1e-6)


@pytest.mark.slow
def test_clips_are_cropped_and_played_within_bounds(all_of_it):
    random = np.random.default_rng(0)
    for _ in range(20):
        varied = all_of_it.vary(tone(300, 8), random)
        assert varied.dtype == np.float32 and np.isfinite(varied).all()
        assert 4.99 * RATE_HZ < len(varied) <= 5 * RATE_HZ
    faster_or_slower = augmenter(speed=(0.85, 1.15))
    lengths = [len(faster_or_slower.vary(tone(300), random)) / RATE_HZ for _ in range(20)]
    assert 1 / 1.16 < min(lengths) < 0.95 and 1.05 < max(lengths) < 1 / 0.84


@pytest.mark.parametrize("kind", ["noise", "babble"])
def test_noise_is_as_loud_as_it_says(kind):
    clip = tone(300)
    noisy = augmenter(**{kind: 1.0, "snr_db": (10, 10)}).vary(clip, np.random.default_rng(3))
    assert abs(level_db(clip) - level_db(noisy - clip) - 10) < 0.1


def test_a_tilt_is_level_at_1_khz():
    random = np.random.default_rng(0)
    tilting = augmenter(tilt=1.0)
    for _ in range(5):
        state = random.bit_generator.state
        gains = []
        for hz in (500, 1000, 2000):
            random.bit_generator.state = state
            gains.append(level_db(tilting.vary(tone(hz), random)[1000:-1000]) - level_db(tone(hz)[1000:-1000]))
        assert abs(gains[1]) < 0.1 and abs(gains[0] + gains[2]) < 0.2 and abs(gains[2]) < 3.1


def test_a_limited_band_has_its_ends():
    limited = augmenter(band=1.0, lowest_hz=(200, 200), highest_hz=(4000, 4000))
    at = {
        hz: level_db(limited.vary(tone(hz), np.random.default_rng(0))) - level_db(tone(hz)) for hz in (100, 900, 7000)
    }
    assert abs(at[900]) < 0.1 and at[100] < -20 and at[7000] < -15


def test_a_room_keeps_the_beginning_and_adds_a_tail():
    clip = np.zeros(RATE_HZ, np.float32)
    clip[1000] = 1
    varied = augmenter(room=1.0, direct_to_reverberant_db=(0, 0)).vary(clip, np.random.default_rng(0))
    assert abs(varied[1000] - 1) < 1e-3 and np.abs(varied[:1000]).max() < 1e-3
    assert 0.9 < np.square(varied[1001:]).sum() < 1.01


def test_masks_are_within_bounds():
    random, masking = np.random.default_rng(0), augmenter()
    masks = [masking.draw_mask(300, random) for _ in range(50)]
    widths = [[last - first for first, last in stretches] for mask in masks for stretches in mask]
    assert all(len(two) == 2 for two in widths)
    assert max(map(max, widths[::2])) == 12 and max(map(max, widths[1::2])) == 25 and min(map(min, widths)) == 0
    assert all(0 <= first <= last <= N_MELS for mask in masks for first, last in mask.bands)
    short = [masking.draw_mask(20, random) for _ in range(50)]
    assert max(last - first for mask in short for first, last in mask.frames) == 4
    assert all(first == last for first, last in masking.draw_mask(1, random).frames)
