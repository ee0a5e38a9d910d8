"""Runs in a real MLflow store: what its users look for is there, once, and nothing is sent to anybody."""

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import toys

from thymos.errors import ArgumentError, RunError
from thymos.reports.run_report import write_report
from thymos.reports.tracking import Tracker, tracker_of
from thymos.scoring.results import read_results

if importlib.util.find_spec("mlflow") is None:  # importing it takes longer than most tests do
    pytest.skip("needs mlflow", allow_module_level=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow") / "mlflow.db"


@pytest.fixture
def tracker(store: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.chdir(store.parent)  # where artefacts go
    found = tracker_of(f"mlflow:sqlite:///{store}")
    assert found is not None
    return found


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of MLflow's own server on this machine, which keeps what runs send to it, files too.

    The extra ``track`` brings MLflow without it: `pip install mlflow`, here or for the Python that THYMOS_MLFLOW names.
    """
    python = os.environ.get("THYMOS_MLFLOW") or (sys.executable if importlib.util.find_spec("flask_cors") else "")
    if not python:
        pytest.skip("no server of MLflow: pip install mlflow, or set THYMOS_MLFLOW to a Python that has it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder, port = tmp_path / "server", address.partition(":")[2]
    folder.mkdir()
    kept = ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder / "files")]
    command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1", *kept]
    env = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + 240
        while not _answers(f"http://{address}/health"):
            assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.5)
        yield f"http://{address}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its workers, too
        process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, trust_env=False).text == "OK"
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_a_server_of_mlflow_has_it_all(
    server: str,
    thymos_here: Any,
    make_tones: Any,
    write_toy_encoder: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asked by HTTP, as its page does: parameters, each fold's metrics, and the very bytes of the files."""
    make_tones(tmp_path / "tones", takes=2)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tones")
    recipe = toys.RECIPE | {"start_from": str(write_toy_encoder("tracked"))}
    (tmp_path / "toy.yaml").write_text(json.dumps(recipe))
    words = ("evaluate", "tones/clips.csv", "--out", "run", "--recipe", "toy.yaml", "--folds", "3")
    for _ in range(2):  # the second time it is there already
        done = thymos_here(*words, "--cache-dir", "cache", "--track", f"mlflow:{server}")
        assert done.returncode == 0, done.stderr
    with httpx.Client(base_url=f"{server}/api/2.0/mlflow", trust_env=False, timeout=60) as asked:
        found = asked.get("/experiments/get-by-name", params={"experiment_name": "tones"}).json()["experiment"]
        (run,) = asked.post("/runs/search", json={"experiment_ids": [found["experiment_id"]]}).json()["runs"]
        told = {each["key"]: each["value"] for each in run["data"]["params"]}
        assert (told["corpus"], told["protocol"], told["folds"]) == ("tones", "recording", "3")
        results = read_results(tmp_path / "run")
        assert run["info"]["status"] == "FINISHED"
        scored = {each["key"]: each["value"] for each in run["data"]["metrics"]}
        assert scored["uar"] == pytest.approx(results.summary.recording.uar.mean)
        of_fold = {"run_id": run["info"]["run_id"], "metric_key": "fold_uar"}
        history = asked.get("/metrics/get-history", params=of_fold).json()["metrics"]
        assert {each.get("step", 0): each["value"] for each in history} == {
            place: pytest.approx(fold.recording.uar) for place, fold in enumerate(results.folds)
        }
    place = run["info"]["artifact_uri"].removeprefix("mlflow-artifacts:")
    sent = httpx.get(f"{server}/api/2.0/mlflow-artifacts/artifacts{place}/predictions.csv", trust_env=False)
    assert sent.content == (tmp_path / "run/predictions.csv").read_bytes()
