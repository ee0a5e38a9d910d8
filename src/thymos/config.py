"""Settings: the base of every settings object, and how one is read from YAML with ``key=value`` changes.

YAML is read as settings are written in it: words, numbers, lists and keys, and nothing that a reader could be harmed
by. It can do more: anchors of which 463 bytes become a gigabyte, dates, binary data, sets, objects of Python, keys that
are lists, a key twice. None of that is needed to say what a recipe, a study or a label map says, so all of it is
refused, as is what is nested more deeply or larger than any of these.
"""

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from thymos.errors import RecipeError
from thymos.files import bounded_text, home_path

if TYPE_CHECKING:
    import yaml


class Settings(BaseModel):
    """A frozen set of named values, read from YAML or made in Python; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
    path = home_path(name_or_path)
    if path.suffix in (".yaml", ".yml") or os.path.isfile(path):  # noqa: PTH113 - Path's own may raise
        try:
            return settings_in(path), str(path), path.parent
        except SettingsTextError as error:
            raise RecipeError(f"{path} {error}") from None
    name, names = str(name_or_path), shipped()
    if name not in names:
        raise RecipeError(f"there is no {kind} {name!r}{nearest(name, names)}")
    text = (resources.files("thymos.configs") / f"{name}.yaml").read_text(encoding="utf-8")
    return settings_of(text), f"{kind} {name}", None


def apply_change(content: dict[str, Any], change: str) -> None:
    """Put ``change``, such as ``training.epochs=5``, into ``content``.

    Raises:
        RecipeError: it is not of that form, a key has no parts, or the value is not YAML.
    """
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
        place[last] = settings_of(value)
    except SettingsTextError as error:
        raise RecipeError(f"{shortened(value)} is not a value for {key}: it {error}") from None


def first_complaint(error: ValidationError, root: type[Settings]) -> str:
    """Say in words what is first wrong in the YAML that was to become a ``root``, with the nearest right key."""
    details = error.errors()[0]
    path, known = _as_written(details["loc"], root)
    if details["type"] == "extra_forbidden":
        return f"unknown key {'.'.join(path)!r}{nearest(path[-1], known)}"
    if details["type"] == "union_tag_invalid":
        names = details["ctx"]["expected_tags"].replace("'", "")
        return f"{'.'.join(path)}.family: there is no {details['ctx']['tag']!r}; there are {names}"
    complaint = f"{'.'.join(path)}: {in_words(details)}"
    if isinstance(details["input"], Settings | dict | list | tuple):  # a whole part, too long to repeat
        return complaint
    return f"{complaint}, not {shortened(details['input'])}"


_KINDS = {
    "int": "a whole number", "float": "a number", "finite": "a finite number", "string": "text",
    "bool": "true or false", "list": "a list", "tuple": "a list", "set": "a list", "dict": "keys with values",
    "model": "keys with values",
}  # fmt: skip
_BOUNDS = {
    "greater_than": ("gt", "greater than"), "greater_than_equal": ("ge", "greater than or equal to"),
    "less_than": ("lt", "less than"), "less_than_equal": ("le", "less than or equal to"),
}  # fmt: skip


def in_words(details: Mapping[str, Any]) -> str:
    """Return what pydantic complains of, one of ``ValidationError.errors()``, in words for who wrote the file.

    Source: https://docs.pydantic.dev/latest/errors/validation_errors/.
    """
    kind, facts = str(details["type"]), details.get("ctx", {})
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"must be {words} {facts[name]:.15g}"
    if kind == "missing":
        return "is missing"
    if kind == "literal_error":
        return f"must be {facts['expected']}"
    if kind == "int_from_float":
        return "must be a whole number"
    if kind.endswith(("_type", "_parsing", "_number")) and (words := _KINDS.get(kind.partition("_")[0], "")):
        return f"must be {words}"
    said = str(details["msg"]).removeprefix("Value error, ").replace("Input should", "should", 1)
    return said[:1].lower() + said[1:]


def shortened(value: object, most: int = 80) -> str:
    """Return ``value`` as Python writes it, or its beginning."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


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


MOST_BYTES = 1 << 20
MOST_DEPTH = 20
LARGEST = 1 << 63
"""A whole number that is not below it, or not above its negative, is no setting."""


class SettingsTextError(ValueError):
    """A text is no YAML, or more than settings need; it says what, in words that follow a name."""


def settings_in(path: Path, words_only: bool = False) -> Any:
    """Return what the file at ``path`` says; see ``settings_of``.

    Raises:
        SettingsTextError: it cannot be read, or as ``settings_of``.
    """
    try:
        text = bounded_text(path, MOST_BYTES)
    except OSError as error:
        raise SettingsTextError(f"cannot be read: {error.strerror}") from None
    return settings_of(text, words_only)


def settings_of(text: str, words_only: bool = False) -> Any:
    """Return what ``text`` says: words, numbers, truth values, nothing, and lists of and keys to these.

    Args:
        text: YAML.
        words_only: whether every value is a word, ``no`` and ``1`` included.

    Raises:
        SettingsTextError: it is no YAML, or says what settings do not.
    """
    import yaml

    if len(text) > MOST_BYTES:
        raise SettingsTextError(f"is larger than {MOST_BYTES >> 10} KiB")
    try:
        return yaml.load(text, Loader=_loader(words_only))
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        raise SettingsTextError(f"is not YAML: {reason}{where}") from None
    except (ValueError, RecursionError, OverflowError) as error:
        raise SettingsTextError(f"is not YAML of settings: {' '.join(str(error).split())[:200]}") from None


@cache
def _loader(words_only: bool) -> "type[yaml.SafeLoader]":
    import yaml

    class Loader(yaml.SafeLoader):
        """PyYAML's safe loader without what settings do not need."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            self.depth += 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise yaml.MarkedYAMLError(problem="anchors are not used in settings", problem_mark=event.start_mark)
            if self.depth > MOST_DEPTH:
                raise yaml.MarkedYAMLError(problem="it is nested too deeply", problem_mark=event.start_mark)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag not in _KEYS:
                    raise yaml.MarkedYAMLError(problem="a key is no word", problem_mark=key.start_mark)
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
            return {key.value: self.construct_object(value, deep=True) for key, value in node.value}

    def refuse(loader: Any, node: Any) -> Any:
        kind = node.tag.rpartition(":")[2]
        raise yaml.MarkedYAMLError(problem=f"{kind!r} is no kind of setting", problem_mark=node.start_mark)

    def whole(loader: Any, node: Any) -> int:
        value: int = loader.construct_yaml_int(node)
        if not -LARGEST < value < LARGEST:
            raise yaml.MarkedYAMLError(problem="a number is too large", problem_mark=node.start_mark)
        return value

    def mapping(loader: Any, node: Any) -> Any:
        return loader.construct_mapping(node, deep=True)

    # A date is a word, and so is what would merge two mappings.
    left_out = (":timestamp", ":merge")
    Loader.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in known if not words_only and not tag.endswith(left_out)]
        for letter, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for tag in list(Loader.yaml_constructors):
        if tag is None or tag.rpartition(":")[2] not in ("str", "int", "float", "bool", "null", "seq", "map"):
            Loader.add_constructor(tag, refuse)
    Loader.add_constructor("tag:yaml.org,2002:int", whole)
    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    return Loader


_KEYS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "bool", "null", "float")}
"""A key is what it is written as: ``no``, ``1`` and ``model.dropout`` alike."""
