"""Who speaks is heard; silence, music and noise are not taken for speech; where blocks are cut decides nothing."""

import hashlib
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from thymos.audio import read_waveform
from thymos.runtime.vad import FRAME_S, VadStream, speech_spans


def judged(samples: np.ndarray, rate_hz: int, block: int = 1 << 16) -> VadStream:
    vad = VadStream(rate_hz)
    for start in range(0, len(samples), block):
        vad.push(samples[start : start + block])
    vad.finish()
    return vad


def speech_s(samples: np.ndarray, rate_hz: int) -> float:
    return judged(samples, rate_hz).speech_s(0, len(samples) / rate_hz)


def test_speech_is_heard(spoken):
    for path in spoken:
        clip = read_waveform(path)
        assert speech_s(clip.samples, clip.rate_hz) > 0.6 * clip.duration_s, path


@pytest.mark.parametrize("level_db", [-40, -20, -3])
@pytest.mark.parametrize("kind", ["silence", "white", "brown", "hum", "music"])
def test_what_is_no_speech_is_not(kind, level_db, make_music):
    rate_hz, seconds = 16_000, 8
    random = np.random.default_rng(0)
    white = random.normal(0, 0.2, rate_hz * seconds)
    times_s = np.arange(len(white)) / rate_hz
    sound = {
        "silence": np.zeros_like(white),
        "white": white,
        "brown": np.cumsum(white) / 50,
        "hum": sum(np.sin(2 * np.pi * 50 * k * times_s) / k for k in range(1, 12)),
        "music": make_music(seconds, rate_hz),
    }[kind]
    sound = sound / max(1e-9, np.abs(sound).max()) * 10 ** (level_db / 20)
    assert speech_s(sound.astype(np.float32), rate_hz) < 0.25


@pytest.mark.parametrize("block", [1, 511, 512, 513, 7_000])
def test_blocks_of_any_size_are_judged_alike(spoken, block):
    clip = read_waveform(spoken[0])
    samples = clip.samples[: 12_000 if block == 1 else None]
    at_once, in_blocks = judged(samples, clip.rate_hz, len(samples)), judged(samples, clip.rate_hz, block)
    np.testing.assert_array_equal(at_once.probabilities(), in_blocks.probabilities())
    assert at_once.loudest == in_blocks.loudest


def test_level_matters_little(spoken):
    clip = read_waveform(spoken[3])
    loud, quiet = (speech_s(clip.samples * scale, clip.rate_hz) for scale in (0.9, 0.02))
    assert loud == pytest.approx(quiet, abs=0.3)


def test_runs_begin_sure_go_on_and_are_long_enough():
    sure, less, no = 0.9, 0.4, 0.1
    said = np.array([no, sure, less, less, less, less, sure, no, *[less] * 9, no, *[sure] * 5, no, *[sure] * 6])
    assert speech_spans(said.astype(np.float32)).tolist() == [[1, 7], [24, 30]]
    assert speech_spans(np.zeros(0, np.float32)).shape == (0, 2)


def test_another_threshold_hears_more_or_less():
    said = np.array([*[0.3] * 8, 0.1, *[0.8] * 8], np.float32)
    for threshold, expected in ((0.5, [[9, 17]]), (0.25, [[0, 8], [9, 17]]), (0.9, [])):
        vad = VadStream(16_000, threshold)
        vad._said, vad.frames = said, len(said)
        assert vad.spans().tolist() == expected
    assert vad.expected_s == pytest.approx((8 * 0.3 + 0.1 + 8 * 0.8) * FRAME_S)


def test_faint_speech_is_what_is_likeliest_to_be_speech():
    vad = VadStream(16_000)
    vad._said, vad.frames = np.array([0.01] * 20 + [0.2] * 12 + [0.01] * 20 + [0.1] * 4, np.float32), 56
    assert vad.speech_s(0, 10) == 0
    vad.take_faint_speech()
    assert vad.spans().tolist() == [[20, 32], [52, 56]], "half a second: 16 frames"


def test_seconds_count_frames_inside():
    vad = VadStream(16_000)
    vad._said, vad.frames = np.ones(100, np.float32), 100
    assert vad.speech_s(0, 100 * FRAME_S) == pytest.approx(3.2)
    assert vad.speech_s(0.5 * FRAME_S, 10.5 * FRAME_S) == pytest.approx(9 * FRAME_S)


def test_loudest_frame_is_measured(make_tone):
    assert judged(make_tone(1.0, level=0.5), 16_000).loudest == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_model_is_the_one_that_its_readme_names():
    folder = Path(str(resources.files("thymos"))) / "weights" / "vad"
    (model,) = folder.glob("*.onnx")
    assert hashlib.sha256(model.read_bytes()).hexdigest() in (folder / "README.md").read_text()
    assert "MIT License" in (folder / "LICENSE").read_text()


@pytest.mark.real
def test_actors_are_heard(aesdd):
    clips = sorted(aesdd.glob("*/*.flac"))[::25]
    shares = []
    for path in clips:
        clip = read_waveform(path)
        shares.append(speech_s(clip.samples, clip.rate_hz) / clip.duration_s)
    assert np.mean(np.array(shares) > 0.3) > 0.95
