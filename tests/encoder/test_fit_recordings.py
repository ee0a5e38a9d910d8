"""The loop that fits networks to whole recordings."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from thymos.cnn.fit import Epoch
from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
from thymos.encoder.distortions import DistortionSettings
from thymos.encoder.fit_recordings import (
    Lesson,
    WeightAverage,
    fit_recordings,
    score_recordings,
)
from thymos.encoder.level_mel import LevelMelSettings, scale_levels
from thymos.encoder.level_spectrograms import Recordings
from thymos.encoder.recipe import OptimiserSettings
from thymos.errors import TrainingError

CLASSES = [0, 1, 2] * 8
SETTINGS: dict[str, Any] = {"epochs": 2, "batch_size": 6, "learning_rate": 0.01, "warmup_steps": 4, "averaging": 0.9}
DISTORTIONS = DistortionSettings(freq_width=2, time_width=4)
NO_DISTORTIONS = DistortionSettings(
    band_warp=0, time_stretch=0, colour_db=0, level_db=0, reverberated=0, noisy=0, band_limited=0, freq_masks=0,
    time_masks=0,
)  # fmt: skip

Fit = Callable[..., tuple[EmotionNetwork, tuple[Epoch, ...]]]


@pytest.fixture(scope="module")
def recordings(toy_recordings: Callable[..., Recordings]) -> Recordings:
    return toy_recordings(CLASSES)


@pytest.fixture
def new_network(toy_model: AttentiveSettings, toy_features: LevelMelSettings) -> Callable[[], EmotionNetwork]:
    def make() -> EmotionNetwork:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            encoder = AttentiveEncoder(toy_model, 1, toy_features.n_bands)
            return EmotionNetwork(encoder, EmotionHead(toy_model.embedding, 3, 0.1))

    return make


@pytest.fixture
def fit(recordings: Recordings, new_network: Callable[[], EmotionNetwork], toy_features: LevelMelSettings) -> Fit:
    """``fit(seed=0, rows=all, asked=all, distortions=some, **settings) -> (network, curve)``."""

    def run(
        seed: int = 0,
        rows: range = range(len(CLASSES)),
        asked: np.ndarray | None = None,
        distortions: DistortionSettings = DISTORTIONS,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
        **settings: Any,
    ) -> tuple[EmotionNetwork, tuple[Epoch, ...]]:
        network = new_network()
        asked = np.ones((len(CLASSES), 3), np.bool_) if asked is None else asked
        lesson = Lesson(recordings, lambda random: random.permutation(np.array(rows)), np.array(CLASSES), asked)
        chosen = OptimiserSettings(**(SETTINGS | settings))
        return network, fit_recordings(network, lesson, chosen, distortions, toy_features, seed, on_epoch)

    return run


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_seed_decides_the_weights(fit: Fit) -> None:
    (first, curve), (other, _) = fit(seed=3), fit(seed=4)
    torch.rand(7)  # dropout must not hinge on what was drawn before
    again, curve_again = fit(seed=3)
    assert same(state(first), state(again))
    assert curve == curve_again
    assert not same(state(first), state(other))


@pytest.mark.parametrize(
    "change",
    [
        {"mixup_alpha": 0}, {"label_smoothing": 0}, {"averaging": 0}, {"weight_decay": 0}, {"precision": "fp32"},
        {"warmup_steps": 0}, {"crop_s": 0.1}, {"distortions": NO_DISTORTIONS}, {"rows": range(1, len(CLASSES))},
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_reaches_the_fit(fit: Fit, change: dict[str, Any]) -> None:
    assert not same(state(fit(**change)[0]), state(fit()[0]))


def test_random_state_is_given_back(fit: Fit) -> None:
    before = torch.get_rng_state()
    fit()
    assert torch.equal(torch.get_rng_state(), before)


def test_it_learns(fit: Fit, recordings: Recordings, toy_features: LevelMelSettings) -> None:
    told: list[Epoch] = []
    network, curve = fit(epochs=25, on_epoch=told.append)
    assert told == list(curve)
    assert [epoch.epoch for epoch in curve] == list(range(1, 26))
    assert curve[-1].loss < curve[0].loss - 0.2
    assert curve[-1].accuracy > 0.6, "as varied and mixed"
    assert not network.training
    logits = score_recordings(network, recordings, range(len(CLASSES)), toy_features)
    assert np.mean(logits.argmax(1) == CLASSES) > 0.95


def test_no_epochs_leave_the_network_as_it_is(fit: Fit, new_network: Callable[[], EmotionNetwork]) -> None:
    network, curve = fit(epochs=0)
    assert curve == ()
    assert same(state(network), state(new_network()))
    assert not network.training


def test_divergence_is_an_error_in_words(fit: Fit) -> None:
    with pytest.raises(TrainingError, match=r"diverged: its loss was not a number in epoch \d"):
        fit(learning_rate=1e38, epochs=5)


@pytest.mark.parametrize("rows", [range(0), range(1)])
def test_too_little_to_fit_to_is_an_error_in_words(fit: Fit, rows: range) -> None:
    with pytest.raises(TrainingError, match="fewer than two recordings"):
        fit(rows=rows)


def test_a_crop_shorter_than_a_frame_is_a_frame(fit: Fit) -> None:
    _, curve = fit(crop_s=1e-6)
    assert len(curve) == 2


def test_what_is_not_asked_is_not_learnt(fit: Fit, new_network: Callable[[], EmotionNetwork]) -> None:
    """The corpus has no third emotion: its row of the head stays as it was, and smoothing gives it no share."""
    rows = [i for i, kind in enumerate(CLASSES) if kind < 2]
    asked = np.ones((len(CLASSES), 3), np.bool_)
    asked[:, 2] = False
    network, curve = fit(rows=rows, asked=asked, weight_decay=0, label_smoothing=0.3, epochs=6)
    before, after = new_network().head.linear, network.head.linear
    assert torch.equal(after.weight[2], before.weight[2])
    assert torch.equal(after.bias[2], before.bias[2])
    assert not torch.equal(after.weight[:2], before.weight[:2])
    assert curve[0].loss < 2


def test_half_the_recordings_may_be_asked_about_less(fit: Fit, recordings: Recordings, toy_features) -> None:
    """Mixed with recordings that are asked about it, too: what one of both has is allowed."""
    asked = np.ones((len(CLASSES), 3), np.bool_)
    asked[: len(CLASSES) // 2, 2] = np.array(CLASSES[: len(CLASSES) // 2]) == 2
    network, curve = fit(asked=asked, epochs=25)
    assert max(epoch.loss for epoch in curve) < 3, "a share of a forbidden emotion would cost 30"
    logits = score_recordings(network, recordings, range(len(CLASSES) // 2, len(CLASSES)), toy_features)
    assert np.mean(logits.argmax(1) == CLASSES[len(CLASSES) // 2 :]) > 0.9


def test_recordings_are_scored_whole_and_one_by_one(
    fit: Fit, recordings: Recordings, toy_features: LevelMelSettings
) -> None:
    network = fit()[0].train()
    scored = score_recordings(network, recordings, [5, 2, 9], toy_features)
    assert scored.dtype == np.float64
    assert scored.shape == (3, 3)
    assert not network.training
    for row, recording in zip(scored, (5, 2, 9), strict=True):
        with torch.inference_mode():
            alone = network(scale_levels(recordings.levels(recording), toy_features))[0].numpy()
        np.testing.assert_array_equal(row, alone)
        np.testing.assert_array_equal(score_recordings(network, recordings, [recording], toy_features)[0], row)
    slower = score_recordings(network, recordings, [5, 2, 9], toy_features, speed=1)
    assert not np.array_equal(scored, slower)


def small_net(value: float) -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    for tensor in net.state_dict().values():
        tensor.fill_(value)
    return net


def test_a_moving_average_follows_fast_while_it_is_young() -> None:
    net = small_net(0)
    average = WeightAverage(net, 0.5)
    expected = 0.0
    for step, value in enumerate((1.0, 3.0, -2.0, 8.0, 1.0, 6.0, 7.0, 2.0, 9.0, 4.0), start=1):
        for tensor in net.state_dict().values():
            tensor.fill_(value)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert decay == 0.5
    average.keep()
    assert net[0].weight.flatten().tolist() == pytest.approx([expected] * 2)
    assert net[1].running_var.item() == pytest.approx(expected)
    assert net[1].num_batches_tracked.item() == 4, "a count is no weight"
    assert net[0].bias.item() == pytest.approx(expected)


def test_no_averaging_keeps_the_last_weights() -> None:
    net = small_net(0)
    average = WeightAverage(net, 0.0)
    for value in (1.7, -3.3):
        net[0].weight.data.fill_(value)
        average.update()
    average.keep()
    assert net[0].weight.flatten().tolist() == pytest.approx([-3.3, -3.3])
