"""Each variation alone does what it says, and nothing else."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from thymos.encoder.distortions import (
    DistortionSettings,
    add_noise,
    colour,
    distort,
    limit_band,
    places_of,
    reverberate,
    stretch_time,
    warp_bands,
)
from thymos.encoder.level_mel import ChannelSettings, LevelMelSettings, scale_levels

CHANNELS = (
    ChannelSettings(window=512),
    ChannelSettings(window=2048, scale="log", fmin_hz=60.0, fmax_hz=1_200.0),
)
FEATURES = LevelMelSettings(channels=CHANNELS, n_bands=20)
BANDS = FEATURES.n_bands
NONE = {
    "band_warp": 0, "time_stretch": 0, "colour_db": 0, "level_db": 0, "reverberated": 0, "noisy": 0, "band_limited": 0,
    "freq_masks": 0, "freq_width": 0, "time_masks": 0, "time_width": 0,
}  # fmt: skip
EACH: list[dict[str, Any]] = [
    {"band_warp": 0.2}, {"time_stretch": 0.3}, {"colour_db": 3}, {"level_db": 2}, {"reverberated": 1}, {"noisy": 1},
    {"band_limited": 1}, {"freq_masks": 2, "freq_width": 6}, {"time_masks": 2, "time_width": 9},
]  # fmt: skip


def only(**settings: Any) -> DistortionSettings:
    return DistortionSettings(**(NONE | settings))


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def speechlike(batch: int = 12, frames: int = 40) -> Tensor:
    return torch.randn(batch, 2, BANDS, frames, generator=torch.Generator().manual_seed(3)) * 15 - 20


def test_zeros_leave_the_scaled_picture_as_it_is() -> None:
    levels = speechlike()
    assert torch.equal(distort(levels, only(), FEATURES, generator()), scale_levels(levels, FEATURES))


@pytest.mark.parametrize("off", [{"freq_masks": 0}, {"freq_width": 0}, {"time_masks": 0}, {"time_width": 0}])
def test_masks_are_off_where_their_number_or_their_width_is_0(off: dict[str, int]) -> None:
    either = "freq" if "freq_masks" in off or "freq_width" in off else "time"
    settings = only(**({f"{either}_masks": 2, f"{either}_width": 9} | off))
    levels = speechlike()
    assert torch.equal(distort(levels, settings, FEATURES, generator()), scale_levels(levels, FEATURES))


@pytest.mark.parametrize("settings", EACH)
def test_the_generator_decides_and_nothing_else(settings: dict[str, Any]) -> None:
    levels = speechlike()
    before, state = levels.clone(), torch.get_rng_state()
    first = [distort(levels, only(**settings), FEATURES, random) for random in [generator(5)] * 6]
    again = [distort(levels, only(**settings), FEATURES, random) for random in [generator(5)] * 6]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    shapes_or_values = {(picture.shape, float(picture.double().sum())) for picture in first}
    assert len(shapes_or_values) > 1, "every batch is varied anew"
    assert torch.equal(levels, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("settings", [*EACH, {}, dict.fromkeys(("reverberated", "noisy", "band_limited"), 1)])
def test_nothing_lies_below_the_floor(settings: dict[str, Any]) -> None:
    everything = DistortionSettings(colour_db=20, level_db=30)
    for chosen in (only(**settings), everything):
        for levels in (speechlike() - 200, speechlike() + 60, torch.full((4, 2, BANDS, 24), -60.0)):
            pictures = distort(levels, chosen, FEATURES, generator())
            assert pictures.isfinite().all()
            assert pictures.min() >= FEATURES.floor - 1e-5


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 16, 17])
@pytest.mark.parametrize("n_bands", [8, 20])
def test_the_smallest_pictures_can_be_varied(frames: int, n_bands: int) -> None:
    everything = DistortionSettings(reverberated=1, noisy=1, band_limited=1, time_stretch=0)
    features = LevelMelSettings(channels=(ChannelSettings(window=512),), n_bands=n_bands)
    levels = torch.zeros(4, 1, n_bands, frames)
    assert distort(levels, everything, features, generator()).shape == levels.shape


def test_warps_move_bands_by_whole_percents_within_the_bound() -> None:
    ramp = torch.arange(BANDS).float()[:, None].expand(400, 2, BANDS, 3)
    warped = warp_bands(ramp, 0.05, generator())
    assert torch.equal(warped, warped[:, :1, :, :1].expand_as(warped)), "frames and channels are warped alike"
    percents = (warped[:, 0, 10, 0] / 10 - 1) * 100
    assert sorted({round(float(p)) for p in percents}) == list(range(-5, 6))
    for row, percent in zip(warped[:, 0, :, 0], percents, strict=True):
        expected = np.minimum(np.arange(BANDS) * (1 + round(float(percent)) / 100), BANDS - 1)
        np.testing.assert_allclose(row, expected, atol=1e-4)


def test_stretching_changes_the_time_and_leaves_the_bands() -> None:
    steady = torch.randn(4, 2, BANDS, 1).expand(4, 2, BANDS, 400)
    random = generator()
    lengths = []
    for _ in range(60):
        stretched = stretch_time(steady, 0.1, random)
        torch.testing.assert_close(stretched, steady[..., :1].expand_as(stretched))
        lengths.append(stretched.shape[-1])
    assert 0.3 < np.mean([length == 400 for length in lengths]) < 0.7
    assert all(length % 8 == 0 and 360 <= length <= 440 for length in lengths)
    assert len(set(lengths)) > 4
    rising = torch.arange(400.0).expand(1, 1, BANDS, 400)
    random = generator(1)
    longer = next(it for _ in range(60) if (it := stretch_time(rising, 0.1, random)).shape[-1] != 400)
    step = longer[0, 0, 0].diff()[20:-20]
    assert step == pytest.approx(400 / longer.shape[-1], rel=1e-3)


def test_a_colour_is_smooth_over_frequency_and_the_same_all_the_time() -> None:
    levels, places = speechlike(400, 5), places_of(FEATURES)
    added = colour(levels, 3.0, 0.0, places, generator()) - levels
    torch.testing.assert_close(added, added[..., :1].expand_as(added), atol=1e-4, rtol=0)
    curves = added[..., 0].reshape(400, -1).double().numpy()
    cosines = np.cos(np.pi * np.arange(1, 5)[:, None] * places.reshape(1, -1))
    weights, *_ = np.linalg.lstsq(cosines.T, curves.T, rcond=None)
    np.testing.assert_allclose(weights.T @ cosines, curves, atol=1e-4)
    coloured = np.abs(curves).max(1) > 1e-3
    assert 0.6 < coloured.mean() < 0.8
    assert weights[:, coloured].std(1) == pytest.approx(3.0 / np.arange(1, 5), rel=0.2)


def test_a_level_is_one_number_for_each_picture() -> None:
    levels = speechlike(400, 5)
    added = colour(levels, 0.0, 2.0, places_of(FEATURES), generator()) - levels
    torch.testing.assert_close(added, added[:, :1, :1, :1].expand_as(added), atol=1e-4, rtol=0)
    assert added[:, 0, 0, 0].std() == pytest.approx(2.0, rel=0.15)


def test_reverberation_is_an_exponential_tail_after_a_sound_in_its_own_band() -> None:
    levels = torch.full((300, 2, BANDS, 80), -60.0)
    levels[:, :, 5, 20] = 20
    heard = reverberate(levels, FEATURES, generator())
    assert (heard[:, :, 5, :20] < -55).all(), "nothing before the sound"
    assert (heard[:, :, 6:] < -55).all(), "nothing in other bands"
    tail = heard[:, 0, 5, 21:27]
    assert (tail > -45).any(dim=1).float().mean() > 0.9
    slope_db = (tail[:, 0] - tail[:, 1]).double().numpy()
    reverberation_s = 60 / slope_db * FEATURES.hop / FEATURES.rate_hz
    audible = (tail[:, 1] > -30).numpy()
    assert audible.sum() > 100
    assert reverberation_s[audible].min() > 0.099
    assert reverberation_s[audible].max() < 0.75
    direct_db = heard[:, 0, 5, 20]
    assert (direct_db < 24).all()
    assert (direct_db > 17).all()


def test_noise_adds_power_where_it_is_quiet_and_hardly_any_where_it_is_loud() -> None:
    quiet, loud = torch.full((300, 2, BANDS, 10), -60.0), torch.full((300, 2, BANDS, 10), 40.0)
    heard = add_noise(quiet, places_of(FEATURES), generator())
    assert (heard >= -60.001).all()
    middle = heard.mean(dim=(-1, -2, -3))
    assert middle.quantile(0.05) < -40
    assert middle.quantile(0.95) > -15
    assert (add_noise(loud, places_of(FEATURES), generator()) - loud).max() < 0.5
    wavering = (heard[middle > -40] - heard[middle > -40].mean(dim=-1, keepdim=True)).std()
    assert 1.5 < wavering < 2.2


def test_a_limited_band_is_silent_outside_and_untouched_inside() -> None:
    levels = speechlike(600, 3).clamp(min=-59)
    heard = limit_band(levels, FEATURES, generator())
    silent = heard == FEATURES.floor_db
    assert torch.equal(silent, silent[..., :1].expand_as(silent))
    assert torch.equal(heard[~silent], levels[~silent])
    centres_hz = FEATURES.band_centres_hz()[0]
    gone = silent[:, 0, :, 0].numpy()
    high, low = centres_hz > 1_000, centres_hz < 400
    assert not gone[:, (centres_hz > 350) & (centres_hz < 2_500)].any()
    for row in gone:
        assert (np.diff(row[high].astype(int)) >= 0).all(), "all above one frequency"
        assert (np.diff(row[low].astype(int)) <= 0).all(), "all below one frequency"
    limited_below = silent[:, 1, 0, 0].float().mean()
    assert 0.3 < limited_below < 0.45


def changed(settings: dict[str, int], frames: int = 60) -> tuple[NDArray[np.bool_], Tensor, Tensor]:
    levels = speechlike(200, frames)
    pictures, scaled = distort(levels, only(**settings), FEATURES, generator()), scale_levels(levels, FEATURES)
    return (pictures != scaled).any(dim=1).numpy(), pictures, scaled


def test_masks_hide_bands_or_frames_with_the_mean() -> None:
    hidden, pictures, scaled = changed({"freq_masks": 2, "freq_width": 4})
    bands = hidden.any(axis=2)
    assert (hidden.sum((1, 2)) == bands.sum(1) * 60).all()
    assert bands.sum(1).max() == 8
    means = scaled.mean(dim=(-2, -1), keepdim=True).expand_as(scaled)
    where = torch.from_numpy(bands)[:, None, :, None].expand_as(pictures)
    torch.testing.assert_close(pictures[where], means[where])
    hidden, _, _ = changed({"time_masks": 2, "time_width": 7})
    frames = hidden.any(axis=1)
    assert (hidden.sum((1, 2)) == frames.sum(1) * BANDS).all()
    assert frames.sum(1).max() == 14


# A fifth of the highest frequencies lie above all bands.
@pytest.mark.parametrize(("what", "seen"), [("reverberated", 0.3), ("noisy", 0.3), ("band_limited", 0.26)])
def test_shares_are_shares(what: str, seen: float) -> None:
    levels = speechlike(1000, 8)
    pictures = distort(levels, only(**{what: 0.3}), FEATURES, generator())
    share = (pictures != scale_levels(levels, FEATURES)).flatten(1).any(dim=1).float().mean()
    assert share == pytest.approx(seen, abs=0.04)
