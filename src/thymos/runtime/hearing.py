"""The two kinds of model that a bundle can hold: a graph that tells logits, and an encoder's graph with a head.

The latter hears each moment of a window at no cost, on a finer grid than that of windows: a moment is judged by the
states around it alone, ``POOLED_S`` long, as if they were a recording of their own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from thymos.audio import Samples
from thymos.audio.conditioning import exactly
from thymos.errors import BundleError
from thymos.runtime.adaptation import VoiceSpace
from thymos.runtime.graph_check import Probe, check_graph
from thymos.runtime.model_files import GraphSession, ModelFiles, open_session

MOMENT_S = 0.25
"""From one moment to the next."""
POOLED_S = 2.0
"""Chosen on AESDD's and EMOVO's first speakers (``benchmarks/change_points.py``): shorter parts swing."""

Parts = NDArray[np.int64]
"""First frame, and frame after the last, of each moment's part: shape ``(moments, 2)``."""


class Moments(NamedTuple):
    """Moments evenly spread over some samples.

    Attributes:
        number: how many.
        share: how much of the samples each is judged by.
    """

    number: int
    share: float

    def parts_of(self, frames: int) -> Parts:
        """Return the frames around each moment; parts at the edges are as long as the others."""
        length = min(frames, max(1, round(frames * self.share)))
        middles = (np.arange(self.number) + 0.5) * frames / self.number
        first = np.clip(np.round(middles - length / 2).astype(np.int64), 0, frames - length)
        return np.stack([first, first + length], axis=1)


def moments_in(duration_s: float) -> Moments:
    """Return the moments of a window of ``duration_s``, at least one."""
    return Moments(max(1, round(duration_s / MOMENT_S)), min(1.0, POOLED_S / duration_s))


