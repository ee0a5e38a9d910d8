"""Toy recordings in memory: a class is loud in bands of its own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thymos.encoder.attentive import AttentiveSettings
from thymos.encoder.level_mel import ChannelSettings, LevelMelSettings
from thymos.encoder.level_spectrograms import Recordings

TOY_FEATURES = LevelMelSettings(channels=(ChannelSettings(window=512),), n_bands=9)
TOY_MODEL = AttentiveSettings(widths=(4, 6), blocks=(1, 1), time_strides=(2, 1), frame_units=6, attention_units=4)


@pytest.fixture(scope="session")
def toy_features() -> LevelMelSettings:
    return TOY_FEATURES


@pytest.fixture(scope="session")
def toy_model() -> AttentiveSettings:
    return TOY_MODEL


@pytest.fixture(scope="session")
def toy_recordings() -> Callable[..., Recordings]:
    """``toy_recordings(classes, speeds=2, shortest=6, longest=20) -> Recordings``, one for each class number given."""

    def make(classes: list[int], speeds: int = 2, shortest: int = 6, longest: int = 20) -> Recordings:
        random = np.random.default_rng(0)
        values, starts = [], []
        for _ in range(speeds):
            lengths = random.integers(shortest, longest, len(classes), endpoint=True)
            made = []
            for kind, length in zip(classes, lengths, strict=True):
                levels = random.normal(-30, 4, (length, 1, TOY_FEATURES.n_bands))
                levels[:, :, 3 * kind : 3 * kind + 3] += 25
                made.append(levels.astype(np.float16))
            values.append(np.concatenate(made))
            starts.append(np.concatenate([[0], np.cumsum(lengths)]))
        return Recordings(Path(), tuple(values), tuple(starts))

    return make
