"""Normalisation by speaker."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thymos.cnn.spectrograms import normalise_speakers, number_speakers, speaker_scale, speakers_of
from thymos.corpora import open_corpus
from thymos.errors import ProtocolError

SPEAKERS = number_speakers(["2", "1"] * 75 + ["10"])


@pytest.fixture
def values() -> np.ndarray:
    """More segments than are read at once; every speaker and band with its own level and spread."""
    random = np.random.default_rng(0)
    levels = random.normal(-40, 20, (3, 2, 4, 1))[SPEAKERS]
    spreads = random.uniform(0.1, 20, (3, 2, 4, 1))[SPEAKERS]
    return (levels + spreads * random.normal(size=(151, 2, 4, 7))).astype(np.float32)


def test_every_band_of_every_speaker_has_mean_0_and_sd_1(values: np.ndarray) -> None:
    normalise_speakers(values, SPEAKERS, speaker_scale(values, SPEAKERS))
    for speaker in range(3):
        own = values[speaker == SPEAKERS].astype(np.float64)
        np.testing.assert_allclose(own.mean(axis=(0, 3)), 0, atol=1e-4)
        np.testing.assert_allclose(own.std(axis=(0, 3)), 1, atol=1e-4)


def test_a_speakers_numbers_do_not_hinge_on_other_speakers(values: np.ndarray) -> None:
    scale = speaker_scale(values, SPEAKERS)
    own = values[SPEAKERS == 2]
    alone = speaker_scale(own, np.zeros(len(own), np.int64))
    np.testing.assert_allclose(scale.mean[2], alone.mean[0], rtol=1e-6)
    np.testing.assert_allclose(scale.sd[2], alone.sd[0], rtol=1e-6)


def test_a_constant_band_becomes_0(values: np.ndarray) -> None:
    values[:, 1, 2] = np.float32(-80.1)
    normalise_speakers(values, SPEAKERS, speaker_scale(values, SPEAKERS))
    assert np.abs(values[:, 1, 2]).max() < 1e-4


def test_values_on_disk_are_read_and_not_changed(values: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    scale = speaker_scale(mapped, SPEAKERS)
    np.testing.assert_array_equal(scale.mean, speaker_scale(values, SPEAKERS).mean)
    np.testing.assert_array_equal(mapped, values)


def test_unknown_speakers_are_named(mini: Path) -> None:
    corpus = open_corpus(mini)
    assert len(set(speakers_of(corpus))) == 6
    first, *others = corpus.clips
    partly = replace(corpus, clips=(replace(first, speaker=""), *others))
    with pytest.raises(ProtocolError, match="needs to know who speaks, but not in anger/a01"):
        speakers_of(partly)
