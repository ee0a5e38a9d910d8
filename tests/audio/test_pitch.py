"""Pitch and time, changed one without the other; librosa is the reference."""

import sys
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest

from thymos.audio import Samples, read_waveform, shift_pitch, stretch_to
from thymos.errors import MissingExtraError

RATE_HZ = 24_000


def harmonic(hz: float, seconds: float = 1.5) -> Samples:
    """A tone with ten harmonics that fall off as those of a voice do."""
    times_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return sum(0.2 / k * np.sin(2 * np.pi * k * hz * times_s) for k in range(1, 11)).astype(np.float32)


def pitch_hz(samples: Samples) -> float:
    """The median fundamental of the louder half of the frames."""
    f0 = librosa.yin(samples, fmin=60, fmax=600, sr=RATE_HZ, frame_length=2048)
    loudness = librosa.feature.rms(y=samples, frame_length=2048)[0]
    return float(np.median(f0[loudness > np.median(loudness)]))


def cents(one_hz: float, other_hz: float) -> float:
    return float(1200 * np.log2(one_hz / other_hz))


@pytest.fixture(scope="module")
def spoken(mini: Path) -> Samples:
    waveform = read_waveform(mini / "sadness" / "s02 (2).opus")
    return librosa.resample(waveform.samples, orig_sr=waveform.rate_hz, target_sr=RATE_HZ)


@pytest.mark.parametrize("semitones", [4, -4, 0.5, -7])
def test_a_tone_is_shifted_by_what_was_asked(semitones: float) -> None:
    shifted = shift_pitch(harmonic(200), RATE_HZ, semitones)
    assert cents(pitch_hz(shifted), 200) == pytest.approx(100 * semitones, abs=5)
    assert shifted.dtype == np.float32


@pytest.mark.parametrize("semitones", [4, -4])
def test_speech_is_shifted_as_librosa_shifts_it(spoken: Samples, semitones: int) -> None:
    ours = shift_pitch(spoken, RATE_HZ, semitones)
    theirs = librosa.effects.pitch_shift(spoken, sr=RATE_HZ, n_steps=semitones)
    assert len(ours) == len(theirs) == len(spoken)
    assert cents(pitch_hz(ours), pitch_hz(theirs)) == pytest.approx(0, abs=40)
    assert cents(pitch_hz(ours), pitch_hz(spoken)) == pytest.approx(100 * semitones, abs=40)


def test_up_and_down_differ_in_direction(spoken: Samples) -> None:
    """The study's published code shifted both of its copies the same way."""
    low, same, high = (pitch_hz(shift_pitch(spoken, RATE_HZ, semitones)) for semitones in (-4, 0, 4))
    assert low < 0.85 * same < 1.15 * same < high


@pytest.mark.parametrize("semitones", [4, -4])
def test_nothing_is_early_or_late(semitones: int) -> None:
    """Three bursts of tone keep their places, the first and last near the ends."""
    samples = np.zeros(3 * RATE_HZ, np.float32)
    starts = [0, 36_000, 3 * RATE_HZ - 4_800]
    for start in starts:
        samples[start : start + 4_800] = harmonic(200, 0.2) * np.hanning(4_800)
    shifted = shift_pitch(samples, RATE_HZ, semitones).astype(np.float64) ** 2
    for start in starts:
        around = slice(max(0, start - 4_800), start + 9_600)
        place = np.average(np.arange(len(shifted))[around], weights=shifted[around])
        assert abs(place - (start + 2_400)) < 0.01 * RATE_HZ


@pytest.mark.parametrize("n_samples", [10_000, 36_000, 50_001, 100_000])
def test_stretched_sound_lasts_exactly_as_long_and_keeps_its_pitch(n_samples: int) -> None:
    stretched = stretch_to(harmonic(200), RATE_HZ, n_samples)
    assert stretched.shape == (n_samples,)
    assert cents(pitch_hz(stretched), 200) == pytest.approx(0, abs=5)


def test_stretching_moves_everything_alike(spoken: Samples) -> None:
    """The loudness over time is that of librosa's stretch."""
    ours = stretch_to(spoken, RATE_HZ, round(len(spoken) * 1.25))
    theirs = librosa.effects.time_stretch(spoken, rate=0.8)
    loudness = [librosa.feature.rms(y=each[: len(ours) - 1], frame_length=4096)[0] for each in (ours, theirs)]
    assert np.corrcoef(*loudness)[0, 1] > 0.95


def test_what_has_the_length_stays_as_it_is(spoken: Samples) -> None:
    np.testing.assert_array_equal(stretch_to(spoken, RATE_HZ, len(spoken)), spoken)


@pytest.mark.parametrize("length", [1, 10, 700, 5000])
def test_the_shortest_sounds_do_no_harm(length: int) -> None:
    samples = np.full(length, 0.5, np.float32)
    for changed, expected in (
        (shift_pitch(samples, RATE_HZ, 4), length),
        (stretch_to(samples, RATE_HZ, 72_000), 72_000),
    ):
        assert changed.shape == (expected,)
        assert np.isfinite(changed).all()


def test_the_same_sound_comes_out_the_same_twice(spoken: Samples, make_tone: Callable[..., Samples]) -> None:
    first = shift_pitch(spoken, RATE_HZ, 4), stretch_to(spoken, RATE_HZ, 3 * len(spoken))
    shift_pitch(make_tone(), RATE_HZ, 7)
    second = shift_pitch(spoken, RATE_HZ, 4), stretch_to(spoken, RATE_HZ, 3 * len(spoken))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, make_tone: Callable[..., Samples]) -> None:
    monkeypatch.setitem(sys.modules, "python_stretch.Signalsmith", None)
    with pytest.raises(MissingExtraError, match="needs python-stretch"):
        shift_pitch(make_tone(), RATE_HZ, 4)
