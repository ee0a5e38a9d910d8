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
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, PositiveInt, ValidationError

from thymos.config import Settings, first_complaint, nearest, read_yaml
from thymos.corpora.protocols import INNER_FOLDS, NAMES, WITH_PATH
from thymos.errors import RecipeError
from thymos.experiment import Experiment
from thymos.files import home_path
from thymos.recipes import load_experiment, load_recipe, shipped_studies

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
    """Changes to the recipe of every row that is of the same kind."""
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
    corpus: str | None = None
    """Kind or name of the corpus that it was measured on; it stands beside no other. None: beside any."""
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
    seed: int | None = Field(None, ge=0)
    shuffle: bool = False
    """A control: labels are dealt out at random, so it must score at chance."""
    compare_to: str | None = None
    """Name of another row; left out, the base row's; null compares with none."""
    published: Published | None = None
    choose: Choice | None = None

    @property
    def is_base(self) -> bool:
        """Whether it changes nothing."""
        said = {self.recipe, self.protocol, self.folds, self.repeats, self.seed}
        return not (self.set or self.choose or self.shuffle) and said == {None}


class Declaration(Settings):
    """A study file."""

    name: Text
    description: str = ""
    labels: dict[str, str | None] = Field(default_factory=dict)
    """What labels of the corpora count as (see ``LabelMap``); nothing: left out."""
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
    experiment: Experiment[Any]
    protocol: str
    folds: int
    repeats: int
    seed: int
    shuffle: bool
    compare_to: str | None
    published: Published | None
    candidates: tuple[tuple[str, Experiment[Any]], ...] = ()
    """Name and experiment of what is chosen among; empty where nothing is."""
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
    labels: Mapping[str, str] = field(default_factory=dict)
    """Rules that the corpora are opened with, beside those of the user."""
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
    labels = {label: counts_as or "" for label, counts_as in declared.labels.items()}
    return StudyPlan(declared.name, declared.description, declared.base.seed, tuple(planned), labels, quick)


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
        protocol = _checked_protocol(row.protocol or self.base.protocol, where)
        experiment = self._experiment(row.recipe, [row.set], where)
        return PlannedRow(
            name=row.name,
            slug=slug,
            group=row.group,
            note=row.note,
            experiment=experiment,
            protocol=protocol,
            folds=row.folds or self.base.folds,
            repeats=row.repeats or self.base.repeats,
            seed=self.base.seed if row.seed is None else row.seed,
            shuffle=row.shuffle,
            compare_to=self._compared_to(row, base_row, where),
            published=row.published,
            candidates=tuple(self._candidates(row, experiment, where)),
            inner_folds=row.choose.inner_folds if row.choose else 1,
        )

    def _candidates(self, row: Row, experiment: Experiment[Any], where: str) -> Iterable[tuple[str, Experiment[Any]]]:
        if row.choose is None:
            return
        _check_names([candidate.name for candidate in row.choose.candidates], where)
        for candidate in row.choose.candidates:
            inside = f"{where}, candidate {candidate.name!r}"
            chosen_from = self._experiment(candidate.recipe or row.recipe, [row.set, candidate.set], inside)
            if chosen_from.max_silence_s != experiment.max_silence_s:
                raise RecipeError(f"{inside}: max_silence_s is not the row's: all candidates need the same recordings")
            yield candidate.name, chosen_from

    def _experiment(self, name: str | None, changes: Iterable[Changes], where: str) -> Experiment[Any]:
        name = name or self.base.recipe
        beside = self.folder / name if self.folder and name.endswith((".yaml", ".yml")) else None
        found = beside if beside and beside.is_file() else name
        try:
            # Keys of one kind of recipe say nothing to a recipe of another.
            same_kind = name == self.base.recipe or self._kind(found) == self._kind(self.base.recipe)
            of_base = self.base.set if same_kind else {}
            written = [f"{key}={json.dumps(value)}" for change in (of_base, *changes) for key, value in change.items()]
            return load_experiment(found, written)
        except RecipeError as error:
            raise RecipeError(f"{where}: {error}") from None

    def _kind(self, name: str | Path) -> str:
        return str(load_recipe(name).kind)

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
    return replace(
        row,
        experiment=row.experiment.quick(QUICK_EPOCHS),
        candidates=tuple((name, experiment.quick(QUICK_EPOCHS)) for name, experiment in row.candidates),
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


def _checked_protocol(name: str, where: str) -> str:
    """Return the protocol's name, variables of the environment filled in where they are set.

    Raises:
        RecipeError: there is no such protocol or file.
    """
    word, colon, _ = name.partition(":")
    if colon and word in WITH_PATH:
        filled = os.path.expandvars(name)
        if "$" in filled:  # the row will fail, and others may be all that is wanted
            return name
        path = home_path(filled.removeprefix(f"{word}:"))
        if not path.exists():
            raise RecipeError(f"{where}: protocol {name}: {path} does not exist")
        return filled
    elif name not in NAMES:
        raise RecipeError(f"{where}: there is no protocol {name!r}{nearest(name, list(NAMES))}")
    return name


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
