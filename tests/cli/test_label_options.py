"""``--labels`` and ``--label-map``: what labels count as where a corpus is opened, and which a model tells apart."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from thymos.cli import app
from thymos.cli.journal import Journal, key_of
from thymos.runtime.recognizer import load

WriteSound = Callable[..., Path]


def thymos(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, write_sound: WriteSound, make_tone: Callable) -> Path:
    """Five recordings each of three labels, of which one is a known word, and one of a fourth."""
    root = tmp_path_factory.mktemp("labels")
    rows = ["file,emotion"]
    for number, label in enumerate([*["Wut", "bored", "[red] so so"] * 5, "Boredom"]):
        write_sound(root / f"{number:02}.wav", make_tone(0.2 + 0.01 * number, hz=300 + 500 * (number % 3)))
        rows.append(f"{number:02}.wav,{label}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n")
    return root / "clips.csv"


@pytest.mark.slow
def test_audit_shows_what_labels_count_as(table: Path, tmp_path: Path) -> None:
    done = thymos("audit", table, "--quiet", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    told = [line.split() for line in done.stdout.partition("Labels: 4")[2].splitlines()[2:7]]
    assert told == [
        ["label", "counts", "as", "clips", "by"],
        ["Wut", "anger", "5", "known", "word"],
        ["[red]", "so", "so", "[red]", "so", "so", "5", "as", "it", "is"],
        ["bored", "bored", "5", "as", "it", "is"],
        ["Boredom", "Boredom", "1", "as", "it", "is"],
    ]
    assert "[red] so so" in (tmp_path / "audit.html").read_text(encoding="utf-8")


def test_a_map_on_the_line_counts_before_one_in_a_file(table: Path, tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text("bored: neutral\nWut: rage\n")
    done = thymos(
        "audit", table, "--quiet", "--labels", file, "--label-map", "bored=,Boredom=,boring=,[red] so so=so so"
    )
    assert done.exit_code == 0, done.output
    told = [line.split() for line in done.stdout.partition("Labels: ")[2].splitlines()]
    assert ["Wut", "rage", "5", "label", "map"] in told
    assert ["bored", "–", "5", "left", "out"] in told and ["Boredom", "–", "1", "left", "out"] in told
    assert "no clip has the label 'boring', which the label map names; did you mean 'bored'?" in done.stderr
    assert ["all", "5", "5", "10"] in [line.split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("command", ["audit", "evaluate", "train", "study"])
def test_a_map_that_is_none_is_refused_before_anything_is_read(command: str, tmp_path: Path) -> None:
    words: dict[str, list[str | Path]] = {
        "audit": ["absent"],
        "evaluate": ["absent", "--recipe", "thymos", "--out", tmp_path / "out"],
        "train": ["absent", "--recipe", "thymos", "--out", tmp_path / "out"],
        "study": ["study", "--corpus", "absent", "--out", tmp_path / "out"],
    }
    done = thymos(command, *words[command], "--label-map", "angry")
    assert "'angry' is no rule for a label" in str(done.exception)


@pytest.mark.slow
def test_training_and_evaluation_take_any_words(table: Path, tmp_path: Path, toy_recipe: Callable) -> None:
    (tmp_path / "small.yaml").write_text(toy_recipe(name="small", speeds=[1.0], calibrated=True).model_dump_json())
    common = ["--recipe", tmp_path / "small.yaml", "--cache-dir", tmp_path / "cache", "--quiet", "--threads", "1"]
    trained = thymos("train", table, *common, "--out", tmp_path / "model", "--label-map", "Boredom=bored")
    assert trained.exit_code == 0, trained.output
    said = trained.stderr.splitlines()
    assert said[:3] == [
        "labels, known words: Wut is anger (5)",
        "labels, by the label map: Boredom is bored (1)",
        "labels, not known, so as they are: [red] so so (5), bored (5)",
    ]
    assert said[3].startswith("calibrated on other recordings of the same voices")
    about = json.loads((tmp_path / "model/model.json").read_text())
    assert about["labels"] == ["anger", "[red] so so", "bored"]
    evaluated = thymos("evaluate", table, *common, "--folds", "2", "--out", tmp_path / "run")
    assert evaluated.exit_code == 0, evaluated.output
    assert "no recording of Boredom to train on, so its 1 tested count as wrong" in evaluated.stderr
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["labels"] == ["anger", "[red] so so", "bored", "Boredom"]
    assert results["corpus"]["files"] == {"found": 16, "used": 16, "left_out": 0, "errors": 0}
    assert results["corpus"]["labels"][0] == {"label": "Wut", "emotion": "anger", "clips": 5}


def test_a_model_tells_chosen_labels_apart(bundle: Path, spoken: list[Path], tmp_path: Path) -> None:
    words = ["predict", spoken[4], "--model", bundle, "--labels", "sadness, Anger", "--format"]
    done = thymos(*words, "jsonl", "--timeline")
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert list(row["probabilities"]) == ["anger", "sadness"]
    assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert {*row["prediction_set"], *(at["emotion"] for at in row["timeline"])} <= {"anger", "sadness", None}
    assert thymos(*words, "csv").stdout.splitlines()[0].startswith("file,emotion,p_anger,p_sadness,prediction_set,")
    for listed, what in (("anger,bored", "'bored' is none of the labels of toy 7"), ("anger", "two labels or more")):
        refused = thymos("predict", spoken[4], "--model", bundle, "--labels", listed)
        assert what in str(refused.exception)
    heard = thymos("listen", "-", "--rate", "16000", "--model", bundle, "--labels", "bored,anger")
    assert "'bored' is none of the labels of toy 7" in str(heard.exception)


@pytest.mark.parametrize(("chosen", "anew"), [("anger,sadness", True), ("anger,disgust,fear,happiness,sadness", False)])
def test_what_was_heard_among_other_labels_is_heard_anew(
    bundle: Path, spoken: list[Path], tmp_path: Path, chosen: str, anew: bool
) -> None:
    """A run that was cut short is gone on with only for the same labels."""
    recognizer, key = load(bundle), key_of(spoken[4])
    heard = recognizer.predict(spoken[4]).to_dict() | {"model": "kept from before"}
    decides = {"model": recognizer.bundle.about.sha256, "labels": recognizer.labels, "timeline": False}
    assert key is not None
    with Journal(tmp_path / "heard.jsonl", decides) as journal:
        journal.add(key, heard)
    words = ["--model", bundle, "--labels", chosen, "--format", "jsonl", "--out", tmp_path / "heard.jsonl"]
    assert thymos("predict", spoken[4], *words).exit_code == 0
    row = json.loads((tmp_path / "heard.jsonl").read_text())
    assert (row["model"] == "toy 7") == anew
    assert list(row["probabilities"]) == chosen.split(",")


def test_what_a_map_makes_may_be_misspelled_too(table: Path) -> None:
    done = thymos("audit", table, "--quiet", "--label-map", "bored=neutrl,Boredom=boredom")
    assert done.exit_code == 0, done.output
    assert "the label map makes 'bored' 'neutrl', a word of its own; did you mean 'neutral'?" in done.stderr
    assert "'boredom', a word of its own" not in done.stderr
