"""The training loop: what decides its numbers, and what must not."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from thymos.cnn.fit import SHARDS, FittedNetwork, fit, predict_probabilities, side_by_side
from thymos.cnn.networks import build_model
from thymos.cnn.recipe import CnnRecipe
from thymos.experiment import Epoch
from thymos.recipes import load_recipe

SMALL = ["training.epochs=3", "training.batch_size=16", "model.conv_channels=[4, 8]", "model.dense_units=[8]"]
SPEC_AUGMENT = "augmentation.spec_augment={freq_masks: 1, freq_width: 4, time_masks: 1, time_width: 4}"
ONLINE = [SPEC_AUGMENT, "augmentation.time_shift_s=0.5", "augmentation.mixup_alpha=0.4"]
RANDOM = np.random.default_rng(0)
TARGETS = np.arange(50) % 3
SPECTROGRAMS = (RANDOM.normal(size=(50, 1, 32, 40)) + TARGETS[:, None, None, None]).astype(np.float32)


def fitted(*changes: str, seed: int = 3, **more: Any) -> FittedNetwork:
    return fit(load_recipe("model1", [*SMALL, *changes]), SPECTROGRAMS, TARGETS, 3, seed, **more)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def assert_same(one: FittedNetwork, other: FittedNetwork) -> None:
    """Weights, and what else a network keeps."""
    states = one.model.state_dict(), other.model.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(mine, states[1][name]) for name, mine in states[0].items())


def small_residual() -> CnnRecipe:
    """A network with batch normalisation, whose running means scoring must not move."""
    return load_recipe("residual", ["training.epochs=2", "model.widths=[4, 8]", "training.precision=fp32"])


@pytest.mark.parametrize(
    "recipe", [load_recipe("model1", SMALL), load_recipe("model1", [*SMALL, *ONLINE]), small_residual()]
)
def test_watching_changes_nothing(recipe: CnnRecipe) -> None:
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


def digest(model: nn.Module) -> str:
    """Of the bytes of all weights."""
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in model.state_dict().values())).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("name", ["model1", "residual", "conv_gru"])
def test_the_number_of_threads_changes_no_digit(name: str, precision: str) -> None:
    small = {
        "model1": ["model.conv_channels=[4, 8]", "model.dense_units=[8]"],
        "residual": ["model.widths=[4, 8]"],
        "conv_gru": ["model.conv_channels=[4, 8]", "model.hidden_units=8"],
    }[name]
    recipe = load_recipe(name, [*small, *ONLINE, "training.epochs=2", f"training.precision={precision}"])
    digests, scored = set(), set()
    for threads in (1, 2, 3):
        with torch_threads(threads):  # as a worker is set up
            result = fit(recipe, SPECTROGRAMS, TARGETS, 3, 3, watch=(SPECTROGRAMS, TARGETS), threads=threads)
            many = np.tile(SPECTROGRAMS, (6, 1, 1, 1))  # more than one batch
            scored.add(predict_probabilities(result.model, many, recipe.training, threads).tobytes())
            assert torch.get_num_threads() == threads
        digests.add((digest(result.model), result.curve))
    assert len(digests) == len(scored) == 1


def test_each_shard_is_worked_on_by_one_thread_of_its_own() -> None:
    """OpenMP counts the threads of each thread apart: one that nobody told would use every core."""
    seen: set[tuple[int, int]] = set()

    def look(item: int) -> int:
        barrier.wait(timeout=30)  # both at once
        seen.add((threading.get_ident(), torch.get_num_threads()))
        return item

    barrier = threading.Barrier(SHARDS)
    with torch_threads(4), side_by_side(2, "cpu") as at_once:
        assert list(at_once(look, range(SHARDS))) == list(range(SHARDS))
    assert len(seen) == SHARDS
    assert {threads for _, threads in seen} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_is_that_of_adam_on_the_mean_over_the_batch(precision: str) -> None:
    """Held against torch's own optimiser and a whole batch, without shards."""
    settings = ["training.epochs=1", "training.batch_size=50", "model.dropout=0", f"training.precision={precision}"]
    result = fitted(*settings, "training.learning_rate=0.01")
    recipe = load_recipe("model1", [*SMALL, *settings])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = build_model(recipe.model, SPECTROGRAMS.shape[1:], 3)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    loss = functional.cross_entropy(model(torch.from_numpy(SPECTROGRAMS)), torch.from_numpy(TARGETS))
    loss.backward()
    torch.optim.Adam(model.parameters(), 0.01, eps=1e-7).step()
    # A first step of Adam is about the gradient's sign, which rounding may turn where there is hardly any gradient.
    alike, most = 0, 0
    for old, wanted, own in zip(before, model.parameters(), result.model.parameters(), strict=True):
        firm = wanted.grad.abs() > (0.05 if precision == "bf16" else 1e-5) * wanted.grad.abs().max()
        alike += int(((own - wanted).abs()[firm] < 0.02 * 0.01).sum())
        most += int(firm.sum())
        assert not torch.equal(own, old)
    assert alike / most > 0.97
    assert result.curve[0].loss == pytest.approx(loss.item(), rel=0.02 if precision == "bf16" else 1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_it_learns_on_a_gpu(precision: str) -> None:
    changes = ["training.epochs=25", "training.learning_rate=0.01", f"training.precision={precision}"]
    recipe = load_recipe("model1", [*SMALL, *ONLINE, *changes])
    result = fit(recipe, SPECTROGRAMS, TARGETS, 3, 3, device="cuda", watch=(SPECTROGRAMS, TARGETS))
    assert next(result.model.parameters()).device.type == "cpu"
    there = predict_probabilities(result.model, SPECTROGRAMS, recipe.training, device="cuda")
    here = predict_probabilities(result.model, SPECTROGRAMS, recipe.training)
    np.testing.assert_allclose(there, here, atol=0.05)
    assert np.mean(there.argmax(1) == TARGETS) > 0.8
