"""Statistics of a voice: against plain numpy, on tones whose pitch is known, and on all that is no voice."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor

from thymos.audio import Samples, read_waveform, resample
from thymos.encoder.level_mel import ChannelSettings, LevelMel, LevelMelSettings
from thymos.encoder.voice_statistics import (
    BAND_STEP,
    LAGS,
    LOG_CEPSTRA,
    MODULATIONS_HZ,
    N_CEPSTRA,
    PROSODY,
    QUANTILES,
    VoiceStatistics,
)

SETTINGS = LevelMelSettings()
RATE_HZ, BANDS = SETTINGS.rate_hz, SETTINGS.n_bands
FRAMES_PER_S = RATE_HZ / SETTINGS.hop
DESCRIPTORS = 3 * BANDS // BAND_STEP + N_CEPSTRA + LOG_CEPSTRA + len(PROSODY)
PITCH = DESCRIPTORS - 1
"""Place of the pitch among the descriptors: the last, as only voiced frames count for it."""
MEAN, SPREAD, SKEW, FIRST_QUANTILE, STEP, JUMP, SLOPE = 0, 1, 2, 3, 7, 8, 9
GROUPS = len(MODULATIONS_HZ) // 2
LOWEST_HZ = SETTINGS.band_centres_hz()[2, 0]

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def front_end() -> LevelMel:
    return LevelMel(SETTINGS)


@pytest.fixture(scope="module")
def statistics() -> VoiceStatistics:
    return VoiceStatistics(SETTINGS)


@pytest.fixture(scope="module")
def of_sound(front_end: LevelMel, statistics: VoiceStatistics) -> Callable[[Samples], Floats]:
    def made(samples: Samples) -> Floats:
        with torch.inference_mode():
            return statistics(front_end.levels(torch.from_numpy(samples)[None]))[0].double().numpy()

    return made


def moment(statistics: Floats, number: int, descriptor: int) -> float:
    return float(statistics[number * DESCRIPTORS + descriptor])


def wavering(statistics: Floats, word: str) -> Floats:
    """How much a prosodic descriptor wavers, for each group of rates."""
    first = 10 * DESCRIPTORS + GROUPS * PROSODY.index(word)
    return statistics[first : first + GROUPS]


def voice(hz: float | Floats, seconds: float = 1.0, tilt: float = 1.0, swell: float | Floats = 1.0) -> Samples:
    """Harmonics of a pitch that may move, each ``1 / number ** tilt`` as strong, over faint noise."""
    n_samples = round(seconds * RATE_HZ)
    pitch_hz = np.broadcast_to(hz, n_samples)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    sound = sum(np.sin(k * phase) / k**tilt * (k * pitch_hz < 7_500) for k in range(1, 21))
    noise = np.random.default_rng(0).normal(0, 1e-3, n_samples)
    return np.asarray(0.1 * swell * sound + noise, np.float32)


def times_s(seconds: float) -> Floats:
    return np.arange(round(seconds * RATE_HZ)) / RATE_HZ


def random_levels(batch: int, frames: int, bands: int = BANDS, seed: int = 0) -> Tensor:
    """Levels in dB of which some frames are speech and some not."""
    generator = torch.Generator().manual_seed(seed)
    loudness = -25 + 15 * torch.randn(batch, 1, 1, frames, generator=generator)
    return (loudness + 8 * torch.randn(batch, 3, bands, frames, generator=generator)).clamp(min=SETTINGS.floor_db)


@pytest.mark.parametrize("bands", [8, 12, 32, 79, 80])
def test_count_is_the_width(bands: int) -> None:
    statistics = VoiceStatistics(LevelMelSettings(n_bands=bands))
    for frames in (1, 40):
        assert statistics(random_levels(2, frames, bands)).shape == (2, statistics.count)


def test_a_batch_is_its_rows(statistics: VoiceStatistics) -> None:
    levels = random_levels(5, 60)
    together = statistics(levels)
    assert together.std(0).min() > 0, "else rows could be mixed up unseen"
    for alone, row in zip(levels, together, strict=True):
        torch.testing.assert_close(statistics(alone[None])[0], row, atol=1e-3, rtol=1e-4)


def test_descriptors_are_those_of_plain_numpy(statistics: VoiceStatistics) -> None:
    levels = random_levels(1, 50)
    found, prosody, speech, voiced = (part[0].double().numpy() for part in statistics.descriptors(levels))
    short, long, log = levels[0].double().numpy()
    cepstra = dct(short, axis=0)[:N_CEPSTRA] / BANDS
    cepstra[0] /= 2
    power = 10 ** (short / 10)
    level = 10 * np.log10(power.mean(0) + 1e-6)
    change = np.concatenate([[0], np.abs(np.diff(short, axis=1)).mean(0)])
    brightness = (power * np.linspace(0, 1, BANDS)[:, None]).sum(0) / power.sum(0)
    tilt = short[:25].mean(0) - short[45:].mean(0)
    own = np.stack([level, tilt, change, brightness])
    np.testing.assert_allclose(prosody[2:], own, atol=1e-3)
    log_cepstra = dct(log, axis=0)[1 : LOG_CEPSTRA + 1] / BANDS
    bands = np.concatenate([short[::BAND_STEP], long[::BAND_STEP], log[::BAND_STEP]])
    np.testing.assert_allclose(found, np.concatenate([bands, cepstra, log_cepstra, prosody[1:2], own]), atol=1e-3)
    np.testing.assert_allclose(speech[0], 1 / (1 + np.exp(-(level + 24) / 2)) + 1e-4, rtol=1e-3)
    usual = (speech[0] * prosody[1]).sum() / speech[0].sum()
    np.testing.assert_allclose(voiced[0], speech[0] / (1 + np.exp(-4 * (prosody[1] - usual))), rtol=1e-2, atol=1e-6)


def test_statistics_are_those_of_plain_numpy(statistics: VoiceStatistics) -> None:
    levels = random_levels(1, 45)
    descriptors, prosody, speech, voiced = (part[0].double().numpy() for part in statistics.descriptors(levels))
    found = statistics(levels)[0].double().numpy()
    weight = {True: voiced[0], False: speech[0]}
    assert speech.min() < 0.05 < 0.95 < speech.max(), "else weights would not matter"
    for place in range(DESCRIPTORS):
        values = prosody[0] if place == PITCH else descriptors[place]
        own = weight[place == PITCH]
        mean = np.average(values, weights=own)
        spread = np.sqrt(np.average((values - mean) ** 2, weights=own))
        standard = np.clip((values - mean) / spread, -6, 6)
        steps, pairs = np.diff(values), own[1:] * own[:-1]
        expected = [mean, spread, np.average(standard**3, weights=own)]
        for quantile in QUANTILES:
            some, share = values[::2], own[::2]
            below = [value for value in sorted(some) if share[some <= value].sum() >= quantile * share.sum()]
            expected.append(below[0])
        expected += [np.average(np.abs(steps), weights=pairs), np.sqrt(np.average(steps**2, weights=pairs))]
        expected.append(np.average((values - mean) * np.linspace(-0.5, 0.5, len(values)), weights=own))
        got = [moment(found, number, place) for number in range(10)]
        np.testing.assert_allclose(got, expected, atol=2e-3, rtol=1e-3, err_msg=f"descriptor {place}")
    n_frames = levels.shape[-1]
    for word, values in zip(PROSODY, prosody, strict=True):
        turns = np.exp(2j * np.pi * np.outer(MODULATIONS_HZ, np.arange(n_frames)) / FRAMES_PER_S)
        strength = np.abs(turns @ (values - values.mean()))
        expected = np.log(strength.reshape(-1, 2).mean(1) + 1)
        np.testing.assert_allclose(wavering(found, word), expected, atol=2e-3, err_msg=word)
    sums = np.array([speech.sum(), voiced.sum()])
    np.testing.assert_allclose(found[-4:], [*np.log(sums + 1), *(sums / n_frames)], rtol=1e-3)


def test_links_are_weighted_correlations_at_once_and_later_and_coskewness(statistics: VoiceStatistics) -> None:
    levels = random_levels(1, 45)
    descriptors, prosody, speech, _ = (part[0].double().numpy() for part in statistics.descriptors(levels))
    first = 3 * BANDS // BAND_STEP
    linked = np.concatenate([prosody, descriptors[first + 1 : first + N_CEPSTRA]])
    weights = speech[0] / speech.sum()
    centred = linked - (linked @ weights)[:, None]
    standard = centred / np.sqrt(centred**2 @ weights)[:, None]
    together = [standard[i] @ (weights * standard[j]) for i in range(25) for j in range(i + 1, 25)]
    leading = standard[:16]
    later = [(weights * leading)[:, lag:] @ leading[:, :-lag].T for lag in LAGS]
    near = leading.clip(-4, 4)
    assert (near != leading).any(), "else the limit would not matter"
    while_far = (weights * (near**2 - 1)) @ near.T
    found = statistics(levels)[0].double().numpy()[10 * DESCRIPTORS + GROUPS * len(PROSODY) : -4]
    expected = np.concatenate([together, *(links.ravel() for links in (*later, while_far))])
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_what_rises_and_falls_together_is_linked(of_sound: Callable[[Samples], Floats]) -> None:
    """Pitch and level are the first and the third of prosody: the second of all pairs."""
    swinging = np.sin(2 * np.pi * 1.5 * times_s(2))
    place = 10 * DESCRIPTORS + GROUPS * len(PROSODY) + 1
    for sign in (1, -1):
        sound = voice(200 * 2 ** (0.4 * swinging), 2, swell=1 + 0.6 * sign * swinging)
        assert sign * of_sound(sound)[place] > 0.5


@pytest.mark.parametrize("tilt", [0.5, 1.5], ids=["bright", "dull"])
@pytest.mark.parametrize("hz", [75.0, 110.0, 160.0, 235.0, 340.0, 450.0, 600.0, 800.0])
def test_a_tone_has_its_pitch(of_sound: Callable[[Samples], Floats], hz: float, tilt: float) -> None:
    found = of_sound(voice(hz, tilt=tilt))
    pitch = np.log2(hz / LOWEST_HZ)
    assert moment(found, MEAN, PITCH) == pytest.approx(pitch, abs=0.1)
    for number in range(len(QUANTILES)):
        assert moment(found, FIRST_QUANTILE + number, PITCH) == pytest.approx(pitch, abs=0.1)
    assert moment(found, SPREAD, PITCH) < 0.1


def test_loudness_is_not_heard(of_sound: Callable[[Samples], Floats]) -> None:
    sound = voice(180.0)
    np.testing.assert_allclose(of_sound(0.02 * sound), of_sound(sound), atol=0.05)


@pytest.mark.parametrize("octaves", [1.0, 0.4, -0.4, -1.0])
def test_a_gliding_tone_is_followed_and_its_slope_has_its_sign(
    front_end: LevelMel, statistics: VoiceStatistics, of_sound: Callable[[Samples], Floats], octaves: float
) -> None:
    sound = voice(170 * 2 ** (octaves * (times_s(1.5) / 1.5 - 0.5)), 1.5)
    pitch = statistics.descriptors(front_end.levels(torch.from_numpy(sound)[None]))[1][0, 0].numpy()
    inner = np.arange(4, len(pitch) - 4)
    expected = np.log2(170 / LOWEST_HZ) + octaves * (inner / FRAMES_PER_S / 1.5 - 0.5)
    np.testing.assert_allclose(pitch[inner], expected, atol=0.1)
    found = of_sound(sound)
    # The covariance of a line with time from -1/2 to 1/2 is a twelfth of its rise; clearer frames count for more.
    assert 0.3 < moment(found, SLOPE, PITCH) / (octaves / 12) < 1.2
    assert moment(found, STEP, PITCH) == pytest.approx(abs(octaves) / (1.5 * FRAMES_PER_S), rel=0.5)


def test_pitch_and_level_waver_at_their_rates(of_sound: Callable[[Samples], Floats]) -> None:
    vibrato_hz, tremolo_hz = MODULATIONS_HZ[21], MODULATIONS_HZ[9]
    turns = 2 * np.pi * times_s(3)
    found = of_sound(
        voice(200 * 2 ** (0.1 * np.sin(vibrato_hz * turns)), 3, swell=1 + 0.5 * np.sin(tremolo_hz * turns))
    )
    assert wavering(found, "pitch").argmax() == 21 // 2
    assert wavering(found, "level").argmax() == 9 // 2


def test_pauses_hardly_count(of_sound: Callable[[Samples], Floats]) -> None:
    """Silence as long as the speech moves a mean that weighs all frames alike by half, and this one by little."""
    sound = voice(180.0)
    with_pause = np.concatenate([sound, np.random.default_rng(1).normal(0, 1e-4, len(sound)).astype(np.float32)])
    alone, paused = of_sound(sound), of_sound(with_pause)
    assert moment(paused, MEAN, PITCH) == pytest.approx(moment(alone, MEAN, PITCH), abs=0.05)
    for word in ("level", "tilt", "brightness"):
        place = DESCRIPTORS - 6 + PROSODY.index(word) - 1
        share = 3.01 if word == "level" else 0  # the mean power is half, so speech lies 3 dB farther above it
        assert moment(paused, MEAN, place) - share == pytest.approx(moment(alone, MEAN, place), abs=1.5)
    np.testing.assert_allclose(paused[-2:], alone[-2:] / 2, rtol=0.1)


SOUNDS: dict[str, Samples] = {
    "silence": np.zeros(8_000, np.float32),
    "almost silence": np.full(8_000, 1e-30, np.float32),
    "one sample": np.array([0.5], np.float32),
    "two samples": np.array([0.5, -0.5], np.float32),
    "one frame": voice(200.0)[:255],
    "two frames": voice(200.0)[:256],
    "one frame of silence": np.zeros(100, np.float32),
    "a click": np.eye(1, 16_000, 7_000, dtype=np.float32)[0],
    "a constant": np.ones(8_000, np.float32),
    "clipped": np.sign(voice(200.0)),
    "far beyond full scale": 1e6 * voice(200.0),
    "silence, then sound": np.concatenate([np.zeros(80_000, np.float32), voice(200.0, 0.1)]),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_all_is_finite_whatever_is_heard(of_sound: Callable[[Samples], Floats], name: str) -> None:
    found = of_sound(SOUNDS[name])
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 1e3


@pytest.mark.parametrize("frames", [1, 2, 3, 400])
def test_all_is_finite_whatever_the_levels(statistics: VoiceStatistics, frames: int) -> None:
    floor = torch.full((1, 3, BANDS, frames), SETTINGS.floor_db)
    peak = floor.clone()
    peak[:, :, 7, frames // 2] = 40
    for levels in (floor, torch.zeros_like(floor), peak, random_levels(1, frames)):
        assert statistics(levels).isfinite().all()


def test_a_single_frame_has_no_spread_and_no_movement(statistics: VoiceStatistics) -> None:
    found = statistics(random_levels(1, 1))[0].double().numpy()
    for number in (SKEW, STEP, SLOPE):
        assert np.abs(found[number * DESCRIPTORS : (number + 1) * DESCRIPTORS]).max() < 1e-3
    for number in range(len(QUANTILES)):
        first = (FIRST_QUANTILE + number) * DESCRIPTORS
        np.testing.assert_allclose(found[first : first + DESCRIPTORS], found[:DESCRIPTORS], atol=1e-4)


def test_speech_is_heard_as_speech(mini, of_sound: Callable[[Samples], Floats]) -> None:
    clip = resample(read_waveform(mini / "sadness/s01 (1).opus"), RATE_HZ)
    found = of_sound(clip.samples)
    assert np.isfinite(found).all()
    assert 0.2 < found[-2] <= 1.01
    assert found[-1] < found[-2], "voiced frames are some of those with speech"
    assert 70 < LOWEST_HZ * 2 ** moment(found, MEAN, PITCH) < 450


def test_it_needs_the_channels_that_it_was_made_for() -> None:
    with pytest.raises(ValueError, match="two mel channels and a log channel"):
        VoiceStatistics(LevelMelSettings(channels=(ChannelSettings(window=512),)))
