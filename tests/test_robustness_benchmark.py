"""The benchmark of robustness: what the command leaves, by the shipped recipe from a tiny encoder."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from thymos.audio.distort import CONDITIONS
from thymos.corpora import open_corpus
from thymos.errors import CorpusError, LeakageError
from thymos.evaluation.evaluate import evaluate
from thymos.evaluation.robustness import robustness
from thymos.labels import AESDD_EMOTIONS
from thymos.recipes import load_experiment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
CHANGES = ["layers=[1, 2]", "speeds=[1.0, 0.9]", "distorted_copies=1", "calibrated=false"]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("robustness_benchmark", ROOT / "benchmarks" / "robustness.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def corpus(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five emotions by five speakers, one sentence."""
    root = tmp_path_factory.mktemp("corpus") / "thin"
    for speaker in "12345":
        for clip in sorted(mini.glob(f"*/?02 ({speaker}).opus")):
            (root / clip.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(clip, root / clip.parent.name)
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def changes(toy_encoder: Path) -> list[str]:
    return [f"start_from={toy_encoder}", *CHANGES]


@pytest.fixture(scope="module")
def out(
    benchmark: ModuleType, corpus: Path, changes: list[str], cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What the command leaves."""
    folder = tmp_path_factory.mktemp("out")
    words = [str(corpus), "--figures", "png,pdf", "--out", str(folder), "--cache-dir", str(cache), "--threads", "1"]
    words += [word for change in changes for word in ("--set", change)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["robustness.py", *words])
        benchmark.main()
    return folder


def test_it_scores_every_condition_and_group(out: Path) -> None:
    found = json.loads((out / "robustness.json").read_text())
    assert [row["condition"] for row in found["conditions"]] == list(CONDITIONS)
    assert {row["recordings"] for row in found["conditions"]} == {25}
    groups = {(row["by"], row["group"]): row["recordings"] for row in found["groups"]}
    assert [groups["emotion", word] for word in AESDD_EMOTIONS] == [5] * 5
    assert (groups["gender", "female"], groups["gender", "male"]) == (15, 10)
    assert sum(count for (by, _), count in groups.items() if by == "duration") == 25
    assert found["recipe"]["name"] == "thymos-aesdd"
    assert found["protocol"] == "recording"


def test_the_figure_is_written_as_asked(out: Path) -> None:
    assert (out / "robustness.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "robustness.pdf").read_bytes().startswith(b"%PDF")
    assert not (out / "robustness.svg").exists()


def test_what_is_clean_scores_as_an_evaluation_does(out: Path, corpus: Path, changes: list[str], cache: Path) -> None:
    expected = evaluate(str(corpus), "thymos-aesdd", changes=changes, threads=1, cache_dir=cache).results
    rows = {row["condition"]: row for row in json.loads((out / "robustness.json").read_text())["conditions"]}
    accuracy = expected["summary"]["recording"]["pooled"]["accuracy"]
    assert accuracy > 0.3
    assert rows["clean"]["accuracy"] == pytest.approx(accuracy)
    # Levels are kept on disk with half the precision, so one close decision may fall the other way.
    assert rows["half volume"]["difference"] == pytest.approx(0, abs=4.1)
    assert any(row["difference"] != 0 for row in rows.values()), "distorted sound is what is scored"


def test_the_table_has_a_row_for_each(out: Path) -> None:
    found = json.loads((out / "robustness.json").read_text())
    page = (out / "robustness.md").read_text()
    lines = page.splitlines()
    for row in found["conditions"]:
        (line,) = [line for line in lines if line.startswith(f"| {row['condition']} |")]
        assert f"| {100 * row['accuracy']:.1f} [" in line
        assert f"| {row['difference']:.1f} [" in line
    for row in found["groups"]:
        assert any(line.startswith(f"| {row['by']} | {row['group']} | {row['recordings']} |") for line in lines)
    assert "robustness.py" in lines[0]
    assert "25 recordings" in lines[0]


def test_copies_and_speeds_that_only_a_fit_needs_are_not_made_of_test_parts() -> None:
    recipe = load_experiment("thymos-aesdd").only_to_predict().settings()
    assert (recipe["speeds"], recipe["distorted_copies"]) == ([1.0], 0)
    copied = load_experiment("model3", ["augmentation.copies=[{pitch_semitones: 4}]"])
    assert copied.only_to_predict().settings()["augmentation"]["copies"] == []


def test_what_an_evaluation_refuses_is_refused(
    corpus: Path, changes: list[str], cache: Path, write_toy_encoder: Any, tmp_path: Path
) -> None:
    opened = open_corpus(str(corpus), cache_dir=cache)
    heard = write_toy_encoder("robust", heard=opened.clips[:1])
    with pytest.raises(LeakageError, match="fitted to 1 of these recordings"):
        robustness(opened, "thymos-aesdd", changes=[f"start_from={heard}", *CHANGES], cache_dir=cache)
    with pytest.raises(CorpusError, match="has recordings of 0 emotion; two are needed"):
        robustness(opened, "thymos-aesdd", changes=[*changes, "max_silence_s=0.000001"], cache_dir=cache)
