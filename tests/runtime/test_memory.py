"""Long recordings are heard in flat memory: each in a process of its own, from a file on disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from thymos.audio import read_waveform, resample
from thymos.runtime.bundle import DEFAULT_MODEL

pytestmark = pytest.mark.slow

RATE_HZ = 22_050
MOST_MB, MOST_GROWTH = 400, 1.2
GATE = "THYMOS_TEST_TEN_HOURS"
HEAR = """
import json, sys
import thymos
from thymos.machine import peak_memory_mb
heard = thymos.load(sys.argv[1], 2).predict(sys.argv[2], timeline=True)
print(json.dumps({"duration_s": heard.duration_s, "emotion": heard.emotion, "peak_mb": peak_memory_mb()}))
"""


@pytest.fixture(scope="module")
def minute(mini: Path, tmp_path_factory) -> Path:
    """A minute of speech as 16-bit samples: what long recordings repeat."""
    clips = [resample(read_waveform(file), RATE_HZ).samples for file in sorted(mini.glob("*/*"))[::6]]
    path = tmp_path_factory.mktemp("minute") / "samples.npy"
    np.save(path, (np.clip(np.concatenate(clips)[: 60 * RATE_HZ], -1, 1) * 32_767).astype(np.int16))
    return path


def peak_mb(model: Path | str, samples: Path, seconds: float) -> float:
    """Return the most memory that a process had which heard so many seconds, and where in them."""
    minute, minutes = np.load(samples), round(seconds / 60)
    file = samples.with_name("long.wav")
    with soundfile.SoundFile(file, "w", RATE_HZ, 1, "PCM_16") as sound:
        for _ in range(minutes):
            sound.write(minute)
    done = subprocess.run([sys.executable, "-c", HEAR, model, file], capture_output=True, text=True, check=True)
    file.unlink()
    found = json.loads(done.stdout)
    assert found["duration_s"] == pytest.approx(seconds, abs=0.01) and found["emotion"] is not None
    return found["peak_mb"]


def test_half_an_hour_takes_no_more_than_five_minutes(bundle, minute):
    """By a small network: what piles up with time is the windows and the VAD's frames, whatever the network."""
    short, long = (peak_mb(bundle, minute, seconds) for seconds in (300, 1800))
    assert long < MOST_MB and long < MOST_GROWTH * short, (short, long)


def test_the_model_that_comes_along_takes_no_more_for_five_minutes_than_for_one(minute):
    short, long = (peak_mb(DEFAULT_MODEL, minute, seconds) for seconds in (60, 300))
    assert long < MOST_MB and long < MOST_GROWTH * short, (short, long)


@pytest.mark.skipif(not os.environ.get(GATE), reason=f"takes about half an hour: only where {GATE} is set")
def test_ten_hours_take_no_more_than_ten_minutes(minute):
    short, long = (peak_mb(DEFAULT_MODEL, minute, seconds) for seconds in (600, 36_000))
    assert long < MOST_MB and long < MOST_GROWTH * short, (short, long)
