"""How recipes of each kind are evaluated: the seam between cross-validation and what is fitted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thymos.baseline import experiment as functional_folds
from thymos.cnn import experiment as picture_folds
from thymos.corpora.protocols import Split
from thymos.corpora.table import Corpus
from thymos.encoder import experiment as whole_folds
from thymos.engine.workers import Report
from thymos.errors import RecipeError
from thymos.evaluation.run import FoldResult
from thymos.recipes import AnyRecipe


def _nothing(recipe: Any) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Method:
    """What an evaluation does with recipes of one kind, in the order in which it does it.

    Recipes, materials and tasks are of types of the method's own; nothing outside it looks into them, but for the
    attribute ``fold`` of a task.
    """

    check: Callable[[Corpus, Any], None]
    """``(corpus, recipe)``: raises a ``ThymosError``, before any work and before the run folder is claimed, if the
    recipe cannot be fitted to such a corpus or a library that it needs is not installed."""
    steps: Callable[[Corpus, Any], int]
    """``(corpus, recipe)``: how often ``prepare`` calls ``advance``."""
    prepare: Callable[[Corpus, Any, Path, Callable[[], None], int, int], Any]
    """``(corpus, recipe, cache_dir, advance, threads, seed)``: the material that all folds share. Sees test parts too,
    so nothing in it may be fitted."""
    tasks: Callable[[Corpus, Any, Split, Any, int], list[Any]]
    """``(corpus, recipe, split, material, seed)``: one task for each fold of ``split``, in order: picklable, with
    an attribute ``fold``. The split comes whole, since inner splits divide by its protocol's rule."""
    run: Callable[[Any, Report], FoldResult]
    """``(task, report)``: a function at the top level of a module, since worker processes import it. It gives
    ``report`` a message ``(fold name, Epoch)`` after each epoch, and returns the fold's facts and predictions."""
    epochs: Callable[[Any], int]
    """``(recipe)``: how many epochs each fold reports; 0 if it has none."""
    preparing: str = "Making pictures"
    """What ``prepare`` does, for the progress bar."""
    deciding: Callable[[Any], dict[str, Any]] = _nothing
    """``(recipe)``: what decides the numbers beside the recipe, such as versions of libraries or the digest of a file
    that the recipe names. A run folder with another belongs to another run."""


METHODS: dict[str, Method] = {
    "pictures": Method(
        check=picture_folds.check,
        steps=picture_folds.steps,
        prepare=picture_folds.prepare,
        tasks=picture_folds.tasks,
        run=picture_folds.run_fold,
        epochs=picture_folds.epochs,
    ),
    "whole": Method(
        check=whole_folds.check,
        steps=whole_folds.steps,
        prepare=whole_folds.prepare,
        tasks=whole_folds.tasks,
        run=whole_folds.run_whole_fold,
        epochs=whole_folds.epochs,
        deciding=whole_folds.deciding,
    ),
    "functionals": Method(
        check=functional_folds.check,
        steps=functional_folds.steps,
        prepare=functional_folds.prepare,
        tasks=functional_folds.tasks,
        run=functional_folds.run_functionals_fold,
        epochs=functional_folds.epochs,
        preparing="Computing functionals",
        deciding=functional_folds.deciding,
    ),
}
"""By the kind of recipe."""


def method_for(recipe: AnyRecipe) -> Method:
    """Return how ``recipe`` is evaluated.

    Raises:
        RecipeError: recipes of its kind are not evaluated.
    """
    if recipe.kind not in METHODS:
        kinds = " or ".join(METHODS)
        raise RecipeError(f"recipe {recipe.name} is of kind {recipe.kind}: only kind {kinds} can be evaluated")
    return METHODS[recipe.kind]
