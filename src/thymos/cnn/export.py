"""A fitted network as one graph, from the waveform of a window to emotions.

The front end inside the graph is the same module that training spectrograms were made with, so use cannot drift apart
from training.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from thymos.cnn.front_end import front_end
from thymos.cnn.networks import Network
from thymos.cnn.recipe import CnnRecipe, SoundSettings
from thymos.errors import RecipeError
from thymos.export import TracedGraph


def check_graph(recipe: CnnRecipe) -> None:
    """Check that a graph can say all that ``recipe`` does to a recording.

    Raises:
        RecipeError: it cannot.
    """
    if recipe.features.normalise == "speaker":
        raise RecipeError(
            f"{recipe.name} cannot be trained into a model: features.normalise=speaker judges a speaker's recordings"
            " together"
        )
    if recipe.sound.segments == "stretch":
        raise RecipeError(
            f"{recipe.name} cannot be trained into a model: sound.segments=stretch needs whole recordings,"
            " and a model hears windows"
        )


def exportable(recipe: CnnRecipe, network: Network, labels: tuple[str, ...]) -> TracedGraph:
    """Return ``network``, fitted by ``recipe``, as it is exported; see ``check_graph``."""
    sound = recipe.sound
    hop_s = sound.hop_s if sound.segments == "sliding" else sound.window_s / 2
    about = {
        "rate_hz": sound.rate_hz,
        "window_s": sound.window_s,
        "hop_s": min(hop_s, sound.window_s),
        "window": "fixed",
        "front_end": {
            "sound": sound.model_dump(mode="json", exclude={"max_silence_s"}),
            "features": recipe.features.model_dump(mode="json"),
        },
    }
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return TracedGraph(labels, about, parameters, WindowGraph(recipe, network), network, sound.window)


class WindowGraph(nn.Module):
    """Sound preparation, front end and network: ``(batch, samples)`` at the recipe's rate to three outputs.

    They are logits ``(batch, classes)``, the network's last hidden layer ``(batch, E)``, and frame logits
    ``(batch, 1, classes)``: the network hears a window as one, so a window is the one frame that it has. A shorter
    window is filled with zeros at its end, as segments are in training.
    """

    def __init__(self, recipe: CnnRecipe, network: Network):
        super().__init__()
        self.prepare = WindowPreparation(recipe.sound)
        self.front_end = front_end(recipe.sound, recipe.features)
        self.network = network

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, embedding and frame logits of ``waveform``."""
        embedding = self.network.embed(self.front_end(self.prepare(waveform)))
        logits = self.network.classify(embedding)
        return logits, embedding, logits[:, None]


class WindowPreparation(nn.Module):
    """What ``spectrograms.prepare`` does to a recording, done to a window: ``(batch, samples) -> (batch, window)``.

    In training the peak and the Wiener filter's noise are those of the whole recording, which a window cannot know: so
    its own stand in for them. A recording no longer than a window is heard just as in training.
    """

    def __init__(self, sound: SoundSettings):
        super().__init__()
        self.peak, self.wiener, self.window = sound.normalise == "peak", sound.wiener, sound.window

    def forward(self, samples: Tensor) -> Tensor:
        """Return the window as the front end takes it."""
        if self.peak:
            peak = samples.abs().amax(dim=-1, keepdim=True)
            samples = samples / torch.where(peak < torch.finfo(torch.float32).tiny, 1.0, peak)
        if self.wiener:
            samples = wiener(samples)
        return functional.pad(samples, (0, self.window - samples.shape[-1]))


def wiener(samples: Tensor) -> Tensor:
    """Return ``samples (batch, samples)`` through the Wiener filter of three samples, as ``scipy.signal.wiener``.

    The noise is the mean of the local variances; where a variance is no larger, the local mean is left.
    """
    beside = functional.pad(samples, (1, 1))
    three = torch.stack([beside[:, :-2], samples, beside[:, 2:]])
    mean = three.mean(0)
    variance = (three - mean).square().mean(0)
    noise = variance.mean(dim=-1, keepdim=True)
    louder = variance > noise
    kept = 1 - noise / torch.where(louder, variance, 1.0)
    return torch.where(louder, mean + (samples - mean) * kept, mean)
