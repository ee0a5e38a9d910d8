"""What a command is asked to write is checked before it works, and no result or recording is lost."""

import csv
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from thymos.cache import cache_place
from thymos.cli.inputs import NamedRecording, find_recordings
from thymos.cli.journal import Journal, journal_path
from thymos.cli.outputs import own_names
from thymos.runtime.formats import OF_NAMES

Thymos = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def two(spoken: list[Path], tmp_path: Path) -> Path:
    """``d1/a`` and ``d2/a``, two recordings, in ``tmp_path``, where commands run."""
    for folder, sound in (("d1", spoken[0]), ("d2", spoken[1])):
        (tmp_path / folder).mkdir()
        shutil.copy(sound, tmp_path / folder / f"a{sound.suffix}")
    return tmp_path


@pytest.fixture
def sound(two: Path) -> Path:
    return next((two / "d1").iterdir())


def refused(done: subprocess.CompletedProcess[str], words: str) -> bool:
    return done.returncode == 2 and done.stderr.count("\n") == 1 and words in done.stderr and done.stdout == ""


def test_the_format_is_that_of_the_name(bundle, two, sound, thymos_here: Thymos):
    assert thymos_here("predict", sound, "--model", bundle, "--out", "e.csv", "--quiet").returncode == 0
    (row,) = csv.DictReader((two / "e.csv").open())
    assert row["file"] == str(sound) and row["emotion"]
    thymos_here("predict", sound, "--model", bundle, "--out", "e.JSONL", "--quiet")
    assert json.loads((two / "e.JSONL").read_text())["file"] == str(sound)
    thymos_here("predict", sound, "--model", bundle, "--out", "e.srt", "--quiet")
    assert (two / "e.srt").read_text().startswith("1\n00:00:0")
    contrary = thymos_here("predict", sound, "--model", bundle, "--out", "e.csv", "--format", "jsonl")
    assert refused(contrary, "is csv by its name, and --format says jsonl")
    several = thymos_here("predict", "d1", "d2", "--model", bundle, "--out", "f.srt")
    assert refused(several, "one file, and there are 2 recordings")


def test_two_recordings_of_one_name_have_a_file_each(bundle, two, thymos_here: Thymos):
    done = thymos_here("predict", "d1", "d2", "--model", bundle, "--format", "srt", "--out", "o", "--quiet")
    assert done.returncode == 0
    assert {str(path.relative_to(two / "o")) for path in (two / "o").rglob("*.srt")} == {
        "d1/a.opus.srt",
        "d2/a.opus.srt",
    }


def test_names_of_results_are_their_own():
    def named(path: str, root: str) -> NamedRecording:
        return NamedRecording(path, Path(path), Path(path).relative_to(root))

    recordings = [
        named("x/a.wav", "x"), named("x/a.mp3", "x"), named("y/a.wav", "y"), named("z/y/a.wav", "z/y"),
        named("x/b.wav", "x"), named("x/sub/b.wav", "x"),
    ]  # fmt: skip
    names = [str(name) for name in own_names(recordings, ".srt")]
    assert names == ["x/a.wav.srt", "a.mp3.srt", "y/a.wav.srt", "y/a.wav (2).srt", "b.srt", "sub/b.srt"]


@pytest.mark.parametrize("kind", ["itself", "link", "hard link"])
@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_no_recording_is_written_over(bundle, two, sound, thymos_here: Thymos, kind, options):
    before, out = sound.read_bytes(), two / "link"
    if kind == "itself":
        out = sound
    elif kind == "link":
        out.symlink_to(sound)
    else:
        os.link(sound, out)
    done = thymos_here("predict", sound, "--model", bundle, "--format", "csv", "--out", out, *options)
    assert refused(done, "is a recording that is heard") and sound.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("format", ["csv", "jsonl", "table"])
