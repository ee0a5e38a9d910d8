"""Timing inside a process that measures: the same way for everybody who hears files."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import soundfile

from thymos.bench.machine import peak_memory_mb


def time_files(hear: Callable[[list[Path]], object], job: dict[str, Any], at_once: int = 1) -> dict[str, Any]:
    """Return how long ``hear`` takes for files in turn, until ``budget_s`` is used up.

    Args:
        hear: hears files; it hears the first ones once before the clock starts.
        job: ``files``, ``budget_s``, and the ``least`` number of turns.
        at_once: files of one turn; each turn is measured as one.

    Returns:
        Seconds by the clock and of the processor, and seconds of sound, of each turn; and the peak of memory.
    """
    files = [Path(file) for file in job["files"]]
    lengths = {file: soundfile.info(file).duration for file in files}
    hear(files[:at_once])
    wall_s: list[float] = []
    cpu_s: list[float] = []
    sound_s: list[float] = []
    began = time.perf_counter()
    while len(wall_s) < job["least"] or time.perf_counter() - began < job["budget_s"]:
        turn = [files[(len(wall_s) * at_once + i) % len(files)] for i in range(at_once)]
        wall_before, cpu_before = time.perf_counter(), time.process_time()
        hear(turn)
        wall_s.append(time.perf_counter() - wall_before)
        cpu_s.append(time.process_time() - cpu_before)
        sound_s.append(sum(lengths[file] for file in turn))
    return {"wall_s": wall_s, "cpu_s": cpu_s, "sound_s": sound_s, "peak_mb": peak_memory_mb()}


def run_as_job(main: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Do the job that the command line holds as JSON, and print its result as JSON."""
    print(json.dumps(main(json.loads(sys.argv[1]))))
