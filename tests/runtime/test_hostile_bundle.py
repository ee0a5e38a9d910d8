"""Models that somebody made to hang, to fill the memory or to answer nonsense: each is refused in one sentence."""

import hashlib
import json
import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from thymos.errors import BundleError
from thymos.runtime import graph_check
from thymos.runtime.bundle import ABOUT, DISTRIBUTION, find_bundle, read_bundle
from thymos.runtime.graph_check import OPERATORS, check_graph
from thymos.runtime.hearing import ENCODER_GRAPH, ENCODER_OUTPUTS, ENCODER_WEIGHTS, HEAD
from thymos.runtime.recognizer import load

FILES = [ABOUT, HEAD, ENCODER_GRAPH, ENCODER_WEIGHTS, DISTRIBUTION]


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


def refusal(folder: Path) -> str:
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BundleError) as caught:
        read_bundle(find_bundle(folder))
    assert time.monotonic() - began < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "kB"
    said = str(caught.value)
    assert "\n" not in said and len(said) < 400
    return said


def put_graph(folder: Path, graph: onnx.ModelProto, name: str = ENCODER_GRAPH) -> None:
    content = graph.SerializeToString()
    (folder / name).write_bytes(content)
    about = json.loads((folder / ABOUT).read_text())
    about["sha256"][name] = hashlib.sha256(content).hexdigest()
    (folder / ABOUT).write_text(json.dumps(about))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rate_hz", 10**9),
        ("rate_hz", 1),
        ("window_s", 1e9),
        ("window_s", 1e-9),
        ("hop_s", 1e-9),
        ("hop_s", 0.02),  # a hundred and more windows over each moment
        ("speeds", [1e-9]),
        ("speeds", [1.0] * 1000),
        ("temperature", 5e-324),
        ("temperature", 1e308),
        ("labels", [str(number) for number in range(10_000)]),
        ("labels", ["\x1b[2J", "fear", "sadness", "disgust", "happiness"]),
        ("name", "n" * 10_000),
        ("layers", [1] * 10_000),
        ("sha256", {HEAD: 1}),
        ("familiarity", {"threshold": 1e-400, "acceptance": 0.9, "rows": 3}),
    ],
)
def test_fields_beyond_any_model_are_refused(copy, field, value):
    about = json.loads((copy / ABOUT).read_text())
    (copy / ABOUT).write_text(json.dumps(about | {field: value, **({"window_s": 3.5} if field == "hop_s" else {})}))
    assert ("label" if field == "labels" else field) in refusal(copy)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": ' + "9" * 5000 + "}", '{"format": 3, "a": NaN}'])
def test_json_made_to_break_a_reader_is_one_sentence(copy, text):
    (copy / ABOUT).write_text(text)
    assert "no JSON" in refusal(copy) or "without a graph" in refusal(copy)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "hole"])
def test_what_is_no_regular_file_of_a_model_s_size_is_not_read(copy, name, kind):
    path = copy / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)
    assert name in refusal(copy)


def model(nodes: list[onnx.NodeProto], tensors: dict[str, np.ndarray] | None = None) -> onnx.ModelProto:
    """A graph from a waveform to the encoder's outputs, each of which is the value ``out``."""
    nodes = [*nodes, *(helper.make_node("Identity", ["out"], [name]) for name in ENCODER_OUTPUTS)]
    taken = [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"])]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ENCODER_OUTPUTS]
    held = [onnx.numpy_helper.from_array(values, name) for name, values in (tensors or {}).items()]
    graph = helper.make_graph(nodes, "g", taken, made, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def endless_loop() -> onnx.ModelProto:
    truth = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), truth,
         helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )  # fmt: skip
    return model([helper.make_node("Loop", ["", "true", "waveform"], ["out"], body=body)], {"true": np.array(True)})


