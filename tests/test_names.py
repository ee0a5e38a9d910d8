"""One name, one meaning: a reader who searches for a module or a class finds one."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "thymos"
MODULES = sorted(SOURCE.rglob("*.py"))

MOST_MODULES = 224
"""Of all rooms, readers of corpora, formats and the server included: who adds one shows that it is one subject."""

IN_EVERY_WING = {"experiment", "recipe", "export"}
"""Each kind of model has one of these: its package says which."""

ONE_OF_EACH = {"hz_to_mel", "mel_to_hz", "natural_key", "audit_corpus"}
"""Functions of which two would differ without anybody's noticing."""


def twice(names: Iterator[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


def module_names() -> Iterator[str]:
    """Names of modules; those of the command line are named for their commands, whatever the command calls."""
    for path in MODULES:
        if path.parent.name != "cli" and not path.stem.startswith("__") and path.stem not in IN_EVERY_WING:
            yield path.stem


def definitions(kind: type[ast.AST]) -> Iterator[str]:
    """Public classes, or functions, at the top level of every module."""
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, kind) and not node.name.startswith("_"):  # type: ignore[attr-defined]
                yield node.name  # type: ignore[attr-defined]


def test_no_two_modules_have_one_name() -> None:
    assert not twice(module_names())


@pytest.mark.slow
def test_no_two_classes_have_one_name() -> None:
    assert not twice(definitions(ast.ClassDef))


@pytest.mark.slow
def test_there_is_one_mel_scale() -> None:
    assert not twice(definitions(ast.FunctionDef)) & ONE_OF_EACH


def test_there_are_few_modules() -> None:
    """Packages' own ``__init__`` not counted: they say in a line what a room is for."""
    assert len([path for path in MODULES if path.stem != "__init__"]) <= MOST_MODULES
