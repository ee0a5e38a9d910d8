"""The tables of the best small model: every protocol, what each part gives, and the controls.

    python benchmarks/accuracy.py aesdd:PATH --protocols FOLDER --out docs/results [--runs FOLDER] [--rows NAME ...]

Each of ROWS is one ``thymos evaluate``, whose run folder is kept under --runs: cut short, the same command goes
on. --protocols has EmoBox's lists for AESDD. Writes accuracy.json and accuracy.md; a row whose library is not
installed is named and left out.
"""

import argparse
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thymos.cache import default_cache_dir
from thymos.corpora import open_corpus
from thymos.engine.process import set_up_process
from thymos.errors import MissingExtraError
from thymos.evaluation.evaluate import EvaluationPlan, evaluate
from thymos.files import write_json, write_text
from thymos.machine import available_cores
from thymos.recipes import load_recipe
from thymos.scoring.results import versions

PROTOCOLS = {"EmoBox fold 1": ("file", 1), "recording": ("recording", 5), "sentence": ("sentence", 1),
             "speaker": ("speaker", 1)}  # fmt: skip
"""Name in the tables: protocol, and how often its folds are drawn anew."""


@dataclass(frozen=True)
class Row:
    """One line of a table: a recipe with changes, by some of the protocols."""

    name: str
    recipe: str = "thymos"
    changes: tuple[str, ...] = ()
    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    shuffled: bool = False
    repeats: int | None = None
    """None: as ``PROTOCOLS`` says."""
    seed: int | None = None
    """None: as --seed says."""


SEEDED = "thymos, copies drawn with seed "
ROWS = (
    Row("thymos"),
    *(Row(f"{SEEDED}{seed}", protocols=("EmoBox fold 1",), seed=seed) for seed in range(1, 5)),
    Row("openSMILE ComParE, linear SVM", "functionals-svm"),
    Row("zero-shot: never fitted to AESDD", "zero-shot", protocols=("speaker",)),
    Row("labels shuffled", shuffled=True, protocols=("recording", "speaker"), repeats=1),
    Row("fine-tuned network, no discriminant", "fine-tuned", protocols=("EmoBox fold 1",)),
    Row("statistics of the voice alone", changes=("discriminant.parts=[statistics]",), repeats=1),
    Row("embedding alone", changes=("discriminant.parts=[embedding]",), repeats=1),
    Row("scored as the mean over three speeds", changes=("discriminant.scored_speeds=3",), repeats=1),
    Row("all versions alike", changes=("discriminant.recorded_share=null", "discriminant.distorted_share=null"),
        repeats=1),
    Row("without distorted copies", changes=("discriminant.distorted_copies=0",), repeats=1),
)  # fmt: skip


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    cache_dir = args.cache_dir or default_cache_dir()
    corpus = open_corpus(args.corpus, cache_dir)
    found = []
    for row in ROWS:
        if args.rows and row.name not in args.rows:
            continue
        for protocol in row.protocols:
            kind, repeats = PROTOCOLS[protocol]
            plan = EvaluationPlan(
                load_recipe(row.recipe, [*row.changes, *args.set]),
                f"file:{args.protocols}" if kind == "file" else kind,
                repeats=row.repeats or repeats,
                seed=args.seed if row.seed is None else row.seed,
                shuffled_labels=row.shuffled,
                threads=args.threads,
            )
            out = args.runs / f"{row.name} by {protocol}".replace(" ", "-").replace(":", "").replace(",", "")
            try:
                results = evaluate(corpus, plan, out, cache_dir, 1, shlex.join(["python", *sys.argv]))
            except MissingExtraError as error:
                print(f"left out: {row.name}: {error}", file=sys.stderr)
                break
            found.append(_kept(row, protocol, results))
            accuracy, uar = (results["summary"]["recording"][name]["mean"] for name in ("accuracy", "uar"))
            print(f"{row.name}, {protocol}: accuracy {accuracy:.3f}, UAR {uar:.3f}", file=sys.stderr, flush=True)
    return found


