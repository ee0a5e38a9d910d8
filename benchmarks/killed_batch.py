"""A long batch that is killed again and again ends with the same bytes, and hears each file once.

python benchmarks/killed_batch.py FOLDER [--files 3000] [--bad 30] [--kills 20] [--format jsonl] [--seed 0]

Links to the short recordings in FOLDER, in folders of a hundred, and bad files of twelve kinds among them, are heard by
`thymos predict --out`, once undisturbed and once killed (SIGKILL) at random moments, each after a random share of what
was left. After each kill the journal is read: what it held before is still in it, nothing twice. What is being heard
when the process is killed is heard again, as nothing of it was known yet. With `--seconds`, no more of each recording
than that.
"""

import argparse
import json
import os
import random
import shlex
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
from report import Record, environment, save, table

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


def _save(folder: Path, said: str, whole_s: float, code: int, rows: list[Record]) -> None:
    words = [word for word in sys.argv[2:] if word not in ("--results", str(folder))]
    command = shlex.join(["python", "benchmarks/killed_batch.py", "FOLDER", *words])
    record = {"command": command, "environment": environment(), "said": said, "undisturbed_s": whole_s}
    save(record | {"exit_code": code, "runs": rows}, _page(command, said, whole_s, code, rows), folder, "killed-batch")


def _page(command: str, said: str, whole_s: float, code: int, rows: list[Record]) -> str:
    known = 0
    lines = []
    for number, row in enumerate(rows, start=1):
        end = "killed" if number < len(rows) else f"exit code {code}"
        lines.append([str(number), str(known), str(row["heard"]), f"{row['seconds']:.1f}", end])
        known += row["heard"]
    head = f"`{command}`\n\n{said}; undisturbed it takes {whole_s:.1f} s and ends with {code}.\n\n"
    return head + table(("run", "known before", "heard", "seconds", "end"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", type=Path)
    parser.add_argument("--files", type=int, default=3_000)
    parser.add_argument("--bad", type=int, default=30)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--format", default="jsonl")
    parser.add_argument("--model", default="thymos")
    parser.add_argument("--seconds", type=float, help="no more of each recording than this")
    parser.add_argument("--results", type=Path, help="folder for the table: killed-batch.json and .md")
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
            if given.seconds is None:
                sounds.append(Path(shutil.copy(path, own)))
                continue
            sounds.append((own / path.name).with_suffix(".wav"))
            samples, rate_hz = soundfile.read(path)
            soundfile.write(sounds[-1], samples[: round(given.seconds * rate_hz)], rate_hz)
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
        rows: list[Record] = []
        while (kills := len(rows)) < given.kills:
            began_s = time.monotonic()
            goal = len(known) + chance.random() * (given.files - len(known)) / (given.kills - kills)
            running = subprocess.Popen(
                [*command, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            while running.poll() is None and len(journal_keys(journal)) < goal:
                time.sleep(0.02)
            time.sleep(chance.random() * 0.1)
            running.send_signal(signal.SIGKILL)
            running.wait()
            told = journal_keys(journal)
            assert len(told) == len(set(told)), "a file is in the journal twice"
            assert told[: len(known)] == known, "what was known is known"
            rows.append({"seconds": round(time.monotonic() - began_s, 1), "heard": len(told) - len(known)})
            known = told
            print(f"killed {kills + 1}: {len(known)} known", flush=True)
        began_s = time.monotonic()
        last = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True)
        rows.append({"seconds": round(time.monotonic() - began_s, 1), "heard": given.files - len(known)})
        assert last.returncode == undisturbed.returncode
        assert out.read_bytes() == (root / "whole").read_bytes(), "other bytes"
        assert not journal.exists()
        print([line for line in last.stderr.splitlines() if "known from" in line], flush=True)
        said = (
            f"{given.files} files, {given.bad} of them bad, killed {kills} times: the same {out.stat().st_size} bytes"
        )
        print(said)
        if given.results is not None:
            _save(given.results, said, round(took_s, 1), undisturbed.returncode, rows)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
