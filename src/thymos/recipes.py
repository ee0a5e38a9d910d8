"""Recipes: everything that decides what is trained and how, in one checked object read from YAML."""

import difflib
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Protocol, TypeGuard, get_args, overload, runtime_checkable

import yaml
from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from thymos.baseline.recipe import FunctionalsRecipe
from thymos.cnn.networks import ModelSettings
from thymos.cnn.settings import AugmentationSettings, FeatureSettings, SoundSettings
from thymos.cnn.study_cnn import StudyCNNSettings
from thymos.config import Settings
from thymos.encoder.recipe import PretrainingRecipe, WholeRecipe
from thymos.errors import RecipeError


class AnyRecipe(Protocol):
    """What recipes of every kind have; they are ``Settings``."""

    @property
    def kind(self) -> str:
        """Its key in ``KINDS``."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    @property
    def description(self) -> str:
        """What it is, in a line."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Return it, defaults filled in; with ``mode="json"`` as YAML and JSON hold it."""


@runtime_checkable
class EvaluableRecipe(AnyRecipe, Protocol):
    """A recipe that leads from recordings to predictions."""

    @property
    def max_silence_s(self) -> float | None:
        """Recordings with more seconds of silence than this are left out; None: none are."""

    @property
    def transductive(self) -> bool:
        """Whether predictions for one recording hinge on other recordings that are tested."""


