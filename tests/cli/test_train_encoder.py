"""``thymos train`` with a recipe of kind encoder, and ``thymos export``: a bundle that hears, and says what made it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from thymos.audio import read_waveform, resample
from thymos.encoder.attentive import EmotionNetwork
from thymos.encoder.export import read_network
from thymos.encoder.level_mel import LevelMel
from thymos.runtime.recognizer import load

pytestmark = pytest.mark.slow

RECIPE = """
kind: encoder
name: small
start_from: scratch
features: {n_bands: 24, channels: [{window: 512}]}
model: {widths: [6, 8], blocks: [1, 1], time_strides: [2, 2], frame_units: 10, attention_units: 6}
speeds: [1.0]
training: {epochs: 2, batch_size: 16, learning_rate: 0.01}
calibrated: true
"""


def thymos(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "thymos", *map(str, words)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def corpus(mini: Path, tmp_path_factory) -> Path:
    """The mini corpus, thinned: all emotions and speakers."""
    root = tmp_path_factory.mktemp("corpus") / "thin"
    for folder in sorted(mini.iterdir()):
        if folder.is_dir():
            (root / folder.name).mkdir(parents=True)
            for clip in sorted(folder.iterdir())[::2]:
                shutil.copy(clip, root / folder.name)
    return root


@pytest.fixture(scope="module")
def made(corpus: Path, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("made")
    (root / "small.yaml").write_text(RECIPE)
    common = ["--recipe", root / "small.yaml", "--cache-dir", root / "cache", "--quiet"]
    trained = thymos("train", corpus, *common, "--out", root / "model")
    assert trained.returncode == 0, trained.stderr
    evaluated = thymos("evaluate", corpus, *common, "--folds", "2", "--set", "calibrated=false", "--out", root / "run")
    assert evaluated.returncode == 0, evaluated.stderr
    return {"model": root / "model", "run": root / "run", "root": root}


def test_the_bundle_says_what_it_is_and_where_it_comes_from(made, corpus):
    about = json.loads((made["model"] / "model.json").read_text())
    clips = len(list(corpus.glob("*/*")))
    (trained_on,) = about["trained_on"]
    assert trained_on["name"] == "thin" and trained_on["clips"] == clips and trained_on["stage"] == "training"
    assert about["labels"] == ["anger", "disgust", "fear", "happiness", "sadness"]
    assert 0.05 <= about["temperature"] <= 20
    held_out = about["conformal"]["rows"]
    assert held_out == clips and about["familiarity"]["rows"] == held_out, "every speaker is held out once"
    assert about["familiarity"]["acceptance"] == 0.95 and about["familiarity"]["threshold"] > 0
    (score,) = about["scores"]
    assert score["protocol"] == "speaker" and score["recordings"] == held_out and 0 <= score["uar"] <= 1


def test_it_hears_as_the_network_does(made, corpus):
    recognizer = load(made["model"])
    read = read_network(made["model"])
    assert isinstance(read.network, EmotionNetwork)
    front_end = LevelMel(read.features)
    for clip in sorted(corpus.glob("*/*"))[::15]:
        samples = resample(read_waveform(clip), read.features.rate_hz).samples
        with torch.inference_mode():
            logits = read.network(front_end(torch.from_numpy(samples)[None]))[0].double()
        expected = (logits / read.temperature).softmax(0).numpy()
        heard = recognizer.predict(clip)
        assert heard.probabilities is not None
        np.testing.assert_allclose(list(heard.probabilities.values()), expected, atol=1e-4)


def test_export_adds_name_licence_and_scores(made):
    out = made["root"] / "shipped"
    words = ["--name", "other", "--model-version", "2", "--licence", "research only", "--scores", made["run"]]
    done = thymos("export", made["model"], "--out", out, *words)
    assert done.returncode == 0, done.stderr
    about = json.loads((out / "model.json").read_text())
    assert (about["name"], about["version"], about["licence"]) == ("other", "2", "research only")
    (score,) = about["scores"]
    results = json.loads((made["run"] / "results.json").read_text())
    assert score["protocol"] == "recording" and score["splits"] == 2
    assert score["uar"] == results["summary"]["recording"]["uar"]
    assert "other 2" in repr(load(out)) and "research only" in repr(load(out))
    again = thymos("export", out, "--out", out)
    assert again.returncode == 0 and json.loads((out / "model.json").read_text()) == about


def test_export_refuses_in_a_sentence(made, tmp_path):
    run = thymos("export", made["run"], "--out", tmp_path / "x")
    assert run.returncode == 2 and "keeps no weights" in run.stderr
    absent = thymos("export", tmp_path, "--out", tmp_path / "x")
    assert absent.returncode == 2 and "model.json cannot be read: No such file" in absent.stderr
    other = json.loads((made["run"] / "results.json").read_text())
    other["recipe"]["training"]["epochs"] = 3
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text(json.dumps(other))
    scores = thymos("export", made["model"], "--out", tmp_path / "x", "--scores", tmp_path / "run")
    assert scores.returncode == 2 and "another recipe" in scores.stderr
    assert not (tmp_path / "x").exists()


def test_too_few_to_calibrate_on_is_said_before_anything_is_fitted(corpus, tmp_path):
    (tmp_path / "small.yaml").write_text(RECIPE)
    few = tmp_path / "few"
    for folder in corpus.iterdir():
        (few / folder.name).mkdir(parents=True)
        for clip in sorted(folder.iterdir())[:3]:
            shutil.copy(clip, few / folder.name)
    done = thymos("train", few, "--recipe", tmp_path / "small.yaml", "--out", tmp_path / "x", "--cache-dir", tmp_path)
    assert done.returncode == 2 and "too few to calibrate on" in done.stderr
    assert "Training" not in done.stderr
