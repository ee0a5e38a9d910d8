import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import wiener as scipy_wiener

from thymos.audio import Samples, Waveform, normalise_peak, resample, wiener

FLOATS = st.floats(-100, 100, width=32)


@pytest.mark.slow
@given(arrays(np.float32, st.integers(1, 50), elements=FLOATS))
def test_peak_normalisation_is_librosas(samples: Samples) -> None:
    np.testing.assert_array_equal(normalise_peak(samples), librosa.util.normalize(samples))


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 20)), elements=FLOATS))
def test_each_row_is_normalised_by_itself(rows: Samples) -> None:
    np.testing.assert_array_equal(normalise_peak(rows), librosa.util.normalize(rows, axis=-1))


def test_silence_stays_silent() -> None:
    assert not normalise_peak(np.zeros(10, np.float32)).any()
    almost = np.full(10, np.finfo(np.float32).smallest_subnormal)
    np.testing.assert_array_equal(normalise_peak(almost), almost)


def test_normalisation_leaves_its_argument_alone() -> None:
    samples = np.array([0.25, -0.5], np.float32)
    assert normalise_peak(samples).tolist() == [0.5, -1.0]
    assert samples.tolist() == [0.25, -0.5]


def test_wiener_is_scipys() -> None:
    rng = np.random.default_rng(0)
    noisy = (np.sin(np.arange(4000) / 20) + rng.normal(0, 0.1, 4000)).astype(np.float32)
    filtered = wiener(noisy)
    np.testing.assert_allclose(filtered, scipy_wiener(noisy.astype(np.float64)), atol=1e-6)
    assert filtered.dtype == np.float32
    assert np.std(np.diff(filtered)) < np.std(np.diff(noisy))


@pytest.mark.filterwarnings("error")
def test_wiener_keeps_digital_silence_silent() -> None:
    burst = np.zeros(3000, np.float32)
    burst[1000:2000] = np.random.default_rng(0).normal(0, 0.1, 1000)
    filtered = wiener(burst)
    assert np.isfinite(filtered).all()
    assert not filtered[:990].any()
    assert filtered[1000:2000].any()
    assert not wiener(np.zeros(100, np.float32)).any()


@pytest.mark.parametrize(("from_hz", "to_hz"), [(16_000, 44_100), (44_100, 16_000), (48_000, 44_100)])
def test_resampling_keeps_pitch_level_and_length(from_hz: int, to_hz: int) -> None:
    def tone(rate_hz: int) -> Samples:
        return np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz).astype(np.float32)

    result = resample(Waveform(tone(from_hz), from_hz), to_hz)
    assert result.rate_hz == to_hz
    assert result.samples.dtype == np.float32
    assert abs(len(result.samples) - to_hz) <= 1
    inner = slice(to_hz // 10, -to_hz // 10)
    np.testing.assert_allclose(result.samples[:to_hz][inner], tone(to_hz)[inner], atol=1e-3)


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    waveform = Waveform(np.array([0.1, 0.2], np.float32), 8000)
    assert resample(waveform, 8000) is waveform
