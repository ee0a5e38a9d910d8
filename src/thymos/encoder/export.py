"""A fitted head and its encoder as files: the encoder's graph and weights, and the head's arrays beside them."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.encoder.describe import Start
from thymos.encoder.graph import write_encoder_graph
from thymos.encoder.heads import Discriminant, Ridge
from thymos.encoder.log_mel import HOP, LEVEL_DB, N_MELS, RATE_HZ, WINDOW
from thymos.encoder.network import LayerSettings
from thymos.encoder.weights import WHISPER, write_encoder_files
from thymos.errors import BundleError
from thymos.export import Exportable, check_exportable
from thymos.files import whole_file, write_json
from thymos.runtime.adaptation import VoiceSpace
from thymos.runtime.bundle import ABOUT, read_bundle, shipped_encoder
from thymos.runtime.hearing import (
    DIMENSION_BIAS,
    DIMENSION_WEIGHTS,
    ENCODER_ABOUT,
    ENCODER_GRAPH,
    ENCODER_HEARD,
    ENCODER_WEIGHTS,
    HEAD,
)
from thymos.runtime.model_files import ModelFiles, read_json
from thymos.runtime.rewriting import check_folder, copy_files, digest

WINDOW_S, HOP_S = 3.5, 1.75
"""How long recordings are heard: in windows about as long as those that heads are fitted to (3.2 s on average), half
overlapping."""


@dataclass(frozen=True)
class HeadOnEncoder(Exportable):
    """An encoder and a linear decision on its descriptions.

    Attributes:
        start: the encoder.
        weights: of the head: float32, shape ``(D, classes)``.
        bias: shape ``(classes,)``.
        space: where voices are told from emotions; None of a head that tells none.
        int8: whether products with the encoder's weights are reckoned in integers of 8 bits.
        dimensions: how arousal, valence and dominance are read; None: the head does not know.
    """

    start: Start
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    space: VoiceSpace | None
    int8: bool
    dimensions: "LinearReading | None" = None

    def write_files(self, folder: Path) -> tuple[str, ...]:
        """Write the encoder, and the head."""
        export_encoder(self.start, folder, self.int8)
        with whole_file(folder / HEAD) as temporary, temporary.open("wb") as file:
            arrays: dict[str, Any] = {"weights": self.weights, "bias": self.bias}
            if self.space is not None:
                arrays |= vars(self.space)
            if self.dimensions is not None:
                arrays |= {DIMENSION_WEIGHTS: self.dimensions.weights, DIMENSION_BIAS: self.dimensions.bias}
            np.savez(file, allow_pickle=False, **{name: np.float32(array) for name, array in arrays.items()})
        heard = (ENCODER_HEARD,) if (folder / ENCODER_HEARD).exists() else ()
        return ENCODER_WEIGHTS, ENCODER_GRAPH, ENCODER_ABOUT, HEAD, *heard


@dataclass(frozen=True)
class LinearReading:
    """Values of dimensions as linear in descriptions as the encoder gives them.

    Attributes:
        names: of the dimensions.
        weights: float32, shape ``(D, dimensions)``.
        bias: shape ``(dimensions,)``.
    """

    names: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


def linear_reading(names: tuple[str, ...], ridge: Ridge) -> LinearReading | None:
    """Return ``ridge`` without its standardising, of the dimensions that it knows; None if it knows none."""
    known = np.flatnonzero(np.isfinite(ridge.bias))
    if not len(known):
        return None
    weights = (ridge.weights / ridge.spread[:, None])[:, known]
    bias = ridge.bias[known] - ridge.mean @ weights
    return LinearReading(tuple(names[at] for at in known), weights.astype(np.float32), bias.astype(np.float32))


def exportable(
    start: Start,
    discriminant: Discriminant,
    space: VoiceSpace | None,
    labels: tuple[str, ...],
    int8: bool = False,
    dimensions: LinearReading | None = None,
) -> HeadOnEncoder:
    """Return a head with its encoder, as they are exported."""
    describer = start.describer
    front_end = {"log_mel": "Whisper", "level_db": LEVEL_DB, "mels": N_MELS, "window": WINDOW, "hop": HOP}
    about = {
        "rate_hz": RATE_HZ,
        "window_s": WINDOW_S,
        "hop_s": HOP_S,
        "front_end": front_end,
        "layers": list(describer.which),
        **({"dimensions": list(dimensions.names)} if dimensions else {}),
    }
    weights = discriminant.weights / discriminant.spread[:, None]
    bias = discriminant.bias - discriminant.mean @ weights
    parameters = sum(parameter.numel() for parameter in describer.parameters()) + weights.size + bias.size
    parameters += 0 if dimensions is None else dimensions.weights.size + dimensions.bias.size
    head = (weights.astype(np.float32), bias.astype(np.float32), space)
    return HeadOnEncoder(labels, about, parameters, start, *head, int8, dimensions)


def export_encoder(start: Start, folder: Path, int8: bool) -> None:
    """Write the encoder that ``start`` is to ``folder``, with its graph; one that has been exported so is copied.

    Raises:
        MissingExtraError: the library that writes graphs is not installed.
        BundleError: what would be copied has been changed.
    """
    describer, fine_tuned = start.describer, start.fine_tuned
    about: dict[str, Any] = {
        "labels": [],
        "layers": describer.layers.settings.model_dump(mode="json"),
        "pooling": None,
        "starts_from": WHISPER,
        "licence": WHISPER["licence"],
        "corpora": {},
    }
    if fine_tuned is None:
        state = {f"layers.{name}": value for name, value in describer.layers.state_dict().items()}
        seen = np.empty(0, np.int64)
    else:
        about, state, seen = fine_tuned.about, fine_tuned.network.state_dict(), fine_tuned.clips_seen
    heard = fine_tuned.heard if fine_tuned else ()
    if start.folder is not None and (about.get("describes"), about.get("int8")) == (list(describer.which), int8):
        files = ModelFiles(start.folder, about["sha256"], ENCODER_ABOUT)
        names = (ENCODER_WEIGHTS, ENCODER_GRAPH, *([ENCODER_HEARD] if heard else []))
        contents = {name: files.content(name) for name in names}
        if not heard:  # an earlier encoder's, which had heard others
            (folder / ENCODER_HEARD).unlink(missing_ok=True)
        contents[ENCODER_ABOUT] = (start.folder / ENCODER_ABOUT).read_bytes()
        for name, content in contents.items():
            with whole_file(folder / name) as temporary:
                temporary.write_bytes(content)
        return
    check_exportable()
    made_from = {"made_from": {"sha256": start.digest}}
    write_encoder_files(folder, state, seen, {**about, **made_from}, describer.which, int8, heard)


def export_in_float32(source: Path, folder: Path) -> None:
    """Write the bundle in ``source`` to ``folder`` with its own encoder, which reckons in float32 throughout.

    Weights are the same file. What the shipped graph rounds to 8 bits as it hears is not rounded: so answers are alike
    on every processor and in a browser, where rounding makes them differ in the third digit, or the second.

    Args:
        source: its encoder is its own or the shipped one.
        folder: new, empty, or an earlier bundle's, but not ``source``.

    Raises:
        BundleError: ``source`` holds no bundle that can be used, or one that does not hear by an encoder.
        RunError: ``folder`` holds something else.
        MissingExtraError: the library that writes graphs is not installed.
    """
    read_bundle(source)
    check_folder(folder)
    check_exportable()
    about: dict[str, Any] = read_json(source / ABOUT)
    if HEAD not in about["sha256"]:
        raise BundleError(f"{source} does not hear by an encoder, so nothing in it is rounded")
    encoder = source if (source / ENCODER_WEIGHTS).exists() else shipped_encoder()
    files = {ENCODER_WEIGHTS, ENCODER_HEARD} & about["sha256"].keys()
    copy_files(source, folder, about["sha256"].keys() - files - {ENCODER_ABOUT, ENCODER_GRAPH})
    for name in files:
        if (encoder / name).exists():
            with whole_file(folder / name) as temporary:
                shutil.copyfile(encoder / name, temporary)
    told: dict[str, Any] = read_json(encoder / ENCODER_ABOUT)
    settings = LayerSettings.model_validate(told["layers"])
    write_encoder_graph(folder / ENCODER_GRAPH, folder / ENCODER_WEIGHTS, settings, told["describes"], rounded=False)
    graph = {ENCODER_GRAPH: digest(folder / ENCODER_GRAPH)}
    write_json(folder / ENCODER_ABOUT, {**told, "rounded": False, "sha256": told["sha256"] | graph})
    digests = about["sha256"] | graph | {ENCODER_ABOUT: digest(folder / ENCODER_ABOUT)}
    write_json(folder / ABOUT, about | {"sha256": digests})
    read_bundle(folder, own=True)
