"""``make quick`` leaves out tests that take long, and no room and none of what every answer rests on."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOMS = sorted({path.parent.name for path in (TESTS.parent / "src" / "thymos").glob("*/[a-z]*.py")})
LEFT_OUT = {"slow", "real", "install"}
BEDROCK = (
    "audio/test_decode.py", "audio/test_segments.py", "cnn/test_mel.py", "cnn/test_fit.py", "corpora/test_protocols.py",
    "encoder/test_discriminant.py", "encoder/test_log_mel.py", "encoder/test_network.py", "runtime/test_bundle.py",
    "runtime/test_recognizer.py", "runtime/test_timeline.py", "runtime/test_vad.py", "scoring/test_calibration.py",
    "scoring/test_metrics.py", "scoring/test_paired.py",
)  # fmt: skip


def marks(node: ast.AST) -> set[str]:
    """Names of the marks that an expression, such as ``pytest.mark.slow``, mentions."""
    return {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Attribute) and each.value.attr == "mark"
    }


def quick_and_all(module: Path) -> tuple[int, int]:
    """How many test functions of a module ``make quick`` runs, and how many there are.

    One of whose cases some are marked runs; so does one in a class, unless its class is marked.
    """
    tree = ast.parse(module.read_text(encoding="utf-8"))
    whole = any(
        isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "pytestmark"
        and marks(node.value) & LEFT_OUT
        for node in tree.body
    )  # fmt: skip
    quick, every = 0, 0
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        of_class = node.decorator_list if isinstance(node, ast.ClassDef) else []
        for test in inside:
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                # pytest.mark.parametrize(…, marks=pytest.mark.slow) is of some cases only.
                own = [each for each in (*of_class, *test.decorator_list) if not isinstance(each, ast.Call)]
                quick += not whole and not any(marks(each) & LEFT_OUT for each in own)
                every += 1
    return quick, every


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_tested_quickly(room):
    counts = [quick_and_all(module) for module in sorted((TESTS / room).glob("test_*.py"))]
    quick, every = (sum(each) for each in zip(*counts, strict=True))
    assert quick >= 5 and quick > every / 3, f"make quick runs {quick} of {every} tests of {room}"


@pytest.mark.parametrize("module", BEDROCK)
def test_what_every_answer_rests_on_is_tested_quickly(module):
    quick, every = quick_and_all(TESTS / module)
    assert quick > 0.7 * every, f"make quick runs {quick} of {every} tests of {module}"


def test_slow_tests_are_counted_as_such(tmp_path):
    """Of a module with a marked test, a marked class and a test of which one case is marked."""
    (tmp_path / "test_a.py").write_text(
        "import pytest\n@pytest.mark.slow\ndef test_a(): ...\n"
        "@pytest.mark.real\nclass TestB:\n    def test_b(self): ...\n"
        "@pytest.mark.parametrize('c', [pytest.param(1, marks=pytest.mark.slow), 2])\ndef test_c(c): ...\n"
    )
    assert quick_and_all(tmp_path / "test_a.py") == (1, 3)
    text = (tmp_path / "test_a.py").read_text()
    (tmp_path / "test_a.py").write_text(text + "pytestmark = [pytest.mark.slow]\n")
    assert quick_and_all(tmp_path / "test_a.py") == (0, 3)
