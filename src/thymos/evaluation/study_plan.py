"""A study file -> a checked plan: a base recipe and rows that vary it. Names are checked before anything runs.

name: dropout
base: {recipe: model1, protocol: recording, folds: 5}
rows:
  - name: model1
  - name: dropout 0.7
    note: Does more dropout help against overfitting?
    set: {model.dropout: 0.7}
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, PositiveInt, ValidationError

from thymos.config import Settings
from thymos.corpora.protocols import INNER_FOLDS, NAMES
from thymos.errors import RecipeError
from thymos.recipes import Recipe, first_complaint, load_recipe, nearest, read_yaml, shipped_studies

QUICK_FOLDS = 2
QUICK_EPOCHS = 5

Part = TypeVar("Part", bound=Settings)
Text = Annotated[str, Field(min_length=1)]
Folds = Annotated[int, Field(ge=2)]
Changes = dict[str, Any]
"""Of a recipe: dotted key to value."""


class Base(Settings):
    """What every row is unless it says otherwise."""

    recipe: Text = "model3"
    set: Changes = Field(default_factory=dict)
    """Changes to the recipe of every row."""
    protocol: Text = "recording"
    folds: Folds = 5
    repeats: PositiveInt = 1
    seed: int = Field(0, ge=0)


class Published(Settings):
    """A figure from the literature, to stand beside a row."""

    accuracy: float = Field(gt=1, le=100)
    """Percent."""
    sd: float | None = Field(None, ge=0)
    """Percentage points, over folds."""
    what: str = ""
    """What it is: per segment or per recording, by which protocol, where it is published."""


class Candidate(Settings):
    """One of the recipes that an inner split chooses among."""

    name: Text
    recipe: Text | None = None
    set: Changes = Field(default_factory=dict)


class Choice(Settings):
    """A recipe chosen for each outer fold on inner splits of its training part, and fitted on all of that part."""

    candidates: list[Candidate] = Field(min_length=2)
    inner_folds: int = Field(1, ge=1, le=INNER_FOLDS)
    """Inner splits, 80 to 20, that each candidate is scored on."""


class Row(Settings):
    """One row of the table as declared; None means the base's."""

    name: Text
    group: str = ""
    """Heading that it stands under."""
    note: str = ""
    """The question that it answers."""
    recipe: Text | None = None
    set: Changes = Field(default_factory=dict)
    """Changes to the recipe, after the base's."""
    protocol: Text | None = None
    folds: Folds | None = None
    repeats: PositiveInt | None = None
    compare_to: str | None = None
    """Name of another row; left out, the base row's; null compares with none."""
    published: Published | None = None
    choose: Choice | None = None

    @property
    def is_base(self) -> bool:
        """Whether it changes nothing."""
        return not self.set and self.choose is None and {self.recipe, self.protocol, self.folds, self.repeats} == {None}


class Declaration(Settings):
    """A study file."""

    name: Text
    description: str = ""
    base: Base = Base()
    rows: list[dict[str, Any]] = Field(min_length=1)


@dataclass(frozen=True)
class PlannedRow:
    """A row with everything resolved."""

    name: str
    slug: str
    """Its name as a folder's."""
    group: str
    note: str
    recipe: Recipe
    protocol: str
    folds: int
    repeats: int
    compare_to: str | None
    published: Published | None
    candidates: tuple[tuple[str, Recipe], ...] = ()
    """Name and recipe of what is chosen among; empty where nothing is."""
    inner_folds: int = 1
    most_folds: int | None = None
    """Only so many of the protocol's folds are run; None: all."""


@dataclass(frozen=True)
class StudyPlan:
    """A checked study."""

    name: str
    description: str
    seed: int
    rows: tuple[PlannedRow, ...]
    quick: bool = False
    selected: tuple[str, ...] | None = None
    """Names of the rows that ``only`` left, in alphabetical order; None where the study is whole."""

    def only(self, names: Sequence[str]) -> "StudyPlan":
        """Return the plan with the rows called ``names`` and those that they are compared to, in their order.

        Raises:
            RecipeError: there is no such row.
        """
        by_name = {row.name: row for row in self.rows}
        wanted: set[str] = set()
        for name in names:
            if name not in by_name:
                raise RecipeError(f"study {self.name} has no row {name!r}{nearest(name, list(by_name))}")
            row: PlannedRow | None = by_name[name]
            while row is not None and row.name not in wanted:
                wanted.add(row.name)
                row = by_name[row.compare_to] if row.compare_to is not None else None
        if len(wanted) == len(self.rows):
            return self
        kept = tuple(row for row in self.rows if row.name in wanted)
        return replace(self, rows=kept, selected=tuple(sorted(wanted)))


def load_study(name_or_path: str | Path, quick: bool = False) -> StudyPlan:
    """Read a study, shipped or from a file, resolve every row and check every name in it.

    Args:
        name_or_path: a YAML file, or the name of a study that comes with Thymos.
        quick: few epochs and folds, no repeats: for a look.

    Raises:
        RecipeError: not readable, an unknown key, row, recipe or protocol (with the nearest right one), or a bad value.
    """
    content, where, folder = read_yaml(name_or_path, "study", shipped_studies)
    if not isinstance(content, dict) or "rows" not in content:
        raise RecipeError(f"{where} is not a study: it declares no rows")
    declared = _parse(Declaration, content, where)
    rows = [_parse(Row, row, f"{where}, {_called(row, number)}") for number, row in enumerate(declared.rows, start=1)]
    _check_names([row.name for row in rows], where)
    planned = _Resolver(declared.base, rows, where, folder).resolve()
    if quick:
        planned = [_quick(row) for row in planned]
    return StudyPlan(declared.name, declared.description, declared.base.seed, tuple(planned), quick)


