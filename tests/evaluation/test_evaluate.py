"""A whole evaluation on the mini corpus, with a network small enough for a test."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thymos.corpora import Corpus, open_corpus
from thymos.engine.tasks import ThisProcess
from thymos.errors import ProtocolError, RecipeError, RunError, TrainingError
from thymos.evaluation.evaluate import Watcher, evaluate, threads_each
from thymos.scoring.metrics import confusion, scores
from thymos.scoring.paired import FinishedRun

SMALL = (
    "training.epochs=3",
    "model.conv_channels=[4, 8]",
    "model.dense_units=[8]",
    "sound.rate_hz=16000",
    "features.n_mels=32",
)
LONG = "training.epochs=30"
"""A fold then takes longer than it takes to kill."""
Evaluated = Callable[..., FinishedRun]


@pytest.fixture(scope="module")
def corpus(mini: Path) -> Corpus:
    return open_corpus(mini)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def evaluated(corpus: Corpus, cache: Path) -> Evaluated:
    """``evaluated(out, *changes, **options) -> FinishedRun``: a small network in three folds of the mini corpus."""

    def run(out: Path, *changes: str, **options: Any) -> FinishedRun:
        asked = {"folds": 3, "threads": 1, "device": "cpu"} | options
        return evaluate(corpus, "model1", changes=[*SMALL, *changes], out=out, cache_dir=cache, **asked)

    return run


@pytest.fixture(scope="module")
def run(evaluated: Evaluated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    evaluated(out)
    return out


@pytest.mark.slow
def test_results_hold_what_the_design_says(run):
    results = json.loads((run / "results.json").read_text())
    assert {
        "format", "corpus", "recipe", "protocol", "seed", "labels", "versions", "wall_s",
        "folds", "summary", "per_speaker", "per_emotion", "confusion", "excluded",
    } <= results.keys()  # fmt: skip
    for level in ("segment", "recording"):
        for metric in ("accuracy", "uar", "macro_f1"):
            score = results["summary"][level][metric]
            assert score.keys() == {"mean", "sd", "ci95", "mean_ci95"}
            assert score["mean_ci95"][0] <= score["mean"] <= score["mean_ci95"][1]
            of_folds = [fold[level][metric] for fold in results["folds"]]
            assert score["mean"] == pytest.approx(np.mean(of_folds))
            assert score["sd"] == pytest.approx(np.std(of_folds, ddof=1))
        assert "accuracy" in results["summary"][level]["pooled"]
    assert sum(fold["test_clips"] for fold in results["folds"]) == 150
    assert results["corpus"]["synthetic"] is True


@pytest.mark.slow
def test_scores_follow_from_the_predictions_alone(run):
    results = json.loads((run / "results.json").read_text())
    frame = pd.read_csv(run / "predictions.csv")
    labels = results["labels"]
    assert list(frame.columns) == [
        "clip", "start_s", "end_s", "repeat", "fold", "speaker", "truth", *(f"p_{word}" for word in labels)
    ]  # fmt: skip
    columns = [f"p_{word}" for word in labels]
    assert frame[columns].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    recordings = frame.groupby(["clip", "truth"], as_index=False)[columns].mean()
    assert len(recordings) == 150
    truth = recordings["truth"].map(labels.index).to_numpy()
    counts = confusion(truth, recordings[columns].to_numpy().argmax(1), len(labels))
    assert counts.tolist() == results["confusion"]["recording"]
    assert results["summary"]["recording"]["pooled"] == pytest.approx(scores(counts))


@pytest.mark.slow
def test_it_learns_something(run):
    results = json.loads((run / "results.json").read_text())
    curve = results["folds"][0]["curve"]
    assert curve[-1]["loss"] < curve[0]["loss"]


@pytest.mark.slow
def test_same_seed_same_numbers_whatever_the_number_of_workers(evaluated, run, tmp_path):
    evaluated(tmp_path / "again", threads=2, workers=2)
    assert (tmp_path / "again/predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_threads_change_no_digit(evaluated, run, tmp_path):
    evaluated(tmp_path / "two", threads=2, workers=1)
    assert (tmp_path / "two/predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_other_seed_other_numbers(evaluated, run, tmp_path):
    evaluated(tmp_path / "other", seed=1)
    assert (tmp_path / "other/predictions.csv").read_bytes() != (run / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_interrupted_run_goes_on_and_ends_with_the_same_numbers(evaluated, run, tmp_path):
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluated(tmp_path / "cut", watcher=Watcher(on_fold=stop))
    assert not (tmp_path / "cut/results.json").exists()
    finished = []
    evaluated(tmp_path / "cut", watcher=Watcher(on_report=lambda m: finished.append(m[0])))
    assert set(finished) == {"fold 2", "fold 3"}
    assert (tmp_path / "cut/predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_killed_run_leaves_no_process_and_the_same_evaluation_goes_on(mini, cache, evaluated, tmp_path):
    """kill -9 of the parent, with worker processes at work."""
    words = [sys.executable, "-m", "thymos", "evaluate", str(mini), "--recipe", "model1", "--folds", "3"]
    words += [f"--set={change}" for change in (*SMALL, LONG)]
    words += ["--threads", "1", "--workers", "2", "--device", "cpu", "--quiet"]
    words += ["--out", str(tmp_path / "cut"), "--cache-dir", str(cache)]
    victim = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "cut/folds").glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = [int(pid) for pid in Path(f"/proc/{victim.pid}/task/{victim.pid}/children").read_text().split()]
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert len(workers) >= 2
    assert not (tmp_path / "cut/results.json").exists()
    deadline = time.monotonic() + 60
    while any(_is_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in workers if _is_alive(pid)]
    resumed = evaluated(tmp_path / "cut", LONG).results["resumed_folds"]
    assert 1 <= resumed < 3
    evaluated(tmp_path / "whole", LONG)
    assert (tmp_path / "cut/predictions.csv").read_bytes() == (tmp_path / "whole/predictions.csv").read_bytes()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.slow
def test_folder_of_another_run_is_refused(evaluated, run):
    with pytest.raises(RunError, match="another seed"):
        evaluated(run, seed=7)


@pytest.mark.slow
def test_finished_run_is_left_alone(evaluated, run):
    before = (run / "results.json").read_bytes()
    evaluated(run)
    assert (run / "results.json").read_bytes() == before


@pytest.mark.slow
def test_what_a_killed_process_was_writing_does_not_claim_a_folder(evaluated, run, tmp_path):
    (tmp_path / ".run.json.x1.part").write_text("{")
    evaluated(tmp_path)
    assert (tmp_path / "predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_divergence_is_an_error_in_words(evaluated, tmp_path):
    with pytest.raises(TrainingError, match="diverged: its loss was not a number in epoch"):
        evaluated(tmp_path / "run", "training.learning_rate=1e30")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("model.conv_channels=[4, 4, 4, 4, 4, 4, 4, 4]", "too small to be halved 8 times"),
        ("features.fmin_hz=30000", "do not fit a sampling rate of 16000 Hz"),
    ],
)
def test_recipe_that_cannot_work_is_refused_before_any_work(evaluated, tmp_path, change, reason):
    with pytest.raises(RecipeError, match=reason):
        evaluated(tmp_path / "run", change)
    assert not (tmp_path / "run").exists()


def test_folder_with_other_things_is_refused(evaluated, tmp_path):
    (tmp_path / "thesis.txt").write_text("do not touch")
    with pytest.raises(RunError, match="is not a run folder"):
        evaluated(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_one_fold_alone_is_that_fold_of_the_whole(evaluated, run, tmp_path):
    evaluated(tmp_path / "one", only_fold=1)
    whole = pd.read_csv(run / "predictions.csv")
    one = pd.read_csv(tmp_path / "one/predictions.csv")
    pd.testing.assert_frame_equal(one, whole[whole.fold == 1].reset_index(drop=True))
    with pytest.raises(ProtocolError, match="there is no fold 3"):
        evaluated(tmp_path / "none", only_fold=3)


@pytest.mark.slow
def test_precision_changes_the_rounding_and_not_the_learning(evaluated, run, tmp_path):
    results = evaluated(tmp_path / "fp32", "training.precision=fp32").results
    fast = json.loads((run / "results.json").read_text())
    for slow_fold, fast_fold in zip(results["folds"], fast["folds"], strict=True):
        assert slow_fold["curve"][0]["loss"] == pytest.approx(fast_fold["curve"][0]["loss"], rel=0.25)


@pytest.mark.parametrize(
    ("tasks", "workers", "threads", "each"),
    [
        (5, 2, 2, [1, 1, 1, 1, 2]),
        (4, 2, 2, [1, 1, 1, 1]),
        (5, 3, 6, [2, 2, 2, 3, 3]),
        (2, 4, 4, [2, 2]),
        (2, 1, 2, [2, 2]),
        (3, 2, 1, [1, 1, 1]),
        (0, 2, 2, []),
    ],
)
def test_the_last_folds_take_the_cores_that_would_idle(tasks: int, workers: int, threads: int, each: list[int]) -> None:
    assert threads_each(tasks, workers, threads) == each


@pytest.mark.slow
def test_a_fold_left_over_is_fitted_with_all_threads(evaluated: Evaluated, tmp_path: Path) -> None:
    given: list[int] = []

    class Here(ThisProcess):
        def run(self, work: Any, tasks: Any, workers: int | None = None, **rest: Any) -> Any:
            given.extend(task.threads for task in tasks)
            return super().run(work, tasks, workers, **rest)

    evaluated(tmp_path / "run", "training.epochs=1", threads=2, engine=Here())
    assert given == [1, 1, 2]
