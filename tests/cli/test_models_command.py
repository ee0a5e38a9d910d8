"""``thymos models``: what a model is, and what it was tested on; what is no model is refused."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from thymos.cli import app
from thymos.runtime.bundle import DEFAULT_MODEL

CLIPS, TESTED = 603, 149
SHARES = {"accuracy": 0.859, "uar": 0.86, "macro_f1": 0.858}
COUNTS = [[70, 5], [6, 68]]


def thymos(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


@pytest.fixture
def run_of_one_fold(tmp_path: Path) -> Path:
    """A run on one fold of a corpus of 603 recordings, of which 149 are tested, two segments each."""
    folder = tmp_path / "run"
    folder.mkdir()
    spread = {metric: {"mean": value, "sd": None, "ci95": [0.7, 0.9]} for metric, value in SHARES.items()}
    fold = {
        "repeat": 0, "fold": 0, "name": "1", "train_clips": CLIPS - TESTED, "test_clips": TESTED,
        "train_segments": 908, "test_segments": 298, "wall_s": 1.0, "segment": SHARES, "recording": SHARES,
    }  # fmt: skip
    results = {
        "format": 1,
        "corpus": {
            "kind": "aesdd", "name": "aesdd", "clips": CLIPS, "emotions": {"anger": 300, "fear": 303},
            "speakers": {"1": CLIPS}, "duration_s": 2_500.0,
        },
        "recipe": {"kind": "toy"}, "protocol": {"name": "file:protocols", "folds": 1}, "seed": 0,
        "labels": ["anger", "fear"], "versions": {}, "command": "thymos evaluate", "wall_s": 1.0,
        "finished": "2026-11-27T04:00:00+00:00", "folds": [fold], "per_emotion": [],
        "summary": {level: spread | {"pooled": SHARES} for level in ("segment", "recording")},
        "confusion": {"segment": COUNTS, "recording": COUNTS},
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results))
    with (folder / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "start_s", "end_s", "repeat", "fold", "speaker", "truth", "p_anger", "p_fear"])
        for number in range(2 * TESTED):
            start_s = 2 * (number % 2)
            writer.writerow([f"anger/{number // 2}.wav", start_s, start_s + 2, 0, 0, "1", "anger", 0.6, 0.4])
    return folder


def test_it_describes_and_refuses(bundle, tmp_path):
    done = thymos("models", bundle, tmp_path)
    assert done.exit_code == 1
    for part in ("toy 7", "anger, disgust, fear", "16000 Hz", "for tests", "mini-aesdd: 150 recordings"):
        assert part in done.stdout
    assert "95% of held-out recordings are within" in done.stdout
    assert "not usable:" in done.stderr


def test_scores_are_said_to_be_of_the_recordings_that_were_tested(make_bundle, run_of_one_fold, tmp_path):
    model = make_bundle(tmp_path / "model", recipe={"kind": "toy"})
    exported = thymos("export", model, "--scores", run_of_one_fold, "--out", tmp_path / "out")
    assert exported.exit_code == 0, exported.output
    (score,) = json.loads((tmp_path / "out" / "model.json").read_text())["scores"]
    assert (score["recordings"], score["protocol"], score["splits"]) == (TESTED, "file:protocols", 1)
    assert f"0.859 on {TESTED} recordings of aesdd" in thymos("models", tmp_path / "out").stdout


def test_models_that_come_along_are_named_by_their_names(monkeypatch):
    monkeypatch.delenv("THYMOS_MODEL", raising=False)
    every, one = thymos("models"), thymos("models", "thymos-aesdd")
    assert one.exit_code == 0 and one.stdout in every.stdout
    unknown = thymos("models", "nobody")
    assert unknown.exit_code == 1 and DEFAULT_MODEL in unknown.stderr


def test_the_model_that_comes_along_says_what_it_was_tested_on():
    said = thymos("models", "thymos-aesdd").stdout
    (line,) = (line for line in said.splitlines() if "accuracy, file:protocols" in line)
    assert "0.933 on 149 recordings of aesdd" in line, "139 of EmoBox's 149 were right"
