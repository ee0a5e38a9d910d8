"""A small study of the mini corpus: shared cells, choices, failures, kills."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from thymos.corpora import Corpus, open_corpus
from thymos.corpora.folds import GROUPS
from thymos.engine.tasks import ThisProcess
from thymos.errors import RecipeError, RunError
from thymos.evaluation.study import StudyWatcher, study
from thymos.evaluation.study_cells import row_cells
from thymos.evaluation.study_plan import load_study
from thymos.evaluation.study_table import RowOutcome, csv_row, study_table
from thymos.scoring.comparison import read_run
from thymos.scoring.paired import FinishedRun

TINY = "{training.epochs: 1, features.n_mels: 16, features.hop: 4096, model.conv_channels: [2], model.dense_units: [4]}"
STUDY = f"""
name: small
base: {{recipe: model1, folds: 2, set: {TINY}}}
rows:
  - {{name: plain, group: One, note: "<b>What</b> is it?", published: {{accuracy: 50.45, sd: 2.0, what: elsewhere}}}}
  - {{name: twice, repeats: 2, compare_to: null}}
  - {{name: by take, protocol: take}}
  - name: chosen
    choose:
      candidates:
        - {{name: as it is}}
        - {{name: wider, set: {{"model.conv_channels": [4]}}}}
"""
DEEP = '  - {name: too deep, set: {"model.conv_channels": [2, 2, 2, 2, 2]}}\n'
DIVERGING = "  - {name: too fast, set: {training.learning_rate: 1.0e+30, training.batch_size: 8}}\n"
FAILING = STUDY + DEEP + DIVERGING
KINDS = f"""
name: kinds
base: {{recipe: model1, protocol: speaker, set: {TINY}}}
rows:
  - {{name: network, set: {{sound.rate_hz: 8000}}}}
  - {{name: narrow, set: {{sound.rate_hz: 8000, "model.dense_units": [2]}}}}
  - {{name: encoder, recipe: toy.yaml, compare_to: network}}
  - {{name: functionals, recipe: functionals-svm, compare_to: network}}
  - {{name: lists, protocol: "file:${{THYMOS_TEST_FOLDS}}/aesdd"}}
"""
OPENSMILE = importlib.util.find_spec("opensmile") is not None


@pytest.fixture(scope="module")
def corpus(mini: Path) -> Corpus:
    return open_corpus(mini)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def written(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(text)
    return folder / "study.yaml"


@pytest.fixture(scope="module")
def done(corpus: Corpus, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study, finished, with a row that cannot be built and one whose fits fail."""
    folder = tmp_path_factory.mktemp("study")
    study(corpus, load_study(written(folder, FAILING)), folder / "out", cache_dir=cache, device="cpu", workers=1)
    return folder / "out"


# --- what is declared ---


