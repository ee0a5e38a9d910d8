"""A fine-tuning on two processes takes the steps that one takes, up to the order in which sums are added."""

import os
import socket
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch

from thymos.encoder.data_parallel import Ranks, ranks_of_launcher
from thymos.encoder.fine_tuning import FineTuning, FineTuningRecipe, fine_tune, make_lesson
from thymos.encoder.network import PoolingSettings, WhisperLayers
from thymos.encoder.sounds import Sounds
from thymos.encoder.variation import AugmentSettings
from thymos.errors import RecipeError, RunError

RECIPE = FineTuningRecipe(
    pooling=PoolingSettings(attention=8, embedding=8),
    augment=AugmentSettings(crop_s=0.5, room=0.1),
    steps=8,
    batch=8,
    group=3,  # so that one process has more of a batch than the other
    encoder_rate=1e-3,
    head_rate=1e-2,
    warm_up=2,
    average=0.5,
)
Told = tuple[list[float], list[float], dict[str, np.ndarray], list[np.ndarray]]


def toy_gradients(ranks: Ranks) -> list[np.ndarray]:
    """Gradients of two layers at six rows of numbers, of which each process takes its own through the first layer."""
    torch.manual_seed(0)
    below, head = torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)
    values, targets = torch.randn(6, 4), torch.tensor([0, 1, 1, 0, 1, 0])
    rows = torch.cat(list(ranks.own([torch.tensor([0, 3]), torch.tensor([1, 2, 4]), torch.tensor([5])])))
    if ranks.world == 1:
        rows = torch.arange(6)
    logits = head(ranks.together(rows, below(values[rows]), 6))
    torch.nn.functional.cross_entropy(logits, targets).backward()
    ranks.add_gradients(list(below.parameters()), list(head.parameters()))
    return [parameter.grad.numpy() for parameter in (*below.parameters(), *head.parameters())]


def tuned(place: dict[str, str], sounds: Sounds, layers: WhisperLayers, folder: Path, steps: int) -> Told:
    """Take ``steps`` steps as the process that ``place`` says; return losses, accuracies and weights."""
    os.environ.update(place)
    torch.set_num_threads(1)
    layers = deepcopy(layers)  # what comes from another process is shared with it
    losses, accuracies = [], []

    def on_step(step) -> None:
        losses.append(step.loss)
        accuracies.append(step.accuracy)

    recipe = RECIPE.model_copy(update={"steps": steps})
    with ranks_of_launcher("cpu") as (ranks, device):
        network = fine_tune(
            FineTuning(make_lesson(sounds, recipe), layers, recipe, 0, device, ranks), folder, 2, on_step
        )
        gradients = toy_gradients(ranks)
        ranks.wait()
    return losses, accuracies, {name: value.numpy() for name, value in network.state_dict().items()}, gradients


def on_two(sounds: Sounds, layers: WhisperLayers, folders: list[Path], steps: int) -> list[Told]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    # Each in a fresh pool: a process serves one place in its life.
    with (
        ProcessPoolExecutor(1, get_context("spawn")) as first,
        ProcessPoolExecutor(1, get_context("spawn")) as second,
    ):
        told = [
            pool.submit(tuned, common | {"RANK": str(rank)}, sounds, layers, folders[rank], steps)
            for rank, pool in enumerate((first, second))
        ]
        return [each.result() for each in told]


@pytest.fixture
def alone(tones, tiny_layers, tmp_path, monkeypatch) -> Told:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return tuned({}, tones, tiny_layers(), tmp_path / "alone", RECIPE.steps)


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tones, tiny_layers, tmp_path, alone):
    folder = tmp_path / "two"
    folder.mkdir()
    first, second = on_two(tones, tiny_layers(), [folder, folder], RECIPE.steps)
    assert first[:2] == second[:2]
    assert [name for name, value in first[2].items() if not np.array_equal(value, second[2][name])] == []
    assert len(first[0]) == RECIPE.steps
    np.testing.assert_allclose(first[0][0], alone[0][0], rtol=1e-6)
    np.testing.assert_allclose(first[0], alone[0], rtol=0.01)  # the layers reckon in bfloat16, which has 3 digits
    assert max(alone[0]) > 1.2 * min(alone[0])
    for gradient, whole in zip(first[3], alone[3], strict=True):
        np.testing.assert_allclose(gradient, whole, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_a_run_begun_by_one_process_may_be_gone_on_with_by_two_but_not_from_two_folders(
    tones, tiny_layers, tmp_path, alone
):
    folder, other = tmp_path / "alone", tmp_path / "other"
    other.mkdir()
    with pytest.raises(RunError, match=r"steps that were taken before differ from process to process \(8, 0\)"):
        on_two(tones, tiny_layers(), [folder, other], RECIPE.steps)


def test_more_processes_than_groups_of_a_batch_are_refused(tones, tiny_layers):
    with pytest.raises(RecipeError, match="has work for 3 processes, not for 4"):
        FineTuning(make_lesson(tones, RECIPE), tiny_layers(), RECIPE, 0, ranks=Ranks(0, 4))


def test_a_place_without_the_others_is_said(monkeypatch):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="is to be one of 2 and cannot find the others"), ranks_of_launcher("cpu"):
        pass
