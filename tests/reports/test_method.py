"""The method paragraph: what it says of a run, in every format, and that what it cites is there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from thymos.reports import method
from thymos.reports.method import CORPORA, author_and_year, bibtex_of, corpus_key, describe_run, fields_of
from thymos.scoring.results import Results, read_results


@pytest.fixture
def results_of(write_run: Any) -> Any:
    """``results_of(**changes) -> Results``: 60 recordings in 5 folds, of which 45 are right, with ``changes``."""

    def make(**changes: Any) -> Results:
        folder = write_run("run", lambda number: number % 4 != 0)
        content = json.loads((folder / "results.json").read_text())
        (folder / "results.json").write_text(json.dumps(content | changes))
        return read_results(folder)

    return make


ENCODER = {
    "recipe": {"kind": "encoder", "name": "thymos-aesdd", "layers": [2, 3], "shrinkage": 0.3, "speeds": [1.0, 0.9],
               "calibrated": True, "merge": {}, "start_from": "shipped", "description": "words"},
    "corpus": {"kind": "aesdd", "name": "greek_50%", "clips": 60, "duration_s": 180.0, "emotions": {"anger": 60},
               "speakers": {"1": 30, "2": 30},
               "labels": [{"label": "Wut", "emotion": "anger", "clips": 4},
                          {"label": "bored", "emotion": "", "clips": 2}]},
    "excluded": [{"clip": "a_b ⟦x⟧.wav", "reason": "is empty"},
                 {"clip": "c.wav", "reason": "is silent", "readable": True}],
    "provenance": {
        "start_from": {"sha256": "0123456789abcdef", "layers_of": {"name": "openai/whisper-base"}},
        "trained_on": [{"name": "ravdess", "clips": 1440, "stage": "pretraining"},
                       {"name": "own-corpus", "clips": 7, "stage": "pretraining"}],
    },
    "calibration": {"temperatures": [0.5, 1.25], "ece_before": {"value": 0.2}, "ece_after": {"value": 0.05},
                    "asked_coverage": 0.9, "sets": {"coverage": 0.917, "mean_size": 1.5}},
}  # fmt: skip


def test_it_says_what_was_done(results_of: Any) -> None:
    said = describe_run(results_of(**ENCODER))
    for words in (
        "from greek_50% (Vryzas et al., 2018): 60 recordings (3.0 min) by 2 known speakers, labelled anger 60.",
        "Labels counted as others: Wut as anger (4). Labels were left out: bored (2).",
        "By rule, 1 readable recording was left out: c.wav is silent. 1 file could not be used: a_b [x].wav is empty.",
        "cross-validation over recordings, balanced by emotion",
        "5 folds, seed 0.",
        "no recording is on both sides of a fold",
        "A fold trained on 48 recordings and was tested on 12.",
        "linear discriminant with a shrunk covariance (Fisher, 1936; Friedman, 1989)",
        "recipe thymos-aesdd. Its settings: layers 2, 3; shrinkage 0.3; speeds 1, 0.9; calibrated.",
        "began as the first layers of openai/whisper-base (Radford et al., 2023) and was fine-tuned on ravdess (1440 "
        "recordings) (Livingstone and Russo, 2018), own-corpus (7 recordings) (SHA-256 0123456789ab)",
        "temperature (Guo et al., 2017) found on inner splits of each training part (0.50 to 1.25): the expected "
        "calibration error went from 0.200 to 0.050.",
        "asked to hold the truth in 90 %, held it in 91.7 % with 1.50 emotions on average.",
        "accuracy was 75.0 ± ",
        "chance among 3 emotions is 33.3 %",
        "2000 draws",
        "Software: thymos ",
    ):
        assert words in said, words
    assert "\n" not in said.rstrip("\n")


def test_figures_are_those_of_the_results(results_of: Any) -> None:
    results = results_of()
    spread = results.summary.recording.uar
    low, high = spread.mean_ci95 or (0, 0)
    said = describe_run(results)
    assert f"UAR {100 * spread.mean:.1f} ± {100 * spread.sd:.1f} [{100 * low:.1f}, {100 * high:.1f}] %" in said
    assert "Per segment" not in said and "Probabilities were not calibrated." in said
    assert "No recording was excluded." in said


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ("speaker", "leave-one-speaker-out cross-validation: 5 folds"),
        ("serab", "SERAB benchmark (Scheidwasser-Clow et al., 2022)"),
        ("file:emobox", "listed beforehand (file:emobox) (Ma et al., 2024)"),
        ("mine", "the protocol mine: 5 folds"),
    ],
)
def test_protocols_are_named(results_of: Any, protocol: str, words: str) -> None:
    assert words in describe_run(results_of(protocol={"name": protocol, "folds": 5, "repeats": 1}))


def test_what_is_synthetic_cites_no_corpus_and_what_is_not_in_use_is_not_told(results_of: Any) -> None:
    idle = {"finetune": "never", "tuning": {"steps": 150}, "distorted_copies": 0, "distorted_share": 0.1}
    said = describe_run(
        results_of(
            corpus=ENCODER["corpus"] | {"synthetic": True},
            recipe=ENCODER["recipe"] | idle,
            protocol={"name": "speaker", "folds": 5, "must_not_cross": ["recording", "take", "speaker"]},
        )
    )
    assert "from greek_50%, a synthetic corpus that says nothing about speech: 60" in said
    assert "Vryzas" not in said
    assert "no recording, take or speaker is on both sides" in said
    assert "tuning" not in said and "distorted" not in said


def test_latex_cites_and_escapes(results_of: Any) -> None:
    said = describe_run(results_of(**ENCODER), "latex")
    assert "from greek\\_50\\%~\\cite{vryzas2018speech}: 60 recordings" in said
    assert "covariance~\\cite{fisher1936use,friedman1989regularized} (" in said or (
        "covariance~\\cite{fisher1936use,friedman1989regularized}, recipe" in said
    )
    assert "⟦" not in said and not re.search(r"(?<!\\)[%_&#]", said)


def test_bibtex_holds_all_that_is_cited_and_no_more(results_of: Any) -> None:
    results = results_of(**ENCODER)
    entries = set(re.findall(r"^@\w+\{(\w+),", describe_run(results, "bibtex"), re.MULTILINE))
    cited = {
        key for keys in re.findall(r"\\cite\{([\w,]+)\}", describe_run(results, "latex")) for key in keys.split(",")
    }
    assert entries == cited and len(entries) == 8


def test_every_entry_is_whole_and_every_key_that_may_be_cited_is_there() -> None:
    text = (Path(method.__file__).parent / "templates" / "references.bib").read_text()
    keys = re.findall(r"^@\w+\{(\w+),", text, re.MULTILINE)
    assert len(keys) == len(set(keys))
    source = Path(method.__file__).read_text()
    may = {key for found in re.findall(r"⟦([\w,]+)⟧", source) for key in found.split(",")} | {*CORPORA.values()}
    may |= set(method._FEATURE_SETS.values())
    assert may == set(keys), "nothing is cited that is not there, and nothing is there that is never cited"
    for key in keys:
        fields = fields_of(key)
        assert {"author", "title", "year"} <= fields.keys(), key
        assert {"journal", "booktitle", "publisher"} & fields.keys(), key
        assert bibtex_of([key]).count("{") == bibtex_of([key]).count("}")
        assert fields["year"] == author_and_year(key)[1]
        assert re.fullmatch(r"\d{4}", fields["year"])


def test_authors_are_named_as_in_a_text() -> None:
    assert author_and_year("christop2024nemo") == ("Christop", "2024")
    assert author_and_year("livingstone2018ryerson") == ("Livingstone and Russo", "2018")
    assert author_and_year("eyben2010opensmile") == ("Eyben et al.", "2010")
    assert corpus_key("csv", "TurEV-DB") == "canpolat2020turkish"
    assert corpus_key("csv", "mine") is None


def test_the_command_prints_and_writes(write_run: Any, thymos_here: Any, tmp_path: Path) -> None:
    folder = write_run("run", lambda number: True)
    printed = thymos_here("describe", folder)
    assert printed.returncode == 0
    assert printed.stdout.startswith("Recordings were taken from toy: 60 recordings")
    assert "@book{efron1993introduction," in printed.stdout
    assert thymos_here("describe", folder, "--format", "bibtex").stdout.startswith("@")
    done = thymos_here("describe", folder, "--out", tmp_path / "paper")
    assert {path.name for path in (tmp_path / "paper").iterdir()} == {
        "method.txt", "method.md", "method.tex", "method.bib"
    }  # fmt: skip
    assert len(done.stdout.splitlines()) == 4
    missing = thymos_here("describe", tmp_path)
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
