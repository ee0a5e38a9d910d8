"""The graph says what torch says, for any batch and length, and its frames add up; in 8 bits it nearly does."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from thymos.audio import Waveform, read_waveform
from thymos.audio.conditioning import resample
from thymos.encoder.describe import Start, describe, start_of
from thymos.encoder.export import export_encoder, export_in_float32, exportable
from thymos.encoder.heads import Discriminant
from thymos.encoder.log_mel import RATE_HZ
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.weights import ABOUT, WEIGHTS, read_encoder
from thymos.runtime.adaptation import VoiceSpace
from thymos.runtime.bundle import find_bundle, shipped_encoder
from thymos.runtime.hearing import ENCODER_GRAPH, ENCODER_OUTPUTS, EncoderWithHead, read_encoder_with_head
from thymos.runtime.model_files import ModelFiles, sha256
from thymos.runtime.recognizer import load

LABELS = ("anger", "disgust", "fear", "happiness", "sadness")


@pytest.fixture(scope="module")
def discriminant() -> Discriminant:
    random = np.random.default_rng(0)
    descriptors = 256
    return Discriminant(
        random.normal(0, 0.1, descriptors),
        random.uniform(0.5, 1, descriptors),
        random.normal(0, 0.05, (descriptors, len(LABELS))),
        random.normal(0, 0.1, len(LABELS)),
    )


@pytest.fixture(scope="module")
def start(toy_recipe: Callable[..., EncoderRecipe]) -> Start:
    return start_of(toy_recipe())


@pytest.fixture(scope="module")
def folders(start: Start, discriminant: Discriminant, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model as it is, and with products in 8 bits."""
    root = tmp_path_factory.mktemp("models")
    width = len(discriminant.mean)
    space = VoiceSpace(np.ones((width, 2), np.float32), np.ones(2), np.ones((len(LABELS), 2)), np.eye(2))
    for name, int8 in (("exact", False), ("int8", True)):
        (root / name).mkdir()
        exportable(start, discriminant, space, LABELS, int8).write_files(root / name)
    return {name: root / name for name in ("exact", "int8")}


def described(folder: Path, waveforms: np.ndarray) -> list[np.ndarray]:
    """What the encoder's graph says; onnxruntime finds the weights that it points at."""
    return onnxruntime.InferenceSession(folder / ENCODER_GRAPH).run(list(ENCODER_OUTPUTS), {"waveform": waveforms})


def model_in(folder: Path) -> EncoderWithHead:
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    return read_encoder_with_head(ModelFiles(folder, digests, "model.json"), 2, folder / "nowhere")