def _kept(row: Row, protocol: str, results: dict[str, Any]) -> dict[str, Any]:
    """What of a run's results the tables are made of."""
    kept = ("recipe", "seed", "shuffled_labels", "wall_s", "versions", "per_speaker", "per_emotion", "calibration")
    return {
        "row": row.name,
        "protocol": protocol,
        "repeats": results["protocol"]["repeats"],
        "folds": len(results["folds"]),
        "parameters": max((fold.get("parameters") or 0) for fold in results["folds"]),
        "summary": results["summary"]["recording"],
        "fold_accuracies": [fold["recording"]["accuracy"] for fold in results["folds"]],
        **{key: results[key] for key in kept if key in results},
    }


def as_markdown(found: list[dict[str, Any]]) -> str:
    lines = ["Per recording, percent: mean ± sd over folds [95 % bootstrap interval over recordings].", ""]
    lines += ["| row | protocol, folds | accuracy | UAR |", "|---|---|---|---|"]
    for row in found:
        cells = [_cell(row["summary"][name]) for name in ("accuracy", "uar")]
        folds = f"{row['protocol']}, {row['repeats']} × {row['folds'] // row['repeats']}"
        lines.append(f"| {row['row']} | {folds} | {' | '.join(cells)} |")
    seeds = [row for row in found if row["protocol"] == "EmoBox fold 1" and row["row"].startswith("thymos")]
    if len(seeds) > 1:
        each = 100 * np.array([row["summary"]["accuracy"]["mean"] for row in seeds])
        lines += [
            "",
            f"`thymos`, EmoBox fold 1, mean ± sd over {len(each)} seeds: {each.mean():.1f} ± {each.std(ddof=1):.1f}.",
        ]
    lines += ["", "Accuracy of `thymos` by actor:", ""]
    own = [row for row in found if row["row"] == "thymos"]
    speakers = [speaker["speaker"] for speaker in own[0]["per_speaker"]] if own else []
    lines += [f"| protocol | {' | '.join(speakers)} |", "|---" * (1 + len(speakers)) + "|"]
    for row in own:
        of = {speaker["speaker"]: 100 * speaker["recording"]["accuracy"] for speaker in row["per_speaker"]}
        lines.append(f"| {row['protocol']} | {' | '.join(f'{of[word]:.1f}' for word in speakers)} |")
    calibrated = [row for row in own if "calibration" in row]
    lines += ["", "Calibration of `thymos`:", "", "| protocol | temperature | ECE before | ECE after | by chance | "
              "coverage of 90 % sets | their size | coverage by actor |", "|---" * 8 + "|"]  # fmt: skip
    lines += [_calibration_line(row) for row in calibrated]
    return "\n".join(lines) + "\n"


def _calibration_line(row: dict[str, Any]) -> str:
    told = row["calibration"]
    low, high = min(told["temperatures"]), max(told["temperatures"])
    sets = told["sets"]
    by_actor = ", ".join(f"{100 * quality['coverage']:.0f}" for quality in told["sets_by_speaker"].values())
    return (
        f"| {row['protocol']} | {low:.2f} to {high:.2f} | {told['ece_before']['value']:.3f} | "
        f"{told['ece_after']['value']:.3f} | {told['ece_after']['if_calibrated']:.3f} | "
        f"{100 * sets['coverage']:.1f} | {sets['mean_size']:.2f} | {by_actor} |"
    )


def _cell(score: dict[str, Any]) -> str:
    spread = "" if score["sd"] is None else f" ± {100 * score['sd']:.1f}"
    low, high = score["ci95"]
    return f"{100 * score['mean']:.1f}{spread} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--protocols", type=Path, required=True, help="folder of EmoBox's lists for AESDD")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--rows", action="append", help="only this row; may be repeated")
    parser.add_argument("--set", action="append", default=[], help="a change to every recipe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--cache-dir", type=Path)
    args = parser.parse_args()
    found = measure(args)
    write_json(args.out / "accuracy.json", {"command": shlex.join(["python", *sys.argv]), "versions": versions(),
                                            "rows": found})  # fmt: skip
    write_text(args.out / "accuracy.md", as_markdown(found))
    print(as_markdown(found))


if __name__ == "__main__":
    set_up_process()
    main()
