"""The encoder as an ONNX graph: what ``describe.Describer`` does in torch, in operators that onnxruntime is fast in.

Written out by hand, since half the time of a traced graph went into what is no arithmetic: masks where nothing is
padded, convolutions in float32, one input rounded three times. A recording comes alone or among others as long as it,
so nothing is masked; time is the second axis throughout, so that convolutions and attention are products of matrices.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from thymos.encoder.log_mel import (
    FLOOR,
    HOP,
    LEAST_POWER,
    LEVEL_DB,
    RANGE,
    WINDOW,
    mel_filters,
)
from thymos.encoder.network import LEAST_VARIANCE, LayerSettings
from thymos.encoder.packed import JOINED, SCALE
from thymos.files import whole_file
from thymos.runtime.hearing import ENCODER_OUTPUTS, INPUT

if TYPE_CHECKING:
    import onnx

OPSET, _ONNX_VERSION = 20, 9
MICROSOFT = "com.microsoft"
"""Home of onnxruntime's own operators."""
_LAYER_NORM_EPSILON = 1e-5
_BLOCK = 80
"""Samples: what hop and window are multiples of."""
_TYPES = {"F32": "FLOAT", "F16": "FLOAT16", "I8": "INT8", "I64": "INT64"}
"""What ONNX calls the kinds of numbers in a safetensors file."""


def write_encoder_graph(
    path: Path, weights: Path, settings: LayerSettings, which: Sequence[int], rounded: bool = True
) -> None:
    """Write the encoder's graph to ``path``: ``waveform`` to ``ENCODER_OUTPUTS``, for any batch and any length.

    Args:
        path: beside ``weights``.
        weights: safetensors file of what ``packed.pack`` made; the graph holds none of it, and says where in the file
            each tensor lies.
        settings: size of the layers.
        which: layers that describe a recording; the first is 1.
        rounded: whether products with matrices of integers are reckoned in integers, which is fast; else in float32.
    """
    import onnx
    from onnx import helper

    tensors = _tensors_in(weights)
    writer = GraphWriter(tensors, rounded)
    project = tensors.get("head.project.weight")
    made = add_encoder(writer, INPUT, settings, which, embeds=project is not None)
    for value, name in zip(made, ENCODER_OUTPUTS, strict=True):
        writer.nodes.append(helper.make_node("Identity", [value], [name]))
    states = len(which) * settings.width
    embedding = 2 * states if project is None else project.dims[0]
    shapes: list[list[str | int]] = [["batch", 2 * states], ["batch", embedding], ["batch", "frames", states]]
    model = writer.model({INPUT: ["batch", "samples"]}, dict(zip(ENCODER_OUTPUTS, shapes, strict=True)))
    with whole_file(path) as temporary:
        onnx.save(model, temporary)


def _tensors_in(weights: Path) -> dict[str, "onnx.TensorProto"]:
    """Return where each tensor of a safetensors file lies, as ONNX says it.

    Source: the format's description at https://github.com/huggingface/safetensors#format: eight bytes of the header's
    length, the header as JSON, then the tensors.
    """
    from onnx import TensorProto

    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    tensors = {}
    for name, told in header.items():
        if name == "__metadata__":
            continue
        start, end = told["data_offsets"]
        kind = TensorProto.DataType.Value(_TYPES[told["dtype"]])
        tensor = TensorProto(name=name, data_type=kind, dims=told["shape"], data_location=TensorProto.EXTERNAL)
        place = {"location": weights.name, "offset": 8 + length + start, "length": end - start}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        tensors[name] = tensor
    return tensors


