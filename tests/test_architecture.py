"""Imports run one way, from the top of the design's list to its bottom, and never in a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "thymos"
ORDER = (
    "errors", "escaping", "streams", "interruption", "labels", "files", "machine", "cache",
    "config", "audio", "runtime", "live", "serving", "corpora", "scoring", "engine", "experiment",
    "export", "cnn", "encoder", "baseline", "recipes", "evaluation", "reports", "cli",
)  # fmt: skip
LIGHT = ORDER[: ORDER.index("corpora")]
HEAVY_LIBRARIES = {"torch", "pandas", "sklearn", "scipy", "matplotlib", "yaml", "jinja2", "threadpoolctl"}


def imported(nodes: Iterator[ast.AST] | list[ast.stmt]) -> Iterator[str]:
    """Names of modules; ``from thymos.corpora import table`` is one of ``thymos.corpora.table``, too."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)


def imports(module: Path) -> Iterator[str]:
    return imported(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))


def imported_with(module: Path) -> Iterator[str]:
    """What importing the module imports: not what a function asks for when it is called, such as pandas for a table."""
    return imported(ast.parse(module.read_text(encoding="utf-8")).body)


def package(module: Path) -> str:
    return module.relative_to(SOURCE).with_suffix("").parts[0]


def dotted(module: Path) -> str:
    return ".".join(("thymos", *module.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = sorted(path for path in SOURCE.rglob("*.py") if package(path) not in ("__init__", "__main__", "configs"))


def test_every_room_has_its_place():
    assert {package(module) for module in MODULES} == set(ORDER)


@pytest.mark.slow
@pytest.mark.parametrize("room", ORDER)
def test_modules_import_only_from_above(room):
    own = ORDER.index(room)
    for module in (module for module in MODULES if package(module) == room):
        for name in imports(module):
            parts = name.split(".")
            if parts[0] == "thymos" and len(parts) > 1 and parts[1] in ORDER:
                assert ORDER.index(parts[1]) <= own, f"{module} imports {name}"
        if room in LIGHT:
            for name in imported_with(module):
                assert name.split(".")[0] not in HEAVY_LIBRARIES, (
                    f"{module} imports {name}, which the light install lacks"
                )


@pytest.mark.slow
def test_no_module_imports_itself_through_others():
    names = {dotted(module) for module in MODULES}
    within = {dotted(module): {*imported_with(module)} & names - {dotted(module)} for module in MODULES}
    assert len(list(TopologicalSorter(within).static_order())) == len(names)  # else: CycleError, which names the circle


def test_modules_have_one_subject():
    long = {str(path): count for path in MODULES if (count := len(path.read_text().splitlines())) > 400}
    assert not long


@pytest.mark.slow
def test_ray_is_known_to_its_engine_alone():
    knowing = {dotted(module) for module in MODULES if any(name.split(".")[0] == "ray" for name in imports(module))}
    assert knowing == {"thymos.engine.ray_worker"}
    assert not any(name.split(".")[0] == "ray" for module in MODULES for name in imported_with(module))
