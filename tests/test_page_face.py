"""The page's two `server.js`, the served page's and the static page's, have one face: read as text, without a browser.

What they answer is tested in Chromium (``tests/serving/test_page.py``, ``tests/test_static_page.py``), which not every
machine has; who changes one of them is told here, everywhere, that there is another.
"""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "src" / "thymos" / "serving" / "page"
SERVED = PAGE / "server.js"
STATIC = REPOSITORY / "examples" / "web" / "server.js"
EXPORT = re.compile(
    r"(?:/\*\* @returns (?P<answers>\{.+?\})(?: [^\n{}]*)?\*/\n)?"
    r"export (?:async )?(?:function |const |class )(?P<name>\w+)"
    r"(?:(?: = (?:async )?)?\((?P<takes>[^\n]*?)\)(?: =>| \{\n))?"
)
"""``export function name(what, it = takes) {`` or the same as an arrow; what it answers stands in a line above."""


def face(module: str) -> dict[str, tuple[str | None, str | None]]:
    """Return what each exported name takes and answers, as written; None of what is no function."""
    return {found["name"]: (found["takes"], found["answers"]) for found in EXPORT.finditer(module)}


def test_a_face_is_read_off_a_module():
    module = (
        "const own = 1;\nexport class Problem extends Error {}\n"
        "/** @returns {Promise<Row[]>} */\nexport async function predict(blob, more = { windows: true }) {\n"
        "  go();\n}\n"
        "/** @returns {void} nothing asks */\nexport const asked = (ask) => {};\nexport const bare = async () => 3;\n"
    )
    assert face(module) == {
        "Problem": (None, None),
        "predict": ("blob, more = { windows: true }", "{Promise<Row[]>}"),
        "asked": ("ask", "{void}"),
        "bare": ("", None),
    }


def test_both_server_modules_have_one_face():
    served, static = (face(path.read_text("utf-8")) for path in (SERVED, STATIC))
    assert static == served, f"change {STATIC.relative_to(REPOSITORY)} along with {SERVED.relative_to(REPOSITORY)}"
    assert {name for name, (takes, answers) in served.items() if takes is not None and answers is None} == set()


@pytest.mark.parametrize("path", sorted(PAGE.glob("*.js")), ids=lambda path: path.name)
def test_what_the_page_imports_is_in_that_face(path):
    imported = re.search(r"import \{([^}]+)\} from \"\./server\.js\"", path.read_text("utf-8"))
    names = {name.strip() for name in imported[1].split(",")} if imported else set()
    assert names <= set(face(STATIC.read_text("utf-8")))
    assert names or path.name not in ("app.js", "detail.js", "live.js"), "these ask"
