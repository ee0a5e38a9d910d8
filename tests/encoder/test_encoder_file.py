"""Encoders on disk: what comes back, what is refused, and what a fit starts from."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from thymos.corpora import Clip, Measurements
from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
from thymos.encoder.decision import Discriminant
from thymos.encoder.encoder_file import (
    ABOUT,
    WEIGHTS,
    build_network,
    encoder_folder,
    read_encoder,
    resolved,
    write_encoder,
)
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.recipe import EncoderRecipe, OptimiserSettings
from thymos.errors import RecipeError

LABELS = ("anger", "fear", "sadness", "neutral")


def clip(digest: str) -> Clip:
    sound = Measurements(16_000, 1, 16_000, "WAV PCM_16", 0.5, 0, 0.1, digest)
    return Clip("a.wav", "anger", sound=sound)


SEEN = [clip(f"{number:064x}") for number in (7 << 200, 3 << 200, (1 << 256) - 1, 7 << 200)]


@pytest.fixture
def network(toy_model: AttentiveSettings, toy_features: LevelMelSettings) -> EmotionNetwork:
    torch.manual_seed(5)
    encoder = AttentiveEncoder(toy_model, 1, toy_features.n_bands)
    network = EmotionNetwork(encoder, EmotionHead(toy_model.embedding, len(LABELS), 0.1))
    network(torch.randn(4, 1, toy_features.n_bands, 8))  # so that normalisations have something to keep
    return network.to(memory_format=torch.channels_last)  # as a fit leaves it


@pytest.fixture
def folder(
    network: EmotionNetwork, toy_model: AttentiveSettings, toy_features: LevelMelSettings, tmp_path: Path
) -> Path:
    write_encoder(tmp_path / "deep" / "enc", network, LABELS, toy_features, toy_model, SEEN, {"seed": 5})
    return tmp_path / "deep" / "enc"


@pytest.fixture
def recipe(folder: Path) -> EncoderRecipe:
    return EncoderRecipe(name="x", start_from=str(folder), training=OptimiserSettings(dropout=0.0))


def test_everything_comes_back(
    folder: Path, network: EmotionNetwork, toy_model: AttentiveSettings, toy_features: LevelMelSettings
) -> None:
    read = read_encoder(folder)
    assert (read.labels, read.features, read.model) == (LABELS, toy_features, toy_model)
    written = network.state_dict()
    assert read.state.keys() == written.keys()
    assert all(torch.equal(tensor, written[name]) for name, tensor in read.state.items())
    assert read.about["seed"] == 5
    assert read.about["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert sorted(path.name for path in folder.iterdir()) == [ABOUT, WEIGHTS]


def test_a_discriminant_comes_back(
    network: EmotionNetwork, toy_model: AttentiveSettings, toy_features: LevelMelSettings, tmp_path: Path, folder: Path
) -> None:
    random = np.random.default_rng(0)
    written = Discriminant(*(random.normal(size=shape) for shape in (7, 7, (7, len(LABELS)), len(LABELS))))
    write_encoder(tmp_path / "enc", network, LABELS, toy_features, toy_model, SEEN, {}, written)
    read = read_encoder(tmp_path / "enc").discriminant
    assert read is not None
    for name in ("mean", "spread", "weights", "bias"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    assert read_encoder(folder).discriminant is None


def test_reading_draws_no_random_numbers(folder: Path) -> None:
    before = torch.get_rng_state()
    read_encoder(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_knows_what_it_has_seen(folder: Path) -> None:
    read = read_encoder(folder)
    assert all(map(read.has_seen, SEEN))
    assert len(read.clips_seen) == 3
    for number in (0, 4 << 200, 8 << 200, (1 << 255)):
        assert not read.has_seen(clip(f"{number:064x}"))
    assert read.has_seen(replace(SEEN[0], path="other.wav", emotion="fear")), "a copy under another name is the same"


def test_it_may_have_seen_nothing(
    network: EmotionNetwork, toy_model: AttentiveSettings, toy_features: LevelMelSettings, tmp_path: Path
) -> None:
    write_encoder(tmp_path, network, LABELS, toy_features, toy_model, [], {})
    assert not read_encoder(tmp_path).has_seen(SEEN[0])


def edit(folder: Path, **changes: Any) -> None:
    about = json.loads((folder / ABOUT).read_text())
    (folder / ABOUT).write_text(json.dumps(about | changes))


def tamper(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def swap_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change the weights and say so, as who wants to fool the checksum would."""
    import hashlib

    state = load_file(folder / WEIGHTS)
    change(state)
    save_file(state, folder / WEIGHTS)
    edit(folder, sha256={WEIGHTS: hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()})


