"""Where a recipe starts: the shipped encoder, one in a folder, or Whisper's layers as they were published."""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from thymos.corpora.near_copies import from_text
from thymos.corpora.table import Clip
from thymos.encoder.describe import Describer
from thymos.encoder.recipe import SHIPPED, EncoderRecipe
from thymos.encoder.sounds import digest_of
from thymos.encoder.weights import WEIGHTS, WHISPER, FineTuned, read_encoder
from thymos.encoder.whisper_layers import read_whisper_layers
from thymos.errors import RecipeError
from thymos.files import home_path
from thymos.runtime.bundle import shipped_encoder


@dataclass(frozen=True)
class Start:
    """What describes recordings.

    Attributes:
        describer: in evaluation mode.
        digest: SHA-256 of its weights' file.
        fine_tuned: its network and what it has heard; None: Whisper as it was published, which has heard no corpus.
        folder: where the encoder lies; None: Whisper as it was published.
    """

    describer: Describer
    digest: str
    fine_tuned: FineTuned | None
    folder: Path | None = None
    _answers: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)
    """Whether it has heard a sound, by its digest: several ask."""

    def provenance(self) -> dict[str, Any]:
        """Return what a bundle tells of it: its digest, Whisper with its licence, and the corpora that it has heard."""
        about = {} if self.fine_tuned is None else self.fine_tuned.about
        heard = [
            {"name": name, "clips": clips, "stage": "pretraining"} for name, clips in about.get("corpora", {}).items()
        ]
        knows = {"near_copies": True} if self.fine_tuned is not None and self.fine_tuned.heard else {}
        return {"start_from": {"sha256": self.digest, "layers_of": WHISPER, **knows}, "trained_on": heard}

    def has_heard_exactly(self, clip: Clip) -> bool:
        """Return whether the encoder was fitted to the very sound of ``clip``."""
        return self.fine_tuned is not None and self.fine_tuned.has_seen(digest_of(clip))

    def has_heard(self, clip: Clip) -> bool:
        """Return whether the encoder was fitted to ``clip``, or to a near-copy of it."""
        if self.fine_tuned is None:
            return False
        if clip.sound.sha256 not in self._answers:
            self._answers[clip.sound.sha256] = self.has_heard_exactly(clip) or bool(
                self.fine_tuned.fingerprints.near_copies(from_text(clip.sound.fingerprint))
            )
        return self._answers[clip.sound.sha256]


def start_of(recipe: EncoderRecipe) -> Start:
    """Return what ``recipe`` starts from.

    Raises:
        RecipeError: there is no such encoder, it cannot be used, or it has fewer layers than are asked for.
    """
    path = shipped_encoder() if recipe.start_from == SHIPPED else home_path(recipe.start_from)
    return read_start(path, recipe.layers)


@lru_cache(maxsize=2)
def read_start(path: Path, layers: tuple[int, ...]) -> Start:
    """Return the encoder in the folder ``path``, or the layers of the Whisper checkpoint of that name.

    Raises:
        RecipeError: as ``start_of``.
    """
    if path.is_dir() or not path.suffix:
        fine_tuned = read_encoder(path)
        depth = len(fine_tuned.network.layers.layers)
        if max(layers) > depth:
            raise RecipeError(f"layers: the encoder in {path} has {depth}, not {max(layers)}")
        digest = str(fine_tuned.about["sha256"][WEIGHTS])
        return Start(Describer(fine_tuned.network.layers, layers, fine_tuned.network).eval(), digest, fine_tuned, path)
    # States of published layers are taken as they are, and nothing after the layers was ever fitted: no embedding.
    whisper = read_whisper_layers(path, max(layers))
    return Start(Describer(whisper, layers).eval(), hashlib.sha256(path.read_bytes()).hexdigest(), None)
