"""Makes the graph for voice activity detection of Silero VAD's: the same numbers, by matrix products for convolutions.

    python scripts/make_vad.py silero_vad_16k_sequence.onnx src/thymos/weights/vad/vad.onnx

The file comes with the package silero-vad (MIT), in silero_vad/data. Its convolutions run over four steps at most,
which onnxruntime's are slow at; as products of all frames at once they take a third of the time. What both graphs say
of noise is compared before anything is written.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FRAME, CONTEXT, WINDOW, STEP, BINS, STATE = 512, 64, 256, 128, 129, 128
STEPS = 4
TOLERANCE = 1e-4


class Graph:
    """Collects nodes and constants under names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def add(
        self, operation: str, *inputs: str | np.ndarray, outputs: list[str] | None = None, **attributes: object
    ) -> str:
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        outputs = outputs or [f"value_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(operation, names, outputs, **attributes))
        return outputs[0]

    def ints(self, *values: int) -> np.ndarray:
        return np.array(values, np.int64)

    def steps(self, value: str, start: int, stop: int, stride: int = 1, axis: int = 1) -> str:
        return self.add("Slice", value, *(self.ints(n) for n in (start, stop, axis, stride)))

    def dense(self, value: str, weight: np.ndarray, bias: np.ndarray) -> str:
        return self.add("Relu", self.add("Add", self.add("MatMul", value, weight), bias))


def taps(weight: np.ndarray, used: slice) -> np.ndarray:
    """``(out, in, taps) -> (used taps × in, out)``: the matrix that a product of neighbouring steps needs."""
    return weight[:, :, used].transpose(2, 1, 0).reshape(-1, weight.shape[0])


def build(old: dict[str, np.ndarray]) -> onnx.ModelProto:
    graph = Graph()
    # The first of the five windows is not used by the model, so only the end is filled up by reflection.
    reflected = graph.steps("input", FRAME + CONTEXT - 2, FRAME - 2, -1)
    blocks = graph.add("Reshape", graph.add("Concat", "input", reflected, axis=1), graph.ints(-1, STEPS + 1, STEP))
    windows = graph.add("Concat", graph.steps(blocks, 0, STEPS), graph.steps(blocks, 1, STEPS + 1), axis=2)
    spectrum = graph.add("MatMul", windows, old["stft.forward_basis_buffer"][:, 0].T)
    real, imaginary = graph.steps(spectrum, 0, BINS, axis=2), graph.steps(spectrum, BINS, 2 * BINS, axis=2)
    power = graph.add("Add", graph.add("Mul", real, real), graph.add("Mul", imaginary, imaginary))
    maps = graph.add("Sqrt", power)

    around = graph.add("Pad", maps, graph.ints(0, 1, 0, 0, 1, 0))
    neighbours = [graph.steps(around, tap, tap + STEPS) for tap in range(3)]
    maps = graph.add("Concat", *neighbours, axis=2)
    maps = graph.dense(maps, taps(old["encoder.0.weight"], slice(0, 3)), old["encoder.0.bias"])

    around = graph.add("Pad", maps, graph.ints(0, 1, 0, 0, 1, 0))
    neighbours = [graph.steps(around, tap, tap + 3, 2) for tap in range(3)]
    maps = graph.add("Concat", *neighbours, axis=2)
    maps = graph.dense(maps, taps(old["encoder.1.weight"], slice(0, 3)), old["encoder.1.bias"])

    # Two steps become one, then one stays one: the other taps lie on padding.
    maps = graph.add("Reshape", maps, graph.ints(-1, 2 * 64))
    maps = graph.dense(maps, taps(old["encoder.2.weight"], slice(1, 3)), old["encoder.2.bias"])
    maps = graph.dense(maps, taps(old["encoder.3.weight"], slice(1, 2)), old["encoder.3.bias"])

    sequence = graph.add("Unsqueeze", maps, graph.ints(1))
    recurrent = [old[f"onnx::LSTM_{number}"] for number in (209, 210, 211)]
    graph.add("LSTM", sequence, *recurrent, "", "h", "c", outputs=["said", "hn", "cn"], hidden_size=STATE)
    said = graph.add("Relu", graph.add("Reshape", "said", graph.ints(-1, STATE)))
    decided = graph.add("Add", graph.add("MatMul", said, old["output.weight"][0]), old["output.bias"])
    graph.add("Reshape", graph.add("Sigmoid", decided), graph.ints(-1), outputs=["speech_probs"])

    state = [1, 1, STATE]
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        graph.nodes,
        "vad",
        [
            value("input", TensorProto.FLOAT, ["frames", CONTEXT + FRAME]),
            value("h", TensorProto.FLOAT, state),
            value("c", TensorProto.FLOAT, state),
        ],
        [
            value("speech_probs", TensorProto.FLOAT, ["frames"]),
            value("hn", TensorProto.FLOAT, state),
            value("cn", TensorProto.FLOAT, state),
        ],
        [numpy_helper.from_array(constant, name) for name, constant in graph.constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 16)], producer_name="make_vad.py")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def difference(old: bytes, new: bytes) -> float:
    """Return the largest difference of probabilities and (unbounded) states on noise that comes and goes."""
    random = np.random.default_rng(0)
    sessions = [onnxruntime.InferenceSession(graph) for graph in (old, new)]
    largest = 0.0
    for frames in (1, 2, 50, 400):
        loudness = 10 ** random.uniform(-4, 0, (frames, 1))
        feeds = {
            "input": (random.normal(0, 0.3, (frames, CONTEXT + FRAME)).cumsum(1) * 0.05 * loudness).astype(np.float32)
        }
        feeds |= {name: random.normal(0, 0.3, (1, 1, STATE)).astype(np.float32) for name in "hc"}
        for one, other in zip(*(session.run(None, feeds) for session in sessions), strict=True):
            largest = max(largest, float(np.abs(one - other).max()))
    return largest


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    content = source.read_bytes()
    old = onnx.load_model_from_string(content)
    model = build({value.name: numpy_helper.to_array(value) for value in old.graph.initializer})
    new = model.SerializeToString()
    apart = difference(content, new)
    if apart > TOLERANCE:
        sys.exit(f"the graphs differ by {apart}")
    target.write_bytes(new)
    print(f"{target}: {len(new)} bytes; largest difference {apart:.1e}")


if __name__ == "__main__":
    main()