def test_a_table_of_others_is_not_replaced_and_one_of_the_same_is(bundle, two, thymos_here: Thymos, format):
    def predict(*words: str) -> subprocess.CompletedProcess[str]:
        return thymos_here("predict", *words, "--model", bundle, "--format", format, "--out", "o", "--quiet")

    assert predict("d1").returncode == 0
    before = (two / "o").read_bytes()
    assert predict("d1").returncode == 0, "made anew"
    assert refused(predict("d2"), "results of other recordings, such as") and (two / "o").read_bytes() == before
    assert predict("d1", "d2").returncode == 0, "all of its recordings are among these"
    assert predict("d2", "absent.wav", "--overwrite").returncode == 1
    assert predict("d2").returncode == 0, "what could not be heard is nothing to keep"
    (two / "o").write_text("notes of somebody")
    assert refused(predict("d2"), "no table of results")


def test_files_of_single_results_are_not_replaced_unless_asked(bundle, two, thymos_here: Thymos):
    words = ("--model", bundle, "--format", "textgrid", "--out", "o", "--quiet")
    assert thymos_here("predict", "d1", *words).returncode == 0
    before = (two / "o" / "a.TextGrid").read_bytes()
    assert refused(thymos_here("predict", "d2", *words), "exists")
    assert (two / "o" / "a.TextGrid").read_bytes() == before
    assert thymos_here("predict", "d2", *words, "--overwrite").returncode == 0


@pytest.mark.parametrize(("out", "words"), [("d1", "is a folder"), ("d1/a.opus/x.csv", "is no folder")])
def test_where_nothing_can_be_written_is_known_first(bundle, two, thymos_here: Thymos, out, words):
    assert refused(thymos_here("predict", "d2", "--model", bundle, "--format", "csv", "--out", out), words)


def test_a_result_whose_name_is_too_long_is_named_and_the_others_are_written(bundle, two, sound, thymos_here: Thymos):
    long = sound.with_name("n" * 250 + sound.suffix)
    sound.rename(long)
    done = thymos_here("predict", "d1", "d2", "--model", bundle, "--format", "textgrid", "--out", "o")
    assert done.returncode == 1 and "not written:" in done.stderr and "File name too long" in done.stderr
    assert [path.name for path in (two / "o").iterdir()] == ["a.TextGrid"]


def test_permissions_are_those_that_the_umask_leaves(bundle, two, sound, thymos_here: Thymos):
    before = os.umask(0o027)
    try:
        thymos_here("predict", sound, "--model", bundle, "--format", "csv", "--out", "o.csv", "--quiet")
    finally:
        os.umask(before)
    assert stat.S_IMODE((two / "o.csv").stat().st_mode) == 0o640


@pytest.mark.parametrize("kind", ["link", "pipe", "not text", "odd lines"])
def test_a_journal_that_somebody_has_put_there_is_not_followed(tmp_path, kind):
    out, other = tmp_path / "o.csv", tmp_path / "other"
    other.write_text("precious")
    path = journal_path(out)
    with Journal(out, {"a": 1}) as journal:
        journal.add("key", {"emotion": "anger"})
    lines = path.read_text().splitlines()
    if kind != "odd lines":
        path.unlink()
    if kind == "link":
        path.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "not text":
        path.write_bytes(b"\xff\xfe\0")
    elif kind == "odd lines":
        odd = [
            "5",
            "[]",
            "null",
            "[1,2,3]",
            "[" * 100_000,
            lines[1].replace("anger", "fear"),
            "0" * 16 + '["k", 5]',
            lines[1][:-3],
        ]
        path.write_text("\n".join([*lines, *odd]))
    again = Journal(out, {"a": 1})
    assert again.done == ({"key": {"emotion": "anger"}} if kind == "odd lines" else {})
    assert again.damaged == (8 if kind == "odd lines" else 0)
    with again:
        again.add("k", {})
    assert path.is_file() and not path.is_symlink() and other.read_text() == "precious"
    assert "k" in Journal(out, {"a": 1}).done


def test_recordings_are_found_once(two):
    assert len(find_recordings([str(two / "d1"), str(two / "d1" / "a.opus")])) == 1


