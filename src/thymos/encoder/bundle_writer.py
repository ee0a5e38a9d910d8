"""A fitted model as files: weights, description and, of whole recordings, a graph. Nothing in it is executed.

``model.json`` is written last and holds the SHA-256 of every other file, so a folder that has it is whole.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import nn

from thymos.encoder.attentive import AttentiveSettings, EmotionHead, EmotionNetwork, build_encoder
from thymos.encoder.export import write_graph
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.voice_network import VoiceDescriber, VoiceNetwork
from thymos.errors import BundleError
from thymos.files import whole_file, write_json
from thymos.runtime.bundle import ABOUT, FAMILIAR, FORMAT, GRAPH, WEIGHTS, FamiliarityAbout, read_bundle
from thymos.runtime.out_of_distribution import Familiarity

WINDOW_S, HOP_S = 5.0, 2.5
"""How long recordings are heard: in windows as long as the cuts that networks are trained on, half overlapping."""
_SIZE = "encoder"
"""Where ``model.json`` has the settings of the encoder's size."""
_NETWORK, ATTENTIVE, VOICE = "network", "attentive", "voice"
"""Where it says which sort of network, and the sorts."""


@dataclass(frozen=True)
class Recogniser:
    """A fitted network of whole recordings, and what a bundle needs beside it.

    Attributes:
        network: fitted; of either sort.
        features: the pictures that it takes.
        size: of its encoder.
        labels: the emotions that it tells apart.
        familiarity: and its description; both None where it is not known what is familiar.
        speeds: a recording's logits are the mean of those at these speeds.
    """

    network: EmotionNetwork | VoiceNetwork
    features: LevelMelSettings
    size: AttentiveSettings
    labels: tuple[str, ...]
    familiarity: tuple[Familiarity, FamiliarityAbout] | None
    speeds: tuple[float, ...] = (1.0,)


def write_weights(folder: Path, model: nn.Module, about: dict[str, Any]) -> None:
    """Write ``model`` to ``folder`` without a graph: ``weights.safetensors``, and ``about`` in ``model.json``."""
    (folder / ABOUT).unlink(missing_ok=True)  # an earlier model's, which would not fit these weights
    _write_about(folder, about, model, {WEIGHTS: _save(folder, model)})


def write_recogniser(folder: Path, recogniser: Recogniser, about: dict[str, Any], graph_only: bool = False) -> None:
    """Write a bundle to ``folder``: graph, weights, and ``about`` (name, corpora, licence …) in ``model.json``.

    With ``graph_only`` the weights, which the graph has too, are left out: nobody can train on or export again.

    Raises:
        MissingExtraError: the libraries that write the graph are not installed.
        BundleError: what was written cannot be used, so ``about`` lacks something.
    """
    (folder / ABOUT).unlink(missing_ok=True)
    network, features = recogniser.network, recogniser.features
    write_graph(folder / GRAPH, network, features)
    digests = {GRAPH: _digest(folder / GRAPH)}
    if graph_only:
        (folder / WEIGHTS).unlink(missing_ok=True)
    else:
        digests[WEIGHTS] = _save(folder, network)
    if recogniser.familiarity is None:
        (folder / FAMILIAR).unlink(missing_ok=True)
    else:
        familiarity, description = recogniser.familiarity
        with whole_file(folder / FAMILIAR) as temporary, temporary.open("wb") as file:
            np.save(file, familiarity.table, allow_pickle=False)
        digests[FAMILIAR] = _digest(folder / FAMILIAR)
        about = about | {"familiarity": description.model_dump(mode="json")}
    decided = {
        "labels": list(recogniser.labels),
        "rate_hz": features.rate_hz,
        "window_s": WINDOW_S,
        "hop_s": HOP_S,
        "front_end": features.model_dump(mode="json"),
        "speeds": list(recogniser.speeds),
        _SIZE: recogniser.size.model_dump(mode="json"),
        _NETWORK: VOICE if isinstance(network, VoiceNetwork) else ATTENTIVE,
    }
    _write_about(folder, about | decided, network, digests)
    try:
        read_bundle(folder)
    except BundleError:
        (folder / ABOUT).unlink()
        raise


def read_recogniser(folder: Path) -> tuple[Recogniser, dict[str, Any]]:
    """Read what ``write_recogniser`` wrote, to train on or to write anew; the graph is not looked at.

    Returns:
        The network, and all that ``model.json`` says.

    Raises:
        BundleError: not there, damaged, changed, of another format, or of another kind.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{folder} holds no model: {error.strerror} ({error.filename})") from None
    except ValueError:
        raise BundleError(f"{folder / ABOUT} is damaged: it is no JSON") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise BundleError(f"{folder / ABOUT} is not of format {FORMAT}, which is all that this version reads")
    if _SIZE not in about:
        raise BundleError(f"{folder} is not of kind whole, and only such models have a graph")
    try:
        state = load(_checked(folder, WEIGHTS, about))
        features = LevelMelSettings.model_validate(about["front_end"])
        size = AttentiveSettings.model_validate(about[_SIZE])
        labels = tuple(map(str, about["labels"]))
        encoder = build_encoder(size, len(features.channels), features.n_bands)
        network: EmotionNetwork | VoiceNetwork
        if about.get(_NETWORK) == VOICE:
            network = VoiceNetwork(VoiceDescriber(encoder, features), len(state["mean"]), len(labels))
        else:
            network = EmotionNetwork(encoder, EmotionHead(size.embedding, len(labels), 0.0))
        network.load_state_dict(state)
        if isinstance(network, VoiceNetwork):  # another version may describe recordings by more or fewer numbers
            network.eval()(torch.zeros(1, len(features.channels), features.n_bands, 1))
        familiarity = None
        if about.get("familiarity"):
            description = FamiliarityAbout.model_validate(about["familiarity"])
            table: NDArray[np.float32] = np.load(io.BytesIO(_checked(folder, FAMILIAR, about)), allow_pickle=False)
            familiarity = Familiarity(table, description.threshold), description
    except (SafetensorError, KeyError, ValidationError, TypeError, ValueError, RuntimeError) as error:
        raise BundleError(f"{folder} is no model that this version can use: {' '.join(str(error).split())}") from None
    speeds = tuple(map(float, about.get("speeds", (1.0,))))
    return Recogniser(network.eval(), features, size, labels, familiarity, speeds), about


def _write_about(folder: Path, about: dict[str, Any], model: nn.Module, digests: dict[str, str]) -> None:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    write_json(folder / ABOUT, {"format": FORMAT, **about, "parameters": parameters, "sha256": digests})


def _save(folder: Path, model: nn.Module) -> str:
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with whole_file(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    return _digest(folder / WEIGHTS)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _checked(folder: Path, name: str, about: dict[str, Any]) -> bytes:
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise BundleError(f"{folder / name} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != about.get("sha256", {}).get(name):
        raise BundleError(f"{folder / name} is not the file that {ABOUT} describes: its SHA-256 differs")
    return content
