"""A bundle: a model as files. Everything in it is checked before it is used, and nothing in it is executed."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from thymos.audio import Samples
from thymos.config import in_words
from thymos.errors import BundleAbsentError, BundleError
from thymos.files import home_path
from thymos.runtime.hearing import (
    ENCODER_GRAPH,
    ENCODER_WEIGHTS,
    GRAPH,
    HEAD,
    Heard,
    Hearing,
    Moments,
    read_encoder_with_head,
    read_logit_graph,
)
from thymos.runtime.model_files import ModelFiles, read_json
from thymos.runtime.out_of_distribution import EmbeddingDistribution

FORMAT = 3
ABOUT, WEIGHTS, DISTRIBUTION = "model.json", "weights.safetensors", "familiarity.npy"
ENVIRONMENT = "THYMOS_MODEL"
DEFAULT_MODEL = "thymos"
"""The shipped model that is used where none is named."""
WHOLE_S = 30.0
"""Up to this length a recording is heard whole, as in training; longer ones in windows."""
MOST_OVERLAP = 100
"""Windows that one moment may lie in."""


class _Data(BaseModel):
    """Fields that this version does not know are left alone: only ``format`` says whether a bundle can be read."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


Word = Annotated[str, Field(min_length=1, max_length=100)]
"""Of a name or label; what is longer fits no table."""
Temperature = Annotated[float, Field(ge=1e-3, le=1e3)]
"""Beyond, probabilities are all alike, or one of them is 1."""
Distance = Annotated[float, Field(gt=0, le=1e6)]


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


class AdaptationAbout(_Data):
    """How probabilities and prediction sets are made where a voice is known."""

    temperature: Temperature
    """Logits are divided by it."""
    conformal: ConformalAbout | None = None


class OutOfDistributionAbout(_Data):
    """How input unlike the training recordings is found."""

    method: Literal["mahalanobis"] = "mahalanobis"
    threshold: Distance
    """Distance of an embedding above which it is out of distribution."""
    acceptance: float = Field(gt=0, lt=1)
    """Share of held-out recordings of the training corpus that are within the threshold."""
    rows: PositiveInt
    """Held-out recordings that it was found on."""


class About(_Data):
    """What ``model.json`` says. Bounds are far beyond what any model of emotions needs, and keep memory and time small,
    whoever wrote it."""

    format: int
    name: Word
    version: Word
    labels: tuple[Word, ...] = Field(max_length=100)
    """The emotions that it tells apart; none where it reads dimensions alone."""
    rate_hz: int = Field(ge=1_000, le=192_000)
    window_s: float = Field(ge=0.05, le=60)
    hop_s: float = Field(ge=0.02)
    window: Literal["any", "fixed"] = "any"
    """``fixed``: the graph takes ``window_s`` seconds and no other length, so that every recording is heard in windows,
    and what is shorter is zero-padded at its end. ``any``: short recordings are heard whole."""
    speeds: tuple[Annotated[float, Field(ge=0.5, le=2)], ...] = Field((1.0,), min_length=1, max_length=16)
    """A recording's logits are the mean of those at these speeds, tempo and pitch alike."""
    front_end: dict[str, Any]
    """Settings of the front end inside the graph."""
    layers: tuple[PositiveInt, ...] | None = Field(None, max_length=64)
    """Of the encoder, whose states the head decides by; None of a graph that tells logits."""
    dimensions: tuple[str, ...] = ()
    """What the head reads beside emotions: ``arousal``, ``valence``, ``dominance``, on its training corpus's scale."""
    parameters: PositiveInt
    temperature: Temperature = 1.0
    """Logits are divided by it."""
    conformal: ConformalAbout | None = None
    adaptation: AdaptationAbout | None = None
    """None: as where no voice is known."""
    adapted_to: dict[str, Any] | None = None
    """The room or line that was taken out of this model, and the model that it was before; None: none was."""
    out_of_distribution: OutOfDistributionAbout | None = Field(None, alias="familiarity")
    trained_on: list[dict[str, Any]]
    licence: str = Field(max_length=10_000)
    scores: list[dict[str, Any]] = []
    """Each with the corpus and the protocol that it was measured by."""
    sha256: dict[str, str]

    @model_validator(mode="after")
    def _is_of_a_piece(self) -> "About":
        if len(self.labels) < 2 and (self.labels or not self.dimensions):
            raise ValueError("two emotions or more are told apart, or dimensions alone are read")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels are named twice")
        if not all(word.isprintable() for word in (self.name, self.version, *self.labels)):
            raise ValueError("a name or label holds what cannot be printed")
        if not self.hop_s <= self.window_s:
            raise ValueError("windows must overlap or touch: hop_s is longer than window_s")
        if self.window_s > MOST_OVERLAP * self.hop_s:
            raise ValueError(f"hop_s is less than a {MOST_OVERLAP}th of window_s: everything would be heard that often")
        if self.window == "fixed" and self.speeds != (1.0,):
            raise ValueError("other speeds are other lengths, and the window is of a fixed one")
        if (HEAD in self.sha256) == (GRAPH in self.sha256):
            raise ValueError("a model is either a graph that tells logits, or an encoder with a head")
        if HEAD in self.sha256 and not (self.layers and {ENCODER_GRAPH, ENCODER_WEIGHTS} <= self.sha256.keys()):
            raise ValueError("a head needs an encoder and the layers that it decides by")
        return self


