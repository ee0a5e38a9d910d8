"""The front end of whole recordings, against librosa and against Fourier transforms frame by frame."""

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from thymos.audio import Samples
from thymos.encoder.level_mel import ChannelSettings, LevelMel, LevelMelSettings, band_edges_hz, scale_levels

SETTINGS = LevelMelSettings()
RATE_HZ, HOP, BANDS = SETTINGS.rate_hz, SETTINGS.hop, SETTINGS.n_bands
FAINT_DB = 0.02
"""What float32 may cost the faintest bands of the longest window, far below a voice's harmonics."""


@pytest.fixture(scope="module")
def front_end() -> LevelMel:
    return LevelMel(SETTINGS)


@pytest.fixture(scope="module")
def sound() -> Samples:
    """1.5 s of harmonics that glide and swell, over noise."""
    times_s = np.arange(24_123) / RATE_HZ
    random = np.random.default_rng(0)
    phase = 2 * np.pi * (140 * times_s + 30 * times_s**2)
    voice = sum(np.sin(k * phase) / k for k in range(1, 20)) * (1.2 + np.sin(9 * times_s))
    return np.asarray(0.1 * voice + random.normal(0, 0.003, len(times_s)), np.float32)


def levels_of(front_end: LevelMel, samples: Samples) -> NDArray[np.float32]:
    """Levels of one recording in dB: shape ``(channels, bands, frames)``."""
    with torch.inference_mode():
        return front_end.levels(torch.from_numpy(np.atleast_2d(samples)))[0].numpy()


def librosas_power(samples: Samples, window: int, n_fft: int) -> NDArray[np.float32]:
    power = librosa.feature.melspectrogram(
        y=samples.astype(np.float64), sr=RATE_HZ, n_fft=n_fft, win_length=window, hop_length=HOP, window="hann",
        center=True, pad_mode="constant", power=2, n_mels=BANDS, fmin=50.0, fmax=7_600.0,
    )  # fmt: skip
    return power / np.sum(librosa.filters.get_window("hann", window) ** 2)


def power_by_fft(samples: Samples, channel: ChannelSettings, n_fft: int) -> NDArray[np.float64]:
    """Power in bands on the octave scale, one frame and one band at a time."""
    half = n_fft // 2
    padded = np.concatenate([np.zeros(half), samples.astype(np.float64), np.zeros(half)])
    window = np.hanning(channel.window + 1)[:-1]
    offset = (n_fft - channel.window) // 2
    bins_hz = np.arange(half + 1) * RATE_HZ / n_fft
    ratio = (channel.fmax_hz / channel.fmin_hz) ** (1 / (BANDS + 1))
    frames = []
    for start in range(0, len(samples) + 1, HOP):
        frame = np.zeros(n_fft)
        frame[offset : offset + channel.window] = padded[start : start + n_fft][offset : offset + channel.window]
        frame[offset : offset + channel.window] *= window
        power = np.abs(np.fft.rfft(frame)) ** 2 / np.sum(window**2)
        bands = []
        for band in range(1, BANDS + 1):
            peak_hz = channel.fmin_hz * ratio**band
            width_hz = max((peak_hz * ratio - peak_hz / ratio) / 2, RATE_HZ / n_fft)
            bands.append(sum(power * np.maximum(0, 1 - np.abs(bins_hz - peak_hz) / width_hz)) / width_hz)
        frames.append(bands)
    return np.array(frames).T


def in_db(power: NDArray[np.floating], mean: float) -> NDArray[np.floating]:
    return np.maximum(10 * np.log10(power / mean), SETTINGS.floor_db)


def test_the_mel_channels_are_librosas_in_db_beside_the_first_ones_mean(front_end: LevelMel, sound: Samples) -> None:
    levels = levels_of(front_end, sound)
    mean = librosas_power(sound, 400, 512).mean()
    for channel, (window, n_fft) in enumerate(((400, 512), (1024, 1024))):
        expected = in_db(librosas_power(sound, window, n_fft), mean)
        assert expected.min() > SETTINGS.floor_db, "else the floor hides a difference"
        np.testing.assert_allclose(levels[channel], expected, atol=2e-3, rtol=0)


def test_the_log_channel_is_that_of_a_fourier_transform_of_each_frame(front_end: LevelMel, sound: Samples) -> None:
    mean = librosas_power(sound, 400, 512).mean()
    expected = in_db(power_by_fft(sound, SETTINGS.channels[2], 2048), mean)
    assert np.ptp(expected) > 40
    np.testing.assert_allclose(levels_of(front_end, sound)[2], expected, atol=FAINT_DB, rtol=0)


def test_mel_bands_peak_where_librosas_do_and_log_bands_are_as_wide_in_octaves() -> None:
    centres_hz = SETTINGS.band_centres_hz()
    librosas = librosa.mel_frequencies(BANDS + 2, fmin=50.0, fmax=7_600.0)
    for centres in centres_hz[:2]:
        np.testing.assert_allclose(centres, librosas[1:-1], rtol=1e-9)
    np.testing.assert_allclose(np.diff(np.log2(centres_hz[2])), np.log2(1200 / 60) / (BANDS + 1), rtol=1e-9)
    edges_hz = band_edges_hz(SETTINGS.channels[2], BANDS)
    assert edges_hz[[0, -1]] == pytest.approx([60, 1200])


