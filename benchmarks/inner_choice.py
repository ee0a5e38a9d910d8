"""How the recipe was chosen: inner splits of the training part of EmoBox's fold 1 of AESDD, and nothing else.

    python benchmarks/inner_choice.py aesdd:PATH --protocols FOLDER --out docs/results

The training part (454 recordings) is divided into three random parts, three times, takes kept together, and by actor.
Each variant is fitted and scored on both; fold 1's test part never takes part. Writes inner.json and inner.md.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np

from thymos.cache import default_cache_dir
from thymos.corpora import Corpus, FoldsFromFile, LeaveOneSpeakerOut, Protocol, TakeFolds, open_corpus
from thymos.engine.process import one_thread, set_up_process
from thymos.evaluation.fitting import fold_tasks, run_fold
from thymos.experiment import Work
from thymos.files import write_json, write_text
from thymos.recipes import load_experiment
from thymos.scoring.predictions import scored_recordings
from thymos.scoring.results import versions

DIVISION_SEED = 7
DIVIDED: dict[str, Protocol] = {"random": TakeFolds(folds=3, repeats=3), "actors": LeaveOneSpeakerOut()}
VARIANTS: dict[str, tuple[str, ...]] = {
    "the recipe": (),
    "layer 2 alone": ("layers=[2]",),
    "layers 1 to 3": ("layers=[1, 2, 3]",),
    "shrinkage 0.2": ("shrinkage=0.2",),
    "shrinkage 0.5": ("shrinkage=0.5",),
    "as recorded alone": ("speeds=[1.0]", "distorted_copies=0"),
    "three speeds": ("speeds=[1.0, 0.9, 1.1]",),
    "recordings as they are count 50 %": ("recorded_share=0.5",),
    "distorted copies count 20 %": ("distorted_share=0.2",),
    "without distorted copies": ("distorted_copies=0",),
}


def accuracies(part: Corpus, changes: tuple[str, ...], divided: Protocol, cache_dir: Path) -> list[float]:
    """Return the accuracy of each inner fold of ``part`` by the recipe ``thymos-aesdd`` with ``changes``."""
    experiment, work = load_experiment("thymos-aesdd", (*changes, "calibrated=false")), Work(cache_dir, threads=2)
    features = experiment.features(part, work)
    tasks = fold_tasks(part, experiment, divided.split(part, DIVISION_SEED), features, 0, work)
    with one_thread():
        frames = [run_fold(task, lambda message: None)[1] for task in tasks]
    scored = [scored_recordings(frame, part.emotions) for frame in frames]
    return [float((each.predicted == each.truth).mean()) for each in scored]


def training_part(args: argparse.Namespace) -> Corpus:
    """Return the training part of EmoBox's first fold."""
    corpus = open_corpus(args.corpus, cache_dir=args.cache_dir)
    return corpus.part(FoldsFromFile(args.protocols).split(corpus).folds[0].train)


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--protocols", type=Path, required=True, help="folder of EmoBox's lists for AESDD")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache-dir", type=Path, default=default_cache_dir())
    return parser


def main() -> None:
    args = arguments(__doc__ or "").parse_args()
    part, rows = training_part(args), []
    lines = ["| variant | random thirds, three times | six actors |", "|---|---|---|"]
    for name, changes in VARIANTS.items():
        found = {key: accuracies(part, changes, divided, args.cache_dir) for key, divided in DIVIDED.items()}
        row: dict[str, Any] = {"variant": name, "changes": list(changes), **found}
        rows.append(row)
        percent = [100 * np.array(each) for each in found.values()]
        lines.append(f"| {name} | {' | '.join(f'{each.mean():.1f} ± {each.std(ddof=1):.1f}' for each in percent)} |")
        print(lines[-1], file=sys.stderr, flush=True)
    told = {"command": shlex.join(["python", *sys.argv]), "versions": versions(), "rows": rows}
    write_json(args.out / "inner.json", told)
    write_text(args.out / "inner.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    set_up_process()
    main()
