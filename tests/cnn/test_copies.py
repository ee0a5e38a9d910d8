"""Changed copies of recordings, their spectrograms and their cache; recordings stretched to one length."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thymos.audio import Samples
from thymos.cnn.recipe import UNCHANGED, CopySettings, FeatureSettings, SoundSettings
from thymos.cnn.spectrograms import (
    cache_key,
    changed_copy,
    make_spectrograms,
    open_spectrograms,
    plain_part,
    training_part,
)
from thymos.corpora import Corpus, open_corpus

RATE_HZ = 16_000
SOUND = SoundSettings(rate_hz=RATE_HZ, window_s=1.0)
FEATURES = FeatureSettings(n_fft=1024, hop=256, n_mels=32, top_db=None)
UP, DOWN = CopySettings(pitch_semitones=4), CopySettings(pitch_semitones=-4)


@pytest.fixture(scope="module")
def corpus(
    tmp_path_factory: pytest.TempPathFactory, write_sound: Callable[..., Path], make_tone: Callable[..., Samples]
) -> Corpus:
    """Two clips of 0.8 and 1.5 s: one and two segments of a second, or one each where they are stretched."""
    root = tmp_path_factory.mktemp("corpus")
    for name, seconds in {"anger/a.wav": 0.8, "fear/b.wav": 1.5}.items():
        write_sound(root / name, make_tone(seconds, hz=1000, level=0.3), RATE_HZ)
    return open_corpus(root)


def test_an_unchanged_copy_is_the_recording(make_tone: Callable[..., Samples]) -> None:
    samples = make_tone()
    assert changed_copy(samples, RATE_HZ, UNCHANGED, "00") is samples


def test_gain_is_in_decibels(make_tone: Callable[..., Samples]) -> None:
    samples = make_tone()
    louder = changed_copy(samples, RATE_HZ, CopySettings(gain_db=6), "00")
    np.testing.assert_allclose(louder, samples * 1.99526, rtol=1e-5)
    assert louder.dtype == np.float32


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 20.0])
def test_noise_lies_as_far_below_the_sound_as_was_asked(make_tone: Callable[..., Samples], snr_db: float) -> None:
    samples = make_tone(level=0.1)
    noise = changed_copy(samples, RATE_HZ, CopySettings(noise_snr_db=snr_db), "0f") - samples
    assert 10 * np.log10(np.mean(samples**2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.2)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.05


def test_noise_hinges_on_the_recording_alone(make_tone: Callable[..., Samples]) -> None:
    samples, copy = make_tone(), CopySettings(noise_snr_db=10)
    first, again, other = (changed_copy(samples, RATE_HZ, copy, sha256) for sha256 in ("a" * 64, "a" * 64, "b" * 64))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_silence_gets_no_noise() -> None:
    silence = np.zeros(1000, np.float32)
    np.testing.assert_array_equal(changed_copy(silence, RATE_HZ, CopySettings(noise_snr_db=10), "00"), silence)


def test_a_gain_survives_normalisation(corpus: Corpus, tmp_path: Path) -> None:
    spectrograms = make_spectrograms(corpus, SOUND, FEATURES, tmp_path, copies=[CopySettings(gain_db=-10)])
    loud = spectrograms.values > -50
    np.testing.assert_allclose((spectrograms.copies[0].values - spectrograms.values)[loud], -10, atol=0.05)


def test_pitch_copies_go_the_way_they_say(corpus: Corpus, tmp_path: Path) -> None:
    spectrograms = make_spectrograms(corpus, SOUND, FEATURES, tmp_path, copies=[UP, DOWN])
    loudest = [
        each.values.mean(axis=(0, 1, 3)).argmax()
        for each in (spectrograms.copies[1], spectrograms, spectrograms.copies[0])
    ]
    assert loudest[0] < loudest[1] < loudest[2]
    for copy in spectrograms.copies:
        assert copy.values.shape == spectrograms.values.shape
        np.testing.assert_array_equal(copy.clip_index, spectrograms.clip_index)
        np.testing.assert_array_equal(copy.times_s, spectrograms.times_s)


def test_copies_are_made_once_and_beside_the_plain_spectrograms(corpus: Corpus, tmp_path: Path) -> None:
    plain = make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "cache")
    steps: list[None] = []
    first = make_spectrograms(
        corpus, SOUND, FEATURES, tmp_path / "cache", lambda: steps.append(None), copies=[UP, DOWN]
    )
    assert len(steps) == 2 * 3
    assert first.folder == plain.folder
    assert len({first.folder, *(copy.folder for copy in first.copies)}) == 3
    lost = replace(corpus, root=tmp_path / "nowhere")
    second = make_spectrograms(lost, SOUND, FEATURES, tmp_path / "cache", copies=[DOWN, UP])
    assert [copy.folder for copy in second.copies] == [copy.folder for copy in first.copies][::-1]
    reopened = open_spectrograms(first.folder, [copy.folder for copy in first.copies])
    np.testing.assert_array_equal(reopened.copies[1].values, second.copies[0].values)


def test_all_of_a_copy_is_in_the_key_and_nothing_else_of_augmentation(corpus: Corpus) -> None:
    copies = [UNCHANGED, UP, DOWN, CopySettings(gain_db=3), CopySettings(noise_snr_db=0), CopySettings(noise_snr_db=3)]
    assert len({cache_key(corpus, SOUND, FEATURES, copy) for copy in copies}) == len(copies)
    assert cache_key(corpus, SOUND, FEATURES, UNCHANGED) == cache_key(corpus, SOUND, FEATURES)
    by_speaker = FEATURES.model_copy(update={"normalise": "speaker"})
    assert cache_key(corpus, SOUND, by_speaker) == cache_key(corpus, SOUND, FEATURES)


@pytest.mark.parametrize("speakers", [None, ["a", "b", "b"]])
def test_copies_come_along_in_training_and_never_in_tests(corpus: Corpus, tmp_path: Path, speakers: Any) -> None:
    spectrograms = make_spectrograms(corpus, SOUND, FEATURES, tmp_path, copies=[UP, DOWN])
    alone = make_spectrograms(corpus, SOUND, FEATURES, tmp_path)
    part = training_part(spectrograms, [2, 0], speakers)
    assert part.shape == (6, 1, 32, 63)
    np.testing.assert_array_equal(plain_part(spectrograms, [2, 0], speakers), part[:2])
    np.testing.assert_array_equal(training_part(alone, [2, 0], speakers), part[:2])
    for copy, rows in zip(spectrograms.copies, (part[2:4], part[4:]), strict=True):
        np.testing.assert_array_equal(plain_part(copy, [2, 0], speakers), rows)
    if speakers is None:
        np.testing.assert_array_equal(part[:2], spectrograms.values[[2, 0]])


def test_stretched_recordings_give_one_segment_each(corpus: Corpus, tmp_path: Path) -> None:
    sound = SOUND.model_copy(update={"segments": "stretch"})
    spectrograms = make_spectrograms(corpus, sound, FEATURES, tmp_path, copies=[UP])
    assert spectrograms.values.shape == (2, 1, 32, 63)
    assert spectrograms.clip_index.tolist() == [0, 1]
    np.testing.assert_allclose(spectrograms.times_s, [[0, 0.8], [0, 1.5]])
    # A tone of one pitch, with sound from end to end: nothing was padded, and the pitch was kept.
    cut = make_spectrograms(corpus, SOUND, FEATURES, tmp_path)
    band = cut.values[1].mean(axis=(0, 2)).argmax()
    assert (spectrograms.values[:, 0, band, 4:-4] > cut.values[1, 0, band].max() - 6).all()
    assert (spectrograms.values.mean(axis=(1, 3)).argmax(1) == band).all()
    assert (spectrograms.copies[0].values.mean(axis=(1, 3)).argmax(1) > band).all()
    assert cache_key(corpus, sound, FEATURES) != cache_key(corpus, SOUND, FEATURES)
