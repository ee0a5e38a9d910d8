"""An encoder on disk: ``encoder.safetensors``, ``encoder.json`` and, to be used without torch, ``encoder.onnx``.

Weights are stored once: the graph says where in ``encoder.safetensors`` each tensor lies, and torch reads the same
file. They come with the digests of every clip that they were fitted to, so that nobody tests on one of them; and with
the fingerprints of these clips, in ``encoder.heard.safetensors``, since near-copies count. An encoder without that file
has digests alone. Nothing is executed or unpickled.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import Tensor

from thymos.corpora.near_copies import SPARSE, Fingerprints, Words, from_arrays, from_text, to_arrays
from thymos.encoder.fine_tuning import FineTuningRecipe, Lesson
from thymos.encoder.graph import write_encoder_graph
from thymos.encoder.network import EmotionNetwork, LayerSettings, PoolingSettings, WhisperLayers
from thymos.encoder.packed import pack, unpack
from thymos.errors import RecipeError
from thymos.files import bounded_bytes, parsed_json, whole_file, write_json
from thymos.runtime.hearing import ENCODER_ABOUT, ENCODER_GRAPH, ENCODER_HEARD, ENCODER_WEIGHTS
from thymos.runtime.model_files import MOST_ABOUT_BYTES, MOST_BYTES, MOST_TABLE_BYTES, sha256

FORMAT = 3
WEIGHTS, ABOUT, HEARD = ENCODER_WEIGHTS, ENCODER_ABOUT, ENCODER_HEARD
WHISPER = {
    "name": "openai/whisper-base",
    "licence": "MIT (OpenAI)",
    "source": "Radford et al. 2022, Robust speech recognition via large-scale weak supervision, arXiv 2212.04356",
}
LICENCE = "research and non-commercial use only: corpora that it was trained on forbid others"
_SEEN = "clips_seen"


@dataclass(frozen=True)
class FineTuned:
    """A network that was read.

    Attributes:
        network: ready to use, in float32.
        labels: the emotions that its head knows.
        clips_seen: digests of the clips that it was fitted to, sorted: int64, shape ``(clips,)``.
        about: all that ``encoder.json`` says.
        heard: sparse fingerprints of these clips; none where there is no file of them.
    """

    network: EmotionNetwork
    labels: tuple[str, ...]
    clips_seen: NDArray[np.int64]
    about: dict[str, Any]
    heard: tuple[Words, ...] = ()

    @cached_property
    def fingerprints(self) -> Fingerprints:
        """Those in ``heard``, to look near-copies up in."""
        return Fingerprints(self.heard)

    def has_seen(self, digest: int) -> bool:
        """Return whether the sound of that digest was trained on."""
        place = int(np.searchsorted(self.clips_seen, digest))
        return place < len(self.clips_seen) and int(self.clips_seen[place]) == digest


def write_encoder(
    folder: Path,
    network: EmotionNetwork,
    lesson: Lesson,
    recipe: FineTuningRecipe,
    seed: int,
    more: Mapping[str, Any] | None = None,
    start: FineTuned | None = None,
) -> None:
    """Write ``network`` to ``folder``, in 16 bits, for others to start from: no graph.

    What ``start``, the encoder that it began as, had heard, it has heard, too.
    """
    clips = lesson.sounds.clips
    by_digest = {clip.digest: clip for clip in clips}
    seen = np.array(sorted(by_digest), np.int64)
    heard = [from_text(by_digest[digest].fingerprint)[::SPARSE] for digest in sorted(by_digest)]
    counts = Counter(clip.corpus for clip in clips)
    if start is not None:
        seen = np.union1d(seen, start.clips_seen)
        heard += start.heard
        counts.update(start.about["corpora"])
    about = {
        "labels": list(lesson.labels),
        "layers": network.layers.settings.model_dump(mode="json"),
        "pooling": recipe.pooling.model_dump(mode="json"),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "starts_from": WHISPER,
        "licence": LICENCE,
        "corpora": {name: counts[name] for name in sorted(counts)},
        "seed": seed,
        "recipe": recipe.model_dump(mode="json"),
        **(more or {}),
    }
    write_encoder_files(folder, network.state_dict(), seen, about, heard=heard)


def write_encoder_files(
    folder: Path,
    state: Mapping[str, Tensor],
    seen: NDArray[np.int64],
    about: Mapping[str, Any],
    describes: Sequence[int] | None = None,
    int8: bool = False,
    heard: Sequence[Words] = (),
) -> None:
    """Write an encoder to ``folder``; ``encoder.json`` comes last, so a folder that has it is whole.

    Args:
        folder: may hold an earlier encoder.
        state: of an ``EmotionNetwork``, or of its layers alone.
        seen: digests of the clips that it was fitted to, sorted.
        about: what ``encoder.json`` tells besides.
        describes: layers whose states the graph describes recordings by; None: no graph.
        int8: whether products are reckoned in integers of 8 bits.
        heard: sparse fingerprints of those clips; those without words are left out.

    Raises:
        MissingExtraError: a graph is asked for, and the library that writes it is not installed.
    """
    for name in (ABOUT, ENCODER_GRAPH, HEARD):  # an earlier encoder's, which would not fit these weights
        (folder / name).unlink(missing_ok=True)
    with whole_file(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(pack(state, int8) | {_SEEN: seen}))
    names = [WEIGHTS]
    if describes is not None:
        settings = LayerSettings.model_validate(about["layers"])
        write_encoder_graph(folder / ENCODER_GRAPH, folder / WEIGHTS, settings, describes)
        names.append(ENCODER_GRAPH)
        about = {**about, "describes": list(describes), "int8": int8}
    if any(len(words) for words in heard):
        write_heard(folder, heard)
        names.append(HEARD)
    digests = {name: sha256((folder / name).read_bytes()) for name in names}
    write_json(folder / ABOUT, {**about, "format": FORMAT, "sha256": digests})


def write_heard(folder: Path, heard: Sequence[Words]) -> None:
    """Write the sparse fingerprints of clips that an encoder has heard to its folder."""
    with whole_file(folder / HEARD) as temporary:
        temporary.write_bytes(save(to_arrays([words for words in heard if len(words)])))


def _read_heard(folder: Path, digests: Mapping[str, Any]) -> tuple[Words, ...]:
    """Return the fingerprints in the folder of an encoder, if its description names them.

    Raises:
        RecipeError: they are missing, damaged or changed.
    """
    if HEARD not in digests:
        return ()
    try:
        content = bounded_bytes(folder / HEARD, MOST_TABLE_BYTES)
        if sha256(content) != digests[HEARD]:
            raise ValueError(f"it is not the file that {ABOUT} describes: its SHA-256 differs")
        return from_arrays(load(content))
    except Exception as error:  # a file can be wrong in as many ways as there are exceptions
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise RecipeError(
            f"{folder / HEARD}, which tells what the encoder has heard, cannot be read: {reason}"
        ) from None


def read_encoder(folder: Path) -> FineTuned:
    """Read what ``write_encoder`` or ``write_encoder_files`` wrote.

    Raises:
        RecipeError: not there, damaged, changed, or of another format.
    """
    try:
        about = parsed_json(bounded_bytes(folder / ABOUT, MOST_ABOUT_BYTES))
        weights = bounded_bytes(folder / WEIGHTS, MOST_BYTES)
    except OSError as error:
        raise RecipeError(f"{folder} holds no encoder: {error.strerror} ({error.filename})") from None
    except ValueError:
        raise RecipeError(f"{folder / ABOUT} is damaged") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise RecipeError(f"{folder / ABOUT} is not of format {FORMAT}, which is all that this version reads")
    digests = about.get("sha256")
    if not isinstance(digests, dict) or digests.get(WEIGHTS) != sha256(weights):
        raise RecipeError(f"{folder / WEIGHTS} is not the file that {ABOUT} describes: its SHA-256 differs")
    try:
        packed = load(weights)
        if not all(np.isfinite(value).all() for value in packed.values() if value.dtype.kind == "f"):
            raise ValueError("its weights are no numbers")
        seen = packed.pop(_SEEN)
        labels = tuple(map(str, about["labels"]))
        settings = LayerSettings.model_validate(about["layers"])
        pooling = PoolingSettings.model_validate(about["pooling"])
        # Before memory is taken: each weight has a byte at least.
        if _least_weights(settings, pooling, len(labels)) > len(weights):
            raise ValueError("it says that it is larger than its weights are")
        network = EmotionNetwork(WhisperLayers(settings), pooling, len(labels))
        network.load_state_dict(unpack(packed))
    except Exception as error:  # settings and tensors can be wrong in as many ways as there are exceptions
        raise RecipeError(f"{folder} is no encoder that this version can use: {' '.join(str(error).split())}") from None
    return FineTuned(network.eval(), labels, seen, about, _read_heard(folder, digests))


def _least_weights(settings: LayerSettings, pooling: PoolingSettings, classes: int) -> int:
    """Return how many weights the largest parts of such a network have."""
    width = settings.width
    layers = settings.layers * (4 * width**2 + 2 * width * settings.hidden) + settings.positions * width
    return layers + pooling.attention * width + pooling.embedding * (2 * width + classes)
