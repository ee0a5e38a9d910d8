import math
from functools import cache
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from thymos.audio import cut, normalise_peak, read_waveform, resample, study_spans
from thymos.cnn.front_end import LogMel, MelMfccChroma, chroma_filterbank, front_end, repeat_rows
from thymos.cnn.networks import build_model
from thymos.cnn.recipe import FeatureSettings, SoundSettings
from thymos.errors import RecipeError
from thymos.recipes import load_recipe

MINI = Path(__file__).parents[2] / "data" / "mini-aesdd"
SOUND = SoundSettings()
KINDS = ("mel", "mfcc", "chroma", "mel_mfcc_chroma")
SHAPES = {"mel": (1, 128, 130), "mfcc": (3, 40, 130), "chroma": (1, 12, 130), "mel_mfcc_chroma": (3, 128, 130)}
# Float32 against librosa's own float32: spectra differ in their last bits. MFCCs reach several hundred.
MFCC_TOLERANCE, DELTA_TOLERANCE, CHROMA_TOLERANCE = 3e-3, 5e-4, 1e-5


@cache
def segments() -> NDArray[np.float32]:
    """One clip of each emotion, cut as the study cuts: shape ``(segments, samples)``."""
    folders = sorted(folder for folder in MINI.iterdir() if folder.is_dir())
    clips = [sorted(folder.glob("*.opus"))[0] for folder in folders]
    waves = [normalise_peak(resample(read_waveform(clip), SOUND.rate_hz).samples) for clip in clips]
    return np.concatenate([cut(wave, study_spans(len(wave), SOUND.window)) for wave in waves])


def spectrograms(samples: NDArray[np.float32], features: FeatureSettings) -> NDArray[np.float32]:
    with torch.inference_mode():
        return front_end(SOUND, features)(torch.from_numpy(samples)).numpy()


def librosa_mfcc(samples: NDArray[np.float32], n_mfcc: int) -> NDArray[np.float32]:
    return librosa.feature.mfcc(y=samples, sr=SOUND.rate_hz, n_mfcc=n_mfcc, n_fft=2048, hop_length=1024, n_mels=128)


def librosa_chroma(samples: NDArray[np.float32], n_chroma: int = 12) -> NDArray[np.float32]:
    return librosa.feature.chroma_stft(
        y=samples, sr=SOUND.rate_hz, n_fft=2048, hop_length=1024, n_chroma=n_chroma, tuning=0.0
    )


@pytest.mark.slow
@pytest.mark.parametrize("n_mfcc", [13, 40])
def test_mfcc_and_deltas_are_librosas(n_mfcc: int) -> None:
    ours = spectrograms(segments(), FeatureSettings(kind="mfcc", n_mfcc=n_mfcc))
    for samples, (mfcc, delta, delta_delta) in zip(segments(), ours, strict=True):
        expected = librosa_mfcc(samples, n_mfcc)
        np.testing.assert_allclose(mfcc, expected, rtol=0, atol=MFCC_TOLERANCE)
        np.testing.assert_allclose(delta, librosa.feature.delta(expected), rtol=0, atol=DELTA_TOLERANCE)
        twice = librosa.feature.delta(expected, order=2)
        np.testing.assert_allclose(delta_delta, twice, rtol=0, atol=DELTA_TOLERANCE)


def test_without_deltas_the_coefficients_are_the_same() -> None:
    alone = spectrograms(segments(), FeatureSettings(kind="mfcc", deltas=False))
    np.testing.assert_array_equal(alone[:, 0], spectrograms(segments(), FeatureSettings(kind="mfcc"))[:, 0])


@pytest.mark.parametrize("n_chroma", [12, 24])
def test_chroma_is_librosas(n_chroma: int) -> None:
    ours = spectrograms(segments(), FeatureSettings(kind="chroma", n_chroma=n_chroma))
    for samples, chroma in zip(segments(), ours[:, 0], strict=True):
        expected = librosa_chroma(samples, n_chroma)
        np.testing.assert_allclose(chroma, expected, rtol=0, atol=CHROMA_TOLERANCE)


@pytest.mark.parametrize(("rate_hz", "n_fft", "n_chroma"), [(44_100, 2048, 12), (16_000, 512, 12), (22_050, 4096, 36)])
def test_chroma_filters_are_librosas(rate_hz: int, n_fft: int, n_chroma: int) -> None:
    expected = librosa.filters.chroma(sr=rate_hz, n_fft=n_fft, n_chroma=n_chroma, dtype=np.float64)
    np.testing.assert_allclose(chroma_filterbank(rate_hz, n_fft, n_chroma), expected, rtol=0, atol=1e-12)


