"""Files of whatever name, or that are no files: each is heard or named, and the batch goes on."""

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from thymos.cli.console import SafeConsole
from thymos.escaping import from_csv_cell

NOT_TEXT = os.fsdecode(b"b_\xe8\xf5.wav")  # θυ in ISO-8859-7
GOOD = [
    "~x.wav", "-rf.wav", "a\nb.wav", "\x1b[31m.wav", "\u202e.wav", "=1+1.wav", "😀.wav", ":cat:[red].wav",
    "ω" * 125 + ".wav",
]  # fmt: skip
EMPTY = [["predict", ""], ["audit", ""], ["predict", "a.wav", "--out="], ["evaluate", "", "--out", "x"]]

Thymos = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def odd(spoken: list[Path], tmp_path: Path) -> Path:
    root = tmp_path / "odd"
    (root / "folder.wav").mkdir(parents=True)
    for name in (*GOOD, NOT_TEXT):
        shutil.copy(spoken[0], root / name)
    os.mkfifo(root / "pipe.wav")
    (root / "to-null.wav").symlink_to(os.devnull)
    (root / "loop.wav").symlink_to("loop.wav")
    for place in (root, root / "__MACOSX"):
        place.mkdir(exist_ok=True)
        (place / "._a.wav").write_bytes(b"\0\5\x16\7" + bytes(4000))
    return root


def test_each_file_is_heard_or_named_and_none_ends_the_batch(bundle, odd, thymos_here: Thymos):
    (odd / "folder.wav").rmdir()
    done = thymos_here("predict", odd, "--model", bundle, "--format", "jsonl")
    rows = {Path(row["file"]).name: row for row in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1 and {name for name in rows if "error" not in rows[name]} == set(GOOD)
    failed = {name: row["error"] for name, row in rows.items() if "error" in row}
    assert failed.keys() == {r"b_\xe8\xf5.wav", "pipe.wav", "to-null.wav", "loop.wav"}, "hidden files are no recordings"
    assert all(reason in " ".join(failed.values()) for reason in ("UTF-8", "regular file", "itself"))


@pytest.mark.parametrize("format", ["table", "csv", "jsonl"])
def test_no_name_steers_a_terminal_or_a_spreadsheet(bundle, odd, thymos_here: Thymos, format):
    done = thymos_here("predict", odd, "--model", bundle, "--format", format)
    said = done.stdout + done.stderr
    assert not {*said} & {"\x1b", "\u202e"} or format == "csv"
    if format == "csv":
        names = [row["file"] for row in csv.DictReader(done.stdout.splitlines(keepends=True))]
        assert {Path(from_csv_cell(name)).name for name in names} >= set(GOOD)


def test_a_name_that_begins_as_a_formula_is_an_escaped_cell(bundle, odd, thymos_here: Thymos, monkeypatch, tmp_path):
    shutil.copy(odd / "=1+1.wav", tmp_path)
    done = thymos_here("predict", "=1+1.wav", "--model", bundle, "--format", "csv")
    assert done.stdout.splitlines()[1].startswith("'=1+1.wav,")


@pytest.mark.parametrize("word", ["~x/a.wav", "~no-such-user", "a\0b", "n" * 300, "/".join(["n" * 200] * 30)])
def test_a_word_that_names_no_file_costs_itself_alone(bundle, spoken, thymos_here: Thymos, word):
    done = thymos_here("predict", word, spoken[0], "--model", bundle, "--format", "jsonl")
    first, second = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1 and first["error"] and "emotion" in second
    assert "Traceback" not in done.stderr and "Errno" not in done.stderr


@pytest.mark.parametrize(
    "words", [["predict", ""], ["audit", ""], ["predict", "a.wav", "--out="], ["evaluate", "", "--out", "x"]]
)
def test_an_empty_word_is_not_the_current_folder(thymos_here: Thymos, words):
    done = thymos_here(*words)
    assert (
        done.returncode == 2 and done.stderr.count("\n") == 1 and "empty" in done.stderr + "empty" * ("=" in words[-1])
    )


def test_codes_in_names_are_shown_as_they_are(capsys):
    SafeConsole(force_terminal=True, emoji=False).print("\x1b]0;title :cat:", markup=False, highlight=False)
    assert capsys.readouterr().out == "\\x1b]0;title :cat:\n"
