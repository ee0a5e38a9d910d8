"""Small things of kind encoder that several rooms test with: tones that stand for emotions, recipes and encoders.

Libraries that train are imported where they are used, so that tests without them are collected fast.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from thymos.audio import Samples

if TYPE_CHECKING:
    from thymos.corpora import Corpus
    from thymos.corpora.table import Clip
    from thymos.encoder.recipe import EncoderRecipe

HZ = {"anger": 2000, "fear": 700, "sadness": 250}
SPEAKERS = (1, 2, 3, 4)
RECIPE: dict[str, Any] = {
    "kind": "encoder",
    "name": "toy",
    "layers": [1, 2],
    "speeds": [1.0, 1.1],
    "half": "never",
    "int8": False,
}
"""It lacks only where it starts."""


@pytest.fixture(scope="session")
def make_tones(write_sound: Callable[..., Path], make_tone: Callable[..., Samples]) -> "Callable[..., Corpus]":
    """``make_tones(root, takes=3, noisy=none) -> Corpus``: some speakers only make noise."""
    from thymos.corpora import open_corpus

    def make(root: Path, takes: int = 3, noisy: tuple[int, ...] = ()) -> "Corpus":
        lines = ["file,emotion,speaker,sentence"]
        for number, (emotion, hz) in enumerate(HZ.items()):
            for speaker in SPEAKERS:
                for take in range(takes):
                    random = np.random.default_rng([number, speaker, take])
                    samples = make_tone(0.12 + 0.02 * take, hz=hz + 30 * speaker + 11 * take, level=0.3)
                    samples = samples + random.normal(0, 0.02, len(samples))
                    if speaker in noisy:
                        samples = random.normal(0, 0.2, len(samples))
                    file = f"{emotion}-{speaker}-{take}.wav"
                    write_sound(root / file, samples.astype(np.float32))
                    lines.append(f"{file},{emotion},{speaker},{take}")
        (root / "clips.csv").write_text("\n".join(lines) + "\n")
        return open_corpus(root / "clips.csv")

    return make


@pytest.fixture(scope="session")
def tone_corpus(make_tones: "Callable[..., Corpus]", tmp_path_factory: pytest.TempPathFactory) -> "Corpus":
    """Three emotions by four speakers, three recordings each of 0.12 to 0.16 s."""
    return make_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="session")
def tones_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def write_toy_encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``write_toy_encoder(name, heard=no clips) -> folder``: two layers of random weights, fitted to nothing."""
    import torch

    from thymos.encoder.fine_tuning import FineTuningRecipe, make_lesson
    from thymos.encoder.network import EmotionNetwork, LayerSettings, PoolingSettings, WhisperLayers
    from thymos.encoder.sounds import HeardClip, Sounds, digest_of
    from thymos.encoder.weights import write_encoder

    root = tmp_path_factory.mktemp("encoders")
    size = LayerSettings(layers=2, width=64, heads=4, hidden=64)
    recipe = FineTuningRecipe(layers=2, pooling=PoolingSettings(attention=8, embedding=24))

    def write(name: str, heard: "tuple[Clip, ...]" = ()) -> Path:
        clips = [HeardClip(f"{word}.wav", "heard", word, "", i, 1) for i, word in enumerate(("anger", "calm"))]
        clips += [
            HeardClip(clip.path, "heard", clip.emotion, clip.speaker, digest_of(clip), 1, clip.sound.fingerprint)
            for clip in heard
        ]
        lesson = make_lesson(Sounds(clips, list(range(len(clips) + 1)), np.zeros(len(clips), np.int16)), recipe)
        with torch.random.fork_rng():
            torch.manual_seed(7)
            network = EmotionNetwork(WhisperLayers(size), recipe.pooling, len(lesson.labels)).eval()
            torch.nn.init.normal_(network.layers.embed_positions.weight, std=0.1)
        write_encoder(root / name, network, lesson, recipe, 0)
        return root / name

    return write


@pytest.fixture(scope="session")
def toy_encoder(write_toy_encoder: Callable[..., Path]) -> Path:
    return write_toy_encoder("toy")


@pytest.fixture(scope="session")
def toy_recipe(toy_encoder: Path) -> "Callable[..., EncoderRecipe]":
    """``toy_recipe(**changes) -> EncoderRecipe``, of the toy encoder."""
    from thymos.encoder.recipe import EncoderRecipe

    def make(**changes: Any) -> EncoderRecipe:
        return EncoderRecipe.model_validate(RECIPE | {"start_from": str(toy_encoder)} | changes)

    return make
