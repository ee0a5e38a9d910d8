"""Recipes by name: a shipped one or a YAML file becomes an experiment of its kind."""

import importlib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from thymos.config import Settings, apply_change, first_complaint, nearest, read_yaml, settings_of
from thymos.errors import RecipeError
from thymos.experiment import Experiment


class Kind(NamedTuple):
    """Where the classes of one kind of recipe stand, as ``module:class``: only what is asked for is imported."""

    recipe: str
    experiment: str


KINDS: dict[str, Kind] = {
    "cnn": Kind("thymos.cnn.recipe:CnnRecipe", "thymos.cnn.experiment:CnnExperiment"),
    "encoder": Kind("thymos.encoder.recipe:EncoderRecipe", "thymos.encoder.experiment:EncoderExperiment"),
    "functionals": Kind(
        "thymos.baseline.linear_svm:FunctionalsRecipe", "thymos.baseline.experiment:FunctionalsExperiment"
    ),
}
"""By what a file says under ``kind``."""
DEFAULT_KIND = "cnn"
STUDY = "study"
"""What a file with rows is, which has no kind."""


class ShippedFile(NamedTuple):
    """A file of ``thymos.configs``."""

    text: str
    kind: str
    """Of recipe, or ``STUDY``."""
    description: str


def shipped_recipes(kind: str | None = None) -> list[str]:
    """Return the names of the recipes that come with Thymos, or of those of one kind."""
    return [name for name, file in shipped_files().items() if file.kind != STUDY and kind in (None, file.kind)]


def shipped_studies() -> list[str]:
    """Return the names of the studies that come with Thymos: what declares rows is a study, no recipe."""
    return [name for name, file in shipped_files().items() if file.kind == STUDY]


@cache
def shipped_files() -> dict[str, ShippedFile]:
    """Return every recipe and study that comes with Thymos, by name."""
    files = {}
    for entry in resources.files("thymos.configs").iterdir():
        if entry.name.endswith(".yaml"):
            text = entry.read_text(encoding="utf-8")
            content = settings_of(text)
            kind = STUDY if "rows" in content else content.get("kind", DEFAULT_KIND)
            files[Path(entry.name).stem] = ShippedFile(text, kind, content.get("description", ""))
    return dict(sorted(files.items()))


def load_recipe(name_or_path: str | Path, changes: Iterable[str] = ()) -> Any:
    """Read a recipe, shipped or from a file, and apply ``changes`` such as ``training.epochs=5``.

    Args:
        name_or_path: anything that is a file, or ends as one would, is read; all else is a name.
        changes: ``key=value``, the last one counts.

    Returns:
        The settings, of the class of its kind.

    Raises:
        RecipeError: no such recipe, not YAML, an unknown kind or key (with the nearest right one), or a bad value.
    """
    content, where, _ = read_yaml(name_or_path, "recipe", shipped_recipes)
    if not isinstance(content, dict):
        raise RecipeError(f"{where} is not a recipe: it holds no keys")
    for change in changes:
        apply_change(content, change)
    return parse_recipe(content, where)


def parse_recipe(content: dict[str, Any], where: str) -> Any:
    """Check ``content`` and return it as a recipe of its ``kind``; ``where`` is named in errors.

    Raises:
        RecipeError: an unknown kind or key (with the nearest right one), or a bad value.
    """
    kind = str(content.get("kind", DEFAULT_KIND))
    if kind not in KINDS:
        raise RecipeError(f"{where}: kind: there is no {kind!r}{nearest(kind, list(KINDS))}")
    recipe: type[Settings] = _class(KINDS[kind].recipe)
    try:
        return recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{where}: {first_complaint(error, recipe)}") from None


def load_experiment(name_or_path: str | Path, changes: Iterable[str] = ()) -> Experiment[Any]:
    """Return the experiment of a recipe; see ``load_recipe``.

    Raises:
        RecipeError: as ``load_recipe``.
    """
    return experiment_of(load_recipe(name_or_path, changes))


def experiment_of(recipe: Any) -> Experiment[Any]:
    """Return the experiment that ``recipe`` describes."""
    experiment: Experiment[Any] = _class(KINDS[recipe.kind].experiment)(recipe)
    return experiment


def _class(where: str) -> Any:
    module, name = where.split(":")
    return getattr(importlib.import_module(module), name)
