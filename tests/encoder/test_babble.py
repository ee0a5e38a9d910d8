"""Voices that nobody has: they talk, with pauses, at a pitch that a voice has, and fall towards high frequencies."""

import numpy as np

from thymos.encoder.log_mel import RATE_HZ
from thymos.encoder.variation import PITCHES_HZ, made_up_voices


def voices(count=6):
    return made_up_voices(count, 4.0, np.random.default_rng(0))


def test_so_many_talk_for_so_long_and_the_same_seed_says_the_same():
    for one, other in zip(voices(), voices(), strict=True):
        assert one.dtype == np.float32 and one.shape == (4 * RATE_HZ,) and np.isfinite(one).all()
        np.testing.assert_array_equal(one, other)
    assert len({each.tobytes() for each in voices()}) == 6


def test_they_have_a_voices_pitch():
    for voice in voices():
        spectrum = np.abs(np.fft.rfft(voice, 1 << 17)) ** 2
        periodic = np.fft.irfft(spectrum)[: RATE_HZ // 50]
        lags = np.arange(round(RATE_HZ / (1.6 * PITCHES_HZ[1])), round(RATE_HZ / (0.6 * PITCHES_HZ[0])))
        assert periodic[lags].max() > 0.2 * periodic[0]


def test_most_power_lies_where_speech_has_it():
    for voice in voices():
        power = np.abs(np.fft.rfft(voice)) ** 2
        hz = np.fft.rfftfreq(len(voice), 1 / RATE_HZ)
        low, high = power[(hz > 100) & (hz < 1000)].sum(), power[hz > 4000].sum()
        assert 10 < 10 * np.log10(low / high) < 50


def test_they_pause():
    loud = np.abs(np.concatenate(voices())).reshape(-1, RATE_HZ // 20).max(1)
    assert 0.02 < (loud < 1e-3 * loud.max()).mean() < 0.5
