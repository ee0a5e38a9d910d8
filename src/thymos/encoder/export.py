"""A fitted head and its encoder as one graph, from waveform to emotions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thymos.encoder.describe import Describer
from thymos.encoder.discriminant import Discriminant
from thymos.encoder.graph import GraphWriter, add_encoder
from thymos.encoder.log_mel import HOP, LEVEL_DB, N_MELS, RATE_HZ, WINDOW
from thymos.encoder.packed import pack
from thymos.export import Exportable, check_exportable
from thymos.files import whole_file
from thymos.runtime.bundle import GRAPH, INPUT, OUTPUTS

WINDOW_S, HOP_S = 5.0, 2.5
"""How long recordings are heard: in windows as long as the cuts that layers are fine-tuned on, half overlapping."""


@dataclass(frozen=True)
class HeadOnEncoder(Exportable):
    """An encoder and a linear decision on its descriptions.

    Frame logits are what the head says of a description whose means are one frame's states, its standard deviations
    kept. The head being linear, a recording's logits are the mean of its frame logits: so they tell how much each frame
    spoke for each emotion. There is one each 20 ms.

    Attributes:
        describer: in evaluation mode.
        weights: of the head: float32, shape ``(D, classes)``.
        bias: shape ``(classes,)``.
        int8: whether products with weights are reckoned in integers of 8 bits, twice as fast on a processor.
    """

    describer: Describer
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    int8: bool

    def write_files(self, folder: Path, graph_only: bool) -> None:
        """Write the graph, which holds all weights."""
        check_exportable()
        import onnx
        from onnx import helper, numpy_helper

        packed = pack(self.describer.weights(), self.int8)
        writer = GraphWriter({name: numpy_helper.from_array(value, name) for name, value in packed.items()})
        which, settings = self.describer.which, self.describer.layers.settings
        embeds = self.describer.head is not None
        description, embedding, states = add_encoder(writer, INPUT, settings, which, embeds)
        logits = writer.op("Gemm", description, writer.constant(self.weights), writer.constant(self.bias))
        of_means = self.weights.reshape(len(which), 2, settings.width, -1)[:, 0].reshape(-1, len(self.labels))
        spoken = writer.op("MatMul", states, writer.constant(of_means))
        rest = writer.op(
            "Sub",
            writer.op("Unsqueeze", logits, writer.integers(1)),
            writer.op("ReduceMean", spoken, writer.integers(1)),
        )
        frame_logits = writer.op("Add", spoken, rest)
        for made, name in zip((logits, embedding, frame_logits), OUTPUTS, strict=True):
            writer.nodes.append(helper.make_node("Identity", [made], [name]))
        classes = len(self.labels)
        shapes: list[list[str | int]] = [["batch", classes], ["batch", "embedding"], ["batch", "frames", classes]]
        model = writer.model({INPUT: ["batch", "samples"]}, dict(zip(OUTPUTS, shapes, strict=True)))
        with whole_file(folder / GRAPH) as temporary:
            onnx.save(model, temporary)


def exportable(
    describer: Describer, discriminant: Discriminant, labels: tuple[str, ...], int8: bool = False
) -> HeadOnEncoder:
    """Return a head with its encoder, as they are exported."""
    front_end = {"log_mel": "Whisper", "level_db": LEVEL_DB, "mels": N_MELS, "window": WINDOW, "hop": HOP}
    about = {
        "rate_hz": RATE_HZ,
        "window_s": WINDOW_S,
        "hop_s": HOP_S,
        "front_end": front_end,
        "layers": list(describer.which),
    }
    weights = discriminant.weights / discriminant.spread[:, None]
    bias = discriminant.bias - discriminant.mean @ weights
    parameters = sum(parameter.numel() for parameter in describer.parameters()) + weights.size + bias.size
    return HeadOnEncoder(
        labels, about, parameters, describer, weights.astype(np.float32), bias.astype(np.float32), int8
    )
