"""A bundle: a model as files. Everything in it is checked before it is used, and nothing in it is executed."""

import hashlib
import io
import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from thymos.audio import Samples
from thymos.audio.conditioning import exactly
from thymos.errors import BundleError
from thymos.runtime.out_of_distribution import EmbeddingDistribution

if TYPE_CHECKING:
    import onnxruntime

FORMAT = 2
ABOUT, GRAPH, WEIGHTS, DISTRIBUTION = "model.json", "model.onnx", "weights.safetensors", "familiarity.npy"
INPUT, OUTPUTS = "waveform", ("logits", "embedding", "frame_logits")
ENVIRONMENT = "THYMOS_MODEL"
_MOST_BYTES = 1 << 30
"""Of one file: no model here comes near, and a link to a device must not fill the memory."""


class _Data(BaseModel):
    """Fields that this version does not know are left alone: only ``format`` says whether a bundle can be read."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class ConformalAbout(_Data):
    """How prediction sets are made."""

    method: Literal["lac"] = "lac"
    """An emotion is in the set unless 1 − its probability is above the threshold."""
    coverage: float = Field(gt=0, lt=1)
    """How often a set holds the true emotion, on recordings like those that the threshold was found on."""
    threshold: float | None = None
    """None: too few recordings to promise the coverage, so every emotion is in every set."""
    rows: PositiveInt
    """Recordings that it was found on."""


class OutOfDistributionAbout(_Data):
    """How input unlike the training recordings is found."""

    method: Literal["mahalanobis"] = "mahalanobis"
    threshold: PositiveFloat
    """Distance of an embedding above which it is out of distribution."""
    acceptance: float = Field(gt=0, lt=1)
    """Share of held-out recordings of the training corpus that are within the threshold."""
    rows: PositiveInt
    """Held-out recordings that it was found on."""


class About(_Data):
    """What ``model.json`` says."""

    format: int
    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    labels: tuple[str, ...] = Field(min_length=2)
    rate_hz: PositiveInt
    window_s: PositiveFloat
    hop_s: PositiveFloat
    window: Literal["any", "fixed"] = "any"
    """``fixed``: the graph takes ``window_s`` seconds and no other length, so that every recording is heard in windows,
    and what is shorter is zero-padded at its end. ``any``: short recordings are heard whole."""
    speeds: tuple[PositiveFloat, ...] = Field((1.0,), min_length=1)
    """A recording's logits are the mean of those at these speeds, tempo and pitch alike."""
    front_end: dict[str, Any]
    """Settings of the front end inside the graph."""
    parameters: PositiveInt
    temperature: PositiveFloat = 1.0
    """Logits are divided by it."""
    conformal: ConformalAbout | None = None
    out_of_distribution: OutOfDistributionAbout | None = Field(None, alias="familiarity")
    trained_on: list[dict[str, Any]]
    licence: str
    scores: list[dict[str, Any]] = []
    """Each with the corpus and the protocol that it was measured by."""
    sha256: dict[str, str]

    @model_validator(mode="after")
    def _is_of_a_piece(self) -> "About":
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels are named twice")
        if not self.hop_s <= self.window_s:
            raise ValueError("windows must overlap or touch: hop_s is longer than window_s")
        if self.window == "fixed" and self.speeds != (1.0,):
            raise ValueError("other speeds are other lengths, and the window is of a fixed one")
        return self


@dataclass(frozen=True)
class Bundle:
    """A model that has been checked and is ready to run.

    Attributes:
        folder: where it lies.
        about: what ``model.json`` says.
        session: of the graph: ``waveform`` to ``logits``, ``embedding`` and ``frame_logits``; may be run by several
            threads at once.
        distribution: of its training recordings' embeddings; None where the bundle does not know.
    """

    folder: Path
    about: About
    session: "onnxruntime.InferenceSession"
    distribution: EmbeddingDistribution | None

    def run(self, samples: Samples, *outputs: str) -> list[NDArray[np.float32]]:
        """Return what the graph says of ``samples``, without their batch axis.

        Args:
            samples: mono at the model's rate, full scale ±1: float32, shape ``(samples,)``; at most one window where
                the graph takes windows of a fixed length.
            outputs: of ``OUTPUTS``: ``logits``, shape ``(labels,)``; ``embedding``, ``(E,)``; ``frame_logits``,
                ``(frames, labels)``, over the window's whole length where that is fixed.
        """
        return [values[0] for values in self.session.run(list(outputs), {INPUT: _as_input(samples, self.about)})]

    @property
    def digest(self) -> str:
        """SHA-256 of the graph: what the model's answers hinge on."""
        return self.about.sha256[GRAPH]


def shipped_folder() -> Path:
    """Return where the bundle that comes with Thymos lies, if it is there."""
    return Path(str(resources.files("thymos") / "weights" / "model"))


