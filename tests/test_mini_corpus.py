"""The synthetic mini corpus: the copy in the repository, and the script that makes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "data" / "mini-aesdd"
SCRIPT = ROOT / "scripts" / "make_mini_corpus.py"
EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness")
MAX_BYTES = 1_500_000

needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not on the PATH (Debian package espeak-ng)"
)


def clips(corpus: Path) -> list[Path]:
    """All audio files of a corpus."""
    return sorted(corpus.glob("*/*.opus"))


def run_script(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the script as a user would, if asked with another PATH."""
    env = os.environ | {"COLUMNS": "200"} | ({} if path is None else {"PATH": path})
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=120)


def make_small(out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Make one sentence by two voices: ten clips."""
    return run_script("--out", str(out), "--sentences", "1", "--voices", "2", *more)


def fake_espeak(folder: Path, body: str) -> str:
    """A folder for PATH whose espeak-ng is the given shell script."""
    folder.mkdir()
    program = folder / "espeak-ng"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(folder)


def test_layout_is_that_of_aesdd() -> None:
    expected = {
        f"{emotion}/{emotion[0]}{sentence:02d} ({voice}).opus"
        for emotion in EMOTIONS
        for sentence in range(1, 6)
        for voice in range(1, 7)
    }
    assert {path.relative_to(CORPUS).as_posix() for path in clips(CORPUS)} == expected
    assert len(expected) == 150


def test_corpus_is_small_and_holds_nothing_else() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
    assert Counter(path.suffix for path in files) == {".opus": 150, ".md": 1, "": 1}


@pytest.mark.slow
def test_every_clip_decodes_to_audible_speech_and_says_it_is_synthetic() -> None:
    durations = []
    for path in clips(CORPUS):
        with sf.SoundFile(path) as file:
            samples = file.read()
            assert (file.channels, file.samplerate, file.subtype) == (1, 24_000, "OPUS"), path
            assert file.comment.startswith("SYNTHETIC"), path
        assert np.all(np.isfinite(samples)), path
        assert np.sqrt(np.mean(samples**2)) > 0.01, path
        durations.append(samples.size / 24_000)
    assert min(durations) > 1.2
    assert max(durations) < 5.0
    assert sum(d > 3 for d in durations) >= 15, "segmenting should have something to cut"


def test_clips_differ_from_each_other() -> None:
    assert len({path.read_bytes() for path in clips(CORPUS)}) == 150


def test_readme_says_synthetic() -> None:
    text = " ".join((CORPUS / "README.md").read_text(encoding="utf-8").split())
    assert "SYNTHETIC" in text
    assert "no human voice" in text
    assert "no emotion was felt or acted" in text
    assert "say nothing about emotion recognition" in text
    assert re.search(r"python scripts/make_mini_corpus\.py --seed \d+ --sentences 5 --voices 6", text)


@pytest.mark.slow
@needs_espeak
def test_script_makes_the_same_subset_twice(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for out in (first, second):
        done = make_small(out)
        assert done.returncode == 0, done.stderr
    made = clips(first)
    assert [path.parent.name for path in made] == [e for e in EMOTIONS for _ in range(2)]
    for path in made:
        info = sf.info(path)
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("OGG", "OPUS", 24_000, 1)
        assert 1.0 < info.duration < 5.0
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()
    assert "SYNTHETIC" in (first / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@needs_espeak
def test_seed_changes_the_clips_and_an_earlier_corpus_is_replaced(tmp_path: Path) -> None:
    assert make_small(tmp_path).returncode == 0
    before = {path.name: path.read_bytes() for path in clips(tmp_path)}
    again = run_script("--out", str(tmp_path), "--sentences", "1", "--voices", "1", "--seed", "2")
    assert again.returncode == 0, again.stderr
    after = {path.name: path.read_bytes() for path in clips(tmp_path)}
    assert len(after) == 5
    assert all(before[name] != data for name, data in after.items())


@pytest.mark.slow
def test_missing_espeak_is_one_sentence_naming_the_package(tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    done = run_script("--out", str(tmp_path / "out"), path=str(empty))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Debian's package espeak-ng" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_failed_synthesis_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    path = fake_espeak(tmp_path / "bin", "echo 'no such voice.' >&2; exit 1")
    done = run_script("--out", str(tmp_path / "out"), path=path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no such voice" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_silent_success_of_espeak_is_noticed(tmp_path: Path) -> None:
    path = fake_espeak(tmp_path / "bin", "exit 0")
    done = run_script("--out", str(tmp_path / "out"), path=path)
    assert done.returncode == 1
    assert "no readable speech" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    path = fake_espeak(tmp_path / "bin", "exit 0")
    recording = tmp_path / "out" / "anger" / "a01 (1).wav"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b"precious")
    done = run_script("--out", str(tmp_path / "out"), path=path)
    assert done.returncode == 1
    assert "not empty" in done.stderr
    assert recording.read_bytes() == b"precious"