@pytest.mark.parametrize(
    ("wrong", "right", "complaint"),
    [
        ("protocol: take", "protocol: tkae", "row 'by take': there is no protocol 'tkae'; did you mean 'take'?"),
        ("protocol: take", "protocl: take", "row 'by take': unknown key 'protocl'; did you mean 'protocol'?"),
        ("protocol: take", "recipe: modle3", "row 'by take': there is no recipe 'modle3'; did you mean 'model3'?"),
        ("protocol: take", "set: {model.dropuot: 1}", "unknown key 'model.dropuot'; did you mean 'dropout'?"),
        ("protocol: take", "compare_to: plian", "compare_to: there is no row 'plian'; did you mean 'plain'?"),
        ("protocol: take", "compare_to: by take", "cannot be compared to itself"),
        ("protocol: take", "folds: 1", "row 'by take': folds: "),
        ("protocol: take", "protocol: 'file:nowhere'", "nowhere does not exist"),
        ("name: by take", "name: plain", "the name 'plain' is given more than once"),
        ("base:", "bsae:", "unknown key 'bsae'; did you mean 'base'?"),
        ("accuracy: 50.45", "accuracy: 0.5045", "published.accuracy: "),
        ("name: wider, set", "name: wider, sets", "unknown key 'choose.candidates.1.sets'; did you mean 'set'?"),
        ('channels": [4]', 'channels": [four]', "row 'chosen', candidate 'wider': recipe model1: model.conv_channels"),
        ('"model.conv_channels": [4]', "sound.max_silence_s: 3", "'wider': max_silence_s is not the row's"),
        ("rows:", "row:", "it declares no rows"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(tmp_path, wrong, right, complaint):
    assert wrong in STUDY
    path = written(tmp_path, STUDY.replace(wrong, right))
    with pytest.raises(RecipeError, match=re.escape(complaint)) as error:
        load_study(path)
    assert str(path) in str(error.value)


@pytest.mark.slow
def test_the_shipped_study_is_complete_and_every_row_resolves():
    plan = load_study("study")
    assert {row.protocol for row in plan.rows} == {"recording", "take", "sentence", "speaker"}
    recipes = {row.name: row.experiment.recipe for row in plan.rows}
    families = {recipe.model.family for recipe in recipes.values()}
    assert families == {"study_cnn", "residual", "recurrent"}
    assert [row.published.accuracy for row in plan.rows if row.published][:2] == [64.12, 58.05]
    assert len({row.slug for row in plan.rows}) == len(plan.rows)
    assert recipes["model1 with the Wiener filter"].sound.wiener
    assert all("transductive" in name for name, recipe in recipes.items() if recipe.features.normalise == "speaker")


def test_quick_has_few_folds_and_epochs(tmp_path):
    plan = load_study("study", quick=True)
    assert {(row.folds, row.repeats, row.most_folds) for row in plan.rows} == {(2, 1, 2)}
    fitted = [each for row in plan.rows for each in (row.experiment, *(each for _, each in row.candidates))]
    assert {experiment.recipe.training.epochs for experiment in fitted} == {5}
    assert {experiment.epochs for experiment in fitted} == {5}
    assert {row.experiment.epochs for row in load_study(written(tmp_path, STUDY), quick=True).rows} == {1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("of", "kind", "name", "synthetic", "shown"),
    [
        ("aesdd", "aesdd", "my-copy", False, True),
        ("toy", "folder", "toy", False, True),
        (None, "folder", "toy", False, True),
        ("aesdd", "folder", "ravdess", False, False),
        ("aesdd", "aesdd", "mini-aesdd", True, False),
    ],
)
def test_a_published_accuracy_stands_beside_its_own_corpus_alone(write_run, of, kind, name, synthetic, shown):
    row = load_study("study").rows[0]
    row = replace(row, compare_to=None, published=row.published.model_copy(update={"corpus": of}))
    run = read_run(write_run("run", lambda i: i % 2 == 0))
    corpus = run.results["corpus"] | {"kind": kind, "name": name, "synthetic": synthetic}
    results = run.results | {"corpus": corpus, "folds": [fold | {"parameters": 1} for fold in run.results["folds"]]}
    (line,) = study_table([RowOutcome(row, FinishedRun(results, run.predictions))])
    assert (line["published"] is not None) == shown
    assert (csv_row(line)["published_accuracy"] is not None) == shown


def test_every_published_accuracy_of_the_shipped_study_names_its_corpus():
    assert {row.published.corpus for row in load_study("study").rows if row.published} == {"aesdd"}


def test_some_rows_bring_what_they_are_compared_to(tmp_path):
    plan = load_study(written(tmp_path, STUDY))
    assert [row.name for row in plan.only(["by take"]).rows] == ["plain", "by take"]
    with pytest.raises(RecipeError, match="no row 'by tkae'; did you mean 'by take'"):
        plan.only(["by tkae"])


def test_a_recipe_file_may_lie_beside_the_study(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\nmodel: {conv_channels: [3]}\n")
    path = written(tmp_path, STUDY.replace("protocol: take", "recipe: mine.yaml"))
    assert load_study(path).rows[2].experiment.name == "mine"


# --- what is run ---


@pytest.mark.slow
def test_every_row_has_results_and_a_line(done):
    table = pd.read_csv(done / "study.csv").set_index("row")
    assert list(table.index) == ["plain", "twice", "by take", "chosen", "too deep", "too fast"]
    for slug in ("plain", "twice", "by-take", "chosen"):
        results = json.loads((done / "rows" / slug / "results.json").read_text())
        predictions = pd.read_csv(done / "rows" / slug / "predictions.csv")
        assert len(predictions) == sum(fold["test_segments"] for fold in results["folds"])
    assert table.loc["twice", "repeats"] == 2
    assert pd.isna(table.loc["twice", "compared_to"])
    assert table.loc["by take", "compared_to"] == "plain"
    assert table.loc["by take", "verdict"]
    assert table.loc["plain", "published_accuracy"] == pytest.approx(0.5045)
    assert table.loc["chosen", "chosen"].count(";") == 1
    assert table.loc["by take", "p_mcnemar"] <= table.loc["by take", "p_mcnemar_holm"] <= 1


@pytest.mark.slow
def test_a_row_that_chooses_says_among_what(done):
    results = json.loads((done / "rows/chosen/results.json").read_text())
    channels = {each["name"]: each["recipe"]["model"]["conv_channels"] for each in results["candidates"]}
    assert channels == {"as it is": [2], "wider": [4]}
    assert len(results["chosen"]) == 2
    assert set(results["chosen"]) <= channels.keys()
    assert json.loads((done / "rows/plain/results.json").read_text())["candidates"] == []


@pytest.mark.slow
def test_a_row_means_what_evaluate_measures(done, corpus, cache, tmp_path):
    """The same recipe, protocol and seed outside a study give the same predictions."""
    from thymos.evaluation.evaluate import evaluate

    experiment = load_study(written(tmp_path, STUDY)).rows[0].experiment
    evaluate(corpus, experiment, folds=2, out=tmp_path / "run", cache_dir=cache, threads=1, device="cpu")
    assert (tmp_path / "run/predictions.csv").read_bytes() == (done / "rows/plain/predictions.csv").read_bytes()


@pytest.mark.slow
def test_rows_that_fail_are_named_and_the_others_go_on(done):
    rows = {row["row"]: row for row in json.loads((done / "study.json").read_text())["rows"]}
    reasons = {name: row["failed"] for name, row in rows.items() if row["failed"] is not None}
    assert reasons.keys() == {"too deep", "too fast"}
    assert "too small to be halved 5 times" in reasons["too deep"]
    assert "diverged: its loss was not a number" in reasons["too fast"]
    assert "(and 2 more cells fail)" in reasons["too fast"]
    table = pd.read_csv(done / "study.csv").set_index("row")["failed"]
    assert table[["too deep", "too fast"]].to_dict() == reasons


@pytest.mark.slow
def test_rows_share_the_fits_they_have_in_common(done):
    """Kept: 2 of plain, 2 more of twice, 2 × 2 to choose by, and what was chosen but is not plain."""
    timing = pd.read_csv(done / "timing.csv").set_index("row")["cells"]
    kept = len(list((done / "cells").glob("*.json")))
    chosen = json.loads((done / "rows/chosen/results.json").read_text())["chosen"]
    # A curve is the first candidate's inner fit of the first fold; and this corpus has no second takes, so that
    # folds by take are folds by recording.
    assert kept == 2 + 2 + 4 + chosen.count("wider")
    assert timing.sum() > kept
    both = [pd.read_csv(done / "rows" / slug / "predictions.csv") for slug in ("plain", "twice")]
    pd.testing.assert_frame_equal(both[0], both[1][both[1]["repeat"] == 0])


@pytest.mark.slow
def test_learning_curves_are_of_inner_validation(done):
    rows = {row["row"]: row for row in json.loads((done / "study.json").read_text())["rows"]}
    for name in ("plain", "twice", "by take", "chosen"):
        assert rows[name]["curve"][0].keys() >= {"loss", "accuracy", "validation_loss", "validation_accuracy"}


@pytest.mark.slow
def test_what_is_done_is_not_done_again(done, corpus, cache, tmp_path):
    fitted = []
    plan = load_study(written(tmp_path, FAILING))
    before = (done / "study.csv").read_bytes()
    study(corpus, plan, done, cache_dir=cache, device="cpu", workers=1, watcher=StudyWatcher(on_cell=fitted.append))
    assert len(fitted) == 3  # those of "too fast", which failed, are tried again
    assert (done / "study.csv").read_bytes() == before


@pytest.mark.slow
def test_a_row_that_does_not_fit_the_corpus_fails_alone(corpus, cache, tmp_path):
    plan = load_study(written(tmp_path, STUDY + "  - {name: many folds, folds: 151, protocol: sentence}\n"))
    content = study(corpus, plan.only(["many folds"]), tmp_path / "out", cache_dir=cache, device="cpu", workers=1)
    assert [bool(row["failed"]) for row in content["rows"]] == [False, True]
    assert "151 folds need as many groups" in content["rows"][1]["failed"]


@pytest.mark.slow
def test_a_folder_of_another_study_is_refused(done, corpus, cache, tmp_path):
    other = load_study(written(tmp_path, STUDY.replace("name: small", "name: other")))
    with pytest.raises(RunError, match="another study"):
        study(corpus, other, done, cache_dir=cache, device="cpu", workers=1)


@pytest.mark.slow
def test_a_folder_of_the_whole_study_takes_no_part_of_it(done, corpus, cache, tmp_path):
    plan = load_study(written(tmp_path, FAILING))
    before = (done / "study.csv").read_bytes()
    with pytest.raises(RunError, match="another choice of rows"):
        study(corpus, plan.only(["by take"]), done, cache_dir=cache, device="cpu", workers=1)
    assert (done / "study.csv").read_bytes() == before
    assert plan.only([row.name for row in plan.rows]) == plan


@pytest.mark.slow
def test_a_folder_of_another_torch_is_refused(done, corpus, cache, tmp_path, monkeypatch):
    from thymos.evaluation import study as module

    now = module.versions()
    monkeypatch.setattr(module, "versions", lambda: now | {"torch": "0.1"})
    with pytest.raises(RunError, match=r"another versions\.torch"):
        study(corpus, load_study(written(tmp_path, FAILING)), done, cache_dir=cache, device="cpu", workers=1)


class FirstOneKilled(ThisProcess):
    """An engine that stands in: what others do when a worker is killed has its own tests."""

    def run(self, work, tasks, workers=None, *, on_report=None, on_death=None, gpus=0):
        for number, task in enumerate(tasks):
            yield task, on_death(task) if number == 0 else work(task, lambda message: None)


@pytest.mark.slow
def test_a_cell_whose_worker_is_killed_has_failed_and_the_others_go_on(corpus, cache, tmp_path):
    two_rows = STUDY.replace("protocol: take", 'set: {"model.conv_channels": [3]}')
    plan = load_study(written(tmp_path, two_rows)).only(["by take"])
    content = study(corpus, plan, tmp_path / "out", cache_dir=cache, device="cpu", workers=2, engine=FirstOneKilled())
    plain, other = content["rows"]
    assert plain["failed"] == "its worker process was killed, perhaps for want of memory"
    assert other["failed"] is None
    assert other["comparison"]["none_because"] == "plain has no result"


@pytest.mark.slow
def test_one_study_holds_recipes_of_every_kind(tone_corpus, tones_cache, toy_recipe, tmp_path, monkeypatch):
    """What the base sets is for recipes of its own kind; a row without its variable or its library fails alone."""
    monkeypatch.delenv("THYMOS_TEST_FOLDS", raising=False)
    (tmp_path / "toy.yaml").write_text(toy_recipe().model_dump_json())
    path = written(tmp_path, KINDS)
    rows = {row.name: row.experiment for row in load_study(path).rows}
    assert (rows["network"].recipe.training.epochs, rows["narrow"].recipe.training.epochs) == (1, 1)
    assert rows["encoder"].recipe == toy_recipe()
    content = study(tone_corpus, path, tmp_path / "out", cache_dir=tones_cache, workers=1, device="cpu")
    table = {row["row"]: row for row in content["rows"]}
    failed = {name for name, row in table.items() if row["failed"]}
    assert failed == {"lists", *(() if OPENSMILE else ("functionals",))}
    assert "file:${THYMOS_TEST_FOLDS}/aesdd" in table["lists"]["failed"]
    assert OPENSMILE or "pip install" in table["functionals"]["failed"]
    for name in table.keys() - failed:
        assert table[name]["clips"] == len(tone_corpus.clips)
    assert table["encoder"]["comparison"]["mcnemar"]["p"] <= 1
    kinds = [
        json.loads((tmp_path / "out/rows" / slug / "results.json").read_text())["recipe"]["kind"]
        for slug in ("network", "encoder")
    ]
    assert kinds == ["cnn", "encoder"]


# --- the choice ---


@pytest.mark.parametrize("protocol", ["recording", "take", "sentence", "speaker"])
def test_no_choice_sees_a_test_clip(corpus, tmp_path, protocol):
    text = STUDY.replace("  - name: chosen\n", f"  - name: chosen\n    protocol: {protocol}\n")
    row = load_study(written(tmp_path, text)).rows[3]
    cells = row_cells(corpus, row)
    assert not cells.outer
    clips = {clip.path: clip for clip in corpus.clips}
    for fold, candidates in zip(cells.split.folds, cells.inner, strict=True):
        for cell in (cell for candidate in candidates for cell in candidate):
            seen = {*cell.fold.train, *cell.fold.test}
            assert seen == set(fold.train)
            for what in cells.split.must_not_cross:
                group = GROUPS[what]
                tested = {group(clips[path]) for path in fold.test}
                assert not tested & {group(clips[path]) for path in seen}
                assert not {group(clips[path]) for path in cell.fold.train} & {
                    group(clips[path]) for path in cell.fold.test
                }


@pytest.mark.slow
def test_the_better_candidate_is_chosen_and_ties_go_to_the_first(done, corpus, tmp_path):
    """Scored again from the kept predictions of the inner parts, in another way."""
    row = load_study(written(tmp_path, STUDY)).rows[3]
    expected = []
    for candidates in row_cells(corpus, row).inner:
        scores = [_recording_accuracy(done / "cells" / f"{cell.key}.csv") for (cell,) in candidates]
        expected.append("wider" if scores[1] > scores[0] else "as it is")
    assert json.loads((done / "rows/chosen/results.json").read_text())["chosen"] == expected


def _recording_accuracy(path: Path) -> float:
    frame = pd.read_csv(path)
    columns = [name for name in frame if name.startswith("p_")]
    means = frame.groupby("clip")[columns].mean()
    truth = frame.groupby("clip")["truth"].first()
    return float((means.idxmax(axis=1).str.removeprefix("p_") == truth).mean())


# --- kills ---


@pytest.mark.slow
def test_a_killed_study_ends_with_the_same_bytes_as_a_whole_one_of_one_worker(mini, tmp_path):
    """kill -9 of the command while both its workers are fitting; then the same command to its end."""
    text = STUDY.replace("training.epochs: 1,", "training.epochs: 15,")  # a cell takes longer than it takes to kill
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        written(folder, text)

    def words(workers: int) -> list[str]:
        call = [sys.executable, "-m", "thymos", "study", "study.yaml", "--corpus", str(mini), "--out", "out"]
        call += ["--cache-dir", str(tmp_path / "cache"), "--quiet", "--rows", "chosen", "--workers", str(workers)]
        return call

    undisturbed = subprocess.run(words(1), cwd=whole, capture_output=True, text=True)
    assert undisturbed.returncode == 0, undisturbed.stderr
    victim = subprocess.Popen(words(2), cwd=cut, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for_cells(victim, cut / "out/cells", 1)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    finished = {path.name for path in (whole / "out/cells").glob("*.json")}
    assert 1 <= len(list((cut / "out/cells").glob("*.json"))) <= len(finished) - 2
    assert not (cut / "out/study.csv").exists()
    resumed = subprocess.run(words(2), cwd=cut, capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr

    assert {path.name for path in (cut / "out/cells").glob("*.json")} == finished
    assert (cut / "out/study.csv").read_bytes() == (whole / "out/study.csv").read_bytes()
    assert _page_without_times(cut) == _page_without_times(whole)
    rows = sorted(path.name for path in (whole / "out/rows").iterdir())
    assert rows == ["chosen", "plain"]
    for row in rows:
        predictions = [folder / "out/rows" / row / "predictions.csv" for folder in (cut, whole)]
        assert predictions[0].read_bytes() == predictions[1].read_bytes()


def _page_without_times(folder: Path) -> list[str]:
    """The lines of the page but the one that hangs on time, and its command without the number of workers."""
    lines = re.sub("--workers [12]", "--workers N", (folder / "out/study.html").read_text()).split("\n")
    kept = [line for line in lines if "data-timing" not in line]
    assert len(kept) == len(lines) - 1
    return kept


def _wait_for_cells(victim: subprocess.Popen[bytes], folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if len(list(folder.glob("*.json"))) >= count:
            return
        assert victim.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    raise AssertionError(f"fewer than {count} cells in {os.fspath(folder)}")
