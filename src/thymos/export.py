"""A fitted model as files: what hears, from waveform to emotion, and a description. Nothing in them is executed.

``model.json`` is written last and holds the SHA-256 of every other file, so a folder that has it is whole.
"""

import copy
import importlib.util
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from thymos.errors import BundleError, MissingExtraError
from thymos.files import whole_file, write_json
from thymos.runtime.bundle import (
    ABOUT,
    DISTRIBUTION,
    FORMAT,
    WEIGHTS,
    OutOfDistributionAbout,
    read_bundle,
)
from thymos.runtime.hearing import GRAPH, INPUT, OUTPUTS
from thymos.runtime.out_of_distribution import EmbeddingDistribution
from thymos.runtime.rewriting import FILES, digest

_LEAST_VALUES = 256
"""Smaller weights are left alone: they take no room."""
_LARGEST = 2**15 - 1
_WEIGHTS = {"Conv": (1, 0), "Gemm": (1, 0), "MatMul": (1, 1), "Slice": (0, 0)}
"""Which of an operator's inputs its weights are, and which axis of them its filters lie on; of a table of which a part
is taken, its rows."""
_OPSET = 18


@dataclass(frozen=True)
class Exportable(ABC):
    """A fitted model, ready to be written.

    Attributes:
        labels: the emotions that it tells apart.
        about: what else the runtime needs: ``rate_hz``, ``window_s``, ``hop_s``, ``front_end``, ``speeds``, ``window``.
        parameters: how many numbers were fitted.
    """

    labels: tuple[str, ...]
    about: dict[str, Any]
    parameters: int

    @abstractmethod
    def write_files(self, folder: Path) -> tuple[str, ...]:
        """Write all that the model is made of to ``folder``, and return the files' names.

        Raises:
            MissingExtraError: as ``check_exportable``.
        """


@dataclass(frozen=True)
class TracedGraph(Exportable):
    """A network whose graph is what torch traces of it, and tells logits.

    Attributes:
        graph: ``(batch, samples)`` at ``about["rate_hz"]`` to ``OUTPUTS``: logits ``(batch, classes)``, embedding
            ``(batch, E)``, frame logits ``(batch, frames, classes)``.
        weights: whose state is kept beside the graph.
        example_samples: length that the graph is traced with.
    """

    graph: nn.Module
    weights: nn.Module
    example_samples: int = 20_000

    def write_files(self, folder: Path) -> tuple[str, ...]:
        """Write the graph and the weights, which the graph has too."""
        write_graph(folder / GRAPH, self.graph, self.example_samples)
        state = {name: tensor.contiguous() for name, tensor in self.weights.state_dict().items()}
        with whole_file(folder / WEIGHTS) as temporary:
            temporary.write_bytes(save(state))  # `save_file` makes files that their owner alone may read
        return GRAPH, WEIGHTS


def check_exportable() -> None:
    """Check that graphs can be written, before the work whose end that would be.

    Raises:
        MissingExtraError: the library that writes ONNX is not installed.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MissingExtraError("writing a model's graph needs the library onnx: pip install 'thymos[train]'")


def write_bundle(
    folder: Path,
    model: Exportable,
    about: dict[str, Any],
    distribution: tuple[EmbeddingDistribution, OutOfDistributionAbout] | None = None,
) -> None:
    """Write ``model`` to ``folder``: its files, and ``about`` (name, corpora, licence …) in ``model.json``.

    Raises:
        MissingExtraError: the libraries that write the graph are not installed.
        BundleError: what was written cannot be used, so ``about`` lacks something.
    """
    (folder / ABOUT).unlink(missing_ok=True)  # an earlier model's, which would not fit these files
    names = {*model.write_files(folder)}
    if distribution is not None:
        with whole_file(folder / DISTRIBUTION) as temporary, temporary.open("wb") as file:
            np.save(file, distribution[0].table, allow_pickle=False)
        names.add(DISTRIBUTION)
        about = about | {"familiarity": distribution[1].model_dump(mode="json")}
    for name in FILES - names:
        (folder / name).unlink(missing_ok=True)
    digests = {name: digest(folder / name) for name in sorted(names)}
    told = {"format": FORMAT, **about, "labels": list(model.labels), **model.about, "parameters": model.parameters}
    write_json(folder / ABOUT, told | {"sha256": digests})
    try:
        read_bundle(folder, own=True)
    except BundleError:
        (folder / ABOUT).unlink()
        raise


def write_graph(path: Path, graph: nn.Module, example_samples: int) -> None:
    """Write ``graph``, which is left as it is, to ``path`` as ONNX, for any batch and any number of samples.

    Raises:
        MissingExtraError: as ``check_exportable``.
    """
    check_exportable()
    graph = copy.deepcopy(graph).float().cpu().eval()
    graph.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    # Two recordings: tracing takes a batch of one for fixed.
    example = torch.linspace(-0.5, 0.5, 2 * example_samples).reshape(2, example_samples)
    # The exporter by tracing: the newer one makes a graph of the same speed, but takes 90 s instead of 2
    # and no GRU inside an autocast region.
    with whole_file(path) as temporary, _without_warnings():
        torch.onnx.export(
            graph,
            (example,),
            temporary,
            dynamo=False,
            opset_version=_OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_axes={
                INPUT: {0: "batch", 1: "samples"},
                "logits": {0: "batch"},
                "embedding": {0: "batch"},
                "frame_logits": {0: "batch", 1: "frames"},
            },
        )
        compact_weights(temporary)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep the exporter from warning of what does not concern a user: its own future, and constants it cannot fold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def compact_weights(path: Path) -> None:
    """Rewrite the ONNX graph at ``path``: weights of its convolutions and products, and tables, as 16-bit integers.

    Each filter has a scale of its own. The graph itself turns them back into float32, once, when it is loaded. An error
    is below 2⁻¹⁶ of a filter's largest weight, a thirtieth of what half-precision floats would cost.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    graph = model.graph
    axes = {}
    for node in graph.node:
        if node.op_type in _WEIGHTS:
            place, axis = _WEIGHTS[node.op_type]
            transposed = node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute)
            axes[node.input[place]] = axis + transposed
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
