"""The graph says what torch says, for any batch and length, and its frames add up; in 8 bits it nearly does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from thymos.audio import Waveform
from thymos.encoder.describe import Describer, describe
from thymos.encoder.discriminant import Discriminant
from thymos.encoder.export import exportable
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.start import start_of
from thymos.runtime.bundle import GRAPH, OUTPUTS

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
def describer(toy_recipe: Callable[..., EncoderRecipe]) -> Describer:
    return start_of(toy_recipe()).describer


@pytest.fixture(scope="module")
def files(
    describer: Describer, discriminant: Discriminant, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The graph as it is, and with products in 8 bits."""
    root = tmp_path_factory.mktemp("graphs")
    for name, int8 in (("exact", False), ("int8", True)):
        (root / name).mkdir()
        exportable(describer, discriminant, LABELS, int8).write_files(root / name, graph_only=True)
    return {name: root / name / GRAPH for name in ("exact", "int8")}


def heard(file: Path, waveforms: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(file).run(list(OUTPUTS), {"waveform": waveforms})


@pytest.mark.parametrize("shape", [(1, 100), (2, 399), (1, 400), (3, 1000), (1, 20_001), (2, 48_000)])
def test_onnxruntime_says_what_torch_says(
    describer: Describer, discriminant: Discriminant, files: dict[str, Path], shape: tuple[int, int]
) -> None:
    waveforms = np.random.default_rng(1).normal(0, 0.1, shape).astype(np.float32)
    with torch.inference_mode():
        described = describer(torch.from_numpy(waveforms), torch.full(shape[:1], shape[1])).numpy()
    logits, embedding, frame_logits = heard(files["exact"], waveforms)
    np.testing.assert_allclose(logits, discriminant.logits(described[:, :256]), atol=1e-4)
    np.testing.assert_allclose(embedding, described[:, 256:], atol=1e-4)
    assert embedding.shape == (shape[0], 24)
    assert frame_logits.shape == (shape[0], max(1, (shape[1] // 160 + 1) // 2), len(LABELS))
    np.testing.assert_allclose(frame_logits.mean(1), logits, atol=1e-4)


def test_it_decides_as_the_head_does_on_descriptions(
    describer: Describer, files: dict[str, Path], discriminant: Discriminant
) -> None:
    samples = np.random.default_rng(2).normal(0, 0.1, 30_000).astype(np.float32)
    described = describe(describer, [Waveform(samples, 16_000)])[0]
    logits, embedding, _ = heard(files["exact"], samples[None])
    np.testing.assert_allclose(logits, discriminant.logits(described[:, :256]), atol=1e-4)
    np.testing.assert_allclose(embedding, described[:, 256:], atol=1e-4)


def test_level_decides_nothing(files: dict[str, Path]) -> None:
    samples = np.random.default_rng(3).normal(0, 0.1, (1, 16_000)).astype(np.float32)
    np.testing.assert_allclose(heard(files["exact"], samples)[0], heard(files["exact"], samples / 30)[0], atol=1e-4)


def test_in_8_bits_it_is_smaller_and_nearly_the_same(files: dict[str, Path]) -> None:
    assert files["int8"].stat().st_size < files["exact"].stat().st_size
    waveforms = np.random.default_rng(4).normal(0, 0.1, (4, 32_000)).astype(np.float32)
    for expected, value in zip(*(heard(file, waveforms) for file in files.values()), strict=True):
        assert value.shape == expected.shape
        assert 0 < np.abs(value - expected).mean() < 0.05 * np.abs(expected).mean() + 0.01
