"""Runs in a real MLflow store: what its users look for is there, once, and nothing is sent to anybody."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thymos.errors import ArgumentError, RunError
from thymos.reports.run_report import write_report
from thymos.reports.tracking import Tracker, tracker_of
from thymos.scoring.results import read_results

pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow") / "mlflow.db"


@pytest.fixture
def tracker(store: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.chdir(store.parent)  # where artefacts go
    found = tracker_of(f"mlflow:sqlite:///{store}")
    assert found is not None
    return found


def test_a_run_is_there_with_parameters_metrics_by_fold_and_files(tracker: Tracker, write_run: Any) -> None:
    folder = write_run("first", lambda number: number % 4 != 0)
    content = json.loads((folder / "results.json").read_text())
    recipe = {"name": "own", "training": {"epochs": 5, "rates": [0.1, 0.2]}, "merge": {}, "note": None}
    (folder / "results.json").write_text(json.dumps(content | {"recipe": recipe}))
    write_report(folder)
    run = tracker.client.get_run(tracker.log_run(folder))
    assert run.info.status == "FINISHED" and run.info.run_name == "own on toy"
    told = run.data.params
    assert told["recipe.training.epochs"] == "5" and told["recipe.training.rates"] == "[0.1, 0.2]"
    assert (told["protocol"], told["folds"], told["seed"], told["corpus"]) == ("recording", "5", "0", "toy")
    results = read_results(folder)
    assert run.data.metrics["uar"] == results.summary.recording.uar.mean
    assert run.data.metrics["accuracy_ci_low"] == (results.summary.recording.accuracy.mean_ci95 or (0,))[0]
    by_fold = tracker.client.get_metric_history(run.info.run_id, "fold_accuracy")
    assert {at.step: at.value for at in by_fold} == {
        place: fold.recording.accuracy for place, fold in enumerate(results.folds)
    }
    names = {file.path for file in tracker.client.list_artifacts(run.info.run_id)}
    assert names == {"results.json", "predictions.csv", "report.html", "figures", "tables"}
    assert tracker.log_run(folder) == run.info.run_id, "the same results are not logged twice"


def test_a_study_is_a_run_with_its_rows_below(tracker: Tracker, write_run: Any, tmp_path: Path) -> None:
    out = tmp_path / "study"
    for slug, right in (("one", 3), ("two", 5)):
        shutil.copytree(write_run(slug, lambda number, right=right: number % right != 0), out / "rows" / slug)
    rows = [
        {
            "row": slug.title(),
            "slug": slug,
            "failed": None,
            "summary": read_results(out / "rows" / slug).as_json()["summary"],
        }
        for slug in ("one", "two")
    ]
    failed = {"row": "Three", "slug": "three", "failed": "no", "summary": None}
    study = {"format": 1, "name": "both", "corpus": {"name": "toy"}, "seed": 0, "quick": True, "rows": [*rows, failed]}
    (out / "study.json").write_text(json.dumps(study))
    parent = tracker.log_study(out)
    below = tracker.client.search_runs([tracker.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert {run.info.run_name for run in below} == {"One", "Two"}
    assert tracker.client.get_run(parent).data.metrics["rows"] == 3


def test_a_model_is_there_with_its_files(tracker: Tracker, bundle: Path) -> None:
    run = tracker.client.get_run(tracker.log_model(bundle))
    assert run.data.metrics["parameters"] > 0
    names = {file.path for file in tracker.client.list_artifacts(run.info.run_id, "model")}
    assert "model/model.json" in names and "model/head.npz" in names


def test_what_cannot_be_tracked_is_one_sentence_before_any_work(
    thymos_here: Any, mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArgumentError, match="did you mean 'mlflow'"):
        tracker_of("mlflo")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RunError, match=r"MLflow's store http://me:…@127\.0\.0\.1:9 cannot be used"):
        tracker_of("mlflow:http://me:secret@127.0.0.1:9")
    done = thymos_here("evaluate", mini, "--out", tmp_path / "run", "--track", "wandb")
    assert done.returncode == 2 and "no tracking by 'wandb'" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_by_default_it_writes_here_and_connects_to_nobody(write_run: Any, tmp_path: Path) -> None:
    """In a process of its own, as somebody new to it; with the user's word, if any, kept."""
    folder = write_run("run", lambda number: True)
    code = (
        "import sys; from thymos.reports.tracking import tracker_of; from pathlib import Path; import os;"
        "tracker_of('mlflow').log_run(Path(sys.argv[1])); print(os.environ['MLFLOW_DISABLE_TELEMETRY'])"
    )
    unset = (
        "MLFLOW_DISABLE_TELEMETRY",
        "DO_NOT_TRACK",
        "CI",
        "GITHUB_ACTIONS",
        "MLFLOW_TRACKING_URI",
        "PYTEST_CURRENT_TEST",
    )
    env = {name: value for name, value in os.environ.items() if name not in unset} | {"HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir()
    strace, calls = shutil.which("strace"), tmp_path / "calls"
    watched = [strace, "-f", "--seccomp-bpf", "-e", "trace=%network", "-o", str(calls)] if strace else []
    command = [*watched, sys.executable, "-c", code, str(folder)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "true"
    assert (tmp_path / "mlflow.db").is_file()
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file() and "thymos" not in str(path)]
    if strace:
        # A library binds a socket to itself, to learn whether there is IPv6; nothing is sent.
        assert not re.search(r"(connect|sendto|sendmsg|sendmmsg)\(.*AF_INET", calls.read_text(errors="replace"))
