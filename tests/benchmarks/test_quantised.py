"""Graphs in fewer bits: they are what they are called, and answer nearly as the shipped one."""

import importlib.util
from pathlib import Path
from types import ModuleType

import onnx
import pytest
from onnx import TensorProto

from thymos.audio import read_waveform, resample
from thymos.runtime.bundle import GRAPH, find_bundle

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    pytest.importorskip("onnxruntime.quantization")
    spec = importlib.util.spec_from_file_location("quantised_benchmark", ROOT / "benchmarks" / "quantised.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_convolutions_alone_are_in_fewer_bits(benchmark, mini, tmp_path):
    plain = benchmark.with_plain_weights(find_bundle(None) / GRAPH, tmp_path / "plain.onnx")
    sounds = [resample(read_waveform(clip), 16_000).samples for clip in sorted(mini.glob("*/*"))[::50]]
    int8 = onnx.load(benchmark.in_int8(plain, tmp_path / "int8.onnx", sounds)).graph
    half = onnx.load(benchmark.in_float16(plain, tmp_path / "half.onnx")).graph
    weights = {node.input[1] for node in onnx.load(plain).graph.node if node.op_type == "Conv"}
    types = {value.name: value.data_type for value in half.initializer}
    assert {types[name] for name in weights} == {TensorProto.FLOAT16}
    assert sum(kind == TensorProto.FLOAT16 for kind in types.values()) <= 2 * len(weights)
    assert sum(value.data_type == TensorProto.INT8 and len(value.dims) == 4 for value in int8.initializer) == len(
        weights
    )


def test_a_corpus_is_measured(benchmark, mini, tmp_path):
    found = benchmark.measure(str(mini), 5, tmp_path)
    shipped, int8, half = found["rows"]
    assert shipped["largest_move"] == 0 == half["other_emotion"]
    assert 0 < int8["largest_move"] < 0.2 and 0 < half["largest_move"] < 0.01
    assert "| int8 convolutions |" in benchmark.as_markdown(found)
    assert found["clips"] == 5 and found["whole_ms_cpu"] > 0