class GraphWriter:
    """Collects the nodes of a graph; a value goes by its name.

    Attributes:
        weights: name to the tensor, which tells where in a file it lies.
        rounded: see ``write_encoder_graph``.
    """

    def __init__(self, weights: Mapping[str, "onnx.TensorProto"], rounded: bool = True):
        self.weights, self.rounded = weights, rounded
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}

    def op(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output, and return the output's name."""
        return self.ops(operator, *inputs, outputs=1, domain=domain, **attributes)[0]

    def ops(self, operator: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> list[str]:
        """Add a node, and return its outputs' names."""
        from onnx import helper

        name = f"{operator}_{len(self.nodes)}"
        names = [f"{name}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, name=name, domain=domain, **attributes))
        return names

    def constant(self, value: NDArray[np.generic]) -> str:
        """Return the name of a tensor that the graph itself holds."""
        from onnx import numpy_helper

        name = f"constant_{len(self.initializers)}"
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def integers(self, *values: int) -> str:
        """Return the name of a list of integers, such as axes or a shape."""
        return self.constant(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """Return the name of a number."""
        return self.constant(np.array(value, np.float32))

    def weight(self, name: str) -> str:
        """Return the name of a weight in float32, whatever it is kept in; onnxruntime widens it once."""
        from onnx import TensorProto

        kept = self.weights[name]
        if name not in self.initializers:
            self.initializers[name] = kept
        return name if kept.data_type == TensorProto.FLOAT else self.op("Cast", name, to=TensorProto.FLOAT)

    def product(self, values: str, name: str, bias: str | None = None) -> str:
        """Return ``values @`` the matrix of that name, and its bias added.

        With a matrix of integers, what comes in is rounded as it comes, over all of its range, unless nothing is to be.
        """
        added = None if bias is None else self.weight(bias)
        of_integers = name + SCALE in self.weights
        if not of_integers or not self.rounded:
            matrix = self.weight(name)
            if of_integers:  # onnxruntime reckons it once, as it opens the graph
                matrix = self.op("Mul", matrix, self.weight(name + SCALE))
            result = self.op("MatMul", values, matrix)
            return result if added is None else self.op("Add", result, added)
        self.initializers[name] = self.weights[name]
        inputs = [values, name, self.weight(name + SCALE), *([] if added is None else ["", added])]
        return self.op("DynamicQuantizeMatMul", *inputs, domain=MICROSOFT)

    def model(self, inputs: Mapping[str, Sequence[str]], outputs: Mapping[str, Sequence[str | int]]) -> Any:
        """Return the ONNX model of the graph; ``inputs`` and ``outputs`` give each its shape, all in float32."""
        from onnx import TensorProto, helper

        given, said = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in each.items()]
            for each in (inputs, outputs)
        )
        graph = helper.make_graph(self.nodes, "encoder", given, said, list(self.initializers.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_ONNX_VERSION)


def add_encoder(
    writer: GraphWriter, waveform: str, settings: LayerSettings, which: Sequence[int], embeds: bool
) -> tuple[str, str, str]:
    """Add the encoder, whose weights are named as ``packed.pack`` names them.

    Args:
        writer: what collects the graph.
        waveform: ``(batch, samples)`` at 16 kHz.
        settings: size of the layers.
        which: layers that describe a recording; the first is 1.
        embeds: whether pooling and embedding of a fine-tuned network are among the weights; else the description is the
            embedding.

    Returns:
        The names of description ``(batch, D)``, embedding ``(batch, E)`` and frame states ``(batch, frames, D / 2)``.
    """
    log_mel, frames = _log_mel(writer, _at_level(writer, waveform), _length(writer, waveform))
    states = _layers(writer, log_mel, frames, settings)
    chosen = [states[number - 1] for number in which]
    parts = [part for layer in chosen for part in _moments(writer, layer)]
    description = writer.op("Concat", *parts, axis=1)
    frame_states = writer.op("Concat", *chosen, axis=2)
    return description, _embedding(writer, states, settings) if embeds else description, frame_states


def _length(writer: GraphWriter, values: str) -> str:
    """Return how long the second axis is: int64, shape ``(1,)``."""
    return writer.op("Shape", values, start=1, end=2)


def _shares(writer: GraphWriter, length: str) -> str:
    """Return ``1 / length`` so many times, shape ``(1, length)``: a product with it is a mean, faster than a sum."""
    share = writer.op("Reciprocal", writer.op("Cast", length, to=1))
    return writer.op("Expand", share, writer.op("Concat", writer.integers(1), length, axis=0))


def _at_level(writer: GraphWriter, waveform: str) -> str:
    """As ``log_mel.at_level``."""
    samples = _length(writer, waveform)
    mean = writer.op("MatMul", waveform, writer.op("Transpose", _shares(writer, samples)))
    sound = writer.op("Sub", waveform, mean)
    row, column = (writer.op("Unsqueeze", sound, writer.integers(axis)) for axis in (1, 2))
    energy = writer.op("Squeeze", writer.op("MatMul", row, column), writer.integers(2))
    power = writer.op("Div", energy, writer.op("Cast", samples, to=1))
    quiet = writer.op("Add", power, writer.number(LEAST_POWER))
    gain = writer.op("Sqrt", writer.op("Div", writer.number(10 ** (LEVEL_DB / 10)), quiet))
    return writer.op("Mul", sound, gain)


def _log_mel(writer: GraphWriter, sound: str, samples: str) -> tuple[str, str]:
    """As ``log_mel.WhisperLogMel``: ``(batch, frames, mels)``, and how many frames, shape ``(1,)``.

    A window's halves are added and subtracted before the transform, since even frequencies see but the sum and odd ones
    the difference: so it takes half as many products. The lowest and the highest frequency are in no mel filter.
    """
    half = WINDOW // 2
    frames = writer.op("Max", writer.op("Div", samples, writer.integers(HOP)), writer.integers(1))
    # Long enough for the mirror of what is short, and for the last window of what is not.
    padded = writer.op("Pad", sound, writer.integers(0, 0, 0, WINDOW))
    mirrored = writer.op(
        "Slice", padded, writer.integers(half), writer.integers(0), writer.integers(1), writer.integers(-1)
    )
    whole = writer.op("Mul", frames, writer.integers(HOP))
    end = writer.op("Add", whole, writer.integers(WINDOW - HOP))
    joined = writer.op("Concat", mirrored, padded, axis=1)
    cut = writer.op("Slice", joined, writer.integers(0), end, writer.integers(1))
    blocks = writer.op("Reshape", cut, writer.integers(0, -1, _BLOCK))
    windows = _neighbours(writer, blocks, frames, WINDOW // _BLOCK, HOP // _BLOCK)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    windows = writer.op("Mul", windows, writer.constant(hann.astype(np.float32)))
    first, second = writer.ops("Split", windows, outputs=2, axis=2, num_outputs=2)
    filters = mel_filters().T
    powers, rows = [], []
    for operator, start in (("Add", 2), ("Sub", 1)):
        bins = np.arange(start, half, 2)
        angle = 2 * np.pi * np.outer(np.arange(half), bins) / WINDOW
        waves = np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        parts = writer.op("MatMul", writer.op(operator, first, second), writer.constant(waves))
        powers.append(writer.op("Mul", parts, parts))
        rows += [filters[bins], filters[bins]]
    power = writer.op("MatMul", writer.op("Concat", *powers, axis=2), writer.constant(np.concatenate(rows)))
    natural = writer.op("Log", writer.op("Max", power, writer.number(FLOOR)))
    logarithms = writer.op("Mul", natural, writer.number(1 / np.log(10)))
    peak = writer.op("ReduceMax", logarithms, writer.integers(1, 2))
    cut_off = writer.op("Max", logarithms, writer.op("Sub", peak, writer.number(RANGE)))
    return writer.op("Mul", writer.op("Add", cut_off, writer.number(4)), writer.number(1 / 4)), frames


def _layers(writer: GraphWriter, log_mel: str, frames: str, settings: LayerSettings) -> list[str]:
    """As ``whisper_layers.WhisperLayers``: states after each layer, ``(batch, frames / 2, width)``."""
    maps = _convolution(writer, log_mel, frames, 1)
    half = writer.op("Div", writer.op("Add", frames, writer.integers(1)), writer.integers(2))
    maps = _convolution(writer, maps, half, 2)
    places = writer.op("Slice", writer.weight("layers.embed_positions.weight"), writer.integers(0), half)
    states, after = writer.op("Add", maps, places), []
    for number in range(settings.layers):
        own = f"layers.layers.{number}."
        normal = _normal(writer, states, own + "self_attn_layer_norm")
        joined = writer.product(normal, f"{own}self_attn.{JOINED}.weight", f"{own}self_attn.{JOINED}.bias")
        parts = writer.ops("Split", joined, outputs=3, axis=2, num_outputs=3)
        heard = writer.op("MultiHeadAttention", *parts, domain=MICROSOFT, num_heads=settings.heads)
        states = writer.op("Add", states, _linear(writer, heard, own + "self_attn.out_proj"))
        hidden = writer.op("Gelu", _linear(writer, _normal(writer, states, own + "final_layer_norm"), own + "fc1"))
        states = writer.op("Add", states, _linear(writer, hidden, own + "fc2"))
        after.append(states)
    return after


def _convolution(writer: GraphWriter, values: str, outputs: str, stride: int) -> str:
    """Return so many ``outputs`` of a convolution of three frames, ``(batch, outputs, width)``, through GELU."""
    padded = writer.op("Pad", values, writer.integers(0, 1, 0, 0, 1, 0))
    seen = _neighbours(writer, padded, outputs, 3, stride)
    return writer.op("Gelu", _linear(writer, seen, f"layers.conv{stride}"))


def _neighbours(writer: GraphWriter, values: str, outputs: str, size: int, stride: int) -> str:
    """Return every ``stride``-th run of ``size`` rows as one row: ``(batch, outputs, size × columns)``."""
    last = writer.op("Mul", writer.op("Sub", outputs, writer.integers(1)), writer.integers(stride))
    axis, step = writer.integers(1), writer.integers(stride)
    rows = [
        writer.op("Slice", values, writer.integers(i), writer.op("Add", last, writer.integers(i + 1)), axis, step)
        for i in range(size)
    ]
    return writer.op("Concat", *rows, axis=2)


def _linear(writer: GraphWriter, values: str, name: str) -> str:
    return writer.product(values, f"{name}.weight", f"{name}.bias")


def _normal(writer: GraphWriter, values: str, name: str) -> str:
    weight, bias = writer.weight(f"{name}.weight"), writer.weight(f"{name}.bias")
    return writer.op("LayerNormalization", values, weight, bias, axis=-1, epsilon=_LAYER_NORM_EPSILON)


def _moments(writer: GraphWriter, states: str) -> list[str]:
    """Return mean and standard deviation over time of ``states``: ``(batch, width)`` each."""
    mean, variance = _weighted(writer, states, _shares(writer, _length(writer, states)))
    axis = writer.integers(1)
    return [writer.op("Squeeze", mean, axis), writer.op("Squeeze", writer.op("Sqrt", variance), axis)]


def _weighted(writer: GraphWriter, states: str, weights: str) -> tuple[str, str]:
    """Return mean and variance over time, ``(batch, 1, width)``, by ``weights``, a row that sums to 1."""
    mean = writer.op("MatMul", weights, states)
    away = writer.op("Sub", states, mean)
    return mean, writer.op("MatMul", weights, writer.op("Mul", away, away))


def _embedding(writer: GraphWriter, states: Sequence[str], settings: LayerSettings) -> str:
    """As ``network.AttentivePooling`` and ``network.EmotionHead.embed``: ``(batch, E)``."""
    shares = writer.op("Softmax", writer.weight("pooling.layer_weights"), axis=0)
    by_layer = writer.ops("Split", shares, outputs=len(states), axis=0, num_outputs=len(states))
    width = writer.integers(settings.width)
    normal = [
        writer.op("LayerNormalization", layer, writer.op("Expand", share, width), axis=-1, epsilon=_LAYER_NORM_EPSILON)
        for layer, share in zip(states, by_layer, strict=True)
    ]
    mixed = writer.op("Sum", *normal)
    hidden = writer.op("Tanh", _linear(writer, mixed, "pooling.attention.0"))
    scores = writer.op("MatMul", hidden, writer.op("Transpose", writer.weight("pooling.attention.2.weight")))
    weights = writer.op("Transpose", writer.op("Softmax", scores, axis=1), perm=[0, 2, 1])
    mean, variance = _weighted(writer, mixed, weights)
    spread = writer.op("Sqrt", writer.op("Max", variance, writer.number(LEAST_VARIANCE)))
    pooled = writer.op("Squeeze", writer.op("Concat", mean, spread, axis=2), writer.integers(1))
    project = [writer.weight(f"head.project.{name}") for name in ("weight", "bias")]
    projected = writer.op("Gemm", pooled, *project, transB=1)
    norm = [writer.weight(f"head.norm.{name}") for name in ("weight", "bias", "running_mean", "running_var")]
    return writer.op("BatchNormalization", projected, *norm)
