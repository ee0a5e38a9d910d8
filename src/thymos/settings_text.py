"""YAML as settings are written in it: words, numbers, lists and keys, and nothing that a reader could be harmed by.

YAML can do more: anchors of which 463 bytes become a gigabyte, dates, binary data, sets, objects of Python, keys that
are lists, a key twice. None of that is needed to say what a recipe, a study or a label map says, so all of it is
refused, as is what is nested more deeply or larger than any of these.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thymos.files import bounded_text

if TYPE_CHECKING:
    import yaml

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
