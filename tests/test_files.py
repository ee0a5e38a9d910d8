import json
import threading
from pathlib import Path

import pytest

from thymos.errors import FigureFormatError
from thymos.files import figure_formats, whole_file, write_json, write_text


def test_what_succeeds_takes_the_name_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "αρχείο.txt"
    write_text(path, "θυμός\n")
    assert path.read_bytes() == "θυμός\n".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["αρχείο.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(error), whole_file(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_first_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_file(tmp_path / "results.json"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    versions = [letter * 1_000_000 for letter in "ab"]
    write_text(path, versions[0])
    seen = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        write_text(path, versions[turn % 2])
    done.set()
    reader.join()
    assert seen <= set(versions)


def test_json_is_indented_readable_and_ends_with_a_newline(tmp_path: Path) -> None:
    value = {"emotion": "θυμός", "n": [1, 2.5, None]}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "θυμός" in text
    assert text.startswith('{\n  "emotion"')
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": object()}])
def test_what_is_not_json_is_refused_and_not_written(tmp_path: Path, value: object) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": True})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, value)
    assert json.loads(path.read_text()) == {"old": True}
    assert list(tmp_path.iterdir()) == [path]


def test_formats_of_figures_are_read_once_each() -> None:
    assert figure_formats("PNG, pdf,png") == ("png", "pdf")
    for words, named in (("png,jpg", "jpg"), ("", "nothing"), (",", "nothing")):
        with pytest.raises(FigureFormatError, match=f"png, pdf, svg, not as {named}"):
            figure_formats(words)
