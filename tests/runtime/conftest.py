"""A small bundle made here, and recordings for it: synthetic speech of the mini corpus, and what is no speech."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from thymos.audio import Samples, read_waveform, resample
from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
from thymos.encoder.bundle_writer import Recogniser, write_recogniser
from thymos.encoder.level_mel import LevelMel, LevelMelSettings
from thymos.labels import AESDD_EMOTIONS
from thymos.runtime.bundle import FamiliarityAbout
from thymos.runtime.out_of_distribution import Familiarity, fit_gaussian
from thymos.runtime.recognizer import Recognizer, load

FEATURES = LevelMelSettings(n_bands=32)
SIZE = AttentiveSettings(widths=(8, 12), blocks=(1, 1), time_strides=(2, 2), frame_units=16, attention_units=8)
ABOUT = {
    "name": "toy",
    "version": "7",
    "licence": "for tests",
    "trained_on": [{"name": "mini-aesdd", "clips": 150, "stage": "training"}],
    "temperature": 0.8,
    "conformal": {"method": "lac", "coverage": 0.9, "threshold": 0.85, "rows": 30},
    "scores": [],
}


@pytest.fixture(scope="session")
def make_bundle(mini: Path) -> Callable[..., Path]:
    """``make_bundle(folder, speeds=(1.0,), **about) -> folder``: a network that has not learnt anything."""
    clips = [resample(read_waveform(clip), FEATURES.rate_hz).samples for clip in sorted(mini.glob("*/*"))[::6]]

    def make(folder: Path, speeds: tuple[float, ...] = (1.0,), **about: object) -> Path:
        torch.manual_seed(3)
        encoder = AttentiveEncoder(SIZE, len(FEATURES.channels), FEATURES.n_bands)
        network = EmotionNetwork(encoder, EmotionHead(SIZE.embedding, len(AESDD_EMOTIONS), 0.0))
        front_end = LevelMel(FEATURES)
        length = min(map(len, clips))
        pictures = front_end(torch.from_numpy(np.stack([clip[:length] for clip in clips])))
        network.train()
        for _ in range(30):
            network(pictures)
        network.eval()
        with torch.inference_mode():
            network.head.linear.weight *= 8
            embeddings = np.concatenate(
                [network.encoder(front_end(torch.from_numpy(clip)[None])).embedding.numpy() for clip in clips]
            )
        familiarity = Familiarity(fit_gaussian(embeddings, 4), 0.0)
        # Made of few clips, so that others of the same kind lie farther.
        threshold = 1.5 * float(familiarity.distances(embeddings).max())
        description = FamiliarityAbout(threshold=threshold, acceptance=0.95, rows=len(clips))
        recogniser = Recogniser(
            network, FEATURES, SIZE, AESDD_EMOTIONS, (Familiarity(familiarity.table, threshold), description), speeds
        )
        write_recogniser(folder, recogniser, ABOUT | about)
        return folder

    return make


@pytest.fixture(scope="session")
def bundle(make_bundle, tmp_path_factory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "toy")


@pytest.fixture(scope="session")
def recognizer(bundle: Path) -> Recognizer:
    return load(bundle)


@pytest.fixture(scope="session")
def spoken(mini: Path) -> list[Path]:
    """Clips of synthetic speech."""
    return sorted(mini.glob("*/*"))[::10]


@pytest.fixture(scope="session")
def long_speech(mini: Path) -> tuple[Samples, int]:
    """Eighty seconds of speech at its own rate, with a pause of music and one of silence in it."""
    clips = [read_waveform(clip) for clip in sorted(mini.glob("*/*"))]
    rate_hz = clips[0].rate_hz
    speech = np.concatenate([clip.samples for clip in clips])[: 80 * rate_hz]
    speech[20 * rate_hz : 28 * rate_hz] = music(8, rate_hz)
    speech[50 * rate_hz : 58 * rate_hz] = 0
    return speech, rate_hz


def music(seconds: float, rate_hz: int) -> Samples:
    """Chords of harmonic notes, each struck and fading."""
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    sound = np.zeros_like(times_s)
    for number, root_hz in enumerate([220.0, 293.7, 246.9, 329.6] * 10):
        since_s = times_s - number * 0.5
        for note_hz in (root_hz, root_hz * 1.26, root_hz * 1.5):
            for harmonic in range(1, 6):
                wave = np.sin(2 * np.pi * note_hz * harmonic * since_s) / harmonic
                sound += np.where(since_s >= 0, wave * np.exp(-4 * np.maximum(since_s, 0)), 0)
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


@pytest.fixture(scope="session")
def make_music() -> Callable[[float, int], Samples]:
    return music
