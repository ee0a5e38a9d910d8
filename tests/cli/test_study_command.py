"""``thymos study`` as a user types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STUDY = """
name: words
base: {recipe: model1, folds: 2, set: {training.epochs: 1, features.n_mels: 16, features.hop: 4096}}
rows:
  - {name: plain}
  - {name: "narrow [red]", set: {"model.conv_channels": [2]}}
  - {name: too deep, set: {"model.conv_channels": [2, 2, 2, 2, 2]}}
"""


def thymos(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "thymos", "study", *map(str, words), "--cache-dir", str(folder / "cache")],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


@pytest.mark.slow
def test_a_study_from_end_to_end_with_a_row_that_fails(folder, mini):
    done = thymos(folder, "study.yaml", "--corpus", mini, "--out", "out")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "too small to be halved" in done.stderr
    assert "cell 6 of 6" in done.stderr
    assert "narrow [red]" in done.stdout
    out = folder / "out"
    for name in ("plain", "narrow-red"):
        assert (out / "rows" / name / "report.html").is_file()
    page = (out / "study.html").read_text()
    assert 'href="rows/narrow-red/report.html"' in page
    assert "thymos study study.yaml --corpus" in page
    assert len((out / "study.csv").read_text().splitlines()) == 4
    assert json.loads((out / "study.json").read_text())["timing"]["workers"] >= 1


@pytest.mark.slow
def test_some_rows_quickly_and_quietly(folder, mini):
    words = ["--corpus", mini, "--out", "out", "--rows", "narrow [red]", "--quick", "--quiet", "--workers", "1"]
    done = thymos(folder, "study.yaml", *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len((folder / "out/study.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["stduy", "--corpus", "{mini}"], "there is no study 'stduy'; did you mean 'study'?"),
        (["nowhere.yaml", "--corpus", "{mini}"], "nowhere.yaml cannot be read"),
        (["study.yaml", "--corpus", "nowhere"], "nowhere does not exist"),
        (["study.yaml", "--corpus", "{mini}", "--rows", "plian"], "has no row 'plian'; did you mean 'plain'?"),
    ],
)
def test_a_wrong_call_is_one_sentence(folder, mini, thymos_here, words, complaint):
    done = thymos_here("study", *(word.format(mini=mini) for word in words), "--out", "out", "--quiet")
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "out").exists()
