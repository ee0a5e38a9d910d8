"""The training loop: what decides its numbers, and what must not."""

from typing import Any

import numpy as np
import pytest
import torch

from thymos.cnn.fit import Epoch, Fitted, fit, predict_probabilities
from thymos.recipes import Recipe, load_recipe

SMALL = ["training.epochs=3", "training.batch_size=16", "model.conv_channels=[4, 8]", "model.dense_units=[8]"]
SPEC_AUGMENT = "augmentation.spec_augment={freq_masks: 1, freq_width: 4, time_masks: 1, time_width: 4}"
ONLINE = [SPEC_AUGMENT, "augmentation.time_shift_s=0.5", "augmentation.mixup_alpha=0.4"]
RANDOM = np.random.default_rng(0)
TARGETS = np.arange(50) % 3
SPECTROGRAMS = (RANDOM.normal(size=(50, 1, 32, 40)) + TARGETS[:, None, None, None]).astype(np.float32)


def fitted(*changes: str, seed: int = 3, **more: Any) -> Fitted:
    return fit(load_recipe("model1", [*SMALL, *changes]), SPECTROGRAMS, TARGETS, 3, seed, **more)


def assert_same(one: Fitted, other: Fitted) -> None:
    """Weights, and what else a network keeps."""
    states = one.model.state_dict(), other.model.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(mine, states[1][name]) for name, mine in states[0].items())


def small_residual() -> Recipe:
    """A network with batch normalisation, whose running means scoring must not move."""
    return load_recipe("residual", ["training.epochs=2", "model.widths=[4, 8]", "training.precision=fp32"])


@pytest.mark.parametrize(
    "recipe", [load_recipe("model1", SMALL), load_recipe("model1", [*SMALL, *ONLINE]), small_residual()]
)
def test_watching_changes_nothing(recipe: Recipe) -> None:
    alone = fit(recipe, SPECTROGRAMS, TARGETS, 3, 3)
    watched = fit(recipe, SPECTROGRAMS, TARGETS, 3, 3, watch=(SPECTROGRAMS[:20], TARGETS[:20]))
    assert_same(alone, watched)
    assert [(e.loss, e.accuracy) for e in alone.curve] == [(e.loss, e.accuracy) for e in watched.curve]
    assert {(e.validation_loss, e.validation_accuracy) for e in alone.curve} == {(None, None)}


def test_what_is_watched_is_scored_as_it_would_be_after_the_fit() -> None:
    seen: list[Epoch] = []
    result = fitted(watch=(SPECTROGRAMS[:20], TARGETS[:20]), on_epoch=seen.append)
    probabilities = predict_probabilities(result.model, SPECTROGRAMS[:20], load_recipe("model1").training)
    last = result.curve[-1]
    assert seen == list(result.curve)
    assert last.validation_accuracy == np.mean(probabilities.argmax(1) == TARGETS[:20])
    assert last.validation_loss == pytest.approx(-np.log(probabilities[range(20), TARGETS[:20]]).mean(), rel=1e-4)


@pytest.mark.parametrize("change", ONLINE)
def test_augmentation_changes_the_fit_and_the_seed_repeats_it(change: str) -> None:
    plain, first, again = fitted(), fitted(change), fitted(change)
    assert_same(first, again)
    assert first.curve == again.curve
    assert first.curve[-1].loss != plain.curve[-1].loss
    assert first.curve[-1].loss != fitted(change, seed=4).curve[-1].loss


def test_random_state_is_given_back() -> None:
    state = torch.get_rng_state()
    fitted(*ONLINE, watch=(SPECTROGRAMS, TARGETS))
    assert torch.equal(torch.get_rng_state(), state)


def test_it_learns_with_every_augmentation_at_once() -> None:
    result = fitted(*ONLINE, "training.epochs=25", "model.dropout=0", "training.learning_rate=0.01")
    probabilities = predict_probabilities(result.model, SPECTROGRAMS, load_recipe("model1").training)
    assert np.mean(probabilities.argmax(1) == TARGETS) > 0.8
