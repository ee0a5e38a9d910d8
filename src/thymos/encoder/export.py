"""A fitted head and its encoder as one graph, from waveform to emotions.

The front end inside the graph is the module that descriptions for the fit were made with, so use cannot drift apart
from training.
"""

import numpy as np
import torch
from torch import Tensor, nn

from thymos.encoder.describe import Describer
from thymos.encoder.discriminant import Discriminant
from thymos.encoder.log_mel import HOP, LEVEL_DB, N_MELS, RATE_HZ, WINDOW
from thymos.export import Exportable

WINDOW_S, HOP_S = 5.0, 2.5
"""How long recordings are heard: in windows as long as the cuts that layers are fine-tuned on, half overlapping."""


class RecognitionGraph(nn.Module):
    """``(batch, samples)`` at 16 kHz to logits, embedding and frame logits.

    Frame logits are what the head says of a description whose means are one frame's states, its standard deviations
    kept. The head being linear, a recording's logits are the mean of its frame logits: so they tell how much each frame
    spoke for each emotion. There is one each 20 ms.
    """

    def __init__(self, describer: Describer, discriminant: Discriminant):
        super().__init__()
        self.describer = describer
        self.of_means: Tensor
        weights = discriminant.weights / discriminant.spread[:, None]
        self.head = nn.Linear(*weights.shape)
        self.head.weight.data = torch.from_numpy(weights.T.astype(np.float32))
        self.head.bias.data = torch.from_numpy((discriminant.bias - discriminant.mean @ weights).astype(np.float32))
        by_layer = weights.reshape(len(describer.which), 2, -1, weights.shape[1])
        of_means = torch.from_numpy(by_layer[:, 0].reshape(-1, weights.shape[1]).astype(np.float32))
        self.register_buffer("of_means", of_means, persistent=False)

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits ``(batch, classes)``, embedding ``(batch, E)``, frame logits ``(batch, frames, classes)``."""
        lengths = torch.ones_like(waveform, dtype=torch.int64).sum(1)
        # Tracing follows no branch by length, so what is too short for a window is padded without one.
        padded = torch.cat([waveform, waveform.new_zeros(()).expand(waveform.shape[0], WINDOW)], dim=1)
        samples = padded[:, : torch.maximum(lengths[0], torch.tensor(WINDOW))]
        states = self.describer.states(samples, lengths)
        described = self.describer.of_states(states)
        descriptors = described[:, : self.describer.descriptors]
        logits = self.head(descriptors)
        chosen = torch.cat([states.layers[number - 1] for number in self.describer.which], dim=2)
        spoken = chosen @ self.of_means
        frame_logits = spoken + (logits - spoken.mean(1))[:, None]
        has_embedding = self.describer.head is not None
        return logits, described[:, self.describer.descriptors :] if has_embedding else descriptors, frame_logits


def exportable(
    describer: Describer, discriminant: Discriminant, labels: tuple[str, ...], int8: bool = False
) -> Exportable:
    """Return a head with its encoder, as they are exported."""
    front_end = {"log_mel": "Whisper", "level_db": LEVEL_DB, "mels": N_MELS, "window": WINDOW, "hop": HOP}
    about = {
        "rate_hz": RATE_HZ,
        "window_s": WINDOW_S,
        "hop_s": HOP_S,
        "front_end": front_end,
        "layers": list(describer.which),
    }
    graph = RecognitionGraph(describer, discriminant)
    return Exportable(graph, graph, labels, about, int8=int8)
