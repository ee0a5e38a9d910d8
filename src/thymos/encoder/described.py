"""The descriptions of a corpus: every recording described once, at every speed, and kept on disk, clip by clip.

A file is named by the clip's sound and lies in a folder named by all else that shapes it, so corpora, protocols and
heads share it, and a run that was cut short loses none.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from thymos.audio import Samples, Waveform, played
from thymos.cache import is_sealed_array, save_sealed_array
from thymos.corpora.table import Clip, Corpus
from thymos.encoder.describe import Describer, Descriptions, Start, describe
from thymos.encoder.log_mel import RATE_HZ
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.variation import Augmenter, AugmentSettings, made_up_voices
from thymos.engine.process import one_thread
from thymos.experiment import Work

_VERSION = 2
_STREAM = 5
"""Keeps the draws of distorted copies apart from others."""
_BATCH = 4
"""Versions that are described at once, where the last digits do not matter: a fifth faster."""
_COPIES = AugmentSettings(crop_s=30, speed=(1.0, 1.0), room=0.4, tilt=0.3, band=0.4, noise=0.4, babble=0.4)
"""How copies are distorted."""
_VOICES, _VOICE_S = 24, 6.0
"""How many voices babble is made of, and for how long each talks."""


@dataclass(frozen=True)
class DescribedCorpus:
    """Where the descriptions of a corpus lie.

    Attributes:
        files: one a recording, in the order of the corpus's clips: float32, shape ``(versions, descriptors + E)``.
        descriptors: how many numbers of each decide; the embedding follows.
        corpora: which corpus each recording comes from.
        speakers: of each recording; "" where it is not known.
        fitted_to: where a head is fitted to another corpus: that one, its emotions, and the class of each recording.
        source: the corpus itself, where each fit has an encoder of its own that describes it.
    """

    files: tuple[Path, ...]
    descriptors: int
    corpora: tuple[str, ...]
    speakers: tuple[str, ...]
    fitted_to: "tuple[DescribedCorpus, tuple[str, ...], NDArray[np.int64]] | None" = None
    source: Corpus | None = None

    def read(self, rows: Sequence[int], versions: int | None = None) -> Descriptions:
        """Return the descriptions of some recordings, all of their versions or the first so many."""
        each = [np.load(self.files[row], mmap_mode="r")[:versions, : self.descriptors] for row in rows]
        return np.stack(each, axis=1) if each else np.zeros((versions or 0, 0, self.descriptors), np.float32)

    def embeddings(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """Return the embeddings of some recordings as they are, shape ``(rows, E)``; of published layers there is none
        apart from the description."""
        each = np.stack([np.load(self.files[row], mmap_mode="r")[0] for row in rows])
        return np.ascontiguousarray(each[:, self.descriptors :] if each.shape[1] > self.descriptors else each)


def describe_corpus(corpus: Corpus, recipe: EncoderRecipe, start: Start, work: Work) -> DescribedCorpus:
    """Describe every recording of ``corpus`` that is not described yet.

    Raises:
        AudioError: a file can no longer be read.
    """
    shaping = {
        "version": _VERSION,
        "encoder": start.digest,
        "layers": recipe.layers,
        "speeds": recipe.speeds,
        "copies": [recipe.distorted_copies, _COPIES.model_dump(), work.seed] if recipe.distorted_copies else [],
        "half": {"never": False, "versions": True}.get(recipe.half, recipe.half),
        "device": work.device,
    }
    key = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:32]
    folder = work.cache_dir / "descriptions" / key
    describer = start.describer.to(work.device)
    augmenter = None
    if recipe.distorted_copies:
        random = np.random.default_rng([work.seed, _STREAM])
        augmenter = Augmenter(_COPIES, made_up_voices(_VOICES, _VOICE_S, random), random)

    def described(clip: Clip) -> Path:
        path = folder / f"{clip.sound.sha256}.npy"
        if not is_sealed_array(path):
            waveform = corpus.waveform(clip)
            rows = _versions(waveform, clip, recipe, describer, augmenter, work.seed)
            save_sealed_array(path, rows)
        work.advance()
        return path

    with one_thread(), torch.inference_mode(), ThreadPoolExecutor(work.threads) as pool:
        files = tuple(pool.map(described, corpus.clips))
    corpora = tuple(clip.corpus or corpus.root.name for clip in corpus.clips)
    return DescribedCorpus(files, describer.descriptors, corpora, tuple(clip.speaker for clip in corpus.clips))


def _versions(
    waveform: Waveform, clip: Clip, recipe: EncoderRecipe, describer: Describer, augmenter: Augmenter | None, seed: int
) -> NDArray[np.float32]:
    """Return the descriptions of one recording: as recorded, then at other speeds, then distorted."""
    half = recipe.half != "never"
    parts = [describe(describer, [waveform], recipe.speeds[:1], batch=1, half=recipe.half == "always")[:, 0]]
    if len(recipe.speeds) > 1:
        parts.append(describe(describer, [waveform], recipe.speeds[1:], batch=_BATCH, half=half)[:, 0])
    if augmenter is not None:
        copies = [Waveform(sound, RATE_HZ) for sound in _distorted(waveform, clip, recipe, augmenter, seed)]
        parts.append(describe(describer, copies, batch=_BATCH, half=half)[0])
    return np.concatenate(parts)


def _distorted(waveform: Waveform, clip: Clip, recipe: EncoderRecipe, augmenter: Augmenter, seed: int) -> list[Samples]:
    random = np.random.default_rng([seed, _STREAM, int(clip.sound.sha256[:12], 16)])
    speeds = [float(random.choice(recipe.speeds)) for _ in range(recipe.distorted_copies)]
    return [augmenter.vary(played(waveform, speed, RATE_HZ), random) for speed in speeds]
