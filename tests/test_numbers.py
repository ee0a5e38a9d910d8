"""Numbers that people read are those that were measured: tables of README, model card and results."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "docs" / "results"
Row = list[str]


def read(name: str) -> Any:
    return json.loads((RESULTS / name).read_text("utf-8"))


def shipped_scores() -> dict[str, dict[str, Any]]:
    """Of AESDD's recogniser, by protocol; EmoBox's is the one of a list of files."""
    about = json.loads((REPOSITORY / "src/thymos/weights/thymos-aesdd/model.json").read_text("utf-8"))
    return {score["protocol"].partition(":")[0]: score for score in about["scores"]}


def classical_scores() -> dict[str, dict[str, Any]]:
    """Of ComParE and a linear SVM, by protocol."""
    names = {"EmoBox fold 1": "file"}
    return {names.get(row["protocol"], row["protocol"]): row["summary"] for row in read("functionals.json")["rows"]}


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def spread(score: dict[str, Any]) -> str:
    """As a cell has it: mean, and standard deviation over folds where there are several."""
    return percent(score["mean"]) + (f" ± {percent(score['sd'])}" if score["sd"] is not None else "")


def interval(low_high: list[float]) -> str:
    low, high = low_high
    return f"[{percent(low)}, {percent(high)}]"


def whole(score: dict[str, Any]) -> str:
    return f"{spread(score)} {interval(score['ci95'])}"


def found(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (row,) = (row for row in rows if all(row[key] == value for key, value in wanted.items()))
    return row


def table_rows(page: str) -> Iterator[tuple[str, Row]]:
    """Each row of a table of ``page``, by the words of its first cell, without marks of bold."""
    for line in (REPOSITORY / page).read_text("utf-8").splitlines():
        if line.startswith("| "):
            cells = [cell.strip().replace("**", "") for cell in line.strip("|").split("|")]
            yield cells[0], cells[1:]


def has_figure(cells: Row) -> bool:
    return any(re.search(r"\d\.\d", cell) for cell in cells)


def expected_in_readme() -> dict[str, Row]:
    ours, theirs, enrolled, left_out = (
        shipped_scores(), classical_scores(), read("enrolment.json")["rows"], read("left-out.json")["four"],
    )  # fmt: skip
    rows = {}
    for protocol, words, metric, human in (
        ("recording", "voices that it knows: AESDD (Greek, acted), `recording`, 5 × 5 folds", "accuracy", "about 74"),
        ("sentence", "its sentences never heard: `sentence`", "accuracy", "about 74"),
        ("speaker", "its actors never heard: `speaker`", "UAR", "about 74"),
        ("file", "EmoBox's fold 1 (WavLM-large is published with 84.5)", "accuracy", ""),
    ):
        key = metric.lower()
        rows[words] = [metric, spread(ours[protocol][key]), spread_of_peer(theirs[protocol][key]), human]
    for words, told in (
        ("the same, after ten unlabelled clips of the actor", found(enrolled, way="random", clips=10)),
        ("whole corpora and languages never heard, four emotions", found(left_out, way="plain", clips=0)),
        ("the same, after ten unlabelled clips of the voice", found(left_out, way="random", clips=10)),
    ):
        rows[words] = ["UAR", percent(told["uar"]), "", ""]
    rows |= expected_of_the_study()
    return rows


def spread_of_peer(score: dict[str, Any]) -> str:
    """A single fold has no spread."""
    return spread({**score, "sd": score["sd"] or None})


def expected_of_the_study() -> dict[str, Row]:
    """README's rows of the original study; what is published is in the study itself."""
    with (RESULTS / "study.csv").open(encoding="utf-8") as file:
        measured = {row["row"]: row for row in csv.DictReader(file)}
    asks = {
        "model1": ("two convolutions", "50.5"), "model2": ("three", "58.1 ± 2.7"), "model3": ("four", "64.1 ± 5.7"),
        "model3, unheard sentences": ("is it the text?", ""), "model3, unheard actors": ("is it the actor?", ""),
        "best combination, chosen inside": ("augmentation", ""),
    }  # fmt: skip
    rows = {}
    for name, (question, published) in asks.items():
        told = {key: float(value) for key, value in measured[name].items() if key.startswith(("segment", "recording"))}
        segment = f"{percent(told['segment_accuracy_mean'])} ± {percent(told['segment_accuracy_sd'])}"
        recording = (
            f"{percent(told['recording_accuracy_mean'])} ± {percent(told['recording_accuracy_sd'])} "
            + interval([told["recording_accuracy_ci_low"], told["recording_accuracy_ci_high"]])
        )
        rows[name.replace("inside", "on inner folds")] = [question, segment, recording, published]
    return rows


