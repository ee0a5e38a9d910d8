"""A search for the recipe's discriminant with Optuna, on inner splits of EmoBox's fold 1 of AESDD, and nothing else.

    python benchmarks/search.py aesdd:PATH --protocols FOLDER --out docs/results --trials 40

Divides the training part (454 recordings) as inner_choice.py does. What is sought is the mean of the accuracy on random
parts and on actors left out. Distorted copies stay as the recipe has them: they are there for noise and lines, which
this search does not hear. Every trial is kept in --storage, an Optuna study: cut short, the same command goes on.
It needs Optuna: pip install 'thymos[scale]'. Writes search.csv (all trials) and search.json (the best one, and how much
each setting mattered).
"""

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np
import optuna
from inner_choice import accuracies

from thymos.cache import default_cache_dir
from thymos.corpora import open_corpus
from thymos.corpora.protocols import FoldsFromFile
from thymos.corpora.table import Corpus
from thymos.engine.process import set_up_process
from thymos.engine.threads import one_thread
from thymos.files import write_json, write_text
from thymos.scoring.results import versions

SPEEDS = (1.0, 0.9, 1.1, 0.8, 0.85, 0.95, 1.05, 1.15, 1.2)
BEGINNINGS = (
    {"shrinkage": 0.4, "recorded_share": 1 / 15, "speeds": 9, "scored_speeds": 1},
    {"shrinkage": 0.4, "recorded_share": 0.5, "speeds": 9, "scored_speeds": 1},
)
"""What the search begins with: recordings as they are count as one of fifteen versions, and half."""


def changes_of(trial: optuna.Trial) -> tuple[str, ...]:
    """Return the recipe's changes that ``trial`` asks for."""
    speeds = trial.suggest_categorical("speeds", [3, 5, 9])
    scored = trial.suggest_categorical("scored_speeds", [1, 3])
    return (
        f"discriminant.shrinkage={trial.suggest_float('shrinkage', 0.1, 0.9):.3f}",
        f"discriminant.scored_speeds={scored}",
        f"discriminant.recorded_share={trial.suggest_float('recorded_share', 0.05, 0.9):.3f}",
        f"speeds={list(SPEEDS[:speeds])}",
        "calibration_splits=0",
    )


def search(part: Corpus, study: optuna.Study, trials: int, changes: tuple[str, ...], cache_dir: Path) -> None:
    def objective(trial: optuna.Trial) -> float:
        asked = (*changes_of(trial), *changes)
        random, actors = (np.mean(accuracies(part, asked, protocol, cache_dir)) for protocol in ("take", "speaker"))
        trial.set_user_attr("random", float(random))
        trial.set_user_attr("actors", float(actors))
        print(f"{trial.number}: random {random:.3f}, actors {actors:.3f} {trial.params}", file=sys.stderr, flush=True)
        return float(random + actors) / 2

    done = sum(trial.state.is_finished() for trial in study.trials)
    study.optimize(objective, n_trials=max(0, trials - done))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--protocols", type=Path, required=True, help="folder of EmoBox's lists for AESDD")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--storage", type=Path, default=Path("runs/search.db"))
    parser.add_argument("--set", action="append", default=[], help="a change of the recipe in all trials")
    parser.add_argument("--cache-dir", type=Path)
    args = parser.parse_args()
    cache_dir = args.cache_dir or default_cache_dir()
    corpus = open_corpus(args.corpus, cache_dir=cache_dir)
    part = corpus.part(FoldsFromFile(args.protocols).split(corpus).folds[0].train)
    args.storage.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{args.storage}", study_name="discriminant", load_if_exists=True, direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0),
    )  # fmt: skip
    if not study.trials:
        for beginning in BEGINNINGS:
            study.enqueue_trial(beginning)
    with one_thread():
        search(part, study, args.trials, tuple(args.set), cache_dir)
    frame = study.trials_dataframe(attrs=("number", "value", "params", "user_attrs", "state"))
    write_text(args.out / "search.csv", frame.to_csv(index=False, float_format="%.5f"))
    write_json(args.out / "search.json", {
        "command": shlex.join(["python", *sys.argv]), "versions": versions(), "best": study.best_trial.number,
        "best_params": study.best_params, "best_value": study.best_value,
        "importances": optuna.importance.get_param_importances(study),
    })  # fmt: skip
    print(frame.sort_values("value", ascending=False).head(10).to_string(index=False))


if __name__ == "__main__":
    set_up_process()
    main()