def test_a_tone_of_440_hz_is_an_a() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(SOUND.window) / SOUND.rate_hz).astype(np.float32)
    chroma = spectrograms(tone[None], FeatureSettings(kind="chroma"))[0, 0]
    assert set(chroma[:, 5:-5].argmax(axis=0)) == {9}


def test_the_three_channels_are_librosas_scaled_and_stretched() -> None:
    ours = spectrograms(segments(), FeatureSettings(kind="mel_mfcc_chroma"))
    mel_db = LogMel(SOUND.rate_hz)(torch.from_numpy(segments())).numpy()
    np.testing.assert_allclose(ours[:, 0], (mel_db + 30) / 20, rtol=0, atol=1e-5)
    for samples, (_, mfcc, chroma) in zip(segments(), ours, strict=True):
        expected = librosa_mfcc(samples, 40)
        expected[0] += 30 * math.sqrt(128)
        expected *= np.arange(1, 41)[:, None] / (9 * math.sqrt(128))
        np.testing.assert_allclose(mfcc, expected[np.arange(128) * 40 // 128], rtol=0, atol=1e-3)
        expected = 2 * librosa_chroma(samples) - 1
        np.testing.assert_allclose(chroma, expected[np.arange(128) * 12 // 128], rtol=0, atol=2 * CHROMA_TOLERANCE)


def test_the_three_channels_have_about_one_scale() -> None:
    spreads = spectrograms(segments(), FeatureSettings(kind="mel_mfcc_chroma")).std(axis=(0, 2, 3))
    assert spreads.min() > 0.4
    assert spreads.max() < 2.5


def test_mel_is_what_log_mel_gives() -> None:
    expected = LogMel(SOUND.rate_hz)(torch.from_numpy(segments())).numpy()
    np.testing.assert_array_equal(spectrograms(segments(), FeatureSettings())[:, 0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes(kind: str) -> None:
    ours = spectrograms(segments(), FeatureSettings(kind=kind))
    assert ours.dtype == np.float32
    assert ours.shape == (len(segments()), *SHAPES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_segment_is_the_same_alone_and_in_a_batch(kind: str) -> None:
    features = FeatureSettings(kind=kind)
    alone = np.concatenate([spectrograms(samples[None], features) for samples in segments()])
    # The quietest bands are 80 dB down: there, one rounding of the spectrum is worth about 1e-4 dB.
    np.testing.assert_allclose(spectrograms(segments(), features), alone, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_silence_gives_finite_values(kind: str) -> None:
    silence = np.zeros((1, SOUND.window), np.float32)
    assert np.isfinite(spectrograms(silence, FeatureSettings(kind=kind))).all()


def test_repeated_rows_keep_their_order() -> None:
    rows = repeat_rows(torch.tensor([[[0.0], [1.0], [2.0]]]), 7)
    assert rows.flatten().tolist() == [0, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("name", ["mfcc", "chroma", "mel_mfcc_chroma"])
def test_shipped_recipe_has_a_network_for_its_spectrograms(name: str) -> None:
    recipe = load_recipe(name)
    ours = front_end(recipe.sound, recipe.features)(torch.from_numpy(segments()[:2]))
    assert recipe.name == recipe.features.kind == name
    logits = build_model(recipe.model, tuple(ours.shape[1:]), 5)(ours)
    logits.sum().backward()
    assert logits.shape == (2, 5)
    base = load_recipe("model3")
    assert (recipe.sound, recipe.training) == (base.sound, base.training)


@pytest.mark.parametrize("change", ["features.n_mfcc=200", "features.n_mels=32"])
def test_more_coefficients_than_mels_are_refused(change: str) -> None:
    with pytest.raises(RecipeError, match=r"features\.n_mfcc: should be at most n_mels, (128|32), not (200|40)"):
        load_recipe("mfcc", [change])


def test_chroma_steps_are_a_multiple_of_twelve() -> None:
    with pytest.raises(ValidationError, match="multiple of 12"):
        FeatureSettings(kind="chroma", n_chroma=10)


def test_settings_a_kind_does_not_use_do_not_bind_it() -> None:
    assert FeatureSettings(n_mels=8).n_mels == 8
    assert FeatureSettings(kind="chroma", n_mels=8).n_chroma == 12


def test_segments_too_short_for_deltas_are_refused() -> None:
    with pytest.raises(RecipeError, match="segments have 5 frames, and deltas need 9"):
        front_end(SoundSettings(window_s=0.1), FeatureSettings(kind="mfcc"))


def test_front_end_holds_no_weights() -> None:
    module = front_end(SOUND, FeatureSettings(kind="mel_mfcc_chroma"))
    assert isinstance(module, MelMfccChroma)
    assert not module.state_dict()
    assert not list(module.parameters())
