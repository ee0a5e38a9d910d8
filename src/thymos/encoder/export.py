"""A fitted network of whole recordings as one ONNX graph: waveform in; logits, embedding and frame logits out.

The front end is exported with the network, by the same module that training pictures were made with, so use cannot
drift apart from training. Batch normalisation is folded into the convolutions on the way.
"""

import contextlib
import copy
import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from thymos.encoder.attentive import EmotionNetwork
from thymos.encoder.compact_graph import compact_weights
from thymos.encoder.level_mel import LevelMel, LevelMelSettings
from thymos.encoder.voice_network import VoiceNetwork
from thymos.errors import MissingExtraError
from thymos.files import whole_file
from thymos.runtime.bundle import INPUT, OUTPUTS

_OPSET = 18
_EXAMPLE = (2, 20_000)
"""Batch and samples that the graph is traced with; neither is 1, which tracing would take for fixed."""


class RecognitionGraph(nn.Module):
    """Front end, encoder and head: ``(batch, samples)`` at the features' rate to ``OUTPUTS``.

    Frame logits are what the head says of an embedding whose mean is replaced by one frame's features, its standard
    deviations kept. The head being linear once it is fitted, the recording's logits are the frame logits' mean,
    weighted as the encoder's attention weights the frames: so they tell how much each frame spoke for each emotion.
    A voice network's are made alike, see there.
    """

    def __init__(self, network: EmotionNetwork | VoiceNetwork, features: LevelMelSettings):
        super().__init__()
        self.front_end = LevelMel(features)
        self.network = network

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits ``(batch, classes)``, embedding ``(batch, E)``, frame logits ``(batch, frames, classes)``."""
        levels = self.front_end.levels(waveform)
        if isinstance(self.network, VoiceNetwork):
            described = self.network.describer(levels)
            return (
                self.network.decide(described.description),
                described.embedding,
                self.network.frame_logits(described),
            )
        frames, embedding = self.network.encoder(self.front_end.scale(levels))
        deviations = embedding[:, None, frames.shape[2] :].expand(-1, frames.shape[1], -1)
        as_if = torch.cat([frames, deviations], dim=2)
        logits = self.network.head(embedding)
        frame_logits = self.network.head(as_if.flatten(0, 1)).reshape(as_if.shape[0], -1, logits.shape[1])
        return logits, embedding, frame_logits


def check_exportable() -> None:
    """Check that graphs can be written, before the work whose end that would be.

    Raises:
        MissingExtraError: the library that writes ONNX is not installed.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MissingExtraError("writing a model's graph needs the library onnx: pip install 'thymos[train]'")


def write_graph(path: Path, network: EmotionNetwork | VoiceNetwork, features: LevelMelSettings) -> None:
    """Write ``network`` with its front end to ``path`` as ONNX, for any batch and any number of samples.

    Args:
        path: of the file; written whole or not at all.
        network: fitted; left as it is.
        features: the pictures that it takes.

    Raises:
        MissingExtraError: as ``check_exportable``.
    """
    check_exportable()
    graph = RecognitionGraph(copy.deepcopy(network), features).float().eval()
    graph.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = torch.linspace(-0.5, 0.5, _EXAMPLE[0] * _EXAMPLE[1]).reshape(_EXAMPLE)
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


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep the exporter from warning of what does not concern a user: its own future, and constants it cannot fold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