def means_of(values: NDArray[np.floating], parts: Parts) -> NDArray[np.float64]:
    """Return the mean of ``values`` (frames, n) in each of ``parts``: shape ``(moments, n)``."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=np.float64)])
    means: NDArray[np.float64] = (sums[parts[:, 1]] - sums[parts[:, 0]]) / (parts[:, 1] - parts[:, 0])[:, None]
    return means


def descriptions_of(states: NDArray[np.float32], layers: int, parts: Parts) -> NDArray[np.float64]:
    """Return the description of each of ``parts``: layer by layer the mean of the states, then their deviation.

    Args:
        states: of all layers, shape ``(frames, layers * width)``.
        layers: how many there are.
        parts: see ``Moments``.

    Returns:
        Shape ``(moments, 2 * layers * width)``.
    """
    means = means_of(states, parts)
    squares = means_of(np.square(states, dtype=np.float64), parts)
    deviations = np.sqrt(np.maximum(0, squares - np.square(means)))
    shape = (len(parts), layers, -1)
    return np.stack([means.reshape(shape), deviations.reshape(shape)], axis=2).reshape(len(parts), -1)


GRAPH, HEAD = "model.onnx", "head.npz"
ENCODER_GRAPH, ENCODER_WEIGHTS, ENCODER_ABOUT = "encoder.onnx", "encoder.safetensors", "encoder.json"
ENCODER_HEARD = "encoder.heard.safetensors"
"""Fingerprints of the clips that an encoder has heard. Who only uses it does without."""
INPUT, OUTPUTS = "waveform", ("logits", "embedding", "frame_logits")
DIMENSION_WEIGHTS, DIMENSION_BIAS = "dimension_weights", "dimension_bias"
"""Arrays of a head that reads arousal, valence or dominance."""
ENCODER_OUTPUTS = ("description", "embedding", "frame_states")


class Heard(NamedTuple):
    """What a model makes of some samples."""

    logits: NDArray[np.float32]
    """Shape ``(classes,)``."""
    embedding: NDArray[np.float32]
    """Shape ``(E,)``."""
    description: NDArray[np.float32] | None
    """What a head decides by, shape ``(D,)``; None of a graph that tells logits."""
    frame_logits: NDArray[np.float32] | None
    """How much each frame speaks for each emotion, shape ``(frames, classes)``, where it was asked for: their mean is
    the logits."""
    values: NDArray[np.float32] | None = None
    """Of the dimensions that the head reads, shape ``(dimensions,)``; None where it reads none."""
    moment_logits: NDArray[np.float64] | None = None
    """Of each moment, shape ``(moments, classes)``, where they were asked for."""


class Hearing(Protocol):
    """A model that is ready; any number of threads may use it at once."""

    session: GraphSession
    space: VoiceSpace | None

    def hear(
        self,
        samples: Samples,
        frames: bool = False,
        offset: NDArray[np.float64] | None = None,
        moments: Moments | None = None,
    ) -> Heard:
        """Return what it makes of ``samples``, mono at the model's rate, full scale ±1: float32, shape ``(samples,)``.

        Args:
            samples: at most one window where the model takes windows of a fixed length.
            frames: tell frame logits too.
            offset: of a voice that is taken out of all logits, shape ``(Q,)``, where the model has a space of voices.
            moments: tell logits of these, too.
        """


class LogitGraph:
    """A graph that tells logits itself: ``waveform`` to ``OUTPUTS``.

    Attributes:
        session: may be run by several threads at once.
        window: samples that it takes, to which what is shorter is zero-padded; None: any number.
    """

    def __init__(self, session: GraphSession, window: int | None):
        self.session, self.window = session, window
        self.space: VoiceSpace | None = None

    def hear(
        self,
        samples: Samples,
        frames: bool = False,
        offset: NDArray[np.float64] | None = None,
        moments: Moments | None = None,
    ) -> Heard:
        """As ``Hearing``; frames are of the whole window."""
        assert offset is None, "there is no space that it could be of"
        share = 1.0
        if self.window is not None:
            share = len(samples) / self.window
            if len(samples) > self.window:
                raise ValueError(f"{len(samples)} samples are more than a window of {self.window}")
            samples = exactly(samples, self.window)
        wanted = OUTPUTS if frames or moments else OUTPUTS[:2]
        logits, embedding, *rest = (values[0] for values in self.session.run(wanted, {INPUT: samples[None]}))
        spoken = None
        if moments is not None:
            own = rest[0][: max(1, round(len(rest[0]) * share))]  # what is filled up says nothing
            spoken = means_of(own, moments.parts_of(len(own)))
        return Heard(logits, embedding, None, rest[0] if frames else None, None, spoken)


class EncoderWithHead:
    """An encoder's graph, ``waveform`` to ``ENCODER_OUTPUTS``, and a linear decision on its descriptions.

    A description is, layer by layer, the mean over time of every state, then its standard deviation. Frame logits are
    what the head says of a description whose means are one frame's states, its standard deviations kept.

    Attributes:
        session: may be run by several threads at once.
        weights: shape ``(D, classes)``.
        bias: shape ``(classes,)``.
        layers: how many layers the description is of.
        space: where voices are told from emotions; None where the head does not know.
        dimensions: weights ``(D, dimensions)`` and bias ``(dimensions,)`` of what it reads beside emotions, if it does.
    """

    def __init__(
        self,
        session: GraphSession,
        weights: NDArray[np.float32],
        bias: NDArray[np.float32],
        layers: int,
        space: VoiceSpace | None = None,
        dimensions: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
    ):
        self.session, self.weights, self.bias, self.layers, self.space = session, weights, bias, layers, space
        self.dimensions = dimensions

    def hear(
        self,
        samples: Samples,
        frames: bool = False,
        offset: NDArray[np.float64] | None = None,
        moments: Moments | None = None,
    ) -> Heard:
        """As ``Hearing``."""
        weights, bias = self.weights, self.bias
        if offset is not None:
            assert self.space is not None
            weights, bias = self.space.head(offset)
        wanted = ENCODER_OUTPUTS if frames or moments else ENCODER_OUTPUTS[:2]
        description, embedding, *rest = (values[0] for values in self.session.run(wanted, {INPUT: samples[None]}))
        logits = description @ weights + bias
        values = None if self.dimensions is None else description @ self.dimensions[0] + self.dimensions[1]
        told = None
        if moments is not None:
            parts = descriptions_of(rest[0], self.layers, moments.parts_of(len(rest[0])))
            told = parts @ weights.astype(np.float64) + bias
        if not frames:
            return Heard(logits, embedding, description, None, values, told)
        width, classes = weights.shape
        halves = weights.reshape(self.layers, 2, width // (2 * self.layers), classes)
        of_means = halves[:, 0].reshape(width // 2, classes)
        spoken = rest[0] @ of_means
        return Heard(logits, embedding, description, spoken + (logits - spoken.mean(0)), values, told)


def read_logit_graph(files: ModelFiles, window: int | None, probed: int | None = None) -> LogitGraph:
    """Read a graph that tells logits.

    Args:
        files: of the model.
        window: samples that it takes; None: any number.
        probed: how many samples it hears first in a process of its own (``graph_check.py``); None: none.

    Raises:
        BundleError: it is missing, changed, cut off, no such graph, or takes too much to run.
    """
    path, content = files.folder / GRAPH, files.content(GRAPH)
    check_graph(content, path)
    if probed is not None:
        Probe(path, files.digests[GRAPH], OUTPUTS, window or probed).check()
    session = open_session(content, path)
    _check_names(session, path, OUTPUTS)
    return LogitGraph(session, window)


def read_encoder_with_head(
    files: ModelFiles, layers: int, shipped_encoder: Path, probed: int | None = None
) -> EncoderWithHead:
    """Read a head and its encoder, which is the shipped one where the folder of the head holds none.

    Raises:
        BundleError: a file is missing, changed or cut off, they do not fit each other, or take too much to run; see
            ``read_logit_graph``, also for ``probed``.
    """
    head = files.arrays(HEAD)
    if not {"weights", "bias"} <= head.keys() or head["weights"].ndim != 2 or head["bias"].ndim != 1:
        raise BundleError(f"{files.folder / HEAD} does not hold a table of weights and a row of bias")
    space = _space(head, files.folder / HEAD)
    encoder = files
    if not (files.folder / ENCODER_GRAPH).exists() and not (files.folder / ENCODER_WEIGHTS).exists():
        encoder = ModelFiles(shipped_encoder, files.digests, str(files.folder / files.told_by))
    try:
        graph, weights = encoder.content(ENCODER_GRAPH), encoder.content(ENCODER_WEIGHTS)
    except BundleError:
        if encoder is files:
            raise
        raise BundleError(
            f"{files.folder} holds no encoder, and the one that comes with this version is another than it needs: "
            f"export it with its encoder"
        ) from None
    path = encoder.folder / ENCODER_GRAPH
    check_graph(graph, path)
    if probed is not None and encoder is files:
        tensors = encoder.folder / ENCODER_WEIGHTS
        digests = files.digests
        Probe(path, digests[ENCODER_GRAPH], ENCODER_OUTPUTS, probed, tensors, digests[ENCODER_WEIGHTS]).check()
    session = open_session(graph, path, {ENCODER_WEIGHTS: weights})
    _check_names(session, path, ENCODER_OUTPUTS)
    shape = next(value.shape for value in session.get_outputs() if value.name == ENCODER_OUTPUTS[0])
    width = shape[-1] if shape and isinstance(shape[-1], int) else 0
    if head["weights"].shape != (width, len(head["bias"])) or width % (2 * layers):
        raise BundleError(
            f"{files.folder / HEAD} decides by {len(head['weights'])} numbers, and the encoder tells {width} of "
            f"{layers} layers"
        )
    dimensions = _dimensions(head, files.folder / HEAD)
    return EncoderWithHead(session, head["weights"], head["bias"], layers, space, dimensions)


def _dimensions(
    head: Mapping[str, NDArray[np.float32]], path: Path
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Return what reads dimensions among the arrays of a head, if it is there."""
    if not {DIMENSION_WEIGHTS, DIMENSION_BIAS} & head.keys():
        return None
    weights, bias = head.get(DIMENSION_WEIGHTS), head.get(DIMENSION_BIAS)
    if weights is None or bias is None or bias.ndim != 1 or weights.shape != (len(head["weights"]), len(bias)):
        raise BundleError(f"{path} holds arrays of dimensions that do not fit each other")
    return weights, bias


def _space(head: Mapping[str, NDArray[np.float32]], path: Path) -> VoiceSpace | None:
    """Return the space of voices among the arrays of a head, if it is there."""
    names = ("projection", "origin", "emotions", "voices")
    if not {*names} & head.keys():
        return None
    width, classes = head["weights"].shape
    count = head["origin"].size if "origin" in head else 0
    shapes = {"projection": (width, count), "origin": (count,), "emotions": (classes, count), "voices": (count, count)}
    if any(name not in head or head[name].shape != shapes[name] for name in names) or not 0 < count <= width:
        raise BundleError(f"{path} holds arrays of a space of voices that do not fit each other")
    return VoiceSpace(head["projection"], *(head[name].astype(np.float64) for name in names[1:]))


def _check_names(session: GraphSession, path: Path, outputs: Sequence[str]) -> None:
    inputs = [(value.name, value.type, len(value.shape)) for value in session.get_inputs()]
    if inputs != [(INPUT, "tensor(float)", 2)] or not {*outputs} <= {value.name for value in session.get_outputs()}:
        raise BundleError(f"{path} does not take a waveform and return {', '.join(outputs)}")
