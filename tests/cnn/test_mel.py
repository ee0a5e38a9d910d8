from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from thymos.audio import Samples, cut, normalise_peak, read_waveform, resample, study_spans
from thymos.audio.mel_scale import mel_filterbank
from thymos.cnn.front_end import LogMel, PowerSpectrogram, front_end, power_to_db
from thymos.cnn.recipe import FeatureSettings, SoundSettings

RATE_HZ = 44_100
N_FFT, HOP, N_MELS = 2048, 1024, 128
MINI_CLIPS = ["anger/a01 (1).opus", "happiness/h03 (4).opus", "sadness/s05 (6).opus"]
REAL_CLIPS = ["anger/a06 (5)b.flac", "disgust/d03 (01).flac", "fear/f18 (5).flac", "sadness/s19 (6).flac"]


def segments_of(path: Path) -> Samples:
    """Segments as the study's recipe cuts them."""
    samples = normalise_peak(resample(read_waveform(path), RATE_HZ).samples)
    return cut(samples, study_spans(len(samples), 3 * RATE_HZ))


def librosa_log_mel(segment: Samples, rate_hz: int = RATE_HZ, **settings: float) -> NDArray[np.float32]:
    power = librosa.feature.melspectrogram(
        y=segment, sr=rate_hz, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, **settings
    )
    return librosa.power_to_db(power, ref=1.0)


def assert_parity(segments: Samples) -> None:
    ours = LogMel(RATE_HZ, N_FFT, HOP, N_MELS)(torch.from_numpy(segments)).numpy()
    for spectrogram, segment in zip(ours, segments, strict=True):
        np.testing.assert_allclose(spectrogram, librosa_log_mel(segment), atol=1e-3, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("clip", MINI_CLIPS)
def test_spectrograms_are_librosas_on_synthetic_speech(mini: Path, clip: str) -> None:
    assert_parity(segments_of(mini / clip))


@pytest.mark.real
@pytest.mark.parametrize("clip", REAL_CLIPS)
def test_spectrograms_are_librosas_on_real_speech(aesdd: Path, clip: str) -> None:
    assert_parity(segments_of(aesdd / clip))


def test_spectrograms_are_librosas_on_silence_noise_and_clicks() -> None:
    rng = np.random.default_rng(0)
    click = np.zeros(3 * RATE_HZ, np.float32)
    click[70_000] = 1
    assert_parity(np.stack([np.zeros_like(click), rng.uniform(-1, 1, click.size).astype(np.float32), click]))


@pytest.mark.parametrize(
    ("rate_hz", "n_fft", "n_mels", "fmin_hz", "fmax_hz"),
    [(44_100, 2048, 128, 0.0, None), (16_000, 512, 40, 20.0, 7600.0), (22_050, 2048, 256, 300.0, 8000.0)],
)
@pytest.mark.filterwarnings("ignore:Empty filters")
def test_filters_are_librosas(rate_hz: int, n_fft: int, n_mels: int, fmin_hz: float, fmax_hz: float | None) -> None:
    ours = mel_filterbank(rate_hz, n_fft, n_mels, fmin_hz, fmax_hz)
    theirs = librosa.filters.mel(sr=rate_hz, n_fft=n_fft, n_mels=n_mels, fmin=fmin_hz, fmax=fmax_hz, dtype=np.float64)
    assert ours.shape == (n_mels, n_fft // 2 + 1)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_the_window_is_rounded_once() -> None:
    # A window computed in single precision costs the faint bands of real speech 1e-3 dB.
    exact = librosa.filters.get_window("hann", N_FFT).astype(np.float32)
    np.testing.assert_array_equal(PowerSpectrogram(N_FFT, HOP).window.numpy(), exact)


def test_power_is_librosas() -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, RATE_HZ).astype(np.float32)
    ours = PowerSpectrogram(N_FFT, HOP)(torch.from_numpy(noise)[None]).numpy()[0]
    theirs = np.abs(librosa.stft(noise, n_fft=N_FFT, hop_length=HOP)) ** 2
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("top_db", [None, 80.0, 30.0])
def test_decibels_are_librosas(top_db: float | None) -> None:
    power = np.random.default_rng(0).uniform(0, 1, (1, 8, 9)).astype(np.float32) ** 30
    np.testing.assert_allclose(
        power_to_db(torch.from_numpy(power), top_db).numpy(), librosa.power_to_db(power, top_db=top_db), atol=1e-4
    )


def test_three_seconds_are_128_by_130() -> None:
    module = front_end(SoundSettings(), FeatureSettings())
    assert module(torch.zeros(2, 3 * RATE_HZ)).shape == (2, 1, 128, 130)


def test_a_spectrogram_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    rng = np.random.default_rng(0)
    batch = torch.from_numpy(rng.uniform(-1, 1, (3, RATE_HZ)).astype(np.float32))
    batch[1] *= 1e-4  # far below the others' maximum, so a floor under the whole batch would show
    module = LogMel(RATE_HZ)
    together = module(batch)
    for alone, spectrogram in zip(batch, together, strict=True):
        torch.testing.assert_close(module(alone[None])[0], spectrogram, atol=1e-4, rtol=0)


def test_settings_reach_the_spectrogram() -> None:
    noise = np.random.default_rng(1).uniform(-1, 1, 16_000).astype(np.float32)
    settings = FeatureSettings(fmin_hz=100.0, fmax_hz=7000.0)
    ours = front_end(SoundSettings(rate_hz=16_000, window_s=1.0), settings)(torch.from_numpy(noise)[None])
    theirs = librosa_log_mel(noise, 16_000, fmin=100.0, fmax=7000.0)
    np.testing.assert_allclose(ours[0, 0].numpy(), theirs, atol=1e-3, rtol=0)
