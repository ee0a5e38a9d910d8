"""The page's two `server.js`, the served page's and the static page's, have one face: read as text, without a browser.

What they answer is tested in Chromium (``tests/serving/test_page.py``, ``tests/test_static_page.py``), which not every
machine has; who changes one of them is told here, everywhere, that there is another.
"""

import re
from pathlib import Path

import pytest

from thymos.audio.containers import SOUND_SUFFIXES
from thymos.runtime.prediction import FLAGS

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


def abilities(path: Path) -> dict[str, bool]:
    """Return what a module says that it ``CAN`` do, and cannot."""
    told = re.search(r"export const CAN = \{ ([^}]+) \};", path.read_text("utf-8"))
    assert told is not None
    return {name: said == "true" for name, said in re.findall(r"(\w+): (true|false)", told[1])}


def test_the_page_offers_what_a_module_can():
    needed = set(re.findall(r'data-needs="(\w+)"', (PAGE / "index.html").read_text("utf-8")))
    assert abilities(STATIC).keys() == abilities(SERVED).keys() == needed
    assert all(abilities(SERVED).values()), "the page is the server's"


@pytest.mark.parametrize(
    ("asking", "begins", "ends", "some"),
    [("app.js", "function choice() {", "};", "shortest"), ("live.js", "line = stream(", "(event)", "vad_threshold")],
)
def test_what_is_chosen_is_heeded_without_a_server_or_not_offered(asking, begins, ends, some):
    given = (PAGE / asking).read_text("utf-8").split(begins, 1)[1].split(ends, 1)[0]
    names = set(re.findall(r"(\w+): |\{ (\w+) \}", given.split("return", 1)[-1]))
    chosen = {name for pair in names for name in pair if name} - {"model"}  # there is but one without a server
    assert some in chosen
    code = "".join((STATIC.parent / name).read_text("utf-8") for name in ("server.js", "live_line.js"))
    heeded = set(re.findall(r"\b\w+\b", re.sub(r"//.*|\"[^\"]*\"", "", code)))
    assert chosen - heeded - {name for name, can in abilities(STATIC).items() if not can} == set()


def test_the_page_finds_the_recordings_in_a_folder_that_the_command_line_finds():
    listed = re.search(r'const SOUND = "([^"]+)"', (PAGE / "app.js").read_text("utf-8"))
    assert listed is not None
    assert set(listed[1].split()) == SOUND_SUFFIXES


def test_the_page_has_words_for_every_remark_in_each_language():
    told = re.findall(r"^  flags: \{(.+)\},$", (PAGE / "words.js").read_text("utf-8"), re.MULTILINE)
    assert len(told) == 2
    for flags in told:
        assert re.findall(r"(\w+): \"", flags) and set(re.findall(r"(\w+): \"", flags)) == set(FLAGS)


@pytest.mark.parametrize("path", sorted(STATIC.parent.glob("*.js")), ids=lambda path: path.name)
def test_what_is_translated_is_where_it_says(path):
    named = re.findall(r"src/thymos/[\w/]+\.py", path.read_text("utf-8"))
    assert all((REPOSITORY / name).is_file() for name in named), f"{path.name} names {named}"