def find_bundle(model: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the bundle to use: ``model``, else what ``THYMOS_MODEL`` names, else the shipped one.

    Raises:
        BundleError: there is no bundle there; the next place is tried only where none is named.
    """
    if model is not None:
        named, by = Path(model).expanduser(), ""
    elif os.environ.get(ENVIRONMENT):
        named, by = Path(os.environ[ENVIRONMENT]).expanduser(), f" (named by {ENVIRONMENT})"
    else:
        named, by = shipped_folder(), ""
        if not (named / ABOUT).is_file():
            raise BundleError(
                "no model comes with this installation: name the folder of one, or set THYMOS_MODEL to it;"
                " `thymos train CORPUS --recipe thymos --out FOLDER` makes one"
            )
    if not (named / ABOUT).is_file():
        what = "is no folder" if not named.is_dir() else f"holds no {ABOUT}, so it is no model, or a half-written one"
        raise BundleError(f"{named}{by} {what}")
    return named


def read_about(folder: Path) -> About:
    """Read and check ``model.json`` alone.

    Raises:
        BundleError: it cannot be read, is damaged, of another format, or lacks what is needed.
    """
    path = folder / ABOUT
    try:
        content = json.loads(_read(path))
    except ValueError:
        raise BundleError(f"{path} is damaged: it is no JSON") from None
    found = content.get("format") if isinstance(content, dict) else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise BundleError(f"{path} does not say its format, so it describes no model")
    if found > FORMAT:
        raise BundleError(
            f"{folder} is of format {found}, newer than the {FORMAT} that this version reads: update thymos"
        )
    if found < FORMAT:
        raise BundleError(f"{folder} is of the old format {found}: train or export it anew")
    if GRAPH not in (content.get("sha256") or {}):
        raise BundleError(f"{folder} is a model without a graph, which cannot be used: train it anew")
    try:
        return About.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        raise BundleError(f"{path} is not usable: {where}: {first['msg']}") from None


def read_bundle(folder: Path) -> Bundle:
    """Read the bundle in ``folder``, and check that its files are those that ``model.json`` describes.

    Raises:
        BundleError: as ``read_about``, or a file is missing, changed or cut off, or does not fit the description.
    """
    about = read_about(folder)
    graph = _checked(folder, GRAPH, about)
    distribution = None
    if about.out_of_distribution is not None:
        table = _array(folder, DISTRIBUTION, about)
        distribution = EmbeddingDistribution(table, about.out_of_distribution.threshold)
    session = open_session(graph, folder / GRAPH)
    _check_graph(session, folder, about, distribution)
    return Bundle(folder, about, session, distribution)


def open_session(graph: bytes, path: Path) -> "onnxruntime.InferenceSession":
    """Return a session of ``graph`` that uses one thread: files and windows are what is shared out among cores.

    With more, sums would be taken in another order, and the last digits of an answer hang on the machine.

    Raises:
        BundleError: the graph cannot be run; ``path`` is named.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Memory that inputs of one length needed is of little use to the next, and a long file must stay flat.
    options.enable_mem_pattern = False
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        raise BundleError(f"{path} is no graph that this onnxruntime can run: {str(error).splitlines()[0]}") from None


def _check_graph(
    session: "onnxruntime.InferenceSession", folder: Path, about: About, distribution: EmbeddingDistribution | None
) -> None:
    """Check names and shapes by description, then by hearing a moment of silence."""
    inputs = [(value.name, value.type, len(value.shape)) for value in session.get_inputs()]
    outputs = tuple(value.name for value in session.get_outputs())
    if inputs != [(INPUT, "tensor(float)", 2)] or not set(OUTPUTS) <= set(outputs):
        raise BundleError(f"{folder / GRAPH} does not take a waveform and return {', '.join(OUTPUTS)}")
    silence = _as_input(np.zeros(about.rate_hz // 10, np.float32), about)
    try:
        logits, embedding, frame_logits = session.run(list(OUTPUTS), {INPUT: silence})
    except Exception as error:  # its errors have no class in common
        reason = str(error).splitlines()[0]
        raise BundleError(f"{folder / GRAPH} does not take {silence.shape[1]} samples: {reason}") from None
    classes = len(about.labels)
    if logits.shape != (1, classes) or frame_logits.shape[::2] != (1, classes):
        raise BundleError(f"{folder / GRAPH} tells {logits.shape[-1]} emotions apart, and {ABOUT} names {classes}")
    if distribution is not None and distribution.length != embedding.shape[1]:
        raise BundleError(
            f"{folder / DISTRIBUTION} is of embeddings of {distribution.length} numbers, the graph's of "
            f"{embedding.shape[1]}"
        )


def _as_input(samples: Samples, about: About) -> NDArray[np.float32]:
    """Return ``samples``, shape ``(samples,)``, as the graph takes them: shape ``(1, samples)``, or a whole window."""
    if about.window == "fixed":
        window = round(about.window_s * about.rate_hz)
        if len(samples) > window:
            raise ValueError(f"{len(samples)} samples are more than a window of {window}")
        samples = exactly(samples, window)
    return samples[None]


def _array(folder: Path, name: str, about: About) -> NDArray[np.float32]:
    try:
        array = np.load(io.BytesIO(_checked(folder, name, about)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BundleError(f"{folder / name} is no array: {error}") from None
    if array.dtype != np.float32 or array.ndim != 2 or len(array) < 2 or not np.isfinite(array).all():
        raise BundleError(f"{folder / name} is not a table of finite 32-bit numbers")
    return np.asarray(array, np.float32)


def _checked(folder: Path, name: str, about: About) -> bytes:
    content = _read(folder / name)
    expected = about.sha256.get(name)
    if expected is None:
        raise BundleError(f"{folder / ABOUT} gives no SHA-256 of {name}")
    if hashlib.sha256(content).hexdigest() != expected:
        raise BundleError(f"{folder / name} is not the file that {ABOUT} describes (its SHA-256 differs): get it anew")
    return content


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise BundleError(f"{path} is larger than any model: {_MOST_BYTES >> 20} MiB are read at most")
    return content
