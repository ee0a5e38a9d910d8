"""How fast the recogniser is on this machine: a start, whole files, a stream, memory. It is compared with nothing.

What stands beside other software is measured by ``benchmarks/peers``, outside the package.
"""

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from thymos.audio.blocks import open_blocks
from thymos.errors import AudioError, ThymosError
from thymos.machine import available_cores, this_machine
from thymos.runtime.recognizer import Recognizer, load

FORMAT = 1
RATE_HZ, SYNTHETIC_S = 44_100, 10.0
"""Of the synthetic speech."""
BLOCK_S, READ_BLOCKS = 0.02, 64
"""A stream's sound arrives in blocks of so many seconds; it repeats so many decoded blocks: 95 s at 44.1 kHz."""
FILES_PER_CORE = 4
"""Heard in one turn on all cores, so that none waits for long."""
LEAST_STARTS, LEAST_HOPS = 3, 100
"""Timed even if that takes longer than was asked for: a 99th percentile needs a hundred."""
_HEAR = """
import json, sys, thymos
from thymos.machine import peak_memory_mb
model, threads, *files = sys.argv[1:]
list(thymos.load(model, int(threads)).predict_many(files))
print(json.dumps(peak_memory_mb()))
"""


def measure(
    sound: Path | None,
    model: str | None,
    hop_s: float,
    seconds: float,
    began: Callable[[str], None] = lambda part: None,
) -> dict[str, Any]:
    """Return what was measured, as JSON takes it; ``real_time`` is seconds of sound heard in one second.

    Args:
        sound: a recording of speech; None: synthetic speech in a FLAC file.
        model: folder of a bundle, or a shipped name; None: the one that ``load`` would take.
        hop_s: seconds from one answer of the stream to the next.
        seconds: to repeat each part for.
        began: called with the name of the part that is measured next.

    Raises:
        ThymosError: the recording cannot be read, or a new process fails.
        BundleError: there is no model.
    """
    machine = this_machine(("thymos", "numpy", "onnxruntime"))  # first, while the load is that of others
    one, many = load(model, 1), load(model, available_cores())
    folder = str(one.bundle.folder)
    with tempfile.TemporaryDirectory(prefix="thymos-bench-") as temporary:
        file = sound or Path(temporary) / "synthetic.flac"
        if sound is None:
            soundfile.write(file, synthetic_speech(SYNTHETIC_S, RATE_HZ), RATE_HZ, "PCM_16")
        try:
            heard = one.predict(file)
        except AudioError as error:
            raise ThymosError(str(error)) from None
        began("new processes")
        command = ["-m", "thymos", "predict", str(file), "--model", folder]
        imports_s = repeated(lambda: _python("-c", "import thymos"), seconds / 2, LEAST_STARTS)
        answers_s = repeated(lambda: _python(*command), seconds / 2, LEAST_STARTS)
        began("a stream")
        first_s = first_answer_s(one, file, hop_s)
        hops_s = repeated(live_hops(one, file, hop_s), seconds, LEAST_HOPS)
        began("whole files")
        turn = [file] * (FILES_PER_CORE * many.threads)
        files_s = repeated(lambda: one.predict(file), seconds)
        turns_s = repeated(lambda: list(many.predict_many(turn)), seconds)
        began("memory")
        memory_mb = [json.loads(_python("-c", _HEAR, folder, str(n), *map(str, turn))) for n in (1, many.threads)]
    median_ms, p99_ms = (1000 * np.percentile(hops_s, (50, 99))).tolist()
    return {
        "format": FORMAT,
        "machine": machine,
        "model": {
            "name": one.name,
            "parameters": one.bundle.about.parameters,
            "graph_mb": one.bundle.size_bytes / 1e6,
        },
        "sound": {"file": sound and str(sound), "duration_s": heard.duration_s, "speech_s": heard.speech_s},
        "start": {"import_s": float(np.median(imports_s)), "answer_s": float(np.median(answers_s))},
        "real_time": {
            "one_core": real_time(heard.duration_s, 1, files_s),
            "all_cores": real_time(heard.duration_s, len(turn), turns_s),
        },
        "stream": {"hop_s": hop_s, "median_ms": median_ms, "p99_ms": p99_ms, "first_answer_s": first_s},
        "peak_memory_mb": dict(zip(("one_core", "all_cores"), memory_mb, strict=True)),
        "repeats": {"answer": len(answers_s), "files": len(files_s), "turns": len(turns_s), "hops": len(hops_s)},
    }


