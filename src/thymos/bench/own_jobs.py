"""What is measured of Thymos itself, inside a process of its own: files, the gate, a stream, a long file.

python -m thymos.bench.own_jobs '{"job": "files", "files": […], "budget_s": 10, "least": 3, "threads": 1}'
"""

import time
from io import BufferedReader
from pathlib import Path
from typing import Any

from thymos.audio.blocks import open_blocks
from thymos.bench.machine import peak_memory_mb
from thymos.bench.sound import RATE_HZ, RepeatedWav, joined
from thymos.bench.timing import run_as_job, time_files
from thymos.runtime.recognizer import Recognizer, load
from thymos.runtime.vad import VadStream

_FILES_PER_THREAD = 4
"""With several threads, so many files are heard in one turn, so that none waits."""


def hear_files(job: dict[str, Any]) -> dict[str, Any]:
    """Time whole files: decoding, resampling, gate and network."""
    recognizer = _load(job)
    threads = job["threads"]
    answers = 0

    def hear(files: list[Path]) -> None:
        nonlocal answers
        predictions = [recognizer.predict(files[0])] if len(files) == 1 else list(recognizer.predict_many(files))
        answers += sum(getattr(prediction, "emotion", None) is not None for prediction in predictions)

    at_once = 1 if threads == 1 else threads * _FILES_PER_THREAD
    timed = time_files(hear, job, at_once)
    heard = answers / (at_once * (len(timed["wall_s"]) + 1))
    return timed | {"note": f"{recognizer.name}; speech in {heard:.0%} of the files"}


def gate_files(job: dict[str, Any]) -> dict[str, Any]:
    """Time the gate alone, decoding and resampling included."""

    def hear(files: list[Path]) -> None:
        for file in files:
            with open_blocks(file) as sound:
                gate = VadStream(sound.rate_hz)
                for block in sound.blocks:
                    gate.push(block)
                gate.finish()

    return time_files(hear, job)


def stream(job: dict[str, Any]) -> dict[str, Any]:
    """Time a stream of 44.1 kHz in blocks of ``block_s``: seconds of work in each hop of ``hop_s``.

    A hop's work is that of all of its blocks. Hops in whose window nobody speaks are left out: the network rests.
    """
    samples = joined(Path(file) for file in job["files"])
    size = round(job["block_s"] * RATE_HZ)
    work_s, longest_s, cpu_s = [], [], []
    resting = 0
    with _load(job).stream(RATE_HZ, hop_s=job["hop_s"]) as live:
        blocks: list[float] = []
        began = False
        cpu_before = time.process_time()
        for start in range(0, len(samples) - size + 1, size):
            before = time.perf_counter()
            windows = live.feed(samples[start : start + size])
            blocks.append(time.perf_counter() - before)
            if not windows:
                continue
            if began and windows[-1].probabilities is not None:  # what comes before the first window is no hop
                work_s.append(sum(blocks))
                longest_s.append(max(blocks))
                cpu_s.append(time.process_time() - cpu_before)
            elif began:
                resting += 1
            blocks, began, cpu_before = [], True, time.process_time()
    return {
        "wall_s": work_s,
        "cpu_s": cpu_s,
        "longest_block_s": longest_s,
        "resting": resting,
        "sound_s": len(samples) / RATE_HZ,
        "peak_mb": peak_memory_mb(),
    }


def long_file(job: dict[str, Any]) -> dict[str, Any]:
    """Time one file of ``seconds``, which is made while it is read."""
    samples = joined(Path(file) for file in job["files"])
    recognizer = _load(job)
    wall_before, cpu_before = time.perf_counter(), time.process_time()
    prediction = recognizer.predict(BufferedReader(RepeatedWav(samples, RATE_HZ, job["seconds"]), 1 << 16))
    return {
        "wall_s": [time.perf_counter() - wall_before],
        "cpu_s": [time.process_time() - cpu_before],
        "sound_s": [prediction.duration_s],
        "peak_mb": peak_memory_mb(),
    }


def _load(job: dict[str, Any]) -> Recognizer:
    return load(job["model"], job["threads"])


JOBS = {"files": hear_files, "gate": gate_files, "stream": stream, "long": long_file}

if __name__ == "__main__":
    run_as_job(lambda job: JOBS[job["job"]](job))
