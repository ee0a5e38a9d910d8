"""The commands of docs/from-nkululeko.md run as they stand there, shortened, on the mini corpus."""

import csv
import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from thymos.scoring.results import read_results

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "from-nkululeko.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
QUICK = {
    "functionals-svm": ["--fold", "0"],
    "model3": ["--fold", "0", "--folds", "2", "--set", "training.epochs=1"],
    "thymos-aesdd": ["--set", "speeds=[1.0]", "--set", "distorted_copies=0", "--set", "calibrated=false"],
}
FINETUNED = ["--fold", "0", "--folds", "2", "--set", "tuning.steps=1", "--threads", "1"]


@pytest.fixture
def clone(tmp_path: Path, mini: Path) -> Path:
    """What the commands are run in: the corpus where they expect it, and the two lists of the second set-up."""
    (tmp_path / "data").symlink_to(mini.parent)
    for split, speakers in (("train", "124"), ("test", "3")):
        clips = sorted(path for speaker in speakers for path in mini.glob(f"*/?0[12] ({speaker}).opus"))
        with (tmp_path / f"aesdd_{split}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["file", "speaker", "gender", "emotion"])
            for path in clips:
                gender = "female" if path.stem[-2] in "12" else "male"
                table.writerow([path, path.stem[-2], gender, path.parent.name])
    return tmp_path


def shortened(command: str) -> list[str]:
    words = shlex.split(command)[1:]
    recipe = words[words.index("--recipe") + 1] if "--recipe" in words else ""
    return [*words, *QUICK.get(recipe, []), *(FINETUNED if "finetune=fold" in words else []), "--quiet"]


def of(word: str) -> str:
    (command,) = [line for line in COMMANDS if word in line]
    return command


def test_there_are_three_set_ups_and_every_command_is_thymos() -> None:
    assert len(re.findall(r"^## \d", PAGE, re.MULTILINE)) == 3
    assert len(COMMANDS) == 5 and all(line.startswith("thymos ") for line in COMMANDS)


@pytest.mark.slow
def test_the_audit(clone: Path, thymos_here: Any) -> None:
    done = thymos_here(*shlex.split(of("thymos audit"))[1:], "--quiet")
    assert done.returncode == 0, done.stderr
    assert (clone / "runs" / "audit" / "audit.html").is_file()


def test_opensmile_and_a_support_vector_machine(clone: Path, thymos_here: Any) -> None:
    done = thymos_here(*shortened(of("functionals-svm")))
    if importlib.util.find_spec("opensmile") is None:
        assert done.returncode == 2 and "pip install 'thymos[functionals]'" in done.stderr
    else:
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_lists_of_train_and_test(clone: Path, thymos_here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of the page makes one table of the two lists; its test list alone is tested, and disgust is left out."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(clone)
    exec(code, {})
    done = thymos_here(*shortened(of("file:clips.csv")))
    assert done.returncode == 0, done.stderr
    results = read_results(clone / "runs" / "embeddings")
    assert (results.folds[0].train_clips, results.folds[0].test_clips) == (24, 8)
    assert "disgust" not in results.labels and len(results.labels) == 4
    assert [row.group for row in results.per_group if row.by == "gender"] == ["male"], "speaker 3 alone is tested"


@pytest.mark.slow
def test_a_network_of_its_own(clone: Path, thymos_here: Any) -> None:
    done = thymos_here(*shortened(of("model3")))
    assert done.returncode == 0, done.stderr
    assert read_results(clone / "runs" / "cnn").recipe["training"]["epochs"] == 1


@pytest.mark.slow
def test_a_network_fine_tuned(clone: Path, thymos_here: Any) -> None:
    done = thymos_here(*shortened(of("finetune=fold")))
    assert done.returncode == 0, done.stderr
    assert read_results(clone / "runs" / "finetuned").recipe["finetune"] == "fold"
