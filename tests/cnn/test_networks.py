from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from thymos.cnn.fit import fit, predict_probabilities
from thymos.cnn.front_end import front_end
from thymos.cnn.networks import (
    ModelSettings,
    RecurrentNetwork,
    RecurrentSettings,
    ResidualSettings,
    StudyCNNSettings,
    build_model,
)
from thymos.cnn.recipe import CnnRecipe
from thymos.errors import RecipeError
from thymos.recipes import load_recipe, parse_recipe, shipped_recipes

MINI = (1, 16, 16)
MINI_SETTINGS = [
    pytest.param(StudyCNNSettings(conv_channels=(4, 8), dense_units=(8,), dropout=0.1), id="study_cnn"),
    pytest.param(ResidualSettings(widths=(4, 8), dropout=0.1), id="residual"),
    pytest.param(RecurrentSettings(conv_channels=(4, 8), hidden_units=8, dropout=0.1), id="conv_lstm"),
    pytest.param(
        RecurrentSettings(conv_channels=(4, 8), hidden_units=8, cell="gru", bidirectional=True, dropout=0.1),
        id="conv_gru",
    ),
]
every_network = pytest.mark.parametrize("settings", MINI_SETTINGS)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small spend their time on waking threads, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def easy_set(segments: int = 64) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Spectrograms in dB, as the front end makes them: one class is loud in the low bands, the other in the high."""
    rng = np.random.default_rng(0)
    spectrograms = rng.normal(-40, 5, (segments, *MINI)).astype(np.float32)
    targets = np.arange(segments) % 2
    spectrograms[targets == 0, :, :8] += 30
    spectrograms[targets == 1, :, 8:] += 30
    return spectrograms, targets


def mini_recipe(settings: ModelSettings, **training: Any) -> CnnRecipe:
    settled = {"epochs": 25, "batch_size": 8, "learning_rate": 3e-3, **training}
    return CnnRecipe.model_validate({"name": "mini", "model": settings.model_dump(), "training": settled})


def weights(model: nn.Module) -> list[torch.Tensor]:
    return list(model.state_dict().values())


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@every_network
@pytest.mark.parametrize("channels", [1, 3])
def test_runs_forward_and_reaches_every_weight_backward(settings: ModelSettings, channels: int) -> None:
    model = build_model(settings, (channels, *MINI[1:]), 5)
    logits = model(torch.randn(8, channels, *MINI[1:]) * 20 - 30)
    assert logits.shape == (8, 5)
    functional.cross_entropy(logits, torch.arange(8) % 5).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.slow
@every_network
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_learns_an_easy_set(settings: ModelSettings, precision: str) -> None:
    spectrograms, targets = easy_set()
    recipe = mini_recipe(settings, precision=precision)
    fitted = fit(recipe, spectrograms, targets, 2, seed=0)
    probabilities = predict_probabilities(fitted.model, spectrograms, recipe.training)
    assert (probabilities.argmax(1) == targets).mean() > 0.95


@pytest.mark.slow
@every_network
def test_same_seed_same_weights_and_another_seed_others(settings: ModelSettings) -> None:
    spectrograms, targets = easy_set()
    recipe = mini_recipe(settings, epochs=2)
    first, again, other = (weights(fit(recipe, spectrograms, targets, 2, seed).model) for seed in (7, 7, 8))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.slow
@every_network
def test_a_spectrogram_scores_the_same_alone_and_in_a_batch(settings: ModelSettings) -> None:
    torch.manual_seed(0)
    model = build_model(settings, MINI, 3).eval()
    spectrograms = torch.randn(6, *MINI) * 20 - 30
    with torch.inference_mode():
        alone = torch.cat([model(spectrogram[None]) for spectrogram in spectrograms])
        torch.testing.assert_close(model(spectrograms), alone, atol=1e-5, rtol=1e-4)


@every_network
def test_settings_survive_yaml(settings: ModelSettings) -> None:
    recipe = mini_recipe(settings)
    content = yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert parse_recipe(content, "copy") == recipe


@pytest.mark.parametrize("name", shipped_recipes("cnn"))
def test_every_shipped_recipe_builds_its_network(name: str) -> None:
    recipe = load_recipe(name)
    with torch.inference_mode():
        spectrograms = front_end(recipe.sound, recipe.features)(torch.randn(2, recipe.sound.window))
        model = build_model(recipe.model, tuple(spectrograms.shape[1:]), 5).eval()
        assert model(spectrograms).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("model3", 1_156_357),
        ("model4", 927_237),
        ("residual", 307_895),
        ("conv_lstm", 376_519),
        ("conv_gru", 516_359),
    ],
)
def test_parameter_counts(name: str, parameters: int) -> None:
    assert count(build_model(load_recipe(name).model, (1, 128, 130), 5)) == parameters


def test_more_blocks_and_directions_are_more_weights() -> None:
    def size(settings: ModelSettings) -> int:
        return count(build_model(settings, MINI, 3))

    assert size(ResidualSettings(widths=(4, 8), blocks_per_stage=2)) > size(ResidualSettings(widths=(4, 8)))
    small = {"conv_channels": (4,), "hidden_units": 8}
    assert size(RecurrentSettings(**small, bidirectional=True)) > size(RecurrentSettings(**small))
    assert size(RecurrentSettings(**small, cell="lstm")) > size(RecurrentSettings(**small, cell="gru"))


def test_recurrent_network_keeps_as_many_frames_as_it_is_told() -> None:
    for time_halvings, frames in ((0, 16), (1, 8), (2, 4), (5, 4)):
        settings = RecurrentSettings(conv_channels=(4, 8), time_halvings=time_halvings)
        model = RecurrentNetwork(settings, MINI, 3)
        assert model.convolutions(torch.randn(1, *MINI)).shape == (1, 8, 4, frames)


@pytest.mark.parametrize("settings", [StudyCNNSettings(), RecurrentSettings()])
def test_too_small_a_spectrogram_is_refused(settings: ModelSettings) -> None:
    with pytest.raises(ValueError, match="8 × 130 is too small to be halved 4 times"):
        build_model(settings, (1, 8, 130), 5)


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ({"family": "residual", "widthz": [8]}, "r: unknown key 'model.widthz'; did you mean 'widths'?"),
        ({"family": "recurrent", "cel": "gru"}, "r: unknown key 'model.cel'; did you mean 'cell'?"),
        ({"dropuot": 0.3}, "r: unknown key 'model.dropuot'; did you mean 'dropout'?"),
        (
            {"family": "residual", "xyz": 1},
            "r: unknown key 'model.xyz'; there are family, widths, blocks_per_stage, dropout",
        ),
        (
            {"family": "residul"},
            "r: model.family: there is no 'residul'; there are study_cnn, residual, recurrent",
        ),
        ({"family": "recurrent", "cell": "rnn"}, "r: model.cell: must be 'lstm' or 'gru', not 'rnn'"),
        ({"family": "residual", "widths": [0]}, "r: model.widths.0: must be greater than 0, not 0"),
    ],
)
def test_wrong_model_settings_are_named(model: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RecipeError) as raised:
        parse_recipe({"name": "r", "model": model}, "r")
    assert str(raised.value) == complaint


def test_unknown_keys_elsewhere_are_still_named() -> None:
    with pytest.raises(RecipeError, match=r"unknown key 'training.epoch'; did you mean 'epochs'\?"):
        load_recipe("residual", ["training.epoch=3"])
    with pytest.raises(RecipeError, match=r"unknown key 'modle'; did you mean 'model'\?"):
        parse_recipe({"name": "r", "modle": {}}, "r")


def test_a_model_without_family_is_the_studys() -> None:
    assert parse_recipe({"name": "r"}, "r").model == StudyCNNSettings()
    assert parse_recipe({"name": "r", "model": {"dropout": 0.3}}, "r").model == StudyCNNSettings(dropout=0.3)