def with_function() -> onnx.ModelProto:
    made = model([helper.make_node("Mine", ["waveform"], ["out"], domain="mine")])
    inside = [helper.make_node("Identity", ["a"], ["b"])]
    made.functions.append(helper.make_function("mine", "Mine", ["a"], ["b"], inside, [helper.make_opsetid("", 18)]))
    return made


HOSTILE_GRAPHS: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "loop": (endless_loop, "graphs within its graph"),
    "operator": (lambda: model([helper.make_node("RandomNormalLike", ["waveform"], ["out"])]), "'RandomNormalLike'"),
    "domain": (lambda: model([helper.make_node("Add", ["waveform"] * 2, ["out"], domain="x")]), "'x.Add'"),
    "function": (with_function, "operators of its own"),
    "many": (
        lambda: model([helper.make_node("Abs", ["waveform"], [f"{i}"]) for i in range(10_001)]),
        "larger than any",
    ),
    "large": (
        lambda: model([helper.make_node("Expand", ["waveform", "n"], ["out"])], {"n": np.array([20_000, 1, 1])}),
        "more memory",
    ),
    "table": (
        lambda: model([helper.make_node("ConstantOfShape", ["n"], ["out"])], {"n": np.array([1 << 40])}),
        "more memory",
    ),
    "nan": (lambda: model([helper.make_node("Log", ["waveform"], ["out"])]), "NaN or infinity"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("make", "words"), HOSTILE_GRAPHS.values(), ids=list(HOSTILE_GRAPHS))
def test_graphs_that_hang_or_fill_the_memory_are_refused(copy, make, words):
    put_graph(copy, make())
    assert words in refusal(copy)


@pytest.mark.slow
def test_a_graph_that_reckons_for_too_long_is_ended(copy, monkeypatch):
    monkeypatch.setattr(graph_check, "CPU_S", 1)
    line = helper.make_node("Unsqueeze", ["waveform", "one"], ["line"])
    wide = helper.make_node("Conv", ["line", "w"], ["out"], pads=[10_000, 10_000])
    put_graph(copy, model([line, wide], {"one": np.array([1]), "w": np.ones((8, 1, 20_001), np.float32)}))
    assert "processor time" in refusal(copy)


@pytest.mark.slow
def test_weights_that_are_no_numbers_are_refused(copy):
    path = copy / ENCODER_WEIGHTS
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    content[header:] = np.full((len(content) - header) // 2, np.nan, np.float16).tobytes()
    path.write_bytes(content)
    about = json.loads((copy / ABOUT).read_text())
    about["sha256"][ENCODER_WEIGHTS] = hashlib.sha256(content).hexdigest()
    (copy / ABOUT).write_text(json.dumps(about))
    assert "NaN" in refusal(copy)


@pytest.mark.parametrize("cut", [1, 7, 100, 2000])
def test_a_damaged_graph_is_one_sentence(bundle, cut):
    content = bytearray((bundle / ENCODER_GRAPH).read_bytes())
    check_graph(bytes(content), bundle)
    with pytest.raises(BundleError, match="damaged"):
        check_graph(bytes(content[:-cut]), bundle)


def test_all_graphs_that_come_along_are_of_operators_that_are_run(bundle):
    shipped = Path(graph_check.__file__).parents[1] / "weights"
    for path in (*shipped.rglob("*.onnx"), bundle / ENCODER_GRAPH):
        check_graph(path.read_bytes(), path)
    assert not {"Loop", "If", "Scan", "SequenceMap"} & {name for _, name in OPERATORS}


@pytest.mark.slow
def test_a_model_is_probed_once(bundle, copy, monkeypatch, tmp_path):
    monkeypatch.setenv("THYMOS_CACHE", str(tmp_path / "cache"))
    load(copy)
    (mark,) = (tmp_path / "cache" / "models").iterdir()
    monkeypatch.setattr(graph_check.subprocess, "run", lambda *words, **options: pytest.fail("once is enough"))
    load(copy)
    mark.unlink()
    with pytest.raises(pytest.fail.Exception):
        load(copy)
