"""Run one command to its end, with its wall and processor time and, if asked, its memory. Linux only."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SAMPLE_SECONDS = 0.1
PROC = Path("/proc")


class BenchError(Exception):
    """The benchmark cannot go on; the message says why in one sentence."""


@dataclass(frozen=True)
class Finished:
    """One finished command. Memory is the whole process tree's at one moment, None where not sampled."""

    wall_s: float
    cpu_s: float
    load_before: float
    peak_memory_mb: float | None
    stdout: str


def run_command(command: Sequence[str], name: str, sample_memory: bool = False, done: Sequence[int] = (0,)) -> Finished:
    """Run the command in a session of its own, so that an interruption ends its workers as well.

    Args:
        done: exit codes that say that the work was done.
    """
    load = os.getloadavg()[0]
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        began = time.perf_counter()
        try:
            process = subprocess.Popen(command, stdout=stdout, stderr=stderr, start_new_session=True)
        except OSError as error:
            raise BenchError(f"{name} could not be started: {error}.") from error
        try:
            usage, peak = _wait(process, sample_memory)
        finally:
            wall = time.perf_counter() - began
            _end_session(process)
        if process.returncode not in done:
            raise BenchError(f"{name} ended with status {process.returncode}: {_last_line(stderr)}")
        stdout.seek(0)
        output = stdout.read().decode(errors="replace")
    return Finished(wall, usage.ru_utime + usage.ru_stime, load, peak, output)


def _wait(process: subprocess.Popen[bytes], sample_memory: bool) -> tuple[resource.struct_rusage, float | None]:
    """wait4 instead of Popen.wait: it alone tells the processor time of this command and its children."""
    peak = 0.0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG if sample_memory else 0)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage, peak if sample_memory else None
        peak = max(peak, session_memory_mb(process.pid))
        time.sleep(SAMPLE_SECONDS)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever the command left running; usually nothing, everything after an interruption."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        process.wait()


def _last_line(stream: IO[bytes]) -> str:
    stream.seek(0)
    lines = stream.read().decode(errors="replace").splitlines()
    spoken = [line.strip() for line in lines if line.strip()]
    return spoken[-1] if spoken else "it said nothing."


def session_memory_mb(session: int) -> float:
    """Proportional set size of all processes of a session now: pages shared between them count once."""
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return sum(_pss_kb(pid) for pid in pids if _session_of(pid) == session) * 1024 / 1e6


def _session_of(pid: int) -> int | None:
    try:
        stat = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:  # it ended between the listing and now
        return None
    return int(stat.rpartition(")")[2].split()[3])  # the name in brackets may itself hold spaces


def _pss_kb(pid: int) -> int:
    try:
        rollup = (PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return 0
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0
