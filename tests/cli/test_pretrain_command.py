"""``thymos pretrain`` as a user types it, and ``thymos evaluate`` with what it writes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from thymos.cli import app
from thymos.encoder.fine_tuning import CHECKPOINT
from thymos.encoder.network import PREFIX, LayerSettings, WhisperLayers
from thymos.encoder.weights import read_encoder
from thymos.errors import CorpusError, RecipeError, RunError, ThymosError

pytestmark = pytest.mark.slow

ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def thymos(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "thymos", *map(str, words)], capture_output=True, text=True, env=ONE_THREAD
    )


@pytest.fixture(scope="module")
def halves(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two corpora of the mini corpus's recordings: speakers 1 and 2, and speakers 3 and 4."""
    root = tmp_path_factory.mktemp("halves")
    for half, speakers in (("first", "12"), ("second", "34")):
        for clip in sorted(mini.glob("*/*01 (*).opus")):
            if clip.stem[-2] in speakers:
                (root / half / clip.parent.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(clip, root / half / clip.parent.name / f"{clip.stem[:3]}-{clip.stem[-2]}.opus")
    return root / "first", root / "second"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of one head, of random weights."""
    torch.manual_seed(0)
    layers = WhisperLayers(LayerSettings(layers=3, width=64, heads=1, hidden=64))
    file = tmp_path_factory.mktemp("whisper") / "model.safetensors"
    safetensors.torch.save_file({PREFIX + name: value for name, value in layers.state_dict().items()}, file)
    return file


@pytest.fixture(scope="module")
def encoder(halves: tuple[Path, Path], checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("encoder")
    few = ["--steps", "25", "--batch", "2", "--threads", "1", "--layers-file", checkpoint]
    words = ["pretrain", *halves, "--leave-out", "second", *few, "--out", root / "enc", "--cache-dir", root / "cache"]
    done = thymos(*words)
    assert done.returncode == 0, done.stderr
    assert "step 25: loss" in done.stderr
    assert f"Encoder: {root / 'enc'}" in done.stdout
    assert not (root / "enc" / CHECKPOINT).exists()
    return root / "enc"


def test_two_processes_of_torchrun_make_one_encoder(
    halves: tuple[Path, Path], checkpoint: Path, encoder: Path, tmp_path: Path
) -> None:
    """One tells how far it is and writes; what comes out is what one process makes, to the digits of bfloat16."""
    words = ["pretrain", *halves, "--leave-out", "second", "--steps", "25", "--batch", "2", "--set", "group=1"]
    words += ["--threads", "1", "--layers-file", checkpoint, "--out", tmp_path / "enc"]
    start = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
        "-m",
        "thymos",
    ]
    call = [*start, *map(str, words), "--cache-dir", str(encoder.parent / "cache")]
    done = subprocess.run(call, capture_output=True, text=True, env=ONE_THREAD)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("step 25: loss") == 1 and done.stdout.count("Encoder: ") == 1
    assert not (tmp_path / "enc" / CHECKPOINT).exists()
    two, one = (safetensors.torch.load_file(folder / "encoder.safetensors") for folder in (tmp_path / "enc", encoder))
    assert two.keys() == one.keys()
    for name, value in two.items():
        if value.is_floating_point():
            torch.testing.assert_close(value.float(), one[name].float(), rtol=0.05, atol=5e-3, msg=name)


def test_an_encoder_tells_where_it_comes_from(encoder: Path) -> None:
    about = json.loads((encoder / "encoder.json").read_text())
    assert about["command"].startswith("thymos pretrain ")
    assert about["corpora"] == {"first": 10}
    assert (about["recipe"]["steps"], about["recipe"]["batch"], about["seed"]) == (25, 2, 0)
    assert about["starts_from"]["licence"] == "MIT (OpenAI)"
    read = read_encoder(encoder)
    assert read.labels == ("anger", "disgust", "fear", "happiness", "sadness")
    assert len(read.clips_seen) == 10


def evaluate(corpus: Path, out: Path, start: Path) -> subprocess.CompletedProcess[str]:
    changes = [f"start_from={start}", "speeds=[1.0]", "distorted_copies=0", "calibrated=false"]
    fast = [*(f"--set={change}" for change in changes), "--folds=2", "--threads=1", "--quiet"]
    words = ["evaluate", corpus, "--recipe", "thymos-aesdd", *fast, "--out", out, "--cache-dir", out.parent / "cache"]
    return thymos(*words)


def test_evaluate_starts_from_it(halves: tuple[Path, Path], encoder: Path, tmp_path: Path) -> None:
    done = evaluate(halves[1], tmp_path / "run", encoder)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run/results.json").read_text())
    assert found["recipe"]["start_from"] == str(encoder)
    digest = json.loads((encoder / "encoder.json").read_text())["sha256"]["encoder.safetensors"]
    assert found["deciding"] == {"encoder": digest}
    assert (tmp_path / "run/report.html").is_file()


def test_export_gives_it_the_graph_that_the_runtime_takes(encoder: Path, tmp_path: Path) -> None:
    done = thymos("export", encoder, "--out", tmp_path / "exported")
    assert done.returncode == 0, done.stderr
    before, after = (read_encoder(folder) for folder in (encoder, tmp_path / "exported"))
    assert after.about["describes"] == [2, 3] and after.about["int8"]
    assert after.about["made_from"] == {"sha256": before.about["sha256"]["encoder.safetensors"]}
    assert after.about["corpora"] == before.about["corpora"]
    np.testing.assert_array_equal(after.clips_seen, before.clips_seen)
    session = onnxruntime.InferenceSession(tmp_path / "exported/encoder.onnx")
    described, embedding = session.run(["description", "embedding"], {"waveform": np.zeros((1, 8000), np.float32)})
    assert described.shape == (1, 4 * 64) and embedding.shape == (1, 256)
    again = thymos("export", encoder, "--out", tmp_path / "exported")
    assert again.returncode == 2 and "choose another --out" in again.stderr
    named = thymos("export", encoder, "--name", "mine", "--out", tmp_path / "named")
    assert named.returncode == 2 and "is an encoder, which is exported as it is" in named.stderr


def test_evaluate_refuses_what_it_has_heard(halves: tuple[Path, Path], encoder: Path, tmp_path: Path) -> None:
    done = evaluate(halves[0], tmp_path / "run", encoder)
    assert done.returncode == 2
    assert done.stderr.startswith("thymos: the encoder was fitted to 10 of these recordings: anger/a01-1.opus")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "error", "complaint"),
    [
        (["--layers-file", "none.safetensors"], RecipeError, "none.safetensors cannot be read as a Whisper checkpoint"),
        (["--out", "{file}"], RunError, "exists and is no folder"),
        (["--out", "{encoder}"], RunError, "holds an encoder already"),
        (["--leave-out", "third"], CorpusError, "no corpus is called third"),
        (["nowhere"], CorpusError, "nowhere does not exist"),
    ],
)
def test_a_wrong_call_is_one_sentence(
    halves: tuple[Path, Path],
    checkpoint: Path,
    encoder: Path,
    tmp_path: Path,
    words: list[str],
    error: type[ThymosError],
    complaint: str,
) -> None:
    (tmp_path / "file").write_text("mine")
    given = [word.format(file=tmp_path / "file", encoder=encoder) for word in words]
    given += [] if "--out" in words else ["--out", str(tmp_path / "out")]
    given += [] if "--layers-file" in words else ["--layers-file", str(checkpoint)]
    result = CliRunner().invoke(
        app, ["pretrain", str(halves[0]), *given, "--cache-dir", str(tmp_path / "cache"), "--quiet"]
    )
    assert isinstance(result.exception, error)
    assert complaint in str(result.exception)
    assert not (tmp_path / "out/encoder.json").exists()
    assert (tmp_path / "file").read_text() == "mine"


def test_the_home_corpus_is_refused(mini: Path, checkpoint: Path, tmp_path: Path) -> None:
    words = ["pretrain", f"aesdd:{mini}", "--layers-file", str(checkpoint), "--out", str(tmp_path / "out"), "--quiet"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, CorpusError)
    assert "which the encoder must never hear" in str(result.exception)