@pytest.mark.parametrize("shape", [(1, 100), (2, 399), (1, 400), (3, 1000), (1, 20_001), (2, 48_000)])
def test_onnxruntime_says_what_torch_says(start: Start, folders: dict[str, Path], shape: tuple[int, int]) -> None:
    waveforms = np.random.default_rng(1).normal(0, 0.1, shape).astype(np.float32)
    lengths = torch.full(shape[:1], shape[1])
    with torch.inference_mode():
        states = start.describer.states(torch.from_numpy(waveforms), lengths)
        expected = start.describer.of_states(states).numpy()
    description, embedding, frame_states = described(folders["exact"], waveforms)
    np.testing.assert_allclose(np.concatenate([description, embedding], axis=1), expected, atol=1e-4)
    assert embedding.shape == (shape[0], 24)
    frames = max(1, (shape[1] // 160 + 1) // 2)
    by_layer = torch.cat(states.layers, dim=2)[:, :frames].numpy()
    assert frame_states.shape == by_layer.shape
    np.testing.assert_allclose(frame_states, by_layer, atol=1e-4)
    means = description.reshape(shape[0], 2, 2, -1)[:, :, 0].reshape(shape[0], -1)
    np.testing.assert_allclose(frame_states.mean(1), means, atol=1e-4)


def test_it_decides_as_the_head_does_on_descriptions(
    start: Start, folders: dict[str, Path], discriminant: Discriminant
) -> None:
    samples = np.random.default_rng(2).normal(0, 0.1, 30_000).astype(np.float32)
    by_torch = describe(start.describer, [Waveform(samples, 16_000)])[0, 0]
    heard = model_in(folders["exact"]).hear(samples, frames=True)
    np.testing.assert_allclose(heard.logits, discriminant.logits(by_torch[:256]), atol=1e-4)
    np.testing.assert_allclose(heard.embedding, by_torch[256:], atol=1e-4)
    np.testing.assert_allclose(heard.frame_logits.mean(0), heard.logits, atol=1e-4)
    assert np.ptp(heard.frame_logits, axis=0).min() > 1e-3


def test_frame_logits_are_those_of_descriptions_with_a_frames_states_for_means(folders: dict[str, Path]) -> None:
    samples = np.random.default_rng(5).normal(0, 0.1, 8_000).astype(np.float32)
    model = model_in(folders["exact"])
    heard = model.hear(samples, frames=True)
    states = described(folders["exact"], samples[None])[2][0]
    other = heard.description.reshape(2, 2, -1).copy()
    other[:, 0] = states[7].reshape(2, -1)
    np.testing.assert_allclose(heard.frame_logits[7], other.reshape(-1) @ model.weights + model.bias, atol=1e-4)


def test_level_decides_nothing(folders: dict[str, Path]) -> None:
    samples = np.random.default_rng(3).normal(0, 0.1, (1, 16_000)).astype(np.float32)
    loud, quiet = (described(folders["exact"], each)[0] for each in (samples, samples / 30))
    np.testing.assert_allclose(loud, quiet, atol=1e-4)


def test_in_8_bits_it_is_smaller_and_nearly_the_same(folders: dict[str, Path]) -> None:
    assert (folders["int8"] / WEIGHTS).stat().st_size < (folders["exact"] / WEIGHTS).stat().st_size
    waveforms = np.random.default_rng(4).normal(0, 0.1, (1, 32_000)).astype(np.float32)
    for expected, value in zip(*(described(folder, waveforms) for folder in folders.values()), strict=True):
        assert value.shape == expected.shape
        assert 0 < np.abs(value - expected).mean() < 0.05 * np.abs(expected).mean() + 0.01


@pytest.mark.parametrize("way", ["exact", "int8"])
def test_weights_are_stored_once(folders: dict[str, Path], way: str) -> None:
    kept = onnx.load(folders[way] / ENCODER_GRAPH, load_external_data=False).graph.initializer
    outside = [each for each in kept if each.data_location == onnx.TensorProto.EXTERNAL]
    assert {entry.value for each in outside for entry in each.external_data if entry.key == "location"} == {WEIGHTS}
    assert {"layers.conv1.weight", "layers.layers.1.fc2.weight", "head.norm.running_var"} <= {x.name for x in outside}
    assert not {each.name for each in kept if each not in outside and not each.name.startswith("constant_")}


def test_torch_reads_the_weights_that_the_graph_multiplies_by(folders: dict[str, Path]) -> None:
    """Dequantised weights and exact activations against 8-bit ones: nearer than the weights that were rounded."""
    network = read_encoder(folders["int8"]).network
    for name, tensor in network.state_dict().items():
        if name.endswith("fc1.weight"):
            steps = tensor / (tensor.abs().amax(1, keepdim=True) / 64)
            torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    about = read_encoder(folders["int8"]).about
    assert about["describes"] == [1, 2] and about["int8"] is True
    assert len(about["made_from"]["sha256"]) == 64


def test_what_was_exported_so_is_copied(
    toy_recipe: Callable[..., EncoderRecipe], folders: dict[str, Path], tmp_path: Path
) -> None:
    """So that heads trained from one exported encoder share its files, to the byte."""
    start = start_of(toy_recipe(start_from=str(folders["int8"])))
    for name in ("same", "wider"):
        (tmp_path / name).mkdir()
    export_encoder(start, tmp_path / "same", int8=True)
    for name in (WEIGHTS, ENCODER_GRAPH, ABOUT):
        assert (tmp_path / "same" / name).read_bytes() == (folders["int8"] / name).read_bytes()
    export_encoder(start, tmp_path / "wider", int8=False)
    assert read_encoder(tmp_path / "wider").about["made_from"] == {"sha256": start.digest}


@pytest.fixture(scope="module")
def aesdd_clips(aesdd: Path) -> Iterator[list[np.ndarray]]:
    files = [sorted(folder.glob("*.flac"))[30] for folder in sorted(aesdd.iterdir()) if folder.is_dir()]
    yield [resample(read_waveform(file), RATE_HZ).samples for file in files]


@pytest.mark.real
def test_the_shipped_encoder_says_of_real_clips_nearly_what_torch_says(aesdd_clips: list[np.ndarray]) -> None:
    """Off by the rounding of activations: beside how descriptions differ from clip to clip, a fifth at most."""
    describer = start_of(EncoderRecipe(name="shipped")).describer
    by_torch = np.array([describe(describer, [Waveform(clip, RATE_HZ)])[0, 0] for clip in aesdd_clips])
    by_graph = [np.concatenate(described(shipped_encoder(), clip[None])[:2], axis=1)[0] for clip in aesdd_clips]
    off = (np.array(by_graph) - by_torch) / by_torch.std(0)
    assert 0 < np.sqrt(np.square(off).mean()) < 0.2


@pytest.mark.slow
def test_in_float32_a_trace_of_noise_changes_nothing_and_rounding_little(mini: Path, tmp_path: Path) -> None:
    """Rounded to 8 bits, one sound that differs from another by a millionth may be heard a hundredth otherwise."""
    export_in_float32(find_bundle("thymos"), tmp_path / "exact")
    exact, shipped = load(tmp_path / "exact"), load("thymos")
    samples = read_waveform(sorted(mini.glob("*/*.opus"))[105]).samples
    traces = samples * (1 + 1e-6 * np.random.default_rng(0).standard_normal(len(samples)))
    first, second, other = (
        list((recognizer.predict((sound.astype(np.float32), 16_000)).probabilities or {}).values())
        for recognizer, sound in ((exact, samples), (exact, traces), (shipped, samples))
    )
    np.testing.assert_allclose(first, second, atol=1e-4)
    assert 1e-4 < np.abs(np.subtract(first, other)).max() < 0.03
    assert sha256((tmp_path / "exact" / WEIGHTS).read_bytes()) == sha256((shipped_encoder() / WEIGHTS).read_bytes())