class TrainingSettings(Settings):
    """How a network is fitted; the defaults are the study's."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-3
    """Of Adam."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """``bf16``: convolutions in bfloat16, weights and sums in float32; faster, same accuracy (see benchmarks)."""


class Recipe(Settings):
    """Kind pictures, which a file that names no kind is of: from files to a network of pictures of one size."""

    name: str = Field(min_length=1)
    description: str = ""
    sound: SoundSettings = SoundSettings()
    features: FeatureSettings = FeatureSettings()
    model: ModelSettings = StudyCNNSettings()
    training: TrainingSettings = TrainingSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    """How training segments are varied."""
    kind: Literal["pictures"] = "pictures"

    @property
    def max_silence_s(self) -> float | None:
        """Recordings with more seconds of silence than this are left out; None: none are."""
        return self.sound.max_silence_s

    @property
    def transductive(self) -> bool:
        """Whether pictures of one recording hinge on other recordings that are tested."""
        return self.features.normalise == "speaker"

    @field_validator("augmentation")
    @classmethod
    def _goes_with_the_pictures(cls, augmentation: AugmentationSettings, info: ValidationInfo) -> AugmentationSettings:
        sound, features = info.data.get("sound"), info.data.get("features")
        complaint = augmentation.complaint(sound, features) if sound and features else None
        if complaint:
            raise PydanticCustomError("does_not_go", "{complaint}", {"complaint": complaint})
        return augmentation


KINDS: dict[str, type[Settings]] = {
    "pictures": Recipe,
    "whole": WholeRecipe,
    "functionals": FunctionalsRecipe,
    "pretraining": PretrainingRecipe,
}
"""The classes of recipes, each an ``AnyRecipe``, by what a file says under ``kind``."""
DEFAULT_KIND = "pictures"


def shipped_recipes(kind: str | None = None) -> list[str]:
    """Return the names of the recipes that come with Thymos, or of those of one kind."""
    recipes = [(name, content) for name, content in _shipped() if "rows" not in content]
    return [name for name, content in recipes if kind in (None, content.get("kind", DEFAULT_KIND))]


def shipped_studies() -> list[str]:
    """Return the names of the studies that come with Thymos: what declares rows is a study, no recipe."""
    return [name for name, content in _shipped() if "rows" in content]


def _shipped() -> list[tuple[str, dict[str, Any]]]:
    files = [entry for entry in resources.files("thymos.configs").iterdir() if entry.name.endswith(".yaml")]
    return sorted((Path(file.name).stem, yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files)


@overload
def load_recipe(name_or_path: str | Path, changes: Iterable[str] = (), only: None = None) -> AnyRecipe: ...
@overload
def load_recipe(name_or_path: str | Path, changes: Iterable[str], only: Literal["pictures"]) -> Recipe: ...


def load_recipe(name_or_path: str | Path, changes: Iterable[str] = (), only: str | None = None) -> AnyRecipe:
    """Read a recipe, shipped or from a file, and apply ``changes`` such as ``training.epochs=5``.

    Args:
        name_or_path: anything that is a file, or ends as one would, is read; all else is a name.
        changes: ``key=value``, the last one counts.
        only: a kind that it must be of; None: any.

    Raises:
        RecipeError: no such recipe, not YAML, of another kind, an unknown key (with the nearest right one), or a bad
            value.
    """
    content, where, _ = read_yaml(name_or_path, "recipe", shipped_recipes)
    if not isinstance(content, dict):
        raise RecipeError(f"{where} is not a recipe: it holds no keys")
    for change in changes:
        _apply(content, change)
    return parse_recipe(content, where, only)


def parse_recipe(content: dict[str, Any], where: str, only: str | None = None) -> AnyRecipe:
    """Check ``content`` and return it as a recipe of its ``kind``; ``where`` is named in errors.

    Raises:
        RecipeError: not of the kind ``only``, an unknown kind or key (with the nearest right one), or a bad value.
    """
    kind = str(content.get("kind", DEFAULT_KIND))
    if kind not in KINDS:
        raise RecipeError(f"{where}: kind: there is no {kind!r}{nearest(kind, list(KINDS))}")
    # Before any key is judged: the keys of one kind say nothing to a reader of another.
    if only is not None and kind != only:
        raise RecipeError(f"{where} is of kind {kind}: only kind {only} can be used here")
    try:
        recipe: Any = KINDS[kind].model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{where}: {first_complaint(error, KINDS[kind])}") from None
    checked: AnyRecipe = recipe
    return checked


def read_yaml(
    name_or_path: str | Path, kind: Literal["recipe", "study"], shipped: Callable[[], list[str]]
) -> tuple[Any, str, Path | None]:
    """Read a YAML file, or what comes with Thymos under a name.

    Args:
        name_or_path: anything that is a file, or ends as one would, is read; all else is a name.
        kind: what it is to be, for messages.
        shipped: returns the names of that kind that come with Thymos.

    Returns:
        The content, what to call it in messages, and the file's folder (None for what is shipped).

    Raises:
        RecipeError: no such name (with the nearest right one), not readable, or not YAML.
    """
    path = Path(name_or_path).expanduser()
    folder = None
    if path.suffix in (".yaml", ".yml") or path.is_file():
        where, folder = str(path), path.parent
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise RecipeError(f"{path} cannot be read: {reason}") from None
    else:
        name, names = str(name_or_path), shipped()
        if name not in names:
            raise RecipeError(f"there is no {kind} {name!r}{nearest(name, names)}")
        where = f"{kind} {name}"
        text = (resources.files("thymos.configs") / f"{name}.yaml").read_text(encoding="utf-8")
    try:
        return yaml.safe_load(text), where, folder
    except yaml.YAMLError as error:
        raise RecipeError(f"{where} is not YAML: {' '.join(str(error).split())}") from None


def _apply(content: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    if not equals:
        raise RecipeError(f"{change!r} is not of the form key=value, such as training.epochs=5")
    *parents, last = key.strip().split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise RecipeError(f"{parent} in {key!r} is a value and has no parts")
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise RecipeError(f"{value!r} is not a value for {key}") from None


def first_complaint(error: ValidationError, root: type[Settings]) -> str:
    """Say in words what is first wrong in the YAML that was to become a ``root``, with the nearest right key."""
    details = error.errors()[0]
    path, known = _as_written(details["loc"], root)
    if details["type"] == "extra_forbidden":
        return f"unknown key {'.'.join(path)!r}{nearest(path[-1], known)}"
    if details["type"] == "union_tag_invalid":
        names = details["ctx"]["expected_tags"].replace("'", "")
        return f"{'.'.join(path)}.family: there is no {details['ctx']['tag']!r}; there are {names}"
    complaint = f"{'.'.join(path)}: {details['msg'][0].lower()}{details['msg'][1:]}"
    if isinstance(details["input"], Settings | dict | list | tuple):  # a whole part, too long to repeat
        return complaint
    return f"{complaint}, not {details['input']!r}"


def _as_written(location: Iterable[int | str], root: type[Settings]) -> tuple[list[str], list[str]]:
    """Return pydantic's ``location`` as the keys below ``root``, and the known keys beside the last of them.

    Below a choice of settings, such as ``model``, pydantic puts in the family, which is no key.
    """
    path: list[str] = []
    known: list[str] = []
    place: type[Settings] | None = root
    families: dict[str, type[Settings]] = {}
    for part in map(str, location):
        if part in families:
            place, families = families[part], {}
            continue
        if part.isdecimal():  # a place in a list, whose members are of one kind
            path.append(part)
            continue
        path.append(part)
        known = list(place.model_fields) if place else []
        annotation = place.model_fields[part].annotation if place and part in known else None
        choices = [each for each in (annotation, *get_args(annotation)) if _is_settings(each)]
        place = choices[0] if len(choices) == 1 else None
        families = {each.model_fields["family"].default: each for each in choices} if len(choices) > 1 else {}
    return path, known


def _is_settings(annotation: Any) -> TypeGuard[type[Settings]]:
    return isinstance(annotation, type) and issubclass(annotation, Settings)


def nearest(word: str, known: list[str]) -> str:
    """Return the end of a complaint about ``word``: the known word that is nearest, or all of them."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(known)}" if known else ""
