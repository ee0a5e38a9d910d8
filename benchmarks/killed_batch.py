"""A long batch that is killed again and again ends with the same bytes, and hears each file once.

python benchmarks/killed_batch.py FOLDER [--files 3000] [--bad 30] [--kills 20] [--format jsonl] [--seed 0]

Links to the short recordings in FOLDER, in folders of a hundred, and bad files of twelve kinds among them, are heard by
`thymos predict --out`, once undisturbed and once killed (SIGKILL) at random moments, each after a random share of what
was left. After each kill the journal is read: what it held before is still in it, nothing twice. What is being heard
when the process is killed is heard again, as nothing of it was known yet.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from thymos.audio.search import sounds_below
from thymos.cli.journal import journal_path


def _truncated(path: Path, sound: Path) -> None:
    path.write_bytes(sound.read_bytes()[:40])


def _nan(path: Path, sound: Path) -> None:
    soundfile.write(path, np.full(8_000, np.nan, np.float32), 16_000, subtype="FLOAT")


def _no_samples(path: Path, sound: Path) -> None:
    soundfile.write(path, np.zeros(0, np.float32), 16_000)


def _no_channels(path: Path, sound: Path) -> None:
    _no_samples(path, sound)
    content = bytearray(path.read_bytes())
    content[22:24] = b"\0\0"
    path.write_bytes(content)


BAD: tuple[tuple[str, Callable[[Path, Path], object]], ...] = (
    ("wav", lambda path, sound: path.touch()),
    ("wav", lambda path, sound: path.write_bytes(b"RIFF")),
    ("flac", lambda path, sound: path.write_bytes(b"fLaC" + bytes(100))),
    ("ogg", _truncated),
    ("mp3", lambda path, sound: path.write_bytes(b"ID3" + bytes(2_000))),
    ("wav", lambda path, sound: path.write_text("this is a text")),
    ("wav", lambda path, sound: path.write_bytes(os.urandom(3_000))),
    ("wav", lambda path, sound: path.mkdir()),
    ("wav", lambda path, sound: path.symlink_to(path.parent / "nowhere")),
    ("wav", _nan),
    ("wav", _no_samples),
    ("wav", _no_channels),
)
"""Twelve kinds of files that cannot be heard, by suffix and what makes them."""


def made(folder: Path, sounds: list[Path], files: int, bad: int) -> None:
    """Fill ``folder`` with so many files, the bad ones spread among them."""
    every = max(1, files // max(1, bad))
    for number in range(files):
        place = folder / f"{number // 100:03d}"
        place.mkdir(parents=True, exist_ok=True)
        sound = sounds[number % len(sounds)]
        if number % every == every // 2 and number // every < bad:
            suffix, make = BAD[(number // every) % len(BAD)]
            make(place / f"{number:05d}.{suffix}", sound)
        else:
            os.link(sound, place / f"{number:05d}{sound.suffix}")


def journal_keys(journal: Path) -> list[str]:
    """Return what the journal knows, line by line; a line that is being written does not count."""
    if not journal.is_file():
        return []
    keys = []
    for line in journal.read_text(encoding="utf-8").split("\n")[1:-1]:
        keys.append(json.loads(line[16:])[0])
    return keys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", type=Path)
    parser.add_argument("--files", type=int, default=3_000)
    parser.add_argument("--bad", type=int, default=30)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--format", default="jsonl")
    parser.add_argument("--model", default="thymos")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    root = Path(
        tempfile.mkdtemp(prefix="killed-", dir=given.sounds.absolute().parent if given.sounds.is_dir() else None)
    )
    try:
        own = root / "sounds"
        own.mkdir()
        sounds = []
        for path in sounds_below(given.sounds).sounds[:20]:
            sounds.append(Path(shutil.copy(path, own)))
        folder = root / "batch"
        made(folder, sounds, given.files, given.bad)
        command = [
            sys.executable,
            "-m",
            "thymos",
            "predict",
            str(folder),
            "--format",
            given.format,
            "--model",
            given.model,
        ]
        began_s = time.monotonic()
        undisturbed = subprocess.run([*command, "--out", str(root / "whole")], capture_output=True, text=True)
        took_s = time.monotonic() - began_s
        print(undisturbed.stderr.splitlines()[-2:], f"{took_s:.0f} s", f"exit {undisturbed.returncode}", flush=True)
        out = root / "killed"
        journal = journal_path(out)
        known: list[str] = []
        kills = 0
        while kills < given.kills:
            goal = len(known) + chance.random() * (given.files - len(known)) / (given.kills - kills)
            running = subprocess.Popen(
                [*command, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            while running.poll() is None and len(journal_keys(journal)) < goal:
                time.sleep(0.02)
            time.sleep(chance.random() * 0.1)
            running.send_signal(signal.SIGKILL)
            running.wait()
            kills += 1
            told = journal_keys(journal)
            assert len(told) == len(set(told)), "a file is in the journal twice"
            assert told[: len(known)] == known, "what was known is known"
            known = told
            print(f"killed {kills}: {len(known)} known", flush=True)
        last = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True)
        assert last.returncode == undisturbed.returncode
        assert out.read_bytes() == (root / "whole").read_bytes(), "other bytes"
        assert not journal.exists()
        print([line for line in last.stderr.splitlines() if "known from" in line], flush=True)
        print(
            f"{given.files} files, {given.bad} of them bad, killed {kills} times: the same {out.stat().st_size} bytes"
        )
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
