"""The graph says what torch says, for any batch and length; its frames add up, and its weights take 16 bits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from thymos import export
from thymos.audio import Waveform
from thymos.encoder.describe import describe
from thymos.encoder.discriminant import Discriminant
from thymos.encoder.export import RecognitionGraph
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.start import start_of
from thymos.runtime.bundle import OUTPUTS

CLASSES = 5


@pytest.fixture(scope="module")
def discriminant() -> Discriminant:
    random = np.random.default_rng(0)
    descriptors = 256
    return Discriminant(
        random.normal(0, 0.1, descriptors),
        random.uniform(0.5, 1, descriptors),
        random.normal(0, 0.05, (descriptors, CLASSES)),
        random.normal(0, 0.1, CLASSES),
    )


@pytest.fixture(scope="module")
def graph(toy_recipe: Callable[..., EncoderRecipe], discriminant: Discriminant) -> RecognitionGraph:
    return RecognitionGraph(start_of(toy_recipe()).describer, discriminant).eval()


@pytest.fixture(scope="module")
def files(graph: RecognitionGraph, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The graph with its weights in 16 bits, and as it is."""
    root = tmp_path_factory.mktemp("graphs")
    export.write_graph(root / "compact.onnx", graph, 20_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "compact_weights", lambda path: None)
        export.write_graph(root / "full.onnx", graph, 20_000)
    return {"compact": root / "compact.onnx", "full": root / "full.onnx"}


def heard(file: Path, waveforms: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(file).run(list(OUTPUTS), {"waveform": waveforms})


@pytest.mark.parametrize("shape", [(1, 100), (2, 399), (1, 400), (3, 1000), (1, 20_001), (2, 48_000)])
def test_onnxruntime_says_what_torch_says(
    graph: RecognitionGraph, files: dict[str, Path], shape: tuple[int, int]
) -> None:
    waveforms = np.random.default_rng(1).normal(0, 0.1, shape).astype(np.float32)
    with torch.inference_mode():
        logits, embedding, frame_logits = (value.numpy() for value in graph(torch.from_numpy(waveforms)))
    for name, bound in (("full", 1e-4), ("compact", 1e-3)):
        own = heard(files[name], waveforms)
        for expected, value in zip((logits, embedding, frame_logits), own, strict=True):
            np.testing.assert_allclose(value, expected, atol=bound)
    assert logits.shape == (shape[0], CLASSES)
    assert embedding.shape == (shape[0], 24)
    assert frame_logits.shape == (shape[0], max(1, (shape[1] // 160 + 1) // 2), CLASSES)
    np.testing.assert_allclose(frame_logits.mean(1), logits, atol=1e-4)


def test_it_decides_as_the_head_does_on_descriptions(
    graph: RecognitionGraph, files: dict[str, Path], discriminant: Discriminant
) -> None:
    samples = np.random.default_rng(2).normal(0, 0.1, 30_000).astype(np.float32)
    described = describe(graph.describer, [Waveform(samples, 16_000)])[0]
    logits, embedding, _ = heard(files["full"], samples[None])
    np.testing.assert_allclose(logits, discriminant.logits(described[:, :256]), atol=1e-4)
    np.testing.assert_allclose(embedding, described[:, 256:], atol=1e-4)


def test_level_decides_nothing(files: dict[str, Path]) -> None:
    samples = np.random.default_rng(3).normal(0, 0.1, (1, 16_000)).astype(np.float32)
    np.testing.assert_allclose(heard(files["full"], samples)[0], heard(files["full"], samples / 30)[0], atol=1e-4)


def test_products_and_the_table_of_places_take_16_bits(graph: RecognitionGraph, files: dict[str, Path]) -> None:
    kept = onnx.load(files["compact"]).graph.initializer
    assert not [each.name for each in kept if each.data_type == onnx.TensorProto.FLOAT and np.prod(each.dims) > 2000]
    halved = sum(int(np.prod(each.dims)) for each in kept if each.data_type == onnx.TensorProto.INT16)
    assert halved >= sum(value.numel() for value in graph.parameters() if value.numel() > 10_000)


def test_in_8_bits_it_is_smaller_and_nearly_the_same(
    graph: RecognitionGraph, files: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "int8.onnx"
    export.write_graph(file, graph, 20_000, int8=True)
    assert "MatMulInteger" in {node.op_type for node in onnx.load(file).graph.node}
    assert file.stat().st_size < files["compact"].stat().st_size
    waveforms = np.random.default_rng(4).normal(0, 0.1, (4, 32_000)).astype(np.float32)
    exact, rough = heard(files["full"], waveforms), heard(file, waveforms)
    for expected, value in zip(exact, rough, strict=True):
        assert value.shape == expected.shape
        assert 0 < np.abs(value - expected).mean() < 0.05 * np.abs(expected).mean() + 0.01
