"""Weights in 16 bits: a smaller file that says almost the same."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from thymos.export import compact_weights


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A graph of a convolution (one filter of zeros, one a thousand times fainter) and a product, before and after."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(8, 32, 5, padding=2), nn.Flatten(), nn.Linear(320, 40)).eval()
    with torch.no_grad():
        network[0].weight[3] = 0
        network[0].weight[4] *= 1e-3
    folder = tmp_path_factory.mktemp("graphs")
    before, after = folder / "before.onnx", folder / "after.onnx"
    for path in (before, after):
        torch.onnx.export(network, (torch.zeros(1, 8, 10),), path, dynamo=False, input_names=["sound"])
    model = onnx.load(after)
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    gemm.op_type, product = "MatMul", list(gemm.input)
    weights = next(each for each in model.graph.initializer if each.name == product[1])
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights).T.copy(), weights.name))
    del gemm.attribute[:], gemm.input[2:]
    for path in (before, after):
        onnx.save(model, path)
    compact_weights(after)
    return before, after


def test_the_file_is_half_as_large(graphs: tuple[Path, Path]) -> None:
    before, after = (path.stat().st_size for path in graphs)
    assert after < 0.56 * before
    stored = [each for each in onnx.load(graphs[1]).graph.initializer if each.data_type == onnx.TensorProto.INT16]
    assert sorted(tuple(each.dims) for each in stored) == [(32, 8, 5), (320, 40)]


def test_every_filter_says_the_same_at_its_own_scale(graphs: tuple[Path, Path]) -> None:
    sound = np.random.default_rng(0).normal(size=(1, 8, 10)).astype(np.float32)
    before, after = (onnxruntime.InferenceSession(path).run(None, {"sound": sound})[0] for path in graphs)
    assert 0 < np.abs(before - after).max() < 1e-4
    originals = {each.name: numpy_helper.to_array(each) for each in onnx.load(graphs[0]).graph.initializer}
    compact = {each.name: numpy_helper.to_array(each) for each in onnx.load(graphs[1]).graph.initializer}
    for name, steps in compact.items():
        if not name.endswith(".steps"):
            continue
        original = originals[name.removesuffix(".steps")]
        restored = steps.astype(np.float32) * compact[name.replace(".steps", ".scale")]
        axes = (1, 2) if original.ndim == 3 else (0,)
        largest = np.abs(original).max(axis=axes, keepdims=True)
        assert np.all(np.abs(restored - original) <= largest / 2**15)


def test_weights_are_restored_when_the_graph_is_loaded_not_each_time_it_runs(graphs, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    onnxruntime.InferenceSession(graphs[1], options)
    operations = {node.op_type for node in onnx.load(tmp_path / "loaded.onnx").graph.node}
    assert not operations & {"Cast", "Mul"}
