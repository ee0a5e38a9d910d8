"""A search nested in an evaluation: what it may see, that it goes on as it began, and what it leaves behind."""

import csv
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from toys import RECIPE

from thymos.corpora import Corpus
from thymos.corpora.protocols import protocol_named
from thymos.errors import LeakageError, RecipeError, RunError, ThymosError
from thymos.evaluation.nested_search import SearchWatcher, search
from thymos.evaluation.search_space import check_space, read_space
from thymos.reports.method import describe_run
from thymos.reports.run_report import write_report
from thymos.scoring.results import read_results

if importlib.util.find_spec("optuna") is None:
    pytest.skip("needs optuna", allow_module_level=True)
SPACE = ["shrinkage=uniform(0.01, 0.99)", "layers=choice([1], [2], [1, 2])"]
TRIALS = 4


@pytest.fixture(scope="module")
def recipe(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("recipe") / "toy.yaml"
    path.write_text(yaml.safe_dump(RECIPE | {"start_from": str(toy_encoder), "speeds": [1.0]}))
    return str(path)


@pytest.fixture(scope="module")
def run_search(tone_corpus: Corpus, recipe: str, tones_cache: Path) -> Callable[..., Any]:
    def run(out: Path, **changes: Any) -> Any:
        asked = {"folds": 2, "trials": TRIALS, "inner_folds": 2, "cache_dir": tones_cache, "threads": 1} | changes
        return search(tone_corpus, recipe, SPACE, out, **asked)

    return run


@pytest.fixture(scope="module")
def whole(run_search: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("search") / "whole"
    run_search(out)
    return out


def told(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "search.json").read_text())
    return content


@pytest.mark.slow
def test_every_fold_has_its_trials_and_the_best_is_tested(whole: Path) -> None:
    content, results = told(whole), read_results(whole)
    assert [(row["fold"], row["trial"]) for row in content["tried"]] == [
        (fold, trial) for fold in ("fold 1", "fold 2") for trial in range(TRIALS)
    ]
    for chosen in content["chosen"]:
        own = [row for row in content["tried"] if row["fold"] == chosen["fold"]]
        assert chosen["score"] == max(row["score"] for row in own)
        assert own[chosen["trial"]]["settings"] == chosen["settings"]
        assert 0.01 <= chosen["settings"]["shrinkage"] <= 0.99
    assert len({row["settings"]["shrinkage"] for row in content["tried"]}) == 2 * TRIALS
    assert [fold.model_extra["chosen_settings"] for fold in results.folds] == [
        each["settings"] for each in content["chosen"]
    ]


@pytest.mark.slow
def test_the_test_part_of_a_fold_chooses_nothing(
    run_search: Callable[..., Any], tone_corpus: Corpus, tmp_path: Path
) -> None:
    """Of all fits of a fold's search, one alone scores what the fold tests: that of what was chosen."""
    run_search(tmp_path / "one", only_fold=0)
    tested = set(protocol_named("recording", 2).split(tone_corpus, 0).folds[0].test)
    touching = 0
    for cell in (tmp_path / "one" / "cells").glob("*.csv"):
        clips = {row["clip"] for row in csv.DictReader(cell.open())}
        touching += bool(clips & tested)
        assert clips == tested or not clips & tested
    assert touching == 1


@pytest.mark.slow
def test_killed_and_continued_it_tries_the_same(run_search: Callable[..., Any], whole: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def stop(trial: dict[str, Any]) -> None:
        seen.append(trial["trial"])
        if len(seen) == TRIALS + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(tmp_path / "cut", watcher=SearchWatcher(on_trial=stop))
    assert not (tmp_path / "cut" / "search.json").exists()
    run_search(tmp_path / "cut")
    assert told(tmp_path / "cut") == told(whole)
    assert (tmp_path / "cut" / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_more_trials_go_on_with_those_that_were_made(
    run_search: Callable[..., Any], whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "more")
    cells = {path.name for path in (tmp_path / "more" / "cells").iterdir()}
    run_search(tmp_path / "more", trials=TRIALS + 1)
    before, after = told(whole)["tried"], told(tmp_path / "more")["tried"]
    assert [row for row in after if row["trial"] < TRIALS] == before
    assert cells < {path.name for path in (tmp_path / "more" / "cells").iterdir()}
    with pytest.raises(RunError, match="another seed"):
        run_search(tmp_path / "more", seed=1)


@pytest.mark.slow
def test_optunas_own_tools_read_the_trials(whole: Path) -> None:
    import optuna

    study = optuna.load_study(study_name="fold 2", storage=f"sqlite:///{whole / 'optuna.db'}")
    own = [row for row in told(whole)["tried"] if row["fold"] == "fold 2"]
    assert [trial.value for trial in study.trials] == [row["score"] for row in own]
    assert [trial.params for trial in study.trials] == [row["settings"] for row in own]


@pytest.mark.slow
def test_trials_are_in_the_report_its_tables_and_the_method_paragraph(whole: Path) -> None:
    page = write_report(whole).read_text()
    assert '<section id="search">' in page
    rows = list(csv.DictReader((whole / "tables" / "trials.csv").open()))
    assert len(rows) == 2 * TRIALS and sum(row["chosen"] == "True" for row in rows) == 2
    said = describe_run(read_results(whole))
    assert "searched with Optuna (Akiba et al., 2019) on 2 inner folds of each training part, 4 trials a fold" in said


def test_an_encoder_that_has_heard_what_is_tested_may_not_be_tried(
    tone_corpus: Corpus, recipe: str, write_toy_encoder: Any, toy_encoder: Path, tones_cache: Path, tmp_path: Path
) -> None:
    heard = write_toy_encoder("heard-by-search", heard=tone_corpus.clips[:1])
    with pytest.raises(LeakageError):
        search(
            tone_corpus, recipe, [f"start_from=choice({toy_encoder}, {heard})"], tmp_path / "x", cache_dir=tones_cache
        )


@pytest.mark.parametrize(
    ("space", "complaint"),
    [
        ([], "needs something to try"),
        (["shrinkage"], "neither KEY=DISTRIBUTION"),
        (["shrinkage=lognormal(0, 1)"], "is no distribution"),
        (["shrinkage=unifrom(0, 1)"], "did you mean 'uniform'"),
        (["shrinkage=uniform(1, 0.5)"], "the lowest and the highest"),
        (["shrinkage=uniform(0.5)"], "the lowest and the highest"),
        (["shrinkage=loguniform(0, 1)"], "begins above 0"),
        (["distorted_copies=int(0, 1.5)"], "whole numbers"),
        (["weigh=choice(speakers)"], "two values or more"),
        (["shrinkage=uniform(0, 1)", "shrinkage=uniform(0, 0.5)"], "more than once"),
        (["shrinkage=uniform(0, 2)"], "less than or equal to 1"),
        (["shrinkag=uniform(0, 1)"], "unknown key 'shrinkag'; did you mean 'shrinkage'"),
        (["weigh=choice(speakers, voices)"], "weigh"),
        (["max_silence_s=uniform(1, 2)"], "which recordings are used"),
    ],
)
def test_what_cannot_be_tried_is_said_before_anything_is_read(recipe: str, space: list[str], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint) as caught:
        check_space(read_space(space), recipe, [])
    assert "\n" not in str(caught.value)


def test_a_space_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("training.learning_rate: loguniform(1e-5, 1e-2)\nmodel.dropout: [0.3, 0.5]\n")
    dropout, rate = read_space([str(tmp_path / "space.yaml")])
    assert (rate.key, rate.kind, rate.values) == ("training.learning_rate", "loguniform", (1e-5, 1e-2))
    assert (dropout.kind, dropout.values) == ("choice", (0.3, 0.5))
    assert dropout.change("0.3") == "model.dropout=0.3" and rate.change(0.001) == "training.learning_rate=0.001"
    (tmp_path / "space.yaml").write_text("- 1\n")
    with pytest.raises(ThymosError, match="holds no lines"):
        read_space([str(tmp_path / "space.yaml")])


@pytest.mark.slow
def test_the_command(mini: Path, thymos_here: Any, tmp_path: Path) -> None:
    words = ("--recipe", "model1", "--set", "training.epochs=1", "--space", "model.dropout=uniform(0.2,0.6)")
    asked = ("--trials", "2", "--inner-folds", "1", "--fold", "0", "--folds", "2", "--quiet", "--workers", "1")
    done = thymos_here("search", mini, "--out", tmp_path / "run", *words, *asked)
    assert done.returncode == 0, done.stderr
    assert "fold 1: model.dropout 0." in done.stdout
    assert thymos_here("compare", tmp_path / "run", tmp_path / "run", "--name", "a", "--name", "b").returncode == 0
