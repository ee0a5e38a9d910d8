"""The recipe thymos as a user runs it, on the mini corpus and from a tiny encoder: evaluate, its control, and train."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from thymos.audio import played, read_waveform, resample
from thymos.cli import app
from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
from thymos.encoder.encoder_file import write_encoder
from thymos.encoder.export import read_network
from thymos.encoder.level_mel import LevelMel, LevelMelSettings
from thymos.encoder.voice_statistics import VoiceNetwork
from thymos.errors import RecipeError
from thymos.labels import AESDD_EMOTIONS
from thymos.runtime.bundle import read_bundle
from thymos.runtime.recognizer import load
from thymos.scoring.results import read_results

FEATURES = LevelMelSettings(n_bands=16)
SIZE = AttentiveSettings(widths=(4, 8), blocks=(1, 1), time_strides=(2, 1), frame_units=8, attention_units=4)
SPEEDS = (1.0, 0.9)
CHANGES = [f"--set=speeds={list(SPEEDS)}", "--set=discriminant.scored_speeds=2"]


@pytest.fixture(scope="module")
def corpus(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sentences of the mini corpus: all emotions and speakers."""
    root = tmp_path_factory.mktemp("corpus") / "thin"
    for sentence in ("01", "03"):
        for clip in sorted(mini.glob(f"*/?{sentence} (*).opus")):
            (root / clip.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(clip, root / clip.parent.name)
    return root


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, and a head that knows none of the emotions."""
    torch.manual_seed(2)
    network = EmotionNetwork(AttentiveEncoder(SIZE, 3, FEATURES.n_bands), EmotionHead(SIZE.embedding, 2, 0.1))
    folder = tmp_path_factory.mktemp("encoder") / "tiny"
    write_encoder(folder, network.eval(), ("calm", "neutral"), FEATURES, SIZE, [], {})
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def thymos(command: str, corpus: Path, encoder: Path | str, cache: Path, *words: str | Path) -> None:
    call = [command, corpus, "--recipe", "thymos", f"--set=start_from={encoder}", *CHANGES, *words]
    result = CliRunner().invoke(app, [*map(str, call), "--cache-dir", str(cache), "--quiet"])
    if result.exception:
        raise result.exception


@pytest.fixture(scope="module")
def run(corpus: Path, encoder: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    thymos("evaluate", corpus, encoder, cache, "--folds=3", "--threads=1", "--out", out)
    return out


@pytest.fixture(scope="module")
def model(corpus: Path, encoder: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "model"
    thymos("train", corpus, encoder, cache, "--out", out)
    return out


def json_of(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def test_evaluate_gives_results_with_what_calibration_was_worth(run: Path, corpus: Path) -> None:
    found = json_of(run / "results.json")
    read_results(run)
    assert found["recipe"]["kind"] == "encoder"
    assert found["labels"] == list(AESDD_EMOTIONS)
    calibration = found["calibration"]
    assert len(calibration["temperatures"]) == 3
    assert calibration["asked_coverage"] == 0.9
    assert 0 <= calibration["ece_after"]["value"] <= 1
    assert calibration["sets"]["rows"] == len(list(corpus.glob("*/*")))
    assert list(calibration["sets_by_speaker"]) == list("123456")
    frame = pd.read_csv(run / "predictions.csv")
    assert frame[[f"p_{word}" for word in AESDD_EMOTIONS]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert (run / "report.html").is_file()


def test_it_tells_synthetic_emotions_apart_and_shuffled_labels_do_not(
    run: Path, corpus: Path, encoder: Path, cache: Path, tmp_path: Path
) -> None:
    accuracy = json_of(run / "results.json")["summary"]["recording"]["accuracy"]["mean"]
    assert accuracy > 0.6
    words = ["--folds=3", "--threads=1", "--shuffle-labels", "--out", tmp_path / "run"]
    thymos("evaluate", corpus, encoder, cache, *words)
    shuffled = json_of(tmp_path / "run/results.json")
    assert shuffled["shuffled_labels"] is True
    assert shuffled["summary"]["recording"]["accuracy"]["mean"] < min(0.5, accuracy)
    assert "calibration" in shuffled
    assert len(list((cache / "descriptions").iterdir())) == 1, "labels do not shape descriptions"


def test_train_makes_a_bundle_that_says_how_it_hears(model: Path, encoder: Path, corpus: Path) -> None:
    about = json_of(model / "model.json")
    assert about["speeds"] == list(SPEEDS)
    assert about["network"] == "voice"
    assert about["labels"] == list(AESDD_EMOTIONS)
    assert about["start_from"]["sha256"] == json_of(encoder / "encoder.json")["sha256"]["encoder.safetensors"]
    assert about["trained_on"][0]["clips"] == len(list(corpus.glob("*/*")))
    assert about["conformal"]["rows"] == about["familiarity"]["rows"] == len(list(corpus.glob("*/*")))
    assert about["scores"][0]["protocol"] == "speaker"
    assert load(model).bundle.about.speeds == SPEEDS


def test_its_graph_says_what_the_network_says_and_what_is_heard_is_their_mean(model: Path, corpus: Path) -> None:
    read = read_network(model)
    network, rate_hz = read.network, read.features.rate_hz
    assert isinstance(network, VoiceNetwork)
    bundle, heard_by = read_bundle(model), load(model)
    front_end = LevelMel(read.features)
    right, heard = 0, 0
    clips = sorted(corpus.glob("*/*"))[::5]
    for clip in clips:
        waveform, logits = resample(read_waveform(clip), rate_hz), []
        for speed in SPEEDS:
            samples = played(waveform, speed, rate_hz)
            with torch.inference_mode():
                logits.append(network(front_end.levels(torch.from_numpy(samples.copy())[None]))[0].double())
            (from_graph,) = bundle.session.run(["logits"], {"waveform": samples[None]})
            answers = (torch.from_numpy(from_graph[0]).double(), logits[-1])
            difference = torch.sub(*((answer / read.temperature).softmax(0) for answer in answers))
            assert float(difference.abs().max()) < 2e-3  # of so few recordings, logits lie hundreds apart
        expected = (torch.stack(logits).mean(0) / read.temperature).softmax(0).numpy()
        right += read.labels[expected.argmax()] == clip.parent.name
        prediction = heard_by.predict(clip)
        if prediction.probabilities is not None:
            heard += 1
            np.testing.assert_allclose(list(prediction.probabilities.values()), expected, atol=1e-3)
    assert heard > len(clips) / 2
    assert right / len(clips) > 0.9, "it was fitted to them"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--set=training.epochs=1"], "a discriminant leaves the encoder as it is: training.epochs must be 0"),
        (["--set=discriminant.scored_speeds=3"], "discriminant.scored_speeds are more than there are speeds"),
        (["--set=start_from=scratch"], "a discriminant needs a pretrained encoder: start_from cannot be scratch"),
        (["--set=model.frame_units=9"], "recipe thymos sets model, which the encoder in"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_what_cannot_work_is_one_sentence_before_any_work(
    corpus: Path, encoder: Path, tmp_path: Path, command: str, changes: list[str], words: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        thymos(command, corpus, encoder, tmp_path / "cache", *changes, "--out", tmp_path / "out")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache/recordings").exists()
