"""What a search may try: a distribution for each setting of a recipe, as a command line or a YAML file writes it.

training.learning_rate=loguniform(1e-5, 1e-2)
model.dropout=uniform(0.2, 0.7)
training.epochs=int(5, 40)
features.n_mels=logint(32, 256)
sound.segments=choice(study, sliding)
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thymos.config import nearest
from thymos.errors import RecipeError
from thymos.experiment import Experiment
from thymos.files import bounded_text
from thymos.recipes import load_experiment

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RANGES = {"uniform": (False, False), "loguniform": (False, True), "int": (True, False), "logint": (True, True)}
"""Whether each is of whole numbers, and whether it is drawn on a logarithmic scale."""
_FORM = re.compile(r"(\w+)\s*\((.*)\)", re.DOTALL)
_EXAMPLE = "training.learning_rate=loguniform(1e-5, 1e-2)"


@dataclass(frozen=True)
class Searched:
    """What one setting may be."""

    key: str
    text: str
    """As it was written."""
    kind: str
    """A key of ``RANGES``, or ``choice``."""
    values: tuple[Any, ...]
    """Lowest and highest, or the choices."""

    def distribution(self) -> "BaseDistribution":
        """Return it as Optuna has it; a choice is known by its JSON."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution([json.dumps(value) for value in self.values])
        whole, logarithmic = RANGES[self.kind]
        low, high = self.values
        if whole:
            return IntDistribution(low, high, log=logarithmic)
        return FloatDistribution(low, high, log=logarithmic)

    def change(self, drawn: Any) -> str:
        """Return the change of a recipe that makes the setting what was ``drawn``."""
        return f"{self.key}={drawn if self.kind == 'choice' else json.dumps(drawn)}"

    def ends(self) -> Iterator[str]:
        """Yield changes by which it can be checked: the ends of a range, or every choice."""
        for value in self.values:
            yield self.change(json.dumps(value) if self.kind == "choice" else value)


def read_space(written: Sequence[str]) -> tuple[Searched, ...]:
    """Return what ``written`` lets a search try, in the order of the keys' names.

    Args:
        written: ``KEY=DISTRIBUTION``, or the path of a YAML file with ``KEY: DISTRIBUTION`` on each line, where a list
            is a choice.

    Raises:
        RecipeError: one is none of these, a file cannot be read, a key is named twice, or nothing is named.
    """
    found: dict[str, Searched] = {}
    for each in written:
        for key, value in _pairs(each):
            if key in found:
                raise RecipeError(f"--space names {key} more than once")
            found[key] = _searched(key, value)
    if not found:
        raise RecipeError(f"a search needs something to try: --space {_EXAMPLE}")
    return tuple(found[key] for key in sorted(found))


def check_space(space: Sequence[Searched], recipe: str, changes: Sequence[str]) -> Experiment[Any]:
    """Return the experiment of ``recipe`` with ``changes``, once each setting was tried at its ends by itself.

    Raises:
        RecipeError: a key or value is wrong; or a setting decides which recordings are used, so that trials would not
            compare.
    """
    base = load_experiment(recipe, changes)
    for each in space:
        for change in each.ends():
            try:
                tried = load_experiment(recipe, [*changes, change])
            except RecipeError as error:
                raise RecipeError(f"--space {each.key}={each.text}: {error}") from None
            if (tried.max_silence_s, tried.merge) != (base.max_silence_s, base.merge):
                raise RecipeError(
                    f"--space {each.key}: it decides which recordings are used, so trials would not compare"
                )
    return base


def _pairs(written: str) -> Iterator[tuple[str, Any]]:
    key, equals, value = written.partition("=")
    if equals and not Path(written).is_file():
        yield key.strip(), value.strip()
        return
    import yaml

    try:
        content = yaml.safe_load(bounded_text(Path(written)))
    except OSError as error:
        raise RecipeError(
            f"--space {written} is neither KEY=DISTRIBUTION, such as {_EXAMPLE}, nor a file: {error.strerror}"
        ) from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{written} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping) or not content:
        raise RecipeError(f"{written} holds no lines such as training.learning_rate: loguniform(1e-5, 1e-2)")
    for name, distribution in content.items():
        yield str(name), distribution


def _searched(key: str, value: Any) -> Searched:
    import yaml

    if isinstance(value, list):
        return _checked(Searched(key, f"choice({', '.join(map(json.dumps, value))})", "choice", tuple(value)))
    found = _FORM.fullmatch(str(value).strip())
    kinds = [*RANGES, "choice"]
    if not found or found[1] not in kinds:
        near = nearest(found[1], kinds) if found else f"; there are {', '.join(kinds)}"
        raise RecipeError(f"--space {key}: {value!r} is no distribution, such as loguniform(1e-5, 1e-2){near}")
    try:
        inside = yaml.safe_load(f"[{found[2]}]")
    except yaml.YAMLError:
        raise RecipeError(f"--space {key}: {value} cannot be read") from None
    # YAML takes 1e-5 for a word, for want of a point.
    values = tuple(_number(each) if found[1] in RANGES else each for each in inside)
    return _checked(Searched(key, str(value).strip(), found[1], values))


def _number(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _checked(searched: Searched) -> Searched:
    kind, values, where = searched.kind, searched.values, f"--space {searched.key}={searched.text}"
    if kind == "choice":
        if len(values) < 2 or len({json.dumps(value) for value in values}) < len(values):
            raise RecipeError(f"{where}: a choice is among two values or more, each once")
        return searched
    whole, logarithmic = RANGES[kind]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) != 2 or len(values) != 2 or not all(map(math.isfinite, numbers)) or not numbers[0] < numbers[1]:
        raise RecipeError(f"{where}: {kind} takes the lowest and the highest number, such as {kind}(1, 10)")
    if logarithmic and numbers[0] <= 0:
        raise RecipeError(f"{where}: a logarithmic scale begins above 0")
    if whole and any(number != int(number) for number in numbers):
        raise RecipeError(f"{where}: {kind} takes whole numbers")
    return Searched(searched.key, searched.text, kind, tuple(map(int if whole else float, numbers)))
