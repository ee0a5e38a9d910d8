"""Finished runs in a tracking store, as MLflow's users look for them: made from result files alone, and only if asked.

Parameters are the recipe's settings and how the run was asked for; metrics the scores, and those of each fold with the
fold's number as the step; artefacts the files of the run folder. A run whose results are in the store already is not
logged again.

MLflow is told to send nothing to its makers (``MLFLOW_DISABLE_TELEMETRY``), unless the user has set that variable.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from thymos.config import nearest
from thymos.errors import ArgumentError, MissingExtraError, RunError
from thymos.reports.study_report import read_study
from thymos.scoring.agreement import AGREEMENTS
from thymos.scoring.metrics import METRICS
from thymos.scoring.results import Results, Spread, read_results

LOCAL_STORE = "sqlite:///mlflow.db"
"""In the working folder: MLflow's own default, which ``mlflow ui`` opens there."""
EXPERIMENT = "thymos"
_DIGEST = "thymos.digest"
_MOST_PARAM = 6000
_AT_ONCE = 100


@dataclass(frozen=True)
class Tracker:
    """An open store and the experiment in it that runs are logged to."""

    client: Any
    experiment_id: str
    uri: str

    def log_run(self, folder: Path, parent: str | None = None, name: str | None = None) -> str:
        """Log the finished run in ``folder`` and return its id in the store.

        Args:
            folder: of ``thymos evaluate`` or ``search``, or of a study's row.
            parent: id of the run that it is a part of.
            name: what it is called; None: its recipe on its corpus.

        Raises:
            RunError: it is no finished run, or the store refuses it.
        """
        results = read_results(folder)
        name = name or f"{results.recipe.get('name', 'run')} on {results.corpus.name}"
        run, is_new = self._run(folder / "results.json", name, parent)
        if is_new:
            self._log(run, dict(_parameters(results)), list(_metrics(results)), folder)
        return run

    def log_study(self, out: Path) -> str:
        """Log the finished study in ``out``, a run with a run below it for each row, and return its id."""
        study = read_study(out)
        run, is_new = self._run(out / "study.json", study["name"], None)
        for row in study["rows"]:
            if not row["failed"]:
                self.log_run(out / "rows" / row["slug"], run, row["row"])
        if is_new:
            told = {
                "study": study["name"],
                "corpus": study["corpus"]["name"],
                "seed": study["seed"],
                "quick": study["quick"],
            }
            best = [row["summary"]["recording"]["uar"]["mean"] for row in study["rows"] if row["summary"]]
            metrics = [("rows", float(len(study["rows"])), 0)] + ([("best_uar", max(best), 0)] if best else [])
            self._log(run, told, metrics, out, ("study.*", "figures"))
        return run

    def log_model(self, folder: Path) -> str:
        """Log the bundle in ``folder`` and return its id in the store."""
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        run, is_new = self._run(folder / "model.json", about["name"], None)
        if is_new:
            told = dict(
                _flat({"recipe": about.get("recipe", {}), "seed": about.get("seed"), "labels": about["labels"]})
            )
            metrics = [("parameters", float(about["parameters"]), 0)]
            for scores in about.get("scores", []):
                metrics += [
                    (f"held_out_{name}", float(scores[name]), 0)
                    for name in METRICS
                    if isinstance(scores.get(name), float)
                ]
            self._log(run, told, metrics, folder, ("*",), "model")
        return run

    def _run(self, told_by: Path, name: str, parent: str | None) -> tuple[str, bool]:
        """Return the run of these results, and whether it is new in the store."""
        digest = hashlib.sha256(told_by.read_bytes() + str(parent).encode()).hexdigest()
        with _as_run_error(self.uri):
            found = self.client.search_runs([self.experiment_id], f"tags.`{_DIGEST}` = '{digest}'")
            done = [run.info.run_id for run in found if run.info.status == "FINISHED"]
            if done:
                return done[0], False
            tags = {
                "mlflow.runName": name,
                "mlflow.source.name": "thymos",
                "mlflow.source.type": "LOCAL",
                _DIGEST: digest,
            }
            tags |= {"mlflow.parentRunId": parent} if parent else {}
            return str(self.client.create_run(self.experiment_id, tags=tags).info.run_id), True

    def _log(
        self,
        run: str,
        params: Mapping[str, Any],
        metrics: list[tuple[str, float, int]],
        folder: Path,
        artefacts: tuple[str, ...] = (
            "results.json",
            "predictions.csv",
            "report.html",
            "search.json",
            "figures",
            "tables",
        ),
        into: str | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param

        told = [Param(_key(name), str(value)[:_MOST_PARAM]) for name, value in params.items()]
        scored = [Metric(_key(name), value, 0, step) for name, value, step in metrics]
        with _as_run_error(self.uri):
            for first in range(0, max(len(told), len(scored)), _AT_ONCE):
                part = slice(first, first + _AT_ONCE)
                self.client.log_batch(run, metrics=scored[part], params=told[part], tags=[])
            for path in sorted({path for pattern in artefacts for path in folder.glob(pattern)}):
                if path.is_dir():
                    self.client.log_artifacts(run, str(path), "/".join(filter(None, (into, path.name))))
                elif not path.name.startswith("."):
                    self.client.log_artifact(run, str(path), into)
            self.client.set_terminated(run)


def tracker_of(words: str | None) -> Tracker | None:
    """Return the store that ``words`` names, open; None where none is named.

    Args:
        words: ``mlflow``: what ``MLFLOW_TRACKING_URI`` names, else ``LOCAL_STORE``; or ``mlflow:URI``.

    Raises:
        ArgumentError: another word.
        MissingExtraError: MLflow is not installed.
        RunError: the store cannot be opened.
    """
    if words is None:
        return None
    kind, _, uri = words.partition(":")
    if kind != "mlflow":
        raise ArgumentError(f"--track {words}: there is no tracking by {kind!r}{nearest(kind, ['mlflow'])}")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # It would wait for minutes for a server that is not there, and warn of a git that it does not need.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    try:
        import logging

        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        logging.getLogger("alembic").setLevel(logging.ERROR)
    except ModuleNotFoundError:
        raise MissingExtraError("--track mlflow needs the library mlflow: pip install 'thymos[track]'") from None
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or LOCAL_STORE
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    with _as_run_error(uri):
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(name)
        return Tracker(client, found.experiment_id if found else client.create_experiment(name), uri)


class _as_run_error:
    """Turn whatever MLflow raises into one sentence."""

    def __init__(self, uri: str):
        self.uri = uri

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, RunError | ArgumentError):
            said = " ".join(str(error).split())[:200]
            raise RunError(f"MLflow's store {_without_password(self.uri)} cannot be used: {said}") from None


