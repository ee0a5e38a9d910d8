"""The two sides of the comparison, each as one command from audio files to scores."""

from __future__ import annotations

import csv
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import BenchError, Finished, run_command
from study_env import STUDY_DIR

RECIPE, PROTOCOL = "model3", "recording"
FAST_PRECISION = "bf16"

ClipFolds = dict[str, int]  # clip, relative to the corpus, to the fold it is tested in


@dataclass(frozen=True)
class Bench:
    """What every run of one benchmark shares."""

    corpus: Path
    thymos: tuple[str, ...]
    folds: int


@dataclass(frozen=True)
class ThymosRun:
    finished: Finished
    results: dict[str, Any]
    clip_folds: ClipFolds

    @property
    def fold_accuracies(self) -> list[float]:
        return [float(fold["segment"]["accuracy"]) for fold in self.results["folds"]]

    def record(self) -> dict[str, Any]:
        """The part of a run that the results keep."""
        folds = self.results["folds"]
        return {
            **timing_record(self.finished),
            "segment_accuracy": sum(fold["segment"]["accuracy"] for fold in folds) / len(folds),
            "recording_accuracy": sum(fold["recording"]["accuracy"] for fold in folds) / len(folds),
        }


@dataclass(frozen=True)
class StudyRun:
    finished: Finished
    result: dict[str, Any]

    def record(self) -> dict[str, Any]:
        stages = ("import_s", "feature_s", "train_s", "score_s")
        scores = ("segment_accuracy", "recording_accuracy", "peak_rss_mb")
        return {**timing_record(self.finished), **{key: self.result[key] for key in stages + scores}}


def timing_record(finished: Finished) -> dict[str, float]:
    return {
        "wall_s": round(finished.wall_s, 3),
        "cpu_s": round(finished.cpu_s, 3),
        "load_before": round(finished.load_before, 2),
    }


def run_thymos(
    bench: Bench,
    seed: int,
    precision: str = FAST_PRECISION,
    fold: int | None = None,
    sample_memory: bool = False,
) -> ThymosRun:
    """Evaluate once, all folds or one, with a feature cache that starts empty and goes away afterwards."""
    with tempfile.TemporaryDirectory(prefix="thymos-bench-") as scratch:
        out = Path(scratch) / "out"
        options = {
            "--recipe": RECIPE,
            "--protocol": PROTOCOL,
            "--folds": str(bench.folds),
            "--seed": str(seed),
            "--out": str(out),
            "--cache-dir": str(Path(scratch) / "cache"),
            "--precision": precision,
        }
        if fold is not None:
            options["--fold"] = str(fold)
        words = [word for option in options.items() for word in option]
        command = [*bench.thymos, "evaluate", f"aesdd:{bench.corpus}", *words]
        finished = run_command(command, "Thymos", sample_memory, done=(0, 1))  # 1: AESDD has a broken file
        return ThymosRun(finished, _read_results(out), _read_clip_folds(out))


def run_study(
    bench: Bench,
    python: Path,
    seed: int,
    clip_folds: ClipFolds,
    folds: list[int],
    sample_memory: bool = False,
) -> StudyRun:
    """Run the study's method over the given folds in one process, on the clips that Thymos used."""
    job = {
        "corpus": str(bench.corpus),
        "seed": seed,
        "folds": [fold_lists(clip_folds, fold) for fold in folds],
    }
    with tempfile.TemporaryDirectory(prefix="thymos-bench-") as scratch:
        job_path = Path(scratch) / "job.json"
        job_path.write_text(json.dumps(job), encoding="utf-8")
        command = [str(python), str(STUDY_DIR / "run_fold.py"), str(job_path)]
        finished = run_command(command, "The study's stack", sample_memory)
    result = _parse_study_line(finished.stdout)
    dropped = [clip for fold in result["folds"] for clip in fold["dropped"]]
    if dropped:
        raise BenchError(f"The study's stack could not use {dropped[0]}, which Thymos used.")
    return StudyRun(finished, result)


def fold_lists(clip_folds: ClipFolds, fold: int) -> dict[str, Any]:
    return {
        "fold": fold,
        "train": [clip for clip, own in clip_folds.items() if own != fold],
        "test": [clip for clip, own in clip_folds.items() if own == fold],
    }


def _parse_study_line(stdout: str) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(stdout.splitlines()[-1])
        return result
    except (IndexError, ValueError) as error:
        raise BenchError("The study's stack ended without a line of results.") from error


def _read_results(out: Path) -> dict[str, Any]:
    try:
        results: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
        for fold in results["folds"]:
            for level in ("segment", "recording"):
                float(fold[level]["accuracy"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"Thymos's results.json is not usable: {error!r}.") from error
    if not results["folds"]:
        raise BenchError("Thymos's results.json holds no fold.")
    return results


def _read_clip_folds(out: Path) -> ClipFolds:
    clip_folds: ClipFolds = {}
    try:
        with (out / "predictions.csv").open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                clip, fold = row["clip"], int(row["fold"])
                if clip_folds.setdefault(clip, fold) != fold:
                    raise BenchError(f"Thymos's predictions.csv tests {clip} in more than one fold.")
    except (OSError, ValueError, KeyError) as error:
        raise BenchError(f"Thymos's predictions.csv is not usable: {error!r}.") from error
    return clip_folds
