"""``thymos predict``: files, folders, globs and standard input; bad files named; what was cut short goes on."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from thymos.cli.inputs import find_recordings
from thymos.cli.journal import _line

Done = subprocess.CompletedProcess[str]


def command(bundle: Path, *words: str | Path) -> list[str]:
    return [sys.executable, "-m", "thymos", "predict", *map(str, words), "--model", str(bundle)]


@pytest.fixture
def predict_here(thymos_here: Callable[..., Done]) -> Callable[..., Done]:
    """In this process, whose libraries are loaded already."""
    return lambda bundle, *words: thymos_here("predict", *words, "--model", bundle)


def predict(bundle: Path, *words: str | Path, **kept: object) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as users do."""
    return subprocess.run(command(bundle, *words), capture_output=True, **({"text": True} | kept))


@pytest.fixture
def folder(mini: Path, tmp_path: Path) -> Path:
    """Twelve recordings in two folders, two of them bad, beside what is no recording."""
    root = tmp_path / "sounds"
    for number, clip in enumerate(sorted(mini.glob("*/*"))[::15]):
        place = root / ("calls" if number % 2 else "more/deep")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, place / f"{number:02d}{clip.suffix}")
    (root / "calls" / "bad.wav").write_bytes(b"RIFF")
    (root / "more" / "empty [1].flac").touch()
    (root / "notes.txt").write_text("no sound")
    return root