def not_safetensors(folder: Path) -> None:
    import hashlib

    (folder / WEIGHTS).write_bytes(b"pickled")
    edit(folder, sha256={WEIGHTS: hashlib.sha256(b"pickled").hexdigest()})


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (shutil.rmtree, "holds no pretrained encoder: No such file or directory"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "holds no pretrained encoder: No such file"),
    "no description": (lambda folder: (folder / ABOUT).unlink(), "holds no pretrained encoder: No such file"),
    "tampered": (tamper, "is not the file that encoder.json describes: its SHA-256 differs"),
    "truncated": (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-100]), "its SHA-256 differs"),
    "no digest": (lambda folder: edit(folder, sha256="none"), "its SHA-256 differs"),
    "newer": (lambda folder: edit(folder, format=2), "is not of format 1"),
    "half a description": (lambda f: (f / ABOUT).write_text((f / ABOUT).read_text()[:50]), "is damaged"),
    "not UTF-8": (lambda f: (f / ABOUT).write_bytes(b"\xff\xfe{"), "is damaged"),
    "a list": (lambda folder: (folder / ABOUT).write_text("[]"), "is not of format 1"),
    "unknown settings": (lambda f: edit(f, model={"depth": 3}), "is no encoder that this version can use"),
    "no labels": (lambda folder: edit(folder, labels=None), "is no encoder that this version can use"),
    "other labels": (lambda folder: edit(folder, labels=["anger"]), "holds weights of another network"),
    "other bands": (lambda f: edit(f, features={"n_bands": 64}), "holds weights of another network"),
    "no digests of clips": (lambda f: swap_weights(f, lambda s: s.pop("clips_seen")), "is no encoder that"),
    "a weight less": (lambda f: swap_weights(f, lambda s: s.pop("head.linear.bias")), "holds weights of another"),
    "a weight more": (
        lambda f: swap_weights(f, lambda s: s.update(more=torch.zeros(1))),
        "holds weights of another network",
    ),
    "no safetensors": (not_safetensors, "is no encoder that this version can use"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_refused_in_one_sentence(folder: Path, what: str) -> None:
    damage, words = BROKEN[what]
    damage(folder)
    with pytest.raises(RecipeError) as caught:
        read_encoder(folder)
    assert words in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_that_was_cut_short_is_not_taken_for_the_earlier_one(
    folder: Path, network: EmotionNetwork, toy_model: AttentiveSettings, toy_features: LevelMelSettings
) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_encoder(folder, network, LABELS, toy_features, toy_model, [], {"loss": float("nan")})
    with pytest.raises(RecipeError, match="holds no pretrained encoder"):
        read_encoder(folder)


def test_a_head_has_the_rows_of_its_labels(recipe: EncoderRecipe, network: EmotionNetwork) -> None:
    settled, pretrained = resolved(recipe)
    labels = ("sadness", "anger", "disgust")
    torch.manual_seed(1)
    built = build_network(settled, pretrained, labels)
    known, rows = network.head.linear, built.head.linear
    for row, word in ((0, "sadness"), (1, "anger")):
        assert torch.equal(rows.weight[row], known.weight[LABELS.index(word)])
        assert torch.equal(rows.bias[row], known.bias[LABELS.index(word)])
    assert not any(torch.equal(rows.weight[2], row) for row in known.weight)
    for name, tensor in network.state_dict().items():
        if not name.startswith("head.linear"):
            assert torch.equal(built.state_dict()[name], tensor), name
    torch.manual_seed(1)
    assert torch.equal(build_network(settled, pretrained, labels).head.linear.weight, rows.weight)
    torch.manual_seed(2)
    other = build_network(settled, pretrained, labels).head.linear.weight
    assert torch.equal(other[:2], rows.weight[:2])
    assert not torch.equal(other[2], rows.weight[2]), "new rows are drawn"
    again = build_network(settled, pretrained, LABELS).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())


def test_what_is_built_may_be_fitted_without_changing_what_was_read(recipe: EncoderRecipe) -> None:
    settled, pretrained = resolved(recipe)
    assert pretrained is not None
    before = {name: tensor.clone() for name, tensor in pretrained.state.items()}
    built = build_network(settled, pretrained, LABELS)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in pretrained.state.items())


def test_an_encoder_decides_features_and_size(
    recipe: EncoderRecipe, toy_model: AttentiveSettings, toy_features: LevelMelSettings
) -> None:
    settled, pretrained = resolved(recipe)
    assert pretrained is not None
    assert (settled.features, settled.model) == (toy_features, toy_model)
    assert settled.training == recipe.training
    assert resolved(settled)[0] == settled
    for change in ({"features": LevelMelSettings(n_bands=40)}, {"model": AttentiveSettings(frame_units=8)}):
        with pytest.raises(RecipeError, match=rf"sets {next(iter(change))}, which the encoder in .* decides"):
            resolved(recipe.model_copy(update=change))


def test_from_scratch_a_recipe_decides(toy_model: AttentiveSettings, toy_features: LevelMelSettings) -> None:
    recipe = EncoderRecipe(name="x", start_from="scratch", model=toy_model, features=toy_features)
    assert resolved(recipe) == (recipe, None)
    assert encoder_folder("scratch") is None
    built = build_network(recipe, None, ("anger", "fear"))
    assert built.head.linear.weight.shape == (2, toy_model.embedding)


def test_folders_may_be_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert encoder_folder("~/enc") == tmp_path / "enc"
    shipped = encoder_folder("shipped")
    assert shipped is not None
    assert shipped.parts[-3:] == ("thymos", "weights", "encoder")
