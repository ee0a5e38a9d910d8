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
from thymos.corpora import open_corpus
from thymos.corpora.protocols import FoldsFromFile, protocol_named
from thymos.corpora.table import Corpus
from thymos.encoder import experiment as whole_folds
from thymos.engine.process import set_up_process
from thymos.engine.threads import one_thread
from thymos.files import write_json, write_text
from thymos.recipes import load_recipe
from thymos.scoring.predictions import scored_recordings
from thymos.scoring.results import versions

DIVISION_SEED = 7
DIVISIONS = 3
"""So often the random parts are drawn."""
VARIANTS: dict[str, tuple[str, ...]] = {
    "the recipe": (),
    "statistics alone": ("discriminant.parts=[statistics]",),
    "embedding alone": ("discriminant.parts=[embedding]",),
    "all versions alike": ("discriminant.recorded_share=null", "discriminant.distorted_share=null"),
    "shrinkage 0.25": ("discriminant.shrinkage=0.25",),
    "shrinkage 0.6": ("discriminant.shrinkage=0.6",),
    "trained on the recorded speed only": (
        "speeds=[1.0]",
        "discriminant.recorded_share=null",
        "discriminant.distorted_share=null",
    ),
    "distorted copies count 20 %": ("discriminant.distorted_share=0.2",),
    "recordings as they are count 50 %": ("discriminant.recorded_share=0.5",),
    "without distorted copies": ("discriminant.distorted_copies=0",),
    "scored as the mean over three speeds": ("discriminant.scored_speeds=3",),
}


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    cache_dir = args.cache_dir or default_cache_dir()
    corpus = open_corpus(args.corpus, cache_dir=cache_dir)
    part = corpus.part(FoldsFromFile(args.protocols).split(corpus).folds[0].train)
    found = []
    for name, changes in VARIANTS.items():
        row: dict[str, Any] = {"variant": name, "changes": list(changes)}
        for key, protocol in (("random", "take"), ("actors", "speaker")):
            row[key] = accuracies(part, (*changes, "calibration_splits=0"), protocol, cache_dir)
        found.append(row)
        print(f"{name}: {np.mean(row['random']):.3f} {np.mean(row['actors']):.3f}", file=sys.stderr, flush=True)
    return found


def accuracies(part: Corpus, changes: tuple[str, ...], protocol: str, cache_dir: Path) -> list[float]:
    """Return the accuracy of each inner fold."""
    recipe = load_recipe("thymos", changes)
    divided = protocol_named(protocol, 3, DIVISIONS if protocol == "take" else 1).split(part, DIVISION_SEED)
    material = whole_folds.prepare(part, recipe, cache_dir, lambda: None, 2, 0)
    scores = []
    for task in whole_folds.tasks(part, recipe, divided, material, 0):
        _, frame = whole_folds.run_whole_fold(task, lambda message: None)
        scored = scored_recordings(frame, part.emotions)
        scores.append(float((scored.predicted == scored.truth).mean()))
    return scores


def as_markdown(found: list[dict[str, Any]]) -> str:
    lines = ["| variant | random thirds, three times | six actors |", "|---|---|---|"]
    for row in found:
        cells = []
        for key in ("random", "actors"):
            percent = 100 * np.array(row[key])
            cells.append(f"{percent.mean():.1f} ± {percent.std(ddof=1):.1f}")
        lines.append(f"| {row['variant']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--protocols", type=Path, required=True, help="folder of EmoBox's lists for AESDD")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache-dir", type=Path)
    args = parser.parse_args()
    with one_thread():
        found = measure(args)
    write_json(args.out / "inner.json",
               {"command": shlex.join(["python", *sys.argv]), "versions": versions(), "rows": found})  # fmt: skip
    write_text(args.out / "inner.md", as_markdown(found))
    print(as_markdown(found))


if __name__ == "__main__":
    set_up_process()
    main()
