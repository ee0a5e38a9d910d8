"""Hostile files for ``thymos predict``, a folder at a time: what it prints, how it ends, what reaches a terminal."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fuzz

from thymos.audio.containers import SOUND_SUFFIXES

FOLDER = 100
FORMATS = ("jsonl", "csv", "jsonl", "srt", "jsonl", "rttm")
"""How folders are told, in turn: those of JSON lines are judged by these alone, others in both ways."""
SEED_OFFSET = 1_000_003
"""Other files than those that the recogniser is given in Python."""


@dataclass
class Commands:
    """What became of files that ``thymos predict`` was given.

    Attributes:
        files, folders: how many there were.
        outcomes: how many files were answered, heard without anybody in them, or refused.
        exits: how many folders ended with which code.
        slowest_s: processor time of the slowest folder, by file.
        problems: what was not as it should be, in words.
    """

    files: int = 0
    folders: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Return it in a line."""
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        ends = ", ".join(f"{count} ended with {code}" for code, count in sorted(self.exits.items()))
        lines = [f"{self.files} files by {self.folders} commands: {told}; {ends}; {len(self.problems)} failures"]
        return "\n".join([*lines, *self.problems])

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return vars(self) | {"slowest_s": round(self.slowest_s, 3)}


def run_commands(seed: int, count: int, out: Path, show: bool) -> Commands:
    """Give ``count`` files to ``thymos predict``; folders in which something is wrong are kept in ``out``."""
    commands = Commands()
    if not count:
        return commands
    cases = list(fuzz.cases(seed + SEED_OFFSET, count, small=True))
    for start in range(0, count, FOLDER):
        some = cases[start : start + FOLDER]
        with tempfile.TemporaryDirectory(dir=out) as place:
            folder = Path(place) / "sounds"
            folder.mkdir()
            for number, case in enumerate(some):
                # What is not named like sound is passed over in a folder.
                suffix = case.suffix if f".{case.suffix}" in SOUND_SUFFIXES else "wav"
                (folder / f"{number:03d}.{suffix}").write_bytes(case.content)
            before = len(commands.problems)
            _judge(folder, commands, FORMATS[start // FOLDER % len(FORMATS)])
            if len(commands.problems) > before:
                kept = out / f"{seed}-command-{start}"
                folder.rename(kept)
                commands.problems[before:] = [f"{kept}: {each}" for each in commands.problems[before:]]
        if show:
            print(f"{commands.files} of {count} by commands, {len(commands.problems)} failures", flush=True)
    return commands


def _judge(folder: Path, commands: Commands, format: str) -> None:
    names = sorted(path.name for path in folder.iterdir())
    out = folder.parent / "told"
    words = [sys.executable, "-m", "thymos", "predict", str(folder), "--timeline"]
    began = _children_s()
    if format != "jsonl":
        other = subprocess.run([*words, "--format", format, "--out", str(out)], capture_output=True, check=False)
        _judge_end(other, f"--format {format}", commands)
    done = subprocess.run([*words, "--format", "jsonl"], capture_output=True, check=False)
    commands.slowest_s = max(commands.slowest_s, (_children_s() - began) / len(names))
    commands.files += len(names)
    commands.folders += 1
    commands.exits[str(done.returncode)] += 1
    _judge_end(done, "--format jsonl", commands)
    told: Counter[str] = Counter()
    for line in done.stdout.decode("utf-8").splitlines():
        try:
            row = json.loads(line, parse_constant=lambda word: float("nan"))
        except ValueError:
            commands.problems.append(f"a line that is no JSON: {line[:200]!r}")
            continue
        told[Path(row["file"]).name] += 1
        if "error" in row:
            commands.outcomes["refused"] += 1
            continue
        commands.outcomes["answer" if row.get("emotion") is not None else "none heard"] += 1
        if problem := fuzz.wrong_with(row):
            commands.problems.append(f"{row['file']}: {problem}")
    said = done.stderr.decode("utf-8", "replace")
    for name in names:
        if told[name] > 1:
            commands.problems.append(f"{name} is told {told[name]} times")
        elif not told[name]:
            commands.outcomes["refused"] += 1
            if name not in said:
                commands.problems.append(f"{name} is neither heard nor named")
    unused = any(not told[name] for name in names)
    if unused and done.returncode != 1:
        commands.problems.append(f"some could not be heard, and the exit code is {done.returncode}")


def _judge_end(done: "subprocess.CompletedProcess[bytes]", words: str, commands: Commands) -> None:
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode not in (0, 1):
        commands.problems.append(f"{words} ended with {done.returncode}: {said[-300:]!r}")
    if "Traceback" in said or "Warning" in said:
        commands.problems.append(f"{words} wrote what is not for people: {said[-600:]!r}")
    if any(not character.isprintable() and character != "\n" for character in said):
        commands.problems.append(f"{words} wrote control characters: {said[:300]!r}")


def _children_s() -> float:
    took = os.times()
    return took.children_user + took.children_system
