"""A whole evaluation: corpus, recipe and protocol in, a run folder with results out."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from thymos.corpora.folds import Fold
from thymos.corpora.protocols import Split, protocol_named, shuffle_labels
from thymos.corpora.table import Clip, Corpus
from thymos.engine.workers import Report
from thymos.errors import CorpusError, ProtocolError
from thymos.evaluation.crossval import cross_validate
from thymos.evaluation.methods import method_for
from thymos.evaluation.run import RunFolder
from thymos.files import write_json
from thymos.recipes import EvaluableRecipe
from thymos.scoring.predictions import write_predictions
from thymos.scoring.results import make_results, versions


@dataclass(frozen=True)
class EvaluationPlan:
    """What is to be evaluated, apart from the corpus; all of it decides the numbers."""

    recipe: EvaluableRecipe
    protocol: str = "recording"
    folds: int = 5
    repeats: int = 1
    seed: int = 0
    shuffled_labels: bool = False
    only_fold: int | None = None
    """Run this fold alone, counted from 0 over all repeats."""
    threads: int = 2
    """Torch threads for each fold. Another number adds in another order, and so rounds otherwise."""


@dataclass(frozen=True)
class Watcher:
    """Who is told how far it is; every part may be left out."""

    on_pictures: Callable[[int], None] = lambda total: None
    """How many steps the preparation has; for most recipes they are pictures."""
    on_picture: Callable[[], None] = lambda: None
    on_folds: Callable[[int, int], None] = lambda folds, epochs: None
    """How many folds there are, and how many epochs each reports: 0 where what is fitted knows none."""
    on_report: Report = lambda message: None
    on_fold: Callable[[Fold], None] = lambda fold: None


def evaluate(
    corpus: Corpus,
    plan: EvaluationPlan,
    out: Path,
    cache_dir: Path,
    workers: int = 1,
    command: str = "",
    watcher: Watcher = Watcher(),
) -> dict[str, Any]:
    """Cross-validate ``plan`` on ``corpus``, write ``results.json`` and ``predictions.csv`` to ``out``, return results.

    A run that was cut short goes on where it stopped, with the same numbers in the end; a finished one is left alone.

    Args:
        corpus: what to evaluate on.
        plan: recipe, protocol and seed.
        out: the run folder; new, empty, or an earlier run of the same.
        cache_dir: where pictures, or what else is made of sound, are kept.
        workers: folds fitted at once; does not change the numbers.
        command: for the record.
        watcher: told how far it is.

    Raises:
        ProtocolError: the protocol does not fit the corpus.
        LeakageError: its folds leak.
        RecipeError: what the recipe asks for cannot be built, or its kind is not evaluated.
        MissingExtraError: the recipe needs a library that is not installed.
        TrainingError: the loss stopped being a number.
        RunError: ``out`` holds something else.
    """
    started = time.perf_counter()
    method = method_for(plan.recipe)
    corpus = usable_for(corpus, plan.recipe)
    if plan.shuffled_labels:
        corpus = shuffle_labels(corpus, plan.seed)
    split = protocol_named(plan.protocol, plan.folds, plan.repeats).split(corpus, plan.seed)
    if plan.only_fold is not None:
        if not 0 <= plan.only_fold < len(split.folds):
            raise ProtocolError(f"there is no fold {plan.only_fold}: they are 0 to {len(split.folds) - 1}")
        split = replace(split, folds=(split.folds[plan.only_fold],))
    method.check(corpus, plan.recipe)
    run = RunFolder(out)
    run.claim(_identity(corpus, plan, split))
    resumed = sum(map(run.is_finished, split.folds))
    if resumed == len(split.folds) and (before := run.results()) is not None:
        return before
    watcher.on_pictures(method.steps(corpus, plan.recipe))
    material = method.prepare(corpus, plan.recipe, cache_dir, watcher.on_picture, workers * plan.threads, plan.seed)
    features_wall_s = time.perf_counter() - started
    watcher.on_folds(len(split.folds), method.epochs(plan.recipe))
    fold_results = cross_validate(
        corpus,
        plan.recipe,
        split,
        material,
        run,
        plan.seed,
        workers,
        plan.threads,
        watcher.on_report,
        watcher.on_fold,
    )
    facts = {
        "shuffled_labels": plan.shuffled_labels,
        "threads": plan.threads,
        "command": command,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_s": round(time.perf_counter() - started, 3),
        "resumed_folds": resumed,
        "features_wall_s": round(features_wall_s, 3),
        **_beside_the_recipe(plan),
    }
    results = make_results(corpus, plan.recipe, split, fold_results, plan.seed, facts)
    write_predictions(out / "predictions.csv", pd.concat([frame for _, frame in fold_results]))
    write_json(out / "results.json", results)
    return results


def usable_for(corpus: Corpus, recipe: EvaluableRecipe) -> Corpus:
    """Return ``corpus`` without the clips that the recipe's rules leave out, the reasons kept.

    Raises:
        CorpusError: fewer than two emotions are left.
    """
    most = recipe.max_silence_s

    def too_silent(clip: Clip) -> str | None:
        if most is None or clip.sound.silence_s <= most:
            return None
        return f"is left out: {clip.sound.silence_s:.1f} s of its {clip.sound.duration_s:.1f} s are silence"

    usable = corpus.excluding(too_silent)
    if len(usable.emotions) < 2:
        raise CorpusError(f"{corpus.root} has recordings of {len(usable.emotions)} emotion; two are needed")
    return usable


def _identity(corpus: Corpus, plan: EvaluationPlan, split: Split) -> dict[str, Any]:
    """What a run folder belongs to: everything that decides its numbers."""
    divided = [asdict(fold) for fold in split.folds]
    return {
        "format": 1,
        "recipe": plan.recipe.model_dump(mode="json"),
        "protocol": plan.protocol,
        "folds": plan.folds,
        "repeats": plan.repeats,
        "seed": plan.seed,
        "shuffled_labels": plan.shuffled_labels,
        "only_fold": plan.only_fold,
        "threads": plan.threads,
        "versions": {package: versions()[package] for package in ("thymos", "torch", "numpy")},
        "corpus": {clip.path: f"{clip.emotion} {clip.speaker} {clip.sound.sha256}" for clip in corpus.clips},
        # A list of folds that somebody else drew may change under the same name.
        "division": hashlib.sha256(json.dumps(divided).encode()).hexdigest(),
        **_beside_the_recipe(plan),
    }


def _beside_the_recipe(plan: EvaluationPlan) -> dict[str, Any]:
    deciding = method_for(plan.recipe).deciding(plan.recipe)
    return {"deciding": deciding} if deciding else {}
