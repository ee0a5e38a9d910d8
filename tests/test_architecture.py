"""Imports run one way, from the top of the design's list to its bottom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "thymos"
ORDER = (
    "errors", "interruption", "labels", "files", "machine", "cache", "config", "audio", "runtime", "live",
    "corpora", "scoring", "recipes", "engine", "cnn", "encoder", "baseline", "evaluation", "reports", "cli",
)  # fmt: skip
LIGHT = {"errors", "interruption", "labels", "files", "machine", "config", "audio", "runtime", "live"}
HEAVY_LIBRARIES = {"torch", "pandas", "sklearn", "matplotlib", "yaml", "jinja2"}


def imports(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def imported_with(module: Path) -> Iterator[str]:
    """What importing the module imports: not what a function asks for when it is called, such as pandas for a table."""
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def package(module: Path) -> str:
    return module.relative_to(SOURCE).with_suffix("").parts[0]


MODULES = sorted(path for path in SOURCE.rglob("*.py") if package(path) not in ("__init__", "__main__", "configs"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_imports_only_from_above(module):
    own = ORDER.index(package(module))
    for name in imports(module):
        parts = name.split(".")
        if parts[0] == "thymos" and len(parts) > 1 and parts[1] != "__version__":
            assert ORDER.index(parts[1]) <= own, f"{module} imports {name}"
    if package(module) in LIGHT:
        for name in imported_with(module):
            assert name.split(".")[0] not in HEAVY_LIBRARIES, f"{module} imports {name}, which the light install lacks"


def test_modules_have_one_subject():
    long = {str(path): count for path in MODULES if (count := len(path.read_text().splitlines())) > 400}
    assert not long
