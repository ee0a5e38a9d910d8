"""A search for the recipe's discriminant with Optuna, on inner splits of EmoBox's fold 1 of AESDD, and nothing else.

    python benchmarks/search.py aesdd:PATH --protocols FOLDER --out docs/results --trials 40

Divides the training part (454 recordings) as inner_choice.py does. What is sought is the mean of the accuracy on random
parts and on actors left out. Distorted copies stay as the recipe has them: they are there for noise and lines, which
this search does not hear. Every trial is kept in --storage, an Optuna study: cut short, the same command goes on.
It needs Optuna: pip install optuna. Writes search.csv (all trials) and search.json (the best one, and how much each
setting mattered).
"""

import shlex
import sys
from pathlib import Path

import numpy as np
import optuna
from inner_choice import DIVIDED, accuracies, arguments, training_part

from thymos.engine.process import set_up_process
from thymos.files import write_json, write_text
from thymos.scoring.results import versions

SPEEDS = (1.0, 0.9, 1.1, 0.8, 0.85, 0.95, 1.05, 1.15, 1.2)
BEGINNINGS = tuple(
    {"shrinkage": 0.4, "recorded_share": share, "speeds": 9, "scored_speeds": 1} for share in (1 / 15, 0.5)
)
"""What the search begins with: recordings as they are count as one of fifteen versions, and half."""


def changes_of(trial: optuna.Trial) -> tuple[str, ...]:
    """Return the recipe's changes that ``trial`` asks for."""
    speeds = trial.suggest_categorical("speeds", [3, 5, 9])
    return (
        f"discriminant.shrinkage={trial.suggest_float('shrinkage', 0.1, 0.9):.3f}",
        f"discriminant.scored_speeds={trial.suggest_categorical('scored_speeds', [1, 3])}",
        f"discriminant.recorded_share={trial.suggest_float('recorded_share', 0.05, 0.9):.3f}",
        f"speeds={list(SPEEDS[:speeds])}",
    )


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--storage", type=Path, default=Path("runs/search.db"))
    parser.add_argument("--set", action="append", default=[], help="a change of the recipe in all trials")
    args = parser.parse_args()
    part = training_part(args)
    args.storage.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=0)
    storage = f"sqlite:///{args.storage}"
    study = optuna.create_study(
        storage=storage, study_name="discriminant", load_if_exists=True, direction="maximize", sampler=sampler
    )
    for beginning in () if study.trials else BEGINNINGS:
        study.enqueue_trial(beginning)

    def objective(trial: optuna.Trial) -> float:
        asked, means = (*changes_of(trial), *args.set), []
        for key, divided in DIVIDED.items():
            means.append(float(np.mean(accuracies(part, asked, divided, args.cache_dir))))
            trial.set_user_attr(key, means[-1])
        print(f"{trial.number}: {means} {trial.params}", file=sys.stderr, flush=True)
        return float(np.mean(means))

    done = sum(trial.state.is_finished() for trial in study.trials)
    study.optimize(objective, n_trials=max(0, args.trials - done))
    frame = study.trials_dataframe(attrs=("number", "value", "params", "user_attrs", "state"))
    write_text(args.out / "search.csv", frame.to_csv(index=False, float_format="%.5f"))
    found = {"best": study.best_trial.number, "best_params": study.best_params, "best_value": study.best_value}
    found["importances"] = optuna.importance.get_param_importances(study)
    write_json(
        args.out / "search.json", {"command": shlex.join(["python", *sys.argv]), "versions": versions(), **found}
    )
    print(frame.sort_values("value", ascending=False).head(10).to_string(index=False))


if __name__ == "__main__":
    set_up_process()
    main()
