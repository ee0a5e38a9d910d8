"""Cross-validation: fit on the training part of each fold, score its test part, keep every prediction."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from thymos.corpora.folds import Fold
from thymos.corpora.protocols import Split
from thymos.corpora.table import Corpus
from thymos.engine.workers import Report, in_workers
from thymos.evaluation.methods import method_for
from thymos.evaluation.run import FoldResult, RunFolder
from thymos.recipes import EvaluableRecipe


def cross_validate(
    corpus: Corpus,
    recipe: EvaluableRecipe,
    split: Split,
    material: Any,
    run: RunFolder,
    seed: int,
    workers: int,
    threads: int,
    on_report: Report = lambda message: None,
    on_fold: Callable[[Fold], None] = lambda fold: None,
) -> list[FoldResult]:
    """Fit and score every fold of ``split`` that ``run`` has no result of, and return all results in order.

    Args:
        corpus: whose clips the folds name.
        recipe: what is fitted.
        split: its folds have passed the leakage guard.
        material: what the recipe's method prepared of ``corpus``.
        run: where finished folds are kept.
        seed: each fold's own is drawn from it and the fold's number.
        workers: folds fitted at once, each in a process of its own.
        threads: torch threads of each.
        on_report: gets ``(fold name, Epoch)`` after each epoch, from methods that have epochs.
        on_fold: called when a fold is done, or was done before.

    Raises:
        ProtocolError: a fold cannot be fitted by this recipe.
        RecipeError: no method evaluates recipes of this kind.
    """
    method = method_for(recipe)
    for fold in split.folds:
        if run.is_finished(fold):
            on_fold(fold)
    missing = replace(split, folds=tuple(fold for fold in split.folds if not run.is_finished(fold)))
    tasks = method.tasks(corpus, recipe, missing, material, seed)
    if tasks:
        for task, (facts, frame) in in_workers(method.run, tasks, min(workers, len(tasks)), threads, on_report):
            run.save(task.fold, facts, frame)
            on_fold(task.fold)
    # Read back, so that a run that was cut short and one that was not are made of the same digits.
    return [run.load(fold) for fold in split.folds]
