"""``thymos bench`` as a user runs it, and its arithmetic. Nothing is said about how fast that is."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from thymos.cli.doctor import screen
from thymos.runtime.benchmark import LEAST_HOPS, LEAST_STARTS, real_time, repeated, synthetic_speech
from thymos.runtime.recognizer import load

REPORT = {
    "machine": {
        "processor": "A [processor]",
        "cores": 2,
        "load_average": 0.1,
        "versions": {"python": "3.11.7", "onnxruntime": "1.32.0"},
    },
    "model": {"name": "toy 1", "parameters": 1_250_000, "graph_mb": 4.63},
    "sound": {"file": None, "duration_s": 10.0, "speech_s": 9.5},
    "start": {"import_s": 0.021, "answer_s": 0.376},
    "real_time": {"one_core": 331.4, "all_cores": 612.0},
    "stream": {"hop_s": 0.5, "median_ms": 9.12, "p99_ms": 10.24, "first_answer_s": 1.52},
    "peak_memory_mb": {"one_core": 115.2, "all_cores": 140.0},
    "repeats": {"answer": 7, "files": 90, "turns": 22, "hops": 300},
}


def thymos(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "thymos", "bench", *map(str, words)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def found(mini: Path) -> dict:
    done = thymos("--seconds", "0.01", "--json", "--sound", mini / "anger" / "a05 (2).opus")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.slow
def test_it_measures_a_users_recording(found):
    assert found["sound"]["file"].endswith("a05 (2).opus")
    assert found["sound"]["duration_s"] == pytest.approx(3.31, abs=0.01) and found["sound"]["speech_s"] > 3
    assert found["repeats"] == {"answer": LEAST_STARTS, "files": 1, "turns": 1, "hops": LEAST_HOPS}
    assert 0 < found["start"]["import_s"] < found["start"]["answer_s"], "an answer imports Thymos, too"
    assert all(speed > 1 for speed in found["real_time"].values())
    assert 0 < found["stream"]["median_ms"] <= found["stream"]["p99_ms"]
    assert 1.5 <= found["stream"]["first_answer_s"] < 2.6, "the clip begins with silence"
    assert all(20 < peak < 2000 for peak in found["peak_memory_mb"].values())
    assert found["model"]["parameters"] > 1000 and found["model"]["graph_mb"] > 0.1
    assert found["machine"]["versions"]["numpy"] == np.__version__


@pytest.mark.slow
def test_the_screen_takes_what_was_measured(found):
    assert len(screen(found)) == len(screen(REPORT))


def test_the_screen_says_the_numbers():
    assert screen(REPORT) == [
        "machine  A [processor], 2 cores, load 0.1; Python 3.11.7, onnxruntime 1.32.0",
        "model    toy 1, 1.2 million parameters in 4.6 MB",
        "sound    synthetic, 10.0 s, 9.5 s of it speech",
        "start    0.38 s to one answer from a new process, 0.02 s to import thymos (median of 7)",
        "files    331 × real time on one core, 612 × real time on 2",
        "stream   9.1 ms for a hop of 0.5 s, 99 of 100 below 10.2 ms (300 hops); an emotion first told after "
        "1.52 s of this sound",
        "memory   115 MB at most on one core, 140 MB at most on 2",
    ]
    alone = REPORT | {"machine": REPORT["machine"] | {"cores": 1}, "sound": REPORT["sound"] | {"speech_s": 0.0}}
    assert screen(alone)[4] == "files    331 × real time on one core"
    assert screen(alone)[-1].startswith("Nobody speaks")


def test_real_time_is_all_sound_by_all_time():
    # 2 turns of 4 files of 10 s are 80 s of sound, heard in 0.4 s.
    assert real_time(10.0, 4, [0.1, 0.3]) == pytest.approx(200)


def test_work_is_repeated_until_both_time_and_count_are_reached():
    calls: list[int] = []
    assert len(repeated(lambda: calls.append(1), 0.0, 3)) == len(calls) == 3
    took_s = repeated(lambda: sum(range(10_000)), 0.02)
    assert sum(took_s) >= 0.02 > sum(took_s[:-1]) and min(took_s) > 0


def test_the_network_never_rests_on_synthetic_speech():
    samples = synthetic_speech(4.0, 44_100)
    assert samples.shape == (4 * 44_100,) and samples.dtype == np.float32 and np.abs(samples).max() < 1
    assert load().predict((samples, 44_100)).speech_s > 3.8


@pytest.mark.slow
def test_it_needs_the_light_install_only():
    code = "import sys, thymos.cli.doctor, thymos.runtime.benchmark; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "pandas", "scipy", "sklearn", "matplotlib", "yaml", "safetensors"} & set(loaded)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--sound", "no-such-file.wav"), "no-such-file.wav does not exist"),
        (("--sound", __file__), "test_bench_command.py is"),
        (("--model", "nowhere"), "nowhere is no folder"),
    ],
)
def test_a_wrong_call_is_one_sentence(thymos_here, words, says):
    done = thymos_here("bench", "--quiet", *words)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and says in done.stderr
