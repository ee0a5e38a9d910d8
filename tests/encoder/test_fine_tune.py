"""Fine-tuning: what decides it, and where it starts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
from thymos.encoder.distortions import DistortionSettings
from thymos.encoder.encoder_file import Pretrained
from thymos.encoder.fit_recordings import fine_tune
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.level_spectrograms import Recordings
from thymos.encoder.recipe import EncoderRecipe, OptimiserSettings
from thymos.experiment import Epoch

CLASSES = [0, 1, 2] * 6
LABELS = ("anger", "fear", "sadness")
TRAIN = tuple(range(12))


@pytest.fixture
def recordings(toy_recordings: Callable[..., Recordings]) -> Recordings:
    return toy_recordings(CLASSES)


@pytest.fixture
def pretrained(toy_model: AttentiveSettings, toy_features: LevelMelSettings) -> Pretrained:
    """It knows other words, in another order."""
    labels = ("fear", "anger", "calm")
    torch.manual_seed(9)
    network = EmotionNetwork(
        AttentiveEncoder(toy_model, 1, toy_features.n_bands), EmotionHead(toy_model.embedding, len(labels), 0.1)
    )
    state = dict(network.state_dict())
    return Pretrained(labels, toy_features, toy_model, state, None, np.zeros(0, np.int64), {})


@pytest.fixture
def tune(recordings: Recordings, pretrained: Pretrained) -> Callable[..., EmotionNetwork]:
    def run(
        seed: int = 0,
        train: tuple[int, ...] = TRAIN,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
        recordings: Recordings = recordings,
        targets: list[int] = CLASSES,
        scratch: bool = False,
        **training: Any,
    ) -> EmotionNetwork:
        settings = {"epochs": 2, "batch_size": 4, "warmup_steps": 2, "learning_rate": 0.01} | training
        recipe = EncoderRecipe(
            name="x", features=pretrained.features, model=pretrained.model, training=OptimiserSettings(**settings),
            distortions=DistortionSettings(freq_width=2, time_width=4),
        )  # fmt: skip
        start = None if scratch else pretrained
        return fine_tune(recipe, start, recordings, np.array(targets)[list(train)], train, LABELS, seed, on_epoch)

    return run


def same(one: nn.Module, other: nn.Module | dict[str, Tensor]) -> bool:
    states = one.state_dict(), other.state_dict() if isinstance(other, nn.Module) else other
    return all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_seed_decides_and_the_random_state_is_given_back(tune: Callable[..., EmotionNetwork]) -> None:
    before = torch.get_rng_state()
    first = tune(seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert same(first, tune(seed=1))
    assert not same(first, tune(seed=2))
    assert not same(first, tune(seed=1, scratch=True))
    assert not first.training


def test_what_is_not_trained_on_changes_nothing(
    tune: Callable[..., EmotionNetwork], toy_recordings: Callable[..., Recordings]
) -> None:
    first = tune()
    others = with_others_silent(toy_recordings(CLASSES))
    assert same(first, tune(recordings=others, targets=[*CLASSES[:12], 2, 2, 2, 0, 0, 1]))
    assert not same(first, tune(train=TRAIN[1:]))


def with_others_silent(recordings: Recordings) -> Recordings:
    """The first twelve recordings as they were, and six that are silent and longer."""
    values, starts = [], []
    for frames, places in zip(recordings.values, recordings.starts, strict=True):
        silence = np.full((6 * 50, *frames.shape[1:]), -60, np.float16)
        values.append(np.concatenate([frames[: places[12]], silence]))
        starts.append(np.concatenate([places[:13], places[12] + 50 * np.arange(1, 7)]))
    return Recordings(recordings.folder, tuple(values), tuple(starts))


def test_without_epochs_it_is_the_pretrained_network(
    tune: Callable[..., EmotionNetwork], pretrained: Pretrained
) -> None:
    network = tune(epochs=0).state_dict()
    for name, value in pretrained.state.items():
        if name.startswith("head.linear"):
            assert torch.equal(network[name][0], value[1]), "anger"
            assert torch.equal(network[name][1], value[0]), "fear"
        else:
            assert torch.equal(network[name], value), name
