"""``thymos predict TABLE``: files and parts of files that a table names are heard as such."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thymos.audio.excerpt import Excerpt, read_excerpt
from thymos.runtime.recognizer import load


@pytest.fixture(scope="module")
def bundle(make_bundle: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture
def table(mini: Path, tmp_path: Path) -> Path:
    first, second = sorted((mini / "anger").iterdir())[:2]
    (tmp_path / "list.csv").write_text(
        "Filename;start;end;emotion\n"
        f"{first};;;anger\n{first};0 days 00:00:00.5;0 days 00:00:01.5;anger\n{first};0.5;1.5;fear\n"
        f"{second};0.25;NaT;\n"
        "absent.wav;;;\n"
    )
    return tmp_path / "list.csv"


def test_parts_of_files_are_heard_as_such(
    bundle: Path, mini: Path, table: Path, thymos_here: Callable[..., Any]
) -> None:
    first, second = (str(path) for path in sorted((mini / "anger").iterdir())[:2])
    done = thymos_here("predict", table, "--model", bundle, "--format", "jsonl")
    assert done.returncode == 1, "one of them is not there"
    rows = {row["file"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert list(rows) == [first, f"{first}#t=0.5,1.5", f"{second}#t=0.25", "absent.wav"]
    assert rows["absent.wav"]["error"] == "does not exist"
    recognizer = load(bundle)
    for name, times in ((f"{first}#t=0.5,1.5", (0.5, 1.5)), (f"{second}#t=0.25", (0.25, None))):
        part, _ = read_excerpt(name.partition("#")[0], *times)
        heard = recognizer.predict((part.samples, part.rate_hz))
        assert rows[name]["probabilities"] == pytest.approx(heard.probabilities, abs=1e-4)
        assert rows[name]["duration_s"] == pytest.approx(len(part.samples) / part.rate_hz, abs=1e-3)
    assert rows[first]["duration_s"] > 1.5


def test_a_killed_run_tells_parts_apart(bundle: Path, table: Path, thymos_here: Callable[..., Any]) -> None:
    out = table.parent / "out.jsonl"
    done = thymos_here("predict", table, "--model", bundle, "--out", out, "--quiet")
    assert done.returncode == 1
    lengths = [json.loads(line).get("duration_s") for line in out.read_text().splitlines()]
    assert len(set(lengths)) == 4


def test_a_table_of_nothing_is_one_sentence(bundle: Path, tmp_path: Path, thymos_here: Callable[..., Any]) -> None:
    for content, words in (
        ("emotion\nanger\n", "has no column file: its first line has emotion"),
        ("file\na.wav\n", "a.wav, which it names, is not in"),
    ):
        (tmp_path / "list.csv").write_text(content)
        done = thymos_here("predict", tmp_path / "list.csv", "--model", bundle)
        assert done.returncode == 2
        assert words in done.stderr


def test_a_part_that_is_not_there_is_named(bundle: Path, mini: Path, tmp_path: Path) -> None:
    first = sorted((mini / "anger").iterdir())[0]
    (failure,) = load(bundle).predict_many([Excerpt(first, 100.0, 101.0)])  # type: ignore[list-item]
    assert str(failure) == f"{first}#t=100,101 has no part from 100 s to 101 s: it is no longer than that"