def synthetic_speech(duration_s: float, rate_hz: int) -> NDArray[np.float32]:
    """Return a voice that sings five vowels a second: float32 at ±1, shape ``(samples,)``.

    Harmonics of a wavering pitch under three moving formants, and breath between the vowels: the VAD takes all of it
    for speech, so the network never rests.
    """
    vowels_hz = np.array([[730, 1090, 2440], [270, 2290, 3010], [530, 1840, 2480], [570, 840, 2410], [300, 870, 2240]])
    random = np.random.default_rng(0)
    times_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    pitch_hz = 110 * (1 + 0.2 * np.sin(2 * np.pi * 0.4 * times_s) + 0.06 * np.sin(2 * np.pi * 2.3 * times_s))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    sung_hz = vowels_hz[random.integers(len(vowels_hz), size=int(5 * duration_s) + 2)]
    formants = [np.interp(5 * times_s, np.arange(len(sung_hz)), sung_hz[:, i]) for i in range(3)]
    voice = np.zeros(len(times_s))
    for harmonic in range(1, 31):
        for hz, width_hz, weight in zip(formants, (80, 100, 140), (1.0, 0.6, 0.3), strict=True):
            gain = weight / (1 + ((harmonic * pitch_hz - hz) / width_hz) ** 2)
            voice += gain * np.sin(harmonic * phase) / np.sqrt(harmonic)
    voice *= 0.05 + 0.95 * np.sin(np.pi * 5 * times_s) ** 2
    voice += 0.2 * random.standard_normal(len(voice)) * np.cos(np.pi * 5 * times_s) ** 8
    return np.asarray(0.3 * voice / np.abs(voice).max(), np.float32)


def repeated(work: Callable[[], object], seconds: float, least: int = 1) -> list[float]:
    """Do ``work`` for ``seconds``, at least ``least`` times, and return the seconds that each time took."""
    took_s: list[float] = []
    while sum(took_s) < seconds or len(took_s) < least:
        before = time.perf_counter()
        work()
        took_s.append(time.perf_counter() - before)
    return took_s


def real_time(duration_s: float, files: int, took_s: list[float]) -> float:
    """Return the seconds of sound heard in one second: in each of ``took_s``, ``files`` files of ``duration_s``."""
    return duration_s * files * len(took_s) / sum(took_s)


def _python(*words: str) -> str:
    """Run a new Python from start to end, and return what it prints."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = (done.stderr.strip() or "it said nothing").splitlines()[-1]
        raise ThymosError(f"a new process ended with {done.returncode}: {said}")
    return done.stdout


def first_answer_s(recognizer: Recognizer, file: Path, hop_s: float) -> float | None:
    """Return how many seconds of ``file`` a stream takes until it first tells an emotion; None: it never does."""
    with open_blocks(file) as sound:
        size = max(1, round(BLOCK_S * sound.rate_hz))
        stream, taken = recognizer.stream(sound.rate_hz, hop_s=hop_s), 0
        for block in sound.blocks:
            for start in range(0, len(block), size):
                piece = block[start : start + size]
                taken += len(piece)
                if any(window.emotion is not None for window in stream.feed(piece)):
                    return taken / sound.rate_hz
        return taken / sound.rate_hz if any(window.emotion is not None for window in stream.close()) else None


def live_hops(recognizer: Recognizer, file: Path, hop_s: float) -> Callable[[], None]:
    """Return what does the work of a stream's next hop, that of all of its blocks; the stream repeats ``file``."""
    with open_blocks(file) as sound:
        size = round(BLOCK_S * sound.rate_hz)
        samples = np.concatenate(list(itertools.islice(sound.blocks, READ_BLOCKS)))
        stream = recognizer.stream(sound.rate_hz, hop_s=hop_s, first_s=None)
    blocks = itertools.cycle(np.resize(samples, (max(1, len(samples) // size), size)))

    def hop() -> None:
        while not stream.feed(next(blocks)):
            pass

    hop()  # the first takes a whole window
    return hop
