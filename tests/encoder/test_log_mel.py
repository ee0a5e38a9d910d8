"""Whisper's log-mel: as librosa makes its parts, and the same alone and in a batch."""

import librosa
import numpy as np
import torch

from thymos.encoder.log_mel import HOP, LEVEL_DB, N_MELS, RATE_HZ, WINDOW, WhisperLogMel, at_level, mel_filters

LOG_MEL = WhisperLogMel()


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """Noise that swells, so that its beginning lies below the range."""
    random = np.random.default_rng(seed)
    return random.normal(0, 1e-7, samples) + random.normal(0, 0.1 * np.linspace(0, 1, samples) ** 4)


def batch(*clips: np.ndarray, filling: float = 7.0) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(clip) for clip in clips])
    waveforms = torch.full((len(clips), int(lengths.max())), filling)
    for row, clip in zip(waveforms, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    return waveforms, lengths


def test_filters_are_slaneys():
    expected = librosa.filters.mel(sr=RATE_HZ, n_fft=WINDOW, n_mels=N_MELS)
    np.testing.assert_allclose(mel_filters(), expected, atol=1e-8)


def test_spectrogram_is_whispers():
    clip = noise(20_123).astype(np.float32)
    # Whisper pads with silence, mirrors the beginning, and takes periodic Hann windows.
    padded = np.pad(np.pad(clip, (0, RATE_HZ)), (WINDOW // 2, 0), "reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    windows = np.stack([padded[i * HOP : i * HOP + WINDOW] * window for i in range(125)], 1)
    power = np.abs(np.fft.rfft(windows, axis=0)) ** 2
    logarithms = np.log10(np.maximum(mel_filters() @ power, 1e-10))
    expected = (np.maximum(logarithms, logarithms.max() - 8) + 4) / 4
    values, frames = LOG_MEL(*batch(clip))
    assert frames.tolist() == [125]
    assert values.shape == (1, N_MELS, 125)
    np.testing.assert_allclose(values[0], expected, atol=2e-5)


def test_a_clip_is_the_same_alone_and_in_a_batch():
    clips = [noise(length, length).astype(np.float32) * gain for length, gain in ((9000, 1), (4001, 0.01), (150, 1))]
    together = LOG_MEL(*batch(*clips))
    for clip, values, frames in zip(clips, *together, strict=True):
        alone, n = LOG_MEL(*batch(clip))
        assert frames == n[0] == max(1, len(clip) // HOP)
        torch.testing.assert_close(values[:, :frames], alone[0, :, :frames], atol=1e-5, rtol=0)
        assert not values[:, frames:].any()


def test_a_spectrogram_ends_80_db_below_its_loudest():
    values, _ = LOG_MEL(*batch(noise(16_000).astype(np.float32)))
    assert abs(float(values.max() - values.min()) - 2) < 1e-6


def test_level_is_the_same_for_all_but_silence():
    quiet, offset, silence = noise(5000) * 1e-3, noise(4000) + 0.3, np.zeros(3000)
    waveforms, lengths = batch(*(clip.astype(np.float32) for clip in (quiet, offset, silence)))
    levelled = at_level(waveforms, lengths)
    power = levelled.square().sum(1) / lengths
    torch.testing.assert_close(10 * power[:2].log10(), torch.full((2,), LEVEL_DB), atol=0.01, rtol=0)
    assert not levelled[2].any()
    assert not levelled[1, 4000:].any()
    assert abs(float(levelled[1].sum() / 4000)) < 1e-6
