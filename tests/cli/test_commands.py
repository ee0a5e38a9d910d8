"""The commands as a user types them."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

FAST = ["--recipe", "model1", "--set", "training.epochs=1", "--set", "features.n_mels=32", "--folds", "2", "--quiet"]
FAST += ["--device", "cpu", "--workers", "1"]


def thymos(*words: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "thymos", *map(str, words)],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200"} | (env or {}),
    )


@pytest.fixture
def hostile(mini: Path, tmp_path: Path) -> Path:
    """A corpus of real files among everything that can go wrong with files."""
    root = tmp_path / "hostile"
    for emotion in ("anger", "sadness"):
        (root / emotion).mkdir(parents=True)
        for clip in sorted((mini / emotion).iterdir())[:8]:
            shutil.copy(clip, root / emotion)
    anger = root / "anger"
    (anger / "a11 (1).wav").write_text("this is a text")
    (anger / "a12 (1).wav").mkdir()
    (anger / "a13 (1).wav").symlink_to("a13 (1).wav")
    (anger / "a14 (1).wav").touch()
    (anger / "a15 (1).wav").write_bytes(b"RIFF\x1c\x00\x00\x00WAVEfmt \x10\x00\x00\x00" + bytes(8))
    soundfile.write(anger / "a16 (1).wav", np.full(44100, np.nan, np.float32), 44100, subtype="FLOAT")
    (root / "sadness" / "loop").symlink_to(root)
    noise = np.random.default_rng(0).normal(0, 0.1, 44100)
    soundfile.write(root / "sadness" / "θυμός [red].wav", noise, 44100)
    return root


BAD = {
    "anger/a11 (1).wav": "is not sound in a known format",
    "anger/a12 (1).wav": "is a directory",
    "anger/a13 (1).wav": "is a symbolic link that leads back to itself",
    "anger/a14 (1).wav": "is empty (0 bytes)",
    "anger/a16 (1).wav": "holds samples that are NaN",
    "sadness/θυμός [red].wav": "is not named as AESDD names its files",
}


@pytest.mark.slow
def test_audit_names_every_bad_file_and_exits_1(hostile, tmp_path):
    done = thymos("audit", hostile, "--cache-dir", tmp_path / "cache", "--quiet")
    assert done.returncode == 1, done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    for name, reason in BAD.items():
        assert re.search(re.escape(name) + r"\W+" + re.escape(reason.split()[0]), said), name
        assert reason in said
    assert "not followed, since they lead up or to a folder that is read anyway: links sadness/loop" in said
    assert "found 23 recordings: 16 used, 0 left out, 7 errors" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_evaluate_leaves_bad_files_out_and_says_so(hostile, tmp_path):
    done = thymos("evaluate", hostile, *FAST, "--out", tmp_path / "run", "--cache-dir", tmp_path / "cache")
    assert done.returncode == 1, done.stderr
    assert "done without 7 files that could not be used, so the exit code is 1" in done.stderr
    for name in BAD:
        assert name in done.stderr
    excluded = {
        row["clip"]: row["reason"] for row in json.loads((tmp_path / "run/results.json").read_text())["excluded"]
    }
    assert BAD.keys() <= excluded.keys()
    page = (tmp_path / "run/report.html").read_text()
    assert all(name in page for name in BAD)


@pytest.mark.slow
def test_a_greek_name_is_a_name_like_any_other(hostile, tmp_path):
    done = thymos("evaluate", f"folders:{hostile}", *FAST, "--out", tmp_path / "run", "--cache-dir", tmp_path / "cache")
    assert done.returncode == 1, done.stderr
    assert "sadness/θυμός [red].wav" in (tmp_path / "run/predictions.csv").read_text()


@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_strict_stops_before_any_work(hostile, tmp_path, thymos_here, command):
    words = FAST if command == "evaluate" else ["--recipe", "model1"]
    done = thymos_here(
        command, hostile, *words, "--out", tmp_path / "run", "--cache-dir", tmp_path / "cache", "--strict"
    )
    assert done.returncode == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_what_train_writes_is_what_predict_hears_with(hostile, tmp_path):
    changes = ["--set", "training.epochs=1", "--set", "features.n_mels=32"]
    words = ["--out", tmp_path / "m", "--cache-dir", tmp_path / "c"]
    done = thymos("train", hostile, "--recipe", "model1", *changes, *words)
    assert done.returncode == 1, done.stderr
    assert "done without 7 files that could not be used" in done.stderr
    about = json.loads((tmp_path / "m/model.json").read_text())
    assert about["labels"] == ["anger", "sadness"]
    clip = sorted((hostile / "anger").glob("*.opus"))[0]
    heard = thymos("predict", clip, "--model", tmp_path / "m", "--format", "jsonl", "--quiet")
    assert heard.returncode == 0, heard.stderr
    assert json.loads(heard.stdout.splitlines()[-1])["probabilities"].keys() == {"anger", "sadness"}


def run_folder(folder: Path) -> None:
    folder.mkdir()
    for name in ("run.json", "results.json", "predictions.csv"):
        (folder / name).write_text("{}")


def thesis(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.txt").write_text("do not touch")


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (run_folder, "x holds a run of `thymos evaluate` or `study`, not a model; choose another --out"),
        (thesis, "x holds thesis.txt, which is no part of a model; choose another --out"),
        (Path.touch, "x exists and is no folder; choose another --out"),
    ],
)
def test_train_writes_nothing_into_what_is_no_models_folder(mini, tmp_path, thymos_here, make, complaint):
    def content() -> dict[Path, bytes | None]:
        return {path: path.read_bytes() if path.is_file() else None for path in sorted(tmp_path.rglob("*"))}

    from thymos.errors import RunError
    from thymos.evaluation.train import train

    make(tmp_path / "x")
    before = content()
    with pytest.raises(RunError, match=re.escape(complaint)):
        train(mini, "thymos-aesdd", tmp_path / "x", cache_dir=tmp_path / "cache", device="cpu")
    words = ["--recipe", "thymos-aesdd", "--out", tmp_path / "x", "--cache-dir", tmp_path / "cache"]
    if make is run_folder:
        done = thymos_here("train", mini, *words)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"thymos: {tmp_path}/{complaint}\n")
    assert content() == before


@pytest.mark.parametrize("command", ["evaluate", "train", "study"])
def test_a_device_that_is_not_there_is_said_before_any_work(mini, tmp_path, thymos_here, command):
    import torch

    device = "mps" if torch.cuda.is_available() else "cuda"
    corpus = ["study", "--corpus", mini] if command == "study" else [mini, "--recipe", "thymos-aesdd"]
    words = ["--out", tmp_path / "x", "--device", device, "--cache-dir", tmp_path / "cache"]
    done = thymos_here(command, *corpus, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"thymos: there is no device {device} on this machine; --device auto takes what there is\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["evaluate", "nowhere", "--out", "x"], "nowhere does not exist"),
        (["evaluate", "{mini}", "--recipe", "model9", "--out", "x"], "did you mean"),
        (["evaluate", "{mini}", "--set", "model.dropuot=1", "--out", "x"], "did you mean 'dropout'"),
        (["evaluate", "{mini}", "--protocol", "random", "--out", "x"], "there is no protocol 'random'"),
        (["evaluate", "{mini}", "--protocol", "file:nowhere", "--out", "x"], "nowhere does not exist"),
        (["evaluate", "{mini}", "--folds", "1000", "--out", "x"], "folds need as many groups"),
        (["evaluate", "zyx:{mini}", "--out", "x"], "known kinds"),
        (["evaluate", "{mini}", "--out", "{mini}/README.md"], "is not a run folder"),
        (["train", "{mini}", "--recipe", "functionals-svm", "--out", "x"], "functionals-svm cannot be trained into a"),
        (["audit", "{mini}/README.md"], "a corpus is a folder or a table"),
    ],
)
def test_wrong_call_gives_one_sentence_and_2(mini, tmp_path, thymos_here, words, expected):
    done = thymos_here(*(word.format(mini=mini) for word in words))
    assert done.returncode == 2
    complaint = [line for line in done.stderr.splitlines() if line.startswith("thymos: ")]
    assert len(complaint) == 1
    assert expected in complaint[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_one_sentence(mini, tmp_path):
    import signal

    words = [
        "evaluate",
        str(mini),
        "--recipe",
        "model1",
        "--set",
        "training.epochs=1000",
        "--out",
        str(tmp_path / "run"),
    ]
    words += ["--cache-dir", str(tmp_path / "cache"), "--workers", "2", "--threads", "1"]
    victim = subprocess.Popen(
        [sys.executable, "-m", "thymos", *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run/run.json").is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(3)  # into the training
    os.killpg(victim.pid, signal.SIGINT)  # as a terminal does, to every process
    _, stderr = victim.communicate(timeout=30)
    assert victim.returncode == 130
    assert "interrupted; the same command goes on" in stderr
    assert "Traceback" not in stderr


def test_importing_does_nothing(tmp_path):
    code = "import sys, thymos; assert not {'torch', 'pandas', 'numpy', 'matplotlib'} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
def test_help_needs_no_heavy_import():
    code = (
        "import sys; sys.argv = ['thymos', '--help']\n"
        "from thymos.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'torch', 'pandas', 'matplotlib', 'sklearn', 'scipy'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
