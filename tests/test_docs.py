"""The pages hold together: every link leads somewhere, every page is found, and what is generated is up to date."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest
import yaml

import thymos
from thymos.labels import to_emotion

REPOSITORY = Path(__file__).parent.parent
PAGES = sorted((REPOSITORY / "docs").glob("*.md"))
LINK = re.compile(r"\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*$")
PYTHON = REPOSITORY / "docs" / "python.md"


def prose(text: str) -> list[str]:
    """Lines outside of fenced code."""
    lines, fence = [], ""
    for line in text.splitlines():
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and not fence:
            fence = mark[1]
        elif mark and line.strip().startswith(fence):
            fence = ""
        elif not fence:
            lines.append(line)
    return lines


@cache
def anchors(page: Path) -> frozenset[str]:
    """Of the headings, as the repository's host and the site both make them: lower case, punctuation gone, hyphens."""
    found: dict[str, int] = {}
    for line in prose(page.read_text(encoding="utf-8")):
        if heading := HEADING.fullmatch(line):
            shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
            count = found[slug] = found.get(slug, -1) + 1
            if count:
                found[f"{slug}-{count}"] = 0
    return frozenset(found)


def broken_links(page: Path) -> list[str]:
    broken = []
    text = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", "\n".join(prose(page.read_text(encoding="utf-8"))), flags=re.DOTALL)
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = (page.parent / name).resolve() if name else page
        inside = file.is_relative_to(REPOSITORY.resolve())
        if not (inside and file.exists()) or (anchor and anchor not in anchors(file)):
            broken.append(target)
    return broken


def test_a_broken_link_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "REPOSITORY", tmp_path)
    (tmp_path / "there.md").write_text("# One word\n\n## One word\n\n```text\n## No heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#one-word) [c](there.md#one-word-1) [d](https://example.org/x) `[e](code.md)`\n"
        "![f](not.png) [g](there.md#no-heading) [h](../outside.md) [i](#nowhere)\n"
    )
    assert broken_links(page) == ["not.png", "there.md#no-heading", "../outside.md", "#nowhere"]


@pytest.mark.parametrize("page", [REPOSITORY / "README.md", *PAGES], ids=lambda page: page.name)
def test_links_and_images_lead_somewhere(page):
    assert broken_links(page) == []


class _AnyTag(yaml.SafeLoader):
    """Reads mkdocs.yml, in which a function is named, without calling it."""


_AnyTag.add_multi_constructor("", lambda loader, tag, node: None)


def navigation(part: str | list | dict) -> list[str]:
    if isinstance(part, str):
        return [part]
    inside = part.values() if isinstance(part, dict) else part
    return [page for each in inside for page in navigation(each)]


def test_every_page_is_in_the_navigation_once():
    site = yaml.load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"), _AnyTag)
    named = navigation(site["nav"])
    assert sorted(named) == [page.name for page in PAGES], "a page of docs/ belongs under nav in mkdocs.yml"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("command_reference", REPOSITORY / "scripts" / "command_reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_reference_has_every_command_and_option():
    reference = generator()
    page = reference.PAGE.read_text(encoding="utf-8")
    written = {}
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| `(-[^`]*)` \|", section, flags=re.MULTILINE)
        written[section.split("\n", 1)[0]] = tuple(name for row in rows for name in row.split(", "))
    there = {name: reference.option_names(command) for name, command in reference.commands().items()}
    assert "--timeline" in there["predict"] and "--help" not in there["predict"]
    assert written == there, "python scripts/command_reference.py writes docs/commands.md anew"


def test_every_public_name_is_on_the_page_of_python():
    named = re.findall(r"^::: thymos\.(\w+)$", PYTHON.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted([*named, "__version__"]) == sorted(thymos.__all__)
    assert "`thymos.__version__`" in PYTHON.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["faq.md", "evaluate.md"])
def test_figures_are_those_of_the_results(name):
    told = re.findall(r"\d+\.\d(?= %)", (REPOSITORY / "docs" / name).read_text(encoding="utf-8"))
    results = (REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8")
    assert told and [figure for figure in told if not re.search(rf"(?<![\d.]){figure}(?!\d)", results)] == []


def test_figures_of_the_static_page_are_those_of_its_results():
    told = (REPOSITORY / "examples" / "web" / "README.md").read_text(encoding="utf-8")
    measured = json.loads((REPOSITORY / "benchmarks" / "results" / "static_page.json").read_text(encoding="utf-8"))
    float32, shipped = measured["float32"], measured["shipped"]
    for words in (
        f"is {measured['page_mb']} MB", f"ready after {measured['ready_s']} s", f"Of {measured['recordings']} of them",
        f"timelines {measured['times_as_fast_as_sound']} times as fast", f"than {float32['largest_difference']} from",
        f"than {shipped['largest_difference']} from",
    ):  # fmt: skip
        assert words in " ".join(told.split())
    assert (float32["same_emotion"], shipped["same_emotion"]) == (1, 1)


def test_labels_of_emotion2vec_are_known_as_its_page_says():
    page = (REPOSITORY / "docs" / "from-emotion2vec.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\S+) \|$", page.partition("## Labels")[2], flags=re.MULTILINE)[1:]
    assert len(rows) == 9
    assert {theirs: to_emotion(theirs) or "–" for theirs, _ in rows} == dict(rows)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["python.md", "from-emotion2vec.md"])
def test_the_examples_of_python_run(tmp_path, page):
    (tmp_path / "data").symlink_to(REPOSITORY / "data")
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    environment = os.environ | {"THYMOS_CACHE": str(tmp_path / "cache")}
    code = "\n".join(examples)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"python.md": "could not be heard: not-there.wav", "from-emotion2vec.md": "(256,)"}[page] in done.stdout


def named_tests(text: str) -> list[tuple[str, str]]:
    """The tests, by file and function, that a page names."""
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)


def absent_tests(text: str) -> list[tuple[str, str]]:
    def is_there(file: str, name: str) -> bool:
        path = REPOSITORY / file
        return path.is_file() and re.search(rf"^def {name}\(", path.read_text(encoding="utf-8"), re.M) is not None

    return [(file, name) for file, name in named_tests(text) if not is_there(file, name)]


@pytest.mark.parametrize("page", [*PAGES, REPOSITORY / "SECURITY.md"], ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page):
    assert absent_tests(page.read_text(encoding="utf-8")) == []


def test_every_case_from_the_field_has_its_tests():
    table = (REPOSITORY / "docs" / "cases.md").read_text(encoding="utf-8").split("\n\n")[2].splitlines()
    rows = table[2:]
    assert len(rows) == 17 and all(named_tests(row) for row in rows)
    gone = "`tests/test_docs.py::test_that_is_none` `tests/none.py::test_a` `tests/test_docs.py::named_tests`"
    assert [name for _, name in absent_tests(gone)] == ["test_that_is_none", "test_a"]
