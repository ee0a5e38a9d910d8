"""A fitted network as a graph: the same answers as the network gives, from the waveform on."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from scipy.special import softmax

from thymos.audio import Samples
from thymos.audio import wiener as reference_wiener
from thymos.cnn.experiment import CnnExperiment
from thymos.cnn.export import WindowGraph, WindowPreparation, exportable, wiener
from thymos.cnn.front_end import front_end
from thymos.cnn.networks import build_model
from thymos.cnn.recipe import CnnRecipe, SoundSettings
from thymos.cnn.spectrograms import prepare, segments_of
from thymos.errors import RecipeError
from thymos.evaluation.train import train
from thymos.export import write_graph
from thymos.recipes import load_recipe, shipped_recipes
from thymos.runtime.bundle import read_bundle
from thymos.runtime.hearing import OUTPUTS

LABELS = ("anger", "fear", "sadness")
SMALL_SOUND = ["sound.rate_hz=8000", "sound.window_s=1", "features.n_fft=512", "features.hop=256"]
SMALL = {
    "study_cnn": ["model.conv_channels=[4, 8]", "model.dense_units=[8]"],
    "residual": ["model.widths=[4, 8]"],
    "recurrent": ["model.conv_channels=[4, 8]", "model.hidden_units=8"],
}


def small(name: str, *changes: str) -> CnnRecipe:
    family = load_recipe(name).model.family
    mels = [] if load_recipe(name).features.kind == "chroma" else ["features.n_mels=32"]
    mfcc = ["features.n_mfcc=13"] if "mfcc" in load_recipe(name).features.kind else []
    return load_recipe(name, [*SMALL_SOUND, *mels, *mfcc, *SMALL[family], *changes])


def speech_like(windows: int, samples: int = 8000) -> Samples:
    """Sounds that differ in level and colour, quiet at one end."""
    random = np.random.default_rng(5)
    sound = random.normal(size=(windows, samples)).cumsum(axis=1)
    sound = np.diff(sound, axis=1, prepend=0) + 0.02 * sound
    fading = np.linspace(1, 0.01, samples) * np.geomspace(0.02, 0.6, windows)[:, None]
    return (fading * sound / np.abs(sound).max(axis=1, keepdims=True)).astype(np.float32)


def trained_network(recipe: CnnRecipe) -> Any:
    """A network whose weights and running statistics are those of no fresh one, and that is sure of something."""
    torch.manual_seed(0)
    with torch.no_grad():
        spectrograms = front_end(recipe.sound, recipe.features)(torch.from_numpy(speech_like(16)))
        network = build_model(recipe.model, tuple(spectrograms.shape[1:]), len(LABELS)).train()
        for _ in range(20):
            network(spectrograms)
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_recipes("cnn"))
def test_every_recipe_gives_the_same_from_its_graph(name: str, tmp_path: Path) -> None:
    recipe = small(name)
    network = trained_network(recipe)
    windows = speech_like(3)
    model = exportable(recipe, network, LABELS)
    write_graph(tmp_path / "model.onnx", model.graph, model.example_samples)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    logits, embedding, frame_logits = session.run(list(OUTPUTS), {"waveform": windows})
    with torch.inference_mode():
        prepared = np.concatenate([segments_of(prepare(window, recipe.sound), recipe.sound) for window in windows])
        spectrograms = front_end(recipe.sound, recipe.features)(torch.from_numpy(prepared))
        wanted, wanted_embedding = network(spectrograms).numpy(), network.embed(spectrograms).numpy()
    sure = np.ptp(wanted)  # the random network's logits, brought to a size at which probabilities tell
    np.testing.assert_allclose(softmax(logits / sure, axis=1), softmax(wanted / sure, axis=1), atol=1e-4)
    assert np.ptp(wanted / sure, axis=0).max() > 0.02  # else any constant would do
    scale = np.abs(wanted_embedding).max()
    np.testing.assert_allclose(embedding / scale, wanted_embedding / scale, atol=2e-3)
    np.testing.assert_array_equal(frame_logits, logits[:, None])
    (alone,) = session.run(["logits"], {"waveform": windows[:1]})
    np.testing.assert_allclose(alone, logits[:1], atol=1e-4)


@pytest.mark.slow
def test_a_short_window_is_filled_with_silence_as_in_training(tmp_path: Path) -> None:
    recipe = small("model2", "sound.wiener=true")
    network = trained_network(recipe)
    model = exportable(recipe, network, LABELS)
    write_graph(tmp_path / "model.onnx", model.graph, model.example_samples)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (short,) = speech_like(1, 5000)
    (logits,) = session.run(["logits"], {"waveform": short[None]})
    with torch.inference_mode():
        segment = torch.from_numpy(segments_of(prepare(short, recipe.sound), recipe.sound))
        wanted = network(front_end(recipe.sound, recipe.features)(segment)).numpy()
    np.testing.assert_allclose(softmax(logits, axis=1), softmax(wanted, axis=1), atol=1e-4)


def test_the_wiener_filter_is_scipys() -> None:
    windows = speech_like(4)
    windows[3] = 0
    windows[2, 1000:3000] = 0
    expected = np.stack([reference_wiener(window) for window in windows])
    np.testing.assert_allclose(wiener(torch.from_numpy(windows)).numpy(), expected, atol=2e-6)


def test_a_windows_peak_becomes_one_and_silence_stays() -> None:
    windows = torch.from_numpy(speech_like(2))
    windows[1] = 0
    prepared = WindowPreparation(SoundSettings(rate_hz=8000, window_s=1.5))(windows)
    assert prepared.shape == (2, 12_000)
    assert prepared[0].abs().max() == 1
    assert prepared[1].abs().max() == 0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [("features.normalise=speaker", "judges a speaker's recordings"), ("sound.segments=stretch", "whole recordings")],
)
def test_what_no_graph_can_say_is_refused_before_any_work(change: str, complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint) as raised:
        CnnExperiment(load_recipe("model3", [change])).check_exportable()
    assert "\n" not in str(raised.value)


def test_windows_follow_each_other_as_the_recipes_segments_do() -> None:
    def hop_s(*changes: str) -> float:
        recipe = small("model3", *changes)
        return float(exportable(recipe, trained_network(recipe), LABELS).about["hop_s"])

    assert hop_s() == 0.5
    assert hop_s("sound.segments=sliding", "sound.hop_s=0.25") == 0.25
    assert hop_s("sound.segments=sliding", "sound.hop_s=4") == 1  # a bundle's windows touch at least


@pytest.mark.slow
def test_what_train_writes_is_a_bundle(mini: Path, tmp_path: Path) -> None:
    changes = [*SMALL_SOUND, "features.n_mels=32", *SMALL["study_cnn"], "training.epochs=1"]
    model = train(f"aesdd:{mini}", "model3", tmp_path / "model", changes=changes, threads=1, device="cpu")
    bundle = read_bundle(model.folder)
    assert (bundle.about.rate_hz, bundle.about.window_s, bundle.about.hop_s) == (8000, 1.0, 0.5)
    heard = bundle.hear(speech_like(1)[0], frames=True)
    assert heard.logits.shape == (len(bundle.about.labels),)
    assert heard.embedding.shape == (8,)
    assert heard.frame_logits is not None and heard.frame_logits.shape == (1, len(bundle.about.labels))
    assert {path.name for path in model.folder.iterdir()} == {"model.json", "model.onnx", "weights.safetensors"}


def test_the_graph_leaves_the_network_as_it_was() -> None:
    recipe = small("model1")
    network = trained_network(recipe)
    graph = WindowGraph(recipe, network)
    assert graph.network is network
    assert sum(p.numel() for p in graph.parameters()) == sum(p.numel() for p in network.parameters())
