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
    from thymos.corpora import Clip, Corpus
    from thymos.encoder.attentive import EmotionNetwork
    from thymos.encoder.recipe import EncoderRecipe

HZ = {"anger": 2000, "fear": 700, "sadness": 250}
SPEAKERS = (1, 2, 3, 4)
LABELS = ("fear", "sadness", "anger")
RECIPE: dict[str, Any] = {
    "name": "toy",
    "start_from": "scratch",
    "features": {"channels": [{"window": 512}], "n_bands": 12},
    "model": {"widths": [4, 6], "blocks": [1, 1], "time_strides": [2, 1], "frame_units": 6, "attention_units": 4},
    "speeds": [1.0, 1.1],
    "distortions": {"freq_width": 2, "time_width": 2},
    "training": {"epochs": 2, "batch_size": 6, "warmup_steps": 2, "learning_rate": 0.01},
}


@pytest.fixture(scope="session")
def encoder_recipe() -> "Callable[..., EncoderRecipe]":
    """``encoder_recipe(**changes) -> EncoderRecipe``; it starts from scratch."""
    from thymos.encoder.recipe import EncoderRecipe

    def make(**changes: Any) -> EncoderRecipe:
        training = RECIPE["training"] | changes.pop("training", {})
        return EncoderRecipe.model_validate(RECIPE | {"training": training} | changes)

    return make


@pytest.fixture(scope="session")
def make_tones(write_sound: Callable[..., Path], make_tone: Callable[..., Samples]) -> "Callable[..., Corpus]":
    """``make_tones(root, takes=3, noisy=none, turned=none)``: noise, and other labels, for some speakers."""
    from thymos.corpora import open_corpus

    def make(root: Path, takes: int = 3, noisy: tuple[int, ...] = (), turned: tuple[int, ...] = ()) -> "Corpus":
        words = list(HZ)
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
                    label = words[(number + 1) % 3] if speaker in turned else emotion
                    lines.append(f"{file},{label},{speaker},{take}")
        (root / "clips.csv").write_text("\n".join(lines) + "\n")
        return open_corpus(root / "clips.csv")

    return make


@pytest.fixture(scope="session")
def tones(make_tones: "Callable[..., Corpus]", tmp_path_factory: pytest.TempPathFactory) -> "Corpus":
    """Three emotions by four speakers, three recordings each of 0.12 to 0.16 s."""
    return make_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="session")
def tones_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def write_toy_encoder(tmp_path_factory: pytest.TempPathFactory) -> "Callable[..., tuple[Path, EmotionNetwork]]":
    """``write_toy_encoder(name, seen, labels, features) -> (folder, network)``, of random weights."""
    import torch

    from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
    from thymos.encoder.encoder_file import write_encoder
    from thymos.encoder.level_mel import LevelMelSettings

    root = tmp_path_factory.mktemp("encoders")
    size = AttentiveSettings.model_validate(RECIPE["model"])
    one_channel = LevelMelSettings.model_validate(RECIPE["features"])

    def write(
        name: str,
        seen: "tuple[Clip, ...]" = (),
        labels: tuple[str, ...] = LABELS,
        features: LevelMelSettings = one_channel,
    ) -> tuple[Path, EmotionNetwork]:
        torch.manual_seed(len(name))
        encoder = AttentiveEncoder(size, len(features.channels), features.n_bands)
        network = EmotionNetwork(encoder, EmotionHead(size.embedding, len(labels), 0.1)).eval()
        write_encoder(root / name, network, labels, features, size, list(seen), {})
        return root / name, network

    return write


@pytest.fixture(scope="session")
def toy_encoder(write_toy_encoder: "Callable[..., tuple[Path, EmotionNetwork]]") -> Path:
    """Of three channels, so that a discriminant may decide; it knows one of the emotions, and random weights."""
    from thymos.encoder.level_mel import LevelMelSettings

    return write_toy_encoder("toy", labels=("anger", "calm"), features=LevelMelSettings(n_bands=12))[0]