@dataclass(frozen=True)
class Bundle:
    """A model that has been checked and is ready to run.

    Attributes:
        folder: where it lies.
        about: what ``model.json`` says.
        hearing: the model itself.
        distribution: of its training recordings' embeddings; None where the bundle does not know.
    """

    folder: Path
    about: About
    hearing: Hearing
    distribution: EmbeddingDistribution | None

    def __reduce__(self) -> tuple[Callable[..., "Bundle"], tuple[Path, dict[str, str]]]:
        """A model is not copied to another process, but read there from its folder."""
        return _read_again, (self.folder.absolute(), self.about.sha256)

    def hear(
        self,
        samples: Samples,
        frames: bool = False,
        offset: NDArray[np.float64] | None = None,
        moments: Moments | None = None,
    ) -> Heard:
        """Return what the model makes of ``samples``; see ``Hearing``.

        Raises:
            BundleError: it answers with what is no number.
        """
        heard = self.hearing.hear(samples, frames, offset, moments)
        told = (heard.logits, heard.embedding, heard.frame_logits, heard.moment_logits)
        if not all(np.isfinite(values).all() for values in told if values is not None):
            raise BundleError(f"the model in {self.folder} answers with NaN or infinity: get it anew")
        return heard

    @property
    def digest(self) -> str:
        """SHA-256 of the files that logits hinge on; that of several is of their own, one after another."""
        digests = self.about.sha256
        if GRAPH in digests:
            return digests[GRAPH]
        joined = "".join(digests[name] for name in (ENCODER_GRAPH, ENCODER_WEIGHTS, HEAD))
        return hashlib.sha256(joined.encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """How large the files are that it runs from, the encoder's wherever they lie."""
        names = [name for name in (GRAPH, HEAD, ENCODER_GRAPH, ENCODER_WEIGHTS) if name in self.about.sha256]
        places = [self.folder / name for name in names]
        return sum((path if path.exists() else shipped_encoder() / path.name).stat().st_size for path in places)


def _weights() -> Path:
    return Path(str(resources.files("thymos") / "weights")).resolve()


def shipped_encoder() -> Path:
    """Return where the encoder that comes with Thymos lies."""
    return _weights() / "encoder"


def shipped_models() -> dict[str, Path]:
    """Return the folders of the models that come with Thymos, by name; the one that is used by default comes first."""
    places = _weights().glob(f"*/{ABOUT}")
    return {
        place.parent.name: place.parent for place in sorted(places, key=lambda p: (p.parent.name != DEFAULT_MODEL, p))
    }


def find_bundle(model: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the bundle to use: ``model``, else what ``THYMOS_MODEL`` names, else the shipped one.

    A folder or a shipped model's name is named; a folder of that name which holds a model comes first.

    Raises:
        BundleError: there is no bundle there; the next place is tried only where none is named.
    """
    shipped = shipped_models()
    given, by = model, ""
    if given is not None and not os.fspath(given):
        raise BundleAbsentError("the name of a model is empty; is a variable not set?")
    if given is None and os.environ.get(ENVIRONMENT):
        given, by = os.environ[ENVIRONMENT], f" (named by {ENVIRONMENT})"
    if given is None:
        if not shipped:
            raise BundleError(
                "no model comes with this installation: name the folder of one, or set THYMOS_MODEL to it;"
                " `thymos train CORPUS --recipe thymos --out FOLDER` makes one"
            )
        return next(iter(shipped.values()))
    folder = home_path(given)
    if (folder / ABOUT).is_file():
        return folder
    if os.fspath(given) in shipped:
        return shipped[os.fspath(given)]
    if folder.is_dir():
        raise BundleError(f"{folder}{by} holds no {ABOUT}, so it is no model, or a half-written one")
    names = f", and no model that comes along ({', '.join(shipped)})" if shipped else ""
    raise BundleAbsentError(f"{folder}{by} is no folder{names}")


def read_about(folder: Path) -> About:
    """Read and check ``model.json`` alone.

    Raises:
        BundleError: it cannot be read, is damaged, of another format, or lacks what is needed.
    """
    path = folder / ABOUT
    content = read_json(path)
    found = content.get("format") if isinstance(content, dict) else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise BundleError(f"{path} does not say its format, so it describes no model")
    if found > FORMAT:
        raise BundleError(
            f"{folder} is of format {found}, newer than the {FORMAT} that this version reads: update thymos"
        )
    if found < FORMAT:
        raise BundleError(f"{folder} is of the old format {found}: train or export it anew")
    digests = content.get("sha256")
    if not isinstance(digests, dict) or not {GRAPH, HEAD} & digests.keys():
        raise BundleError(f"{folder} is a model without a graph, which cannot be used: train it anew")
    try:
        return About.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        raise BundleError(f"{path} is not usable: {where}: {in_words(first)}") from None


def read_bundle(folder: Path, own: bool = False) -> Bundle:
    """Read the bundle in ``folder``, and check that its files are those that ``model.json`` describes.

    Args:
        folder: where it lies.
        own: whether this process has just made it, so that its graph needs no process of its own to run in first; what
            comes with Thymos needs none either.

    Raises:
        BundleError: as ``read_about``, or a file is missing, changed or cut off, does not fit the description, or takes
            too much to run.
    """
    about = read_about(folder)
    files = ModelFiles(folder, about.sha256, ABOUT)
    trusted = own or folder.resolve().is_relative_to(_weights())
    probed = None if trusted else round(max(WHOLE_S, about.window_s) * about.rate_hz)
    if about.layers is not None and HEAD in about.sha256:
        hearing: Hearing = read_encoder_with_head(files, len(about.layers), shipped_encoder(), probed)
    else:
        fixed = about.window == "fixed"
        hearing = read_logit_graph(files, round(about.window_s * about.rate_hz) if fixed else None, probed)
    distribution = None
    if about.out_of_distribution is not None:
        table = files.table(DISTRIBUTION)
        distribution = EmbeddingDistribution(table, about.out_of_distribution.threshold)
    bundle = Bundle(folder, about, hearing, distribution)
    _check_answer(bundle)
    return bundle


def _check_answer(bundle: Bundle) -> None:
    """Check shapes by hearing a moment of silence."""
    samples = np.zeros(bundle.about.rate_hz // 10, np.float32)
    try:
        heard = bundle.hear(samples, frames=True)
    except BundleError:
        raise
    except Exception as error:  # onnxruntime's errors have no class in common
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise BundleError(f"the model in {bundle.folder} does not take {len(samples)} samples: {reason}") from None
    classes = len(bundle.about.labels)
    assert heard.frame_logits is not None
    if heard.logits.shape != (classes,) or heard.frame_logits.shape[1:] != (classes,) or heard.embedding.ndim != 1:
        raise BundleError(
            f"the model in {bundle.folder} tells {heard.logits.shape[-1]} emotions apart, and {ABOUT} names {classes}"
        )
    if (0 if heard.values is None else len(heard.values)) != len(bundle.about.dimensions):
        raise BundleError(f"the head in {bundle.folder} reads other dimensions than {ABOUT} names")
    if bundle.distribution is not None and bundle.distribution.length != len(heard.embedding):
        raise BundleError(
            f"{bundle.folder / DISTRIBUTION} is of embeddings of {bundle.distribution.length} numbers, the model's of "
            f"{len(heard.embedding)}"
        )


def _read_again(folder: Path, digests: dict[str, str]) -> Bundle:
    """Return the bundle that another process has read.

    Raises:
        BundleError: it is not there, or not any more, or another one is.
    """
    if not folder.is_dir():  # another machine may have it elsewhere, if it comes along
        folder = shipped_models().get(folder.name, folder)
    bundle = _kept_bundle(folder)
    if bundle.about.sha256 != digests:
        raise BundleError(f"{folder} holds another model now than the one that this process was given")
    return bundle


_kept_bundle = lru_cache(maxsize=2)(read_bundle)
"""A process that is given a recogniser with each task reads its model once."""
