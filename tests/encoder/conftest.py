"""A tiny encoder, and corpora of tones, for all tests of the encoder."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from thymos.encoder.log_mel import RATE_HZ
from thymos.encoder.network import LayerSettings, WhisperLayers
from thymos.encoder.sounds import HeardClip, Sounds

TINY = LayerSettings(layers=3, width=16, heads=2, hidden=32, positions=1500)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny_layers() -> Callable[[], WhisperLayers]:
    """Makes layers with random weights, the same ones each time."""

    def make() -> WhisperLayers:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return WhisperLayers(TINY).eval()

    return make


@pytest.fixture(scope="session")
def tones() -> Sounds:
    """Two corpora in which pitch is emotion; the first lacks fear, the second lacks happiness."""
    random = np.random.default_rng(0)
    clips, parts = [], []
    pitches = {"anger": 250, "happiness": 1000, "fear": 3000}
    for i in range(48):
        corpus, words = (("one", ("anger", "happiness")), ("two", ("anger", "fear")))[i % 2]
        emotion = words[i // 2 % 2]
        samples = int(random.uniform(0.3, 0.7) * RATE_HZ)
        sound = np.sin(np.arange(samples) * 2 * np.pi * pitches[emotion] / RATE_HZ) + random.normal(0, 0.1, samples)
        clips.append(HeardClip(f"{i}.wav", corpus, emotion, f"{corpus}_{i % 3}", i, samples))
        parts.append((sound * 8000).astype(np.int16))
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    return Sounds(clips, starts, np.concatenate(parts))