def _without_password(uri: str) -> str:
    place = urlsplit(uri)
    return uri.replace(f":{place.password}@", ":…@") if place.password else uri


def _parameters(results: Results) -> Iterator[tuple[str, Any]]:
    yield "corpus", results.corpus.name
    yield "corpus_kind", results.corpus.kind
    yield "clips", results.corpus.clips
    yield "protocol", results.protocol.name
    yield "folds", len(results.folds)
    yield "repeats", results.protocol.repeats
    yield "seed", results.seed
    yield "labels", ", ".join(results.labels)
    yield "shuffled_labels", results.shuffled_labels
    yield "thymos", results.versions.get("thymos")
    yield from _flat({"recipe": results.recipe})
    if search := (results.model_extra or {}).get("search"):
        yield from _flat({"search": {key: search[key] for key in ("metric", "inner_folds", "trials", "space")}})


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested settings by dotted names, as ``--set`` writes them."""
    for name, value in content.items():
        key = f"{before}{name}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{key}.")
        elif value is not None:
            yield key, json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _metrics(results: Results) -> Iterator[tuple[str, float, int]]:
    """Yield name, value and step of each metric; the step of a fold's own is its number over all repeats."""
    for level in results.levels if results.summary else ():
        assert results.summary is not None
        of = "" if level == "recording" else f"{level}_"
        for metric in METRICS:
            yield from _spread(f"{of}{metric}", getattr(results.summary.at(level), metric))
            yield f"{of}pooled_{metric}", getattr(results.summary.at(level).pooled, metric), 0
            for step, fold in enumerate(results.folds):
                yield f"fold_{of}{metric}", getattr(fold.at(level), metric), step
    for row in results.per_emotion:
        if row.recording.recall is not None:
            yield f"recall/{row.emotion}", row.recording.recall, 0
    for each in results.per_dimension:
        for metric in AGREEMENTS:
            yield from _spread(f"{each.dimension}_{metric}", getattr(each, metric))
            for step, own in enumerate(each.folds):
                yield f"fold_{each.dimension}_{metric}", getattr(own, metric), step
    if results.confidence:
        yield "ece", results.confidence["ece"]["value"], 0
        yield "nll", results.confidence["nll"], 0
    if results.calibration:
        yield "set_coverage", results.calibration["sets"]["coverage"], 0
    for step, trial in enumerate(((results.model_extra or {}).get("search") or {}).get("tried", [])):
        if trial["score"] is not None:
            yield "trial_score", trial["score"], step


def _spread(name: str, spread: Spread) -> Iterator[tuple[str, float, int]]:
    yield name, spread.mean, 0
    if spread.sd is not None:
        yield f"{name}_sd", spread.sd, 0
    bounds = spread.mean_ci95 or spread.ci95
    if bounds:
        yield f"{name}_ci_low", bounds[0], 0
        yield f"{name}_ci_high", bounds[1], 0


def _key(name: str) -> str:
    """Return ``name`` with no letter that MLflow refuses in a key."""
    return "".join(letter if letter.isalnum() or letter in "_-. /" else "_" for letter in name)[:250]