@pytest.mark.slow
def test_folder_as_json_lines_names_bad_files_and_exits_1(bundle, folder):
    done = predict(bundle, folder, "--format", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    within = [str(Path(row["file"]).relative_to(folder)) for row in rows]
    calls = [f"calls/{number:02d}.opus" for number in (1, 3, 5, 7, 9)]
    deep = [f"more/deep/{number:02d}.opus" for number in (0, 2, 4, 6, 8)]
    assert within == [*calls, "calls/bad.wav", "more/empty [1].flac", *deep], "files, then folders, each in order"
    bad = {Path(row["file"]).name: row["error"] for row in rows if "error" in row}
    assert bad == {"bad.wav": bad["bad.wav"], "empty [1].flac": "is empty (0 bytes)"}
    good = next(row for row in rows if "error" not in row)
    assert good.keys() == {
        "file", "emotion", "probabilities", "prediction_set", "speech_s", "duration_s", "flags", "model",
    }  # fmt: skip
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert done.returncode == 1
    assert "not heard:" in done.stderr and "empty [1].flac is empty" in done.stderr
    assert "10 of 12 recordings were heard" in done.stderr


@pytest.mark.slow
def test_formats_say_the_same(bundle, folder, predict_here):
    good = folder / "calls" / "01.opus"
    row = json.loads(predict_here(bundle, good, "--format", "jsonl", "--timeline").stdout)
    (in_csv,) = csv.DictReader(predict_here(bundle, good, "--format", "csv").stdout.splitlines())
    assert in_csv["emotion"] == row["emotion"]
    assert {word: float(in_csv[f"p_{word}"]) for word in row["probabilities"]} == row["probabilities"]
    assert in_csv["prediction_set"].split() == row["prediction_set"] and in_csv["error"] == ""
    stretches = list(csv.DictReader(predict_here(bundle, good, "--format", "csv", "--timeline").stdout.splitlines()))
    assert [float(at["start_s"]) for at in stretches] == [at["start_s"] for at in row["timeline"]]
    table = predict_here(bundle, good, "--timeline")
    assert table.returncode == 0 and table.stderr == ""
    lines = table.stdout.splitlines()
    assert lines[0].split()[0] == "emotion" and lines[1].startswith(row["emotion"])
    assert len(lines) == 2 + len(row["timeline"])
    grid = predict_here(bundle, good, "--format", "textgrid").stdout
    assert grid.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n')
    assert grid.count("            text = ") == len(row["timeline"])
    assert f"xmax = {row['duration_s']}\n" in grid
    subtitles = predict_here(bundle, good, "--format", "srt").stdout
    assert subtitles.startswith("1\n00:00:0") and " --> 00:00:0" in subtitles
    assert subtitles.count(row["emotion"]) == sum(at["emotion"] == row["emotion"] for at in row["timeline"])


@pytest.mark.slow
def test_standard_input_globs_and_repeated_names(bundle, folder, predict_here):
    clip = folder / "calls" / "01.opus"
    piped = predict(bundle, "-", "--format", "jsonl", text=False, input=clip.read_bytes())
    named = predict_here(bundle, clip, clip, folder / "calls" / "0[1]*.opus", folder / "nothing*", "--format", "jsonl")
    from_pipe, (from_name, nothing) = (
        json.loads(piped.stdout), [json.loads(line) for line in named.stdout.splitlines()],
    )  # fmt: skip
    assert from_pipe | {"file": ""} == from_name | {"file": ""}
    assert nothing["error"] == "matches no file" and named.returncode == 1


@pytest.mark.slow
def test_what_cannot_be_is_one_sentence(bundle, folder, tmp_path, predict_here):
    absent = predict(tmp_path / "absent", folder)
    assert absent.returncode == 2 and absent.stderr.startswith("thymos: ") and absent.stderr.count("\n") == 1
    many = predict_here(bundle, folder, "--format", "srt")
    assert many.returncode == 2 and "name a folder by --out" in many.stderr
    (tmp_path / "void").mkdir()
    void = predict_here(bundle, tmp_path / "void")
    assert void.returncode == 1 and "is a folder without recordings" in void.stderr


@pytest.mark.slow
def test_out_is_whole_and_folders_keep_their_shape(bundle, folder, tmp_path, predict_here):
    out = tmp_path / "out" / "results.csv"
    done = predict_here(bundle, folder, "--format", "csv", "--out", out, "--quiet")
    assert done.returncode == 1 and done.stdout == ""
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == 12 and sum(bool(row["error"]) for row in rows) == 2
    assert [path.name for path in out.parent.iterdir()] == ["results.csv"]
    shutil.copy(folder / "calls" / "01.opus", folder / "calls" / "01.ogg")
    grids = tmp_path / "grids"
    predict_here(bundle, folder, "--format", "textgrid", "--out", grids, "--quiet")
    names = {str(path.relative_to(grids)) for path in grids.rglob("*.TextGrid")}
    assert {"calls/01.opus.TextGrid", "calls/01.ogg.TextGrid", "calls/03.TextGrid", "more/deep/00.TextGrid"} <= names
    assert len(names) == 11


@pytest.mark.slow
def test_killed_it_goes_on_where_it_stopped(bundle, folder, tmp_path):
    long_ago = folder / "more" / "zz.wav"  # comes last, and takes long enough to be killed in
    soundfile.write(long_ago, np.random.default_rng(0).normal(0, 0.1, 16_000 * 1_500), 16_000)
    expected = tmp_path / "expected.jsonl"
    predict(bundle, folder, "--format", "jsonl", "--out", expected, "--quiet")
    out = tmp_path / "results.jsonl"
    journal = tmp_path / ".results.jsonl.journal"
    words = command(bundle, folder, "--format", "jsonl", "--out", out, "--quiet", "--threads", 1)
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        time.sleep(0.05)
        if journal.exists() and journal.read_text().count("\n") >= 4:
            break
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not out.exists() and journal.exists()
    kept = journal.read_text().count("\n") - 1
    assert 3 <= kept < 11
    with journal.open("a") as file:
        file.write('["torn')
    # What is done is not heard again: its row comes from the journal.
    lines = journal.read_text().split("\n")
    key, row = json.loads(lines[1][16:])
    lines[1] = _line(key, row | {"model": "from the journal"}, lines[0])
    journal.write_text("\n".join(lines))
    assert predict(bundle, folder, "--format", "jsonl", "--out", out, "--quiet").returncode == 1
    rows, full = ([json.loads(line) for line in path.read_text().splitlines()] for path in (out, expected))
    assert sum(row.get("model") == "from the journal" for row in rows) == 1
    assert [row | {"model": ""} for row in rows] == [row | {"model": ""} for row in full]
    assert not journal.exists()


def test_another_model_begins_anew(bundle, make_bundle, folder, tmp_path):
    from thymos.cli.journal import Journal, key_of

    clip = folder / "calls" / "01.opus"
    out = tmp_path / "out.jsonl"
    with Journal(out, {"model": "a"}) as journal:
        journal.add(key_of(clip), {"emotion": "anger"})
    assert Journal(out, {"model": "a"}).done == {key_of(clip): {"emotion": "anger"}}
    assert Journal(out, {"model": "b"}).done == {}
    os.utime(clip, (1, 1))
    assert key_of(clip) not in Journal(out, {"model": "a"}).done


def test_links_that_go_round_are_not_followed(folder):
    (folder / "calls" / "round").symlink_to(folder)
    assert len(find_recordings([str(folder)])) == 12
