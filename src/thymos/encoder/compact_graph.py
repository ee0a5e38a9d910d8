"""A graph's weights as integers of 16 bits, each filter with a scale of its own: half of the file.

The graph itself turns them back into float32, once, when it is loaded. An error is below 2⁻¹⁶ of a filter's largest
weight, a thirtieth of what half-precision floats would cost.
"""

from pathlib import Path
from typing import Any

import numpy as np

_LEAST_VALUES = 256
"""Smaller weights are left alone: they take no room."""
_LARGEST = 2**15 - 1
_FILTER_AXIS = {"Conv": 0, "MatMul": 1}
"""Which axis of its weights an operator has its filters on."""


def compact_weights(path: Path) -> None:
    """Rewrite the ONNX graph at ``path``: the weights of its convolutions and products are stored in 16 bits."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    graph = model.graph
    axes = {node.input[1]: _FILTER_AXIS[node.op_type] for node in graph.node if node.op_type in _FILTER_AXIS}
    kept: list[Any] = []
    restoring: list[Any] = []
    for weights in graph.initializer:
        values = numpy_helper.to_array(weights)
        if weights.name not in axes or values.dtype != np.float32 or values.size < _LEAST_VALUES:
            kept.append(weights)
            continue
        others = tuple(axis for axis in range(values.ndim) if axis != axes[weights.name])
        scale = np.abs(values).max(axis=others, keepdims=True) / np.float32(_LARGEST)
        scale = np.maximum(scale, np.finfo(np.float32).tiny)  # a filter of zeros
        steps, scales = f"{weights.name}.steps", f"{weights.name}.scale"
        kept.append(numpy_helper.from_array(np.round(values / scale).astype(np.int16), steps))
        kept.append(numpy_helper.from_array(scale, scales))
        restoring.append(helper.make_node("Cast", [steps], [f"{steps}.float"], to=TensorProto.FLOAT))
        restoring.append(helper.make_node("Mul", [f"{steps}.float", scales], [weights.name]))
    nodes = [*restoring, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)
