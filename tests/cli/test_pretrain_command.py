"""``thymos pretrain`` as a user types it, and ``thymos evaluate`` with what it writes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thymos.cli import app
from thymos.encoder.encoder_file import read_encoder
from thymos.errors import CorpusError, RecipeError, RunError, ThymosError

pytestmark = pytest.mark.slow

TINY = [
    "features.n_bands=16", "model.widths=[4, 8]", "model.blocks=[1, 1]",
    "model.time_strides=[2, 1]", "model.frame_units=8", "model.attention_units=4", "training.epochs=1",
    "training.batch_size=8", "speeds=[1.0]", "weights={}", "validation_speakers=[]", "training.crop_s=1.0",
    "distortions.freq_width=3", "distortions.time_width=5",
]  # fmt: skip
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def thymos(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "thymos", *map(str, words)], capture_output=True, text=True, env=ONE_THREAD
    )


def changes(*changed: str) -> list[str]:
    return [f"--set={change}" for change in (*TINY, *changed)]


@pytest.fixture(scope="module")
def halves(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two corpora of the mini corpus's recordings: speakers 1 and 2, and speakers 3 and 4."""
    root = tmp_path_factory.mktemp("halves")
    for half, speakers in (("first", "12"), ("second", "34")):
        for clip in sorted(mini.glob("*/*01 (*).opus")):
            if clip.stem[-2] in speakers:
                (root / half / clip.parent.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(clip, root / half / clip.parent.name)
    return root / "first", root / "second"


@pytest.fixture(scope="module")
def encoder(halves: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("encoder")
    held_out = "validation_speakers=['2']"
    words = ["pretrain", halves[0], *changes(held_out), "--out", root / "enc", "--cache-dir", root / "cache"]
    done = thymos(*words)
    assert done.returncode == 0, done.stderr
    assert "epoch 1: loss" in done.stderr
    assert "held-out speakers of first: UAR" in done.stdout
    assert f"Encoder: {root / 'enc'}" in done.stdout
    return root / "enc"


def test_an_encoder_tells_where_it_comes_from(encoder: Path) -> None:
    about = json.loads((encoder / "encoder.json").read_text())
    assert about["command"].startswith("thymos pretrain ")
    assert about["recipe"]["model"]["widths"] == [4, 8]
    assert about["trained_on"][0]["clips"] == 10
    assert about["validation"][0]["clips"] == 5
    assert [at["epoch"] for at in about["curve"]] == [1]
    read = read_encoder(encoder)
    assert read.labels == ("anger", "disgust", "fear", "happiness", "sadness")
    assert len(read.clips_seen) == 5, "the held-out speaker's recordings were not trained on"


def evaluate(corpus: Path, out: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    fast = ["--set=training.epochs=1", "--set=training.batch_size=4", "--folds=2", "--threads=1", "--quiet"]
    return thymos("evaluate", corpus, *fast, *words, "--out", out, "--cache-dir", out.parent / "cache")


def test_evaluate_starts_from_it(halves: tuple[Path, Path], encoder: Path, tmp_path: Path) -> None:
    done = evaluate(halves[1], tmp_path / "run", "--recipe", "fine-tuned", f"--set=start_from={encoder}")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run/results.json").read_text())
    assert found["recipe"]["start_from"] == str(encoder)
    digest = json.loads((encoder / "encoder.json").read_text())["sha256"]["encoder.safetensors"]
    assert found["deciding"] == {"encoder": digest}
    assert (tmp_path / "run/report.html").is_file()


def test_evaluate_refuses_what_it_has_heard(halves: tuple[Path, Path], encoder: Path, tmp_path: Path) -> None:
    done = evaluate(halves[0], tmp_path / "run", "--recipe", "fine-tuned", f"--set=start_from={encoder}")
    assert done.returncode == 2
    assert done.stderr.startswith("thymos: the encoder was pretrained on 5 of these recordings: anger/a01 (1).opus")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_evaluate_without_an_encoder_is_one_sentence(halves: tuple[Path, Path], tmp_path: Path) -> None:
    done = evaluate(halves[0], tmp_path / "run", "--recipe", "fine-tuned", f"--set=start_from={tmp_path / 'none'}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"thymos: {tmp_path / 'none'} holds no pretrained encoder: No such file")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "error", "complaint"),
    [
        (["--recipe", "thymos"], RecipeError, "recipe thymos is of kind encoder: pretraining needs one of kind pretr"),
        (["--recipe", "pretrainig"], RecipeError, "did you mean 'pretraining'?"),
        (["--set", "training.epoch=1"], RecipeError, "did you mean 'epochs'?"),
        (["--out", "{file}"], RunError, "exists and is no folder"),
        ([*changes("validation_speakers=['9']")], CorpusError, "no recording is of the validation speakers 9"),
        ([*changes("weights={ravdess: 2}")], CorpusError, "weights name corpora that are not there: ravdess"),
        (["nowhere"], CorpusError, "nowhere does not exist"),
    ],
)
def test_a_wrong_call_is_one_sentence_before_any_work(
    halves: tuple[Path, Path], tmp_path: Path, words: list[str], error: type[ThymosError], complaint: str
) -> None:
    (tmp_path / "file").write_text("mine")
    given = [word.format(file=tmp_path / "file") if word == "{file}" else word for word in words]
    out = [] if "--out" in words else ["--out", str(tmp_path / "out")]
    call = ["pretrain", str(halves[0]), *given, *out, "--cache-dir", str(tmp_path / "cache"), "--quiet"]
    result = CliRunner().invoke(app, call)
    assert isinstance(result.exception, error)
    assert complaint in str(result.exception)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache/recordings").exists()
    assert (tmp_path / "file").read_text() == "mine"
