"""Processes that measure, or are measured: pinned to as many cores as they may use threads."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thymos.bench.machine import usable_cores
from thymos.errors import ThymosError

_ABSENT = re.compile(r"ModuleNotFoundError: No module named '?([^'.]+)")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_LONGEST_S = 3600.0


class BenchError(ThymosError):
    """Something could not be measured."""


class NotInstalledError(BenchError):
    """A peer's library is missing."""


@dataclass(frozen=True)
class Finished:
    """A process from its start to its end: seconds by the clock, seconds of processors, and what it printed.

    ``cpu_s`` is None where the system does not say.
    """

    wall_s: float
    cpu_s: float | None
    stdout: str
    stderr: str


def run_child(command: Sequence[str], threads: int, longest_s: float = _LONGEST_S) -> Finished:
    """Run ``command`` to its end on ``threads`` cores, with libraries told to use as many threads.

    Raises:
        NotInstalledError: it is a Python that lacks a library.
        BenchError: it could not be started, failed, or took longer than ``longest_s``.
    """
    environment = os.environ | dict.fromkeys(_THREAD_VARIABLES, str(threads))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with _pinned(threads):
            began = time.perf_counter()
            try:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
            except OSError as error:
                raise BenchError(f"{command[0]} could not be started: {error.strerror}") from None
        try:
            cpu_s = _wait(process, began + longest_s)
            wall_s = time.perf_counter() - began
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        stdout, stderr = (_text(file) for file in (out, err))
    last = (stderr.strip() or stdout.strip() or "it said nothing").splitlines()[-1]
    if process.returncode and (absent := _ABSENT.match(last)):
        raise NotInstalledError(f"not installed: {absent[1]}")
    if process.returncode:
        raise BenchError(f"{' '.join(command[1:3])} ended with {process.returncode}: {last}")
    return Finished(wall_s, cpu_s, stdout, stderr)


def run_job(module: str, job: dict[str, Any], threads: int, python: str | None = None) -> dict[str, Any]:
    """Run a module of this package as a process, and return the object that it prints as its last line.

    Args:
        module: its file's stem.
        job: what it is to do; ``threads`` is added.
        threads: that it may use.
        python: another Python, which need not have Thymos: the module is then run by its path.

    Raises:
        BenchError: as ``run_child``.
    """
    words = json.dumps(job | {"threads": threads})
    if python is None:
        command = [sys.executable, "-m", f"thymos.bench.{module}", words]
    else:
        # Not `python FILE`: that would let modules beside the file hide libraries of the same name.
        start = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
        command = [python, "-c", start, str(Path(__file__).with_name(f"{module}.py")), words]
    result: dict[str, Any] = json.loads(run_child(command, threads).stdout.splitlines()[-1])
    return result


@contextmanager
def _pinned(threads: int) -> Iterator[None]:
    """Let this thread's children run on ``threads`` cores only; the last ones, since the first serves interrupts."""
    cores = usable_cores()
    if not cores:
        yield
        return
    os.sched_setaffinity(0, cores[-threads:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _wait(process: "subprocess.Popen[bytes]", deadline: float) -> float | None:
    """Wait for the end, and return the seconds of processors that it took with its own children."""
    if not hasattr(os, "wait4"):
        process.wait(timeout=deadline - time.perf_counter())
        return None
    # Polled: a wait with a deadline does not tell the processor's time.
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage.ru_utime + usage.ru_stime
        if time.perf_counter() > deadline:
            raise BenchError(f"{' '.join(map(str, process.args[1:3]))} took too long")  # type: ignore[index]
        time.sleep(0.001)


def _text(file: Any) -> str:
    file.seek(0)
    content: bytes = file.read()
    return content.decode(errors="replace")
