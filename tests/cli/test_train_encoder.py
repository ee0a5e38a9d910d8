"""``thymos train`` with a recipe of kind encoder, and ``thymos export``: a bundle that hears, and says what made it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from thymos.corpora import open_corpus
from thymos.engine.process import one_thread
from thymos.experiment import TrainingPart, Work
from thymos.recipes import load_experiment
from thymos.runtime.recognizer import load

pytestmark = pytest.mark.slow


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
def small(toy_recipe, tmp_path_factory) -> Path:
    """A recipe of the toy encoder."""
    file = tmp_path_factory.mktemp("recipe") / "small.yaml"
    file.write_text(toy_recipe(name="small", speeds=[1.0], calibrated=True).model_dump_json())
    return file


@pytest.fixture(scope="module")
def made(corpus: Path, small: Path, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("made")
    common = ["--recipe", small, "--cache-dir", root / "cache", "--quiet"]
    trained = thymos("train", corpus, *common, "--out", root / "model")
    assert trained.returncode == 0, trained.stderr
    evaluated = thymos("evaluate", corpus, *common, "--folds", "2", "--set", "calibrated=false", "--out", root / "run")
    assert evaluated.returncode == 0, evaluated.stderr
    return {"model": root / "model", "run": root / "run", "root": root}


def test_the_bundle_says_what_it_is_and_where_it_comes_from(made, corpus):
    about = json.loads((made["model"] / "model.json").read_text())
    clips = len(list(corpus.glob("*/*")))
    trained_on, heard = about["trained_on"]
    assert (heard["name"], heard["stage"]) == ("heard", "pretraining")
    assert trained_on["name"] == "thin" and trained_on["clips"] == clips and trained_on["stage"] == "training"
    assert about["labels"] == ["anger", "disgust", "fear", "happiness", "sadness"]
    assert 0.05 <= about["temperature"] <= 20
    held_out = about["conformal"]["rows"]
    assert held_out == clips and about["familiarity"]["rows"] == held_out, "every speaker is held out once"
    assert about["familiarity"]["acceptance"] == 0.95 and about["familiarity"]["threshold"] > 0
    (score,) = about["scores"]
    assert score["protocol"] == "speaker" and score["recordings"] == held_out and 0 <= score["uar"] <= 1


def test_it_hears_as_the_evaluation_did(made, corpus, small):
    """What the bundle says of recordings is what the recipe's head says, fitted to the same recordings."""
    experiment, opened = load_experiment(str(small)), open_corpus(corpus)
    with one_thread():
        features = experiment.features(opened, Work(made["root"] / "cache"))
        every = tuple(range(len(opened.clips)))
        fitted = experiment.fit(features, TrainingPart(opened.emotions, every, opened.targets), Work())
    said = fitted.predict(features, every).probabilities
    recognizer = load(made["model"])
    temperature = recognizer.bundle.about.temperature
    for row in every[::15]:
        expected = said[row] ** (1 / temperature)
        heard = recognizer.predict(corpus / opened.clips[row].path)
        assert heard.probabilities is not None
        np.testing.assert_allclose(list(heard.probabilities.values()), expected / expected.sum(), atol=2e-3)


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
    assert absent.returncode == 2 and "model.json cannot be read" in absent.stderr
    other = json.loads((made["run"] / "results.json").read_text())
    other["recipe"]["shrinkage"] = 0.9
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text(json.dumps(other))
    scores = thymos("export", made["model"], "--out", tmp_path / "x", "--scores", tmp_path / "run")
    assert scores.returncode == 2 and "another recipe" in scores.stderr
    other["recipe"] |= {"shrinkage": 0.3, "start_from": "elsewhere"}
    other["deciding"] = {"encoder": "another"}
    (tmp_path / "run" / "results.json").write_text(json.dumps(other))
    scores = thymos("export", made["model"], "--out", tmp_path / "x", "--scores", tmp_path / "run")
    assert scores.returncode == 2 and "started from another encoder than the model" in scores.stderr
    assert not (tmp_path / "x").exists()


def test_too_few_to_calibrate_on_is_a_note_and_the_model_is_written(corpus, small, tmp_path):
    few = tmp_path / "few"
    for folder in corpus.iterdir():
        (few / folder.name).mkdir(parents=True)
        for clip in sorted(folder.iterdir())[:3]:
            shutil.copy(clip, few / folder.name)
    done = thymos("train", few, "--recipe", small, "--out", tmp_path / "x", "--cache-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "calibrated on 15 recordings, and 20 are needed" in " ".join(done.stderr.split())
    assert load(tmp_path / "x").bundle.distribution is None


def test_a_calibration_of_left_out_corpora_takes_the_place_of_its_own(made, tmp_path):
    conformal = {"method": "lac", "coverage": 0.9, "threshold": 0.75, "rows": 99}
    file = tmp_path / "calibration.json"
    ways = {"plain": {"temperature": 21.5, "conformal": conformal}, "adapted": {"temperature": 11, "conformal": None}}
    file.write_text(json.dumps(ways))
    done = thymos("export", made["model"], "--out", tmp_path / "m", "--calibration", file)
    assert done.returncode == 0, done.stderr
    about = load(tmp_path / "m").bundle.about
    assert (about.temperature, about.conformal.threshold) == (21.5, 0.75)
    assert (about.adaptation.temperature, about.adaptation.conformal) == (11, None)
    file.write_text('{"plain": {"temperature": 0}}')
    refused = thymos("export", made["model"], "--out", tmp_path / "n", "--calibration", file)
    assert refused.returncode == 2
    assert "is no calibration: it lacks temperatures and thresholds, plain and adapted" in refused.stderr.replace(
        "\n", " "
    )
    assert not (tmp_path / "n").exists()