@dataclass(frozen=True)
class _Resolver:
    """Turns declared rows into planned ones."""

    base: Base
    rows: list[Row]
    where: str
    folder: Path | None

    def resolve(self) -> list[PlannedRow]:
        slugs = _slugs(row.name for row in self.rows)
        base_row = next((row.name for row in self.rows if row.is_base), None)
        return [self._row(row, slug, base_row) for row, slug in zip(self.rows, slugs, strict=True)]

    def _row(self, row: Row, slug: str, base_row: str | None) -> PlannedRow:
        where = f"{self.where}, row {row.name!r}"
        protocol = row.protocol or self.base.protocol
        _check_protocol(protocol, where)
        recipe = self._recipe(row.recipe, [row.set], where)
        return PlannedRow(
            name=row.name,
            slug=slug,
            group=row.group,
            note=row.note,
            recipe=recipe,
            protocol=protocol,
            folds=row.folds or self.base.folds,
            repeats=row.repeats or self.base.repeats,
            compare_to=self._compared_to(row, base_row, where),
            published=row.published,
            candidates=tuple(self._candidates(row, recipe, where)),
            inner_folds=row.choose.inner_folds if row.choose else 1,
        )

    def _candidates(self, row: Row, recipe: Recipe, where: str) -> Iterable[tuple[str, Recipe]]:
        if row.choose is None:
            return
        _check_names([candidate.name for candidate in row.choose.candidates], where)
        for candidate in row.choose.candidates:
            inside = f"{where}, candidate {candidate.name!r}"
            chosen_from = self._recipe(candidate.recipe or row.recipe, [row.set, candidate.set], inside)
            if chosen_from.sound.max_silence_s != recipe.sound.max_silence_s:
                raise RecipeError(
                    f"{inside}: sound.max_silence_s is not the row's: all candidates need the same recordings"
                )
            yield candidate.name, chosen_from

    def _recipe(self, name: str | None, changes: Iterable[Changes], where: str) -> Recipe:
        name = name or self.base.recipe
        beside = self.folder / name if self.folder and name.endswith((".yaml", ".yml")) else None
        written = [
            f"{key}={json.dumps(value)}" for change in (self.base.set, *changes) for key, value in change.items()
        ]
        try:
            return load_recipe(beside if beside and beside.is_file() else name, written, only="pictures")
        except RecipeError as error:
            raise RecipeError(f"{where}: {error}") from None

    def _compared_to(self, row: Row, base_row: str | None, where: str) -> str | None:
        if "compare_to" not in row.model_fields_set:
            return None if row.name == base_row else base_row
        names = [other.name for other in self.rows]
        if row.compare_to is not None and row.compare_to not in names:
            raise RecipeError(
                f"{where}: compare_to: there is no row {row.compare_to!r}{nearest(row.compare_to, names)}"
            )
        if row.compare_to == row.name:
            raise RecipeError(f"{where}: compare_to: a row cannot be compared to itself")
        return row.compare_to


def _quick(row: PlannedRow) -> PlannedRow:
    def shorter(recipe: Recipe) -> Recipe:
        epochs = min(recipe.training.epochs, QUICK_EPOCHS)
        return recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": epochs})})

    return replace(
        row,
        recipe=shorter(row.recipe),
        candidates=tuple((name, shorter(recipe)) for name, recipe in row.candidates),
        folds=min(row.folds, QUICK_FOLDS),
        repeats=1,
        inner_folds=1,
        most_folds=QUICK_FOLDS,
    )


def _parse(part: type[Part], content: Any, where: str) -> Part:
    try:
        return part.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{where}: {first_complaint(error, part)}") from None


def _called(row: dict[str, Any], number: int) -> str:
    return f"row {row['name']!r}" if row.get("name") else f"row {number}"


def _check_names(names: list[str], where: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RecipeError(f"{where}: the name {twice[0]!r} is given more than once")


def _check_protocol(name: str, where: str) -> None:
    if name.startswith("file:"):
        path = Path(name.removeprefix("file:")).expanduser()
        if not path.exists():
            raise RecipeError(f"{where}: protocol {name}: {path} does not exist")
    elif name not in NAMES:
        raise RecipeError(f"{where}: there is no protocol {name!r}{nearest(name, list(NAMES))}")


def _slugs(names: Iterable[str]) -> list[str]:
    """Return folder names for row names: letters, digits and hyphens, no two alike."""
    slugs: list[str] = []
    for name in names:
        plain = re.sub(r"[\W_]+", "-", name.lower()).strip("-")[:60] or "row"
        slug, number = plain, 2
        while slug in slugs:
            slug, number = f"{plain}-{number}", number + 1
        slugs.append(slug)
    return slugs