def test_an_octave_is_the_same_shift_wherever_a_tone_lies(front_end: LevelMel) -> None:
    times_s = np.arange(RATE_HZ) / RATE_HZ
    loudest = [
        levels_of(front_end, np.sin(2 * np.pi * hz * times_s).astype(np.float32))[2, :, 30].argmax()
        for hz in (150, 300, 600)
    ]
    octave = (BANDS + 1) / np.log2(1200 / 60)
    assert np.diff(loudest) == pytest.approx(octave, abs=1)


@pytest.mark.parametrize("gain", [0.05, 0.3, 30.0])
def test_loudness_does_not_matter(front_end: LevelMel, sound: Samples, gain: float) -> None:
    picture = levels_of(front_end, sound)
    np.testing.assert_allclose(levels_of(front_end, sound * np.float32(gain)), picture, atol=FAINT_DB, rtol=0)


@pytest.mark.parametrize("samples", [1, 2, 127, 255, 256, 257, 400, 511, 512, 1000, 4096])
def test_any_length_has_the_frames_that_the_settings_say(front_end: LevelMel, samples: int) -> None:
    noise = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    picture = front_end(torch.from_numpy(noise)[None])
    assert picture.shape == (1, 3, BANDS, SETTINGS.frames(samples)) == (1, 3, BANDS, 1 + samples // 256)
    assert picture.isfinite().all()


def test_a_frame_sees_what_lies_around_it_and_nothing_else(front_end: LevelMel, sound: Samples) -> None:
    """Frame t is centred at sample t × hop: the longest window reaches 1024 samples either way."""
    other = sound.copy()
    at = 40 * HOP
    other[at] += 0.5
    power = front_end.power(torch.from_numpy(np.stack([sound, other])))
    for spectrum, reach in zip(power.unbind(1), (200, 512, 1024), strict=True):
        changed = np.flatnonzero((spectrum[0] != spectrum[1]).any(dim=0))
        assert changed.min() == 40 - (reach - 1) // HOP
        assert changed.max() == 40 + (reach - 1) // HOP


def test_a_batch_is_its_recordings_one_by_one(front_end: LevelMel, sound: Samples) -> None:
    batch = torch.from_numpy(np.stack([sound, 1e-2 * sound[::-1], np.roll(sound, 5000) ** 2]))
    together = front_end(batch)
    for alone, picture in zip(batch, together, strict=True):
        torch.testing.assert_close(front_end(alone[None])[0], picture, atol=1e-4, rtol=0)


def test_pictures_are_scaled_levels_and_never_below_the_floor(front_end: LevelMel, sound: Samples) -> None:
    half_silent = np.concatenate([sound, np.zeros(12_000, np.float32)])
    picture = front_end(torch.from_numpy(half_silent)[None])
    levels = levels_of(front_end, half_silent)
    np.testing.assert_allclose(picture[0].numpy() * SETTINGS.spread_db + SETTINGS.centre_db, levels, atol=1e-4)
    assert picture[..., -5:].max() == picture.min() == pytest.approx(SETTINGS.floor)
    assert scale_levels(torch.tensor([-200.0, -60.0, -22.0, -4.0]), SETTINGS).tolist() == pytest.approx(
        [SETTINGS.floor, SETTINGS.floor, 0, 1]
    )


def test_a_whisper_is_the_picture_of_a_shout_and_digital_silence_that_of_nothing(
    front_end: LevelMel, sound: Samples
) -> None:
    np.testing.assert_allclose(levels_of(front_end, 1e-4 * sound), levels_of(front_end, sound), atol=FAINT_DB)
    np.testing.assert_allclose(levels_of(front_end, np.zeros(8_000, np.float32)), SETTINGS.floor_db, atol=1e-4)


def test_speech_is_scaled_to_about_zero_and_one(mini, front_end: LevelMel) -> None:
    from thymos.audio import read_waveform, resample

    samples = resample(read_waveform(mini / "anger/a01 (1).opus"), RATE_HZ).samples
    picture = front_end(torch.from_numpy(samples)[None])
    assert abs(picture.mean()) < 1
    assert 0.5 < picture.std() < 1.5


def test_seconds_in_frames() -> None:
    assert SETTINGS.frames_in(5.0) == 312
    assert SETTINGS.frames_in(0.016) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hop": 200}, "power of two"),
        ({"channels": []}, "at least 1"),
        ({"channels": [{"window": 401}]}, "multiple of 2"),
        ({"channels": [{"window": 400, "scale": "log"}]}, "begin with a mel channel"),
        ({"channels": [{"window": 400, "fmin_hz": 8000.0}]}, "above fmin_hz"),
        ({"channels": [{"window": 400}, {"window": 400, "scale": "log", "fmax_hz": 8001.0}]}, "above half of rate_hz"),
        ({"rate_hz": 8000}, "above half of rate_hz"),
        ({"floor_db": 0.0}, "less than 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        LevelMelSettings.model_validate(changes)
