"""Measure Thymos against the study's own stack on AESDD: the same folds, one machine, in turns.

    python benchmarks/speed.py --corpus AESDD_FOLDER
    python benchmarks/speed.py --corpus AESDD_FOLDER --precision fp32

Run it with the Python of Thymos's environment; the study's stack gets one of its own on first use. The first
form times both sides and writes ``results/speed.json`` and ``results/speed.md``. The second times nothing: it
compares the accuracy of Thymos's fast settings with plain float32 and writes ``results/precision.*``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import statistics
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from processes import BenchError
from report import environment, precision_markdown, save, speed_markdown, thymos_versions
from stacks import FAST_PRECISION, Bench, ClipFolds, ThymosRun, run_study, run_thymos
from study_env import study_python

RESULTS = Path(__file__).resolve().parent / "results"
CORPUS_VARIABLE = "THYMOS_AESDD"
MEMORY_LIMIT_MB = 2000

Record = dict[str, Any]


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time Thymos against the study's stack on AESDD.")
    parser.add_argument(
        "--corpus",
        type=Path,
        default=os.environ.get(CORPUS_VARIABLE),
        help=f"the AESDD folder, one folder per emotion (default: ${CORPUS_VARIABLE})",
    )
    parser.add_argument("--pairs", type=int, default=3, help="timed pairs of one fold (default: 3)")
    parser.add_argument("--all-folds-pairs", type=int, default=3, help="the same of all folds (default: 3)")
    parser.add_argument("--folds", type=int, default=5, help="folds of the cross-validation (default: 5)")
    parser.add_argument("--fold", type=int, default=0, help="the fold of the one-fold pairs (default: 0)")
    parser.add_argument(
        "--seed", type=int, nargs="+", default=[0], help="seed; several only with --precision (default: 0)"
    )
    parser.add_argument(
        "--precision",
        choices=("fp32",),
        help=f"time nothing; compare the accuracy of {FAST_PRECISION} with this precision",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--study-python", type=Path, help="a Python that already has the study's stack")
    parser.add_argument("--thymos", help="command that starts Thymos (default: this Python's -m thymos)")
    return parser.parse_args(words)


def check(options: argparse.Namespace) -> Bench:
    if options.corpus is None:
        raise BenchError(f"Name the AESDD folder with --corpus or in {CORPUS_VARIABLE}.")
    if not options.corpus.is_dir():
        raise BenchError(f"The corpus {options.corpus} is not a folder.")
    if options.folds < 2 or not 0 <= options.fold < options.folds:
        raise BenchError("There must be two folds or more, and --fold must be one of them, from 0.")
    if options.pairs < 0 or options.all_folds_pairs < 0 or options.pairs + options.all_folds_pairs == 0:
        raise BenchError("Ask for one timed pair or more.")
    if len(options.seed) > 1 and not options.precision:
        raise BenchError("Several seeds are for --precision; the timings take one.")
    thymos = tuple(shlex.split(options.thymos)) if options.thymos else (sys.executable, "-m", "thymos")
    return Bench(options.corpus.resolve(), thymos, options.folds)


def time_pairs(
    bench: Bench, python: Path, seed: int, clip_folds: ClipFolds, fold: int | None, pairs: int, title: str
) -> Record:
    """Time both sides in turns; the first alternates, so that a drift of the machine evens out."""
    folds = list(range(bench.folds)) if fold is None else [fold]
    wanted = {clip: own for clip, own in clip_folds.items() if own in folds}
    records = []
    for number in range(pairs):
        order = ("study", "Thymos") if number % 2 == 0 else ("Thymos", "study")
        runs: dict[str, Record] = {}
        for side in order:
            if side == "study":
                runs[side] = run_study(bench, python, seed, clip_folds, folds).record()
            else:
                run = run_thymos(bench, seed, fold=fold)
                require_same_clips(run.clip_folds, wanted)
                runs[side] = run.record()
            print(f"{title}, pair {number + 1}: {side} {runs[side]['wall_s']:.1f} s", flush=True)
        ratio = runs["study"]["wall_s"] / runs["Thymos"]["wall_s"]
        print(f"{title}, pair {number + 1}: ratio {ratio:.1f}", flush=True)
        records.append({"first": order[0], "study": runs["study"], "thymos": runs["Thymos"], "ratio": ratio})
    section = {
        "title": title,
        "pairs": records,
        "study_median_s": statistics.median(pair["study"]["wall_s"] for pair in records),
        "thymos_median_s": statistics.median(pair["thymos"]["wall_s"] for pair in records),
        "median_ratio": statistics.median(pair["ratio"] for pair in records),
    }
    print(
        f"{title}: medians {section['study_median_s']:.1f} s and {section['thymos_median_s']:.1f} s, "
        f"ratio {section['median_ratio']:.1f}",
        flush=True,
    )
    return section


def require_same_clips(own: ClipFolds, wanted: ClipFolds) -> None:
    if own != wanted:
        raise BenchError("Thymos's folds differ from run to run, so the two sides did not do the same work.")


def measure_speed(bench: Bench, options: argparse.Namespace) -> None:
    """Untimed runs first: they give the folds and the memory, and warm the files and the compiled code."""
    seed = options.seed[0]
    python = options.study_python or study_python()
    print("Untimed run of Thymos over all folds: folds and memory.", flush=True)
    reference = run_thymos(bench, seed, sample_memory=True)
    if set(reference.clip_folds.values()) != set(range(bench.folds)):
        raise BenchError(f"Thymos did not test clips in each of the {bench.folds} folds.")
    print("Untimed run of the study's stack over one fold.", flush=True)
    warm = run_study(bench, python, seed, reference.clip_folds, [options.fold], sample_memory=True)
    sections: dict[str, Record] = {}
    if options.pairs:
        title = f"One fold of {bench.folds}"
        sections["one_fold"] = time_pairs(bench, python, seed, reference.clip_folds, options.fold, options.pairs, title)
    if options.all_folds_pairs:
        title = f"All {bench.folds} folds"
        sections["all_folds"] = time_pairs(
            bench, python, seed, reference.clip_folds, None, options.all_folds_pairs, title
        )
    memory_mb = reference.finished.peak_memory_mb or 0.0
    record = {
        "environment": environment(),
        "versions": {"study": warm.result["versions"], "Thymos": thymos_versions()},
        "settings": {
            "clips": len(reference.clip_folds),
            "folds": bench.folds,
            "seed": seed,
            "Thymos precision": FAST_PRECISION,
        },
        **sections,
        "memory": {
            "thymos_all_folds_mb": round(memory_mb, 1),
            "study_one_fold_mb": round(warm.finished.peak_memory_mb or 0.0, 1),
            "limit_mb": MEMORY_LIMIT_MB,
            "within_limit": memory_mb < MEMORY_LIMIT_MB,
        },
    }
    print(f"Thymos's memory over all folds: {memory_mb:.0f} MB of {MEMORY_LIMIT_MB} MB", flush=True)
    save(record, speed_markdown(record), options.results, "speed")


def compare_precision(bench: Bench, options: argparse.Namespace) -> None:
    runs: list[Record] = []
    differences: list[float] = []
    clips = 0
    for seed in options.seed:
        fast = run_thymos(bench, seed, FAST_PRECISION)
        reference = run_thymos(bench, seed, options.precision)
        require_same_clips(fast.clip_folds, reference.clip_folds)
        by_fold = fold_differences(fast, reference)
        differences += by_fold
        clips = len(fast.clip_folds)
        runs.append(
            {
                "seed": seed,
                "fast_by_fold": fast.fold_accuracies,
                "reference_by_fold": reference.fold_accuracies,
                "fast_mean": statistics.fmean(fast.fold_accuracies),
                "reference_mean": statistics.fmean(reference.fold_accuracies),
                "difference": statistics.fmean(by_fold),
            }
        )
        print(
            f"seed {seed}: {FAST_PRECISION} {runs[-1]['fast_mean']:.2%}, "
            f"{options.precision} {runs[-1]['reference_mean']:.2%}, difference {runs[-1]['difference']:+.2%}",
            flush=True,
        )
    record = {
        "environment": environment(),
        "versions": {"Thymos": thymos_versions()},
        "settings": {"clips": clips, "folds": bench.folds},
        "fast": FAST_PRECISION,
        "reference": options.precision,
        "runs": runs,
        "difference": statistics.fmean(differences),
        "standard_error": standard_error(differences),
    }
    save(record, precision_markdown(record), options.results, "precision")


def fold_differences(fast: ThymosRun, reference: ThymosRun) -> list[float]:
    pairs = zip(fast.fold_accuracies, reference.fold_accuracies, strict=True)
    return [one - other for one, other in pairs]


def standard_error(values: list[float]) -> float | None:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    options = parse_arguments()
    signal.signal(signal.SIGTERM, _interrupt)  # so that a plain kill cleans up as Ctrl-C does
    try:
        bench = check(options)
        if options.precision:
            compare_precision(bench, options)
        else:
            measure_speed(bench, options)
    except BenchError as error:
        print(f"speed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("speed: interrupted; no results written.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