def expected_in_model_card() -> dict[str, Row]:
    ours, theirs = shipped_scores(), classical_scores()
    rows = {}
    for protocol, words, metric in (
        ("file", "EmoBox fold 1", "accuracy"), ("recording", "recording", "accuracy"),
        ("sentence", "sentence", "accuracy"), ("speaker", "speaker", "UAR"),
    ):  # fmt: skip
        score = theirs[protocol][metric.lower()]
        peer = f"{spread_of_peer(score)} {interval(score['ci95'])}"
        rows[words] = [metric, whole(ours[protocol][metric.lower()]), peer]
    for told in read("robustness.json")["conditions"]:
        beside = f"{told['difference']:.1f} [{told['difference_ci95'][0]:.1f}, {told['difference_ci95'][1]:.1f}]"
        rows[told["condition"]] = [
            f"{percent(told['accuracy'])} {interval(told['accuracy_ci95'])}",
            f"{percent(told['uar'])} {interval(told['uar_ci95'])}",
            beside.replace("-0.0", "0.0"),
        ]
    return rows


NOT_FROM_A_FILE = {
    "docs/model-card.md": {"control: labels shuffled, recording", "nEMO", "TESS", "RAVDESS", "TurEV-DB"},
    "README.md": set[str](),
}
"""Rows with figures that are licences' versions, or stand in docs/results.md alone with the command that made them."""


@pytest.mark.parametrize(
    ("page", "expected"), [("README.md", expected_in_readme()), ("docs/model-card.md", expected_in_model_card())]
)
def test_every_row_with_a_figure_is_what_was_measured(page, expected):
    told = {words: cells for words, cells in table_rows(page) if has_figure(cells)}
    assert set(told) - NOT_FROM_A_FILE[page] == set(expected)
    for words, cells in expected.items():
        assert told[words] == cells, words


@pytest.mark.parametrize("name", ["enrolment", "left-out", "vad", "change-points"])
def test_a_table_in_results_is_the_one_that_its_command_wrote(name):
    told = (REPOSITORY / "docs/results.md").read_text("utf-8").splitlines()
    written = (RESULTS / f"{name}.md").read_text("utf-8").splitlines()
    rows = [line for line in written if line.startswith("| ") and has_figure([line])]
    assert rows and [row for row in rows if row not in told] == []


ROWS = {"file": "EmoBox fold 1, 1 × 1", "recording": "recording, 5 × 5", "sentence": "sentence, 1 × 5",
        "speaker": "speaker, 1 × 6"}  # fmt: skip


@pytest.mark.parametrize("protocol", ROWS)
def test_results_say_of_recognisers_what_was_measured(protocol):
    rows = [(words, cells) for words, cells in table_rows("docs/results.md") if len(cells) == 3]
    (ours,) = (cells for words, cells in rows if [words, cells[0]] == ["thymos-aesdd", ROWS[protocol]])
    score = shipped_scores()[protocol]
    assert ours[1:] == [whole(score["accuracy"]), whole(score["uar"])]
    (theirs,) = (cells for words, cells in rows if "ComParE" in words and cells[0] == ROWS[protocol])
    peers = [classical_scores()[protocol][metric] for metric in ("accuracy", "uar")]
    assert theirs[1:] == [f"{spread_of_peer(peer)} {interval(peer['ci95'])}" for peer in peers]