def test_a_file_beside_each_recording(bundle, two, thymos_here: Thymos):
    (two / "d2" / "bad.wav").write_bytes(b"RIFF")
    shutil.copy(next((two / "d2").glob("a.*")), two / "d2" / "a.wav")
    done = thymos_here("predict", "d1", "d2", "--model", bundle, "--beside", "--quiet")
    assert done.returncode == 1 and done.stdout == ""
    assert {str(path.relative_to(two)) for path in two.rglob("*.json")} == {
        "d1/a.json", "d2/a.opus.json", "d2/a.wav.json",
    }  # fmt: skip
    (row,) = json.loads((two / "d1" / "a.json").read_text())
    assert row["file"] == "d1/a.opus" and row["emotion"]
    again = thymos_here("predict", "d1", "--model", bundle, "--beside")
    assert refused(again, "d1/a.json exists")
    assert thymos_here("predict", "d1", "--model", bundle, "--beside", "--overwrite", "--quiet").returncode == 0
    grid = thymos_here("predict", "d1", "--model", bundle, "--beside", "--format", "textgrid", "--quiet")
    assert grid.returncode == 0 and (two / "d1" / "a.TextGrid").is_file()
    assert not list((cache_place() / "journals").glob("*")), "nothing is left behind"
    both = thymos_here("predict", "d1", "--model", bundle, "--beside", "--out", "x.csv")
    assert refused(both, "give one of both")


def test_names_by_a_pattern(bundle, two, thymos_here: Thymos):
    same = thymos_here("predict", "d1", "d2", "--model", bundle, "--out", "o/{stem}.vtt")
    assert refused(same, "makes one name, o/a.vtt, of d1/a.opus and d2/a.opus; add {folder}/")
    done = thymos_here("predict", ".", "--model", bundle, "--out", "o/{folder}/{stem}.vtt", "--quiet")
    assert done.returncode == 0
    assert {str(path.relative_to(two)) for path in (two / "o").rglob("*")} == {
        "o/d1", "o/d1/a.vtt", "o/d2", "o/d2/a.vtt",
    }  # fmt: skip
    assert (two / "o" / "d1" / "a.vtt").read_text().startswith("WEBVTT\n\n00:00:0")
    wrong = thymos_here("predict", "d1", "--model", bundle, "--out", "o/{stem}-{emotion}.csv")
    assert refused(wrong, "holds {emotion}; a pattern may hold {stem}, {name}, {folder}")
    thymos_here("predict", "d1", "--model", bundle, "--out", "o/{1}.csv", "--quiet")
    assert (two / "o" / "{1}.csv").is_file(), "braces alone are letters"


@pytest.mark.slow
def test_every_format_is_written_by_its_name(bundle, two, sound, thymos_here: Thymos):
    for suffix in OF_NAMES:
        done = thymos_here("predict", sound, "--model", bundle, "--out", f"x{suffix}", "--quiet")
        assert (done.returncode, done.stderr) == (0, "") and (two / f"x{suffix}").stat().st_size > 20
    refused(thymos_here("predict", sound, "--model", bundle, "--format", "parquet"), "cannot be printed")
    labels = thymos_here("predict", sound, "--model", bundle, "--format", "audacity", "--out", "labels", "--quiet")
    assert labels.returncode == 0 and (two / "labels" / "a.txt").read_text().count("\t") >= 2


def test_what_a_journal_knows_to_be_bad_is_not_tried_again(bundle, two, thymos_here: Thymos):
    (two / "d1" / "bad.wav").write_bytes(b"RIFF")
    whole = thymos_here("predict", "d1", "--model", bundle, "--out", "o.jsonl", "--quiet")
    expected = (two / "o.jsonl").read_text()
    (two / "o.jsonl").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "remove", lambda self: None)  # as if killed before the end
        thymos_here("predict", "d1", "--model", bundle, "--out", "o.jsonl", "--quiet")
    (two / "o.jsonl").unlink()
    lines = (two / ".o.jsonl.journal").read_text().splitlines()
    assert len(lines) == 1 + 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thymos.runtime.listening.Listener.listen", lambda *words: pytest.fail("heard again"))
        done = thymos_here("predict", "d1", "--model", bundle, "--out", "o.jsonl")
    assert (done.returncode, whole.returncode) == (1, 1) and "2 were known from an earlier run" in done.stderr
    assert (two / "o.jsonl").read_text() == expected
