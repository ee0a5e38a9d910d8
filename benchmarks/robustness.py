"""How much of a recipe's accuracy is left in noise, on the telephone, in a room; and where in a corpus it is right.

    python benchmarks/robustness.py aesdd:PATH --out docs/results [--recipe thymos-aesdd] [--protocol recording]

Writes robustness.json, robustness.md and the figure robustness of what ``thymos.evaluation.robustness`` finds, for a
recipe of any kind.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from thymos.audio.distort import CLEAN
from thymos.engine.process import set_up_process
from thymos.errors import ThymosError
from thymos.evaluation.robustness import robustness
from thymos.files import figure_formats, write_json, write_text
from thymos.recipes import load_experiment
from thymos.reports.comparison_report import ForestRow, Mark, forest_figure, make_forest
from thymos.reports.figures import save_figure
from thymos.scoring.breakdown import breakdown
from thymos.scoring.results import versions

GENDERS = {"1": "female", "2": "female", "5": "female", "3": "male", "4": "male", "6": "male"}
"""Of AESDD's actors, by the median pitch of ten sad clips of each, 223 to 251 Hz and 122 to 125 Hz: the corpus does not
say, but that three of its first five are women."""


def measure(args: argparse.Namespace) -> dict[str, Any]:
    experiment = load_experiment(args.recipe, args.set)
    found = robustness(
        args.corpus,
        experiment,
        args.protocol,
        seed=args.seed,
        cache_dir=args.cache_dir,
        threads=args.threads,
        on_fold=lambda fold: print(f"{fold.name}: done", file=sys.stderr, flush=True),
    )
    corpus = found.corpus
    durations_s = {clip.path: clip.sound.duration_s for clip in corpus.clips}
    genders = GENDERS if corpus.kind == "aesdd" and not corpus.synthetic else None
    groups = breakdown(found.scored[CLEAN], corpus.emotions, durations_s, genders, args.seed)
    return {
        "command": shlex.join(["python", *sys.argv]),
        "recipe": experiment.settings(),
        "protocol": found.split.name,
        "seed": args.seed,
        "conditions": [asdict(row) for row in found.table],
        "groups": [asdict(row) for row in groups],
        "versions": versions(),
    }


def as_markdown(found: dict[str, Any]) -> str:
    lines = [
        f"`{found['command']}`, {found['conditions'][0]['recordings']} recordings; percent [95 % interval].",
        "",
        "| condition | accuracy | UAR | points beside clean |",
        "|---|---|---|---|",
    ]
    for row in found["conditions"]:
        accuracy, uar = (_percent(row[name], row[f"{name}_ci95"]) for name in ("accuracy", "uar"))
        low, high = row["difference_ci95"]
        lines.append(f"| {row['condition']} | {accuracy} | {uar} | {row['difference']:.1f} [{low:.1f}, {high:.1f}] |")
    lines += ["", "| by | group | recordings | accuracy, clean |", "|---|---|---|---|"]
    for row in found["groups"]:
        accuracy = _percent(row["accuracy"], row["accuracy_ci95"])
        lines.append(f"| {row['by']} | {row['group']} | {row['recordings']} | {accuracy} |")
    return "\n".join(lines) + "\n"


def as_figure(found: dict[str, Any]) -> Figure:
    """A forest plot of the accuracy under each condition, and of each group of clean recordings."""
    rows = [(row["condition"], "under conditions", row) for row in found["conditions"]]
    rows += [(row["group"], f"clean, by {row['by']}", row) for row in found["groups"]]
    forest = make_forest(
        [
            ForestRow(name, group, (Mark("recording", row["accuracy"], *row["accuracy_ci95"]),))
            for name, group, row in rows
        ],
        found["conditions"][0]["accuracy"],
        step=0.05,
    )
    assert forest is not None
    return forest_figure(forest, "accuracy in %, with 95 % intervals", {"recording": "per recording"})


def _percent(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", default="thymos-aesdd")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--protocol", default="recording")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cache-dir", type=Path)
    parser.add_argument("--figures", default="png")
    args = parser.parse_args()
    try:
        formats = figure_formats(args.figures)
        found = measure(args)
    except ThymosError as error:
        raise SystemExit(str(error)) from None
    write_json(args.out / "robustness.json", found)
    write_text(args.out / "robustness.md", as_markdown(found))
    save_figure(as_figure(found), args.out / "robustness", formats)
    print(as_markdown(found))


if __name__ == "__main__":
    set_up_process()
    main()
