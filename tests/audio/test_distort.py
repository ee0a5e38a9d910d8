"""Distortions do what they say, by measurement of what comes out."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import welch

from thymos.audio import Samples, Waveform, read_waveform, resample
from thymos.audio.distort import (
    BABBLE_VOICES,
    CLEAN,
    CONDITIONS,
    babble,
    change_speed,
    reverberate,
    room_response,
    telephone,
    white_noise,
)
from thymos.errors import AudioError, MissingExtraError

RATE_HZ = 16_000


def power_db(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


def noise(seed: int, n_samples: int = RATE_HZ, level: float = 0.1) -> Samples:
    return np.random.default_rng(seed).normal(0, level, n_samples).astype(np.float32)


@pytest.fixture(scope="module")
def spoken(mini) -> list[Samples]:
    paths = sorted(mini.glob("*/*.opus"))[::10]
    return [resample(read_waveform(path), RATE_HZ).samples for path in paths]


@given(st.floats(-10, 60), st.integers(0, 2**63))
def test_white_noise_is_as_loud_as_asked_and_white(snr_db, seed):
    sound = noise(1)
    added = white_noise(sound, snr_db, seed) - sound
    assert power_db(sound) - power_db(added) == pytest.approx(snr_db, abs=0.15)


def test_white_noise_has_the_same_power_at_all_frequencies():
    sound = np.full(20 * RATE_HZ, 0.1, np.float32)
    _, power = welch(white_noise(sound, 0, 0) - sound, RATE_HZ, nperseg=256)
    assert np.ptp(10 * np.log10(power[2:-2])) < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("snr_db", [20, 5, 0])
def test_babble_is_as_loud_as_asked(spoken, snr_db):
    added = babble(spoken[0], spoken[1:], snr_db, 3) - spoken[0]
    assert power_db(spoken[0]) - power_db(added) == pytest.approx(snr_db, abs=0.01)


def test_babble_is_made_of_the_others_only():
    """Each other voice is a tone of its own: the added sound has these tones, alike strong whatever their level was."""
    times_s = np.arange(RATE_HZ) / RATE_HZ
    tones_hz = [500, 1000, 1500, 2000]
    levels = [0.01, 0.1, 0.5, 0.02]
    others = [
        (level * np.sin(2 * np.pi * hz * times_s)).astype(np.float32)
        for level, hz in zip(levels, tones_hz, strict=True)
    ]
    sound = noise(0)
    strength = np.abs(np.fft.rfft(babble(sound, others, 0, 1) - sound))
    np.testing.assert_allclose(strength[tones_hz], strength[500], rtol=0.01)
    assert np.square(np.delete(strength, tones_hz)).sum() < 1e-6 * np.square(strength).sum()


def test_babble_draws_as_many_voices_as_it_says():
    others = [(0.1 * np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32) for hz in range(1, 21)]
    sound = noise(0)
    heard = []
    for seed in range(2):
        strength = np.abs(np.fft.rfft(babble(sound, others, 0, seed) - sound))
        heard.append(set(np.flatnonzero(strength > 0.1 * strength.max())))
        assert len(heard[-1]) == BABBLE_VOICES
    assert heard[0] != heard[1]


@pytest.mark.parametrize("n_other", [1, 100, 50_000])
def test_short_voices_are_looped_and_long_ones_cut(n_other):
    sound = noise(0)
    added = babble(sound, [noise(1, n_other)], 10, 0) - sound
    assert added.shape == sound.shape
    if n_other == 100:
        np.testing.assert_allclose(added[100:], added[:-100], atol=1e-6)
    if n_other == 50_000:
        assert abs(np.corrcoef(added[100:], added[:-100])[0, 1]) < 0.1


def test_silent_others_do_not_talk():
    sound, voice, silence = noise(0), noise(1), np.zeros(500, np.float32)
    np.testing.assert_array_equal(babble(sound, [silence, voice], 5, 0), babble(sound, [voice], 5, 0))
    for others in ([], [silence]):
        with pytest.raises(AudioError, match="no other recording holds sound"):
            babble(sound, others, 5, 0)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
def test_telephone_keeps_its_band_only(rate_hz):
    sound = noise(0, 20 * rate_hz)
    hz, before = welch(sound, rate_hz, nperseg=rate_hz // 20)
    _, after = welch(telephone(sound, rate_hz), rate_hz, nperseg=rate_hz // 20)
    gain_db = 10 * np.log10(after / before)
    assert np.abs(gain_db[(hz > 450) & (hz < 2_900)]).max() < 1
    assert gain_db[(hz > 0) & (hz <= 140)].max() < -18
    if rate_hz > 8_000:
        assert gain_db[hz >= 6_000].max() < -18


def test_telephone_at_a_rate_below_its_band_cuts_the_lows_only():
    sound = noise(0, 60_000)
    hz, power = welch(telephone(sound, 6_000), 6_000, nperseg=300)
    assert power[hz <= 140].max() < 0.02 * power[hz > 500].mean()
    assert power[hz > 2_500].mean() == pytest.approx(power[(hz > 600) & (hz < 2_500)].mean(), rel=0.1)


def test_telephone_is_on_time():
    click = np.zeros(8_000, np.float32)
    click[1_000] = 1
    assert abs(int(np.argmax(np.abs(telephone(click, RATE_HZ)))) - 1_000) < 0.003 * RATE_HZ


@pytest.mark.parametrize(("rt60_s", "ratio_db"), [(0.3, 10.0), (0.6, 0.0), (1.2, -3.0)])
def test_room_decays_and_is_as_loud_as_asked(rt60_s, ratio_db):
    click = np.zeros(3 * RATE_HZ, np.float32)
    click[0] = 1
    heard = reverberate(click, RATE_HZ, 5, rt60_s, ratio_db)
    assert heard[0] == pytest.approx(1, abs=1e-5)
    energy = heard[1:].astype(np.float64) ** 2
    assert -10 * np.log10(energy.sum()) == pytest.approx(ratio_db, abs=0.01)
    # Schroeder's backward integration, between 5 and 35 dB down (ISO 3382: T30).
    decay_db = 10 * np.log10(np.maximum(energy[::-1].cumsum()[::-1] / energy.sum(), 1e-12))
    fitted = np.flatnonzero((decay_db < -5) & (decay_db > -35))
    slope = np.polyfit(fitted / RATE_HZ, decay_db[fitted], 1)[0]
    assert -60 / slope == pytest.approx(rt60_s, rel=0.05)


def test_reverberation_is_convolution_cut_to_length():
    sound = noise(0, 5_001)
    expected = np.convolve(sound, room_response(RATE_HZ, 7, 0.2, 3))[: len(sound)]
    np.testing.assert_allclose(reverberate(sound, RATE_HZ, 7, 0.2, 3), expected, atol=1e-5)


@pytest.mark.parametrize("speed", [0.9, 1.1, 2.0])
def test_speed_moves_pitch_and_tempo(make_tone: Callable[..., Samples], speed):
    tone = make_tone(2.0, hz=440)
    played = change_speed(tone, RATE_HZ, speed)
    assert len(played) == round(len(tone) / speed)
    strength = np.abs(np.fft.rfft(played * np.hanning(len(played)), 8 * len(played)))
    assert np.argmax(strength) * RATE_HZ / (8 * len(played)) == pytest.approx(440 * speed, rel=2e-3)
    click = np.zeros(20_000, np.float32)
    click[9_000] = 1
    assert np.argmax(change_speed(click, RATE_HZ, speed)) == pytest.approx(9_000 / speed, abs=1)


def test_speed_must_be_positive():
    for speed in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="speed must be positive"):
            change_speed(noise(0), RATE_HZ, speed)


def test_conditions_are_those_of_the_table():
    assert list(CONDITIONS) == [
        "clean", "white noise 20 dB", "white noise 10 dB", "white noise 5 dB", "babble 20 dB", "babble 10 dB",
        "babble 5 dB", "telephone", "MP3 16 kbit/s", "Opus 16 kbit/s", "reverberation", "half volume", "speed 0.9",
        "speed 1.1",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
def test_each_condition_keeps_type_and_length_and_leaves_its_argument_alone(name, rate_hz, spoken):
    sound = resample(Waveform(spoken[0], RATE_HZ), rate_hz).samples.copy()
    others = [noise(i, rate_hz) for i in range(8)]
    kept = sound.copy()
    heard = CONDITIONS[name](sound, rate_hz, 11, others)
    length = {"speed 0.9": round(len(sound) / 0.9), "speed 1.1": round(len(sound) / 1.1)}.get(name, len(sound))
    assert heard.dtype == np.float32 and heard.shape == (length,)
    assert np.isfinite(heard).all()
    np.testing.assert_array_equal(sound, kept)
    np.testing.assert_array_equal(heard, CONDITIONS[name](sound, rate_hz, 11, others))
    assert np.array_equal(heard, sound) == (name == CLEAN)
    assert not np.shares_memory(heard, sound)


@pytest.mark.parametrize("name", ["white noise 10 dB", "babble 10 dB", "reverberation"])
def test_another_seed_is_another_draw(name):
    others = [noise(i) for i in range(1, 10)]
    first, second = (CONDITIONS[name](noise(0), RATE_HZ, seed, others) for seed in (1, 2))
    assert not np.allclose(first, second)


@pytest.mark.parametrize("name", [name for name in CONDITIONS if name.startswith(("white", "babble"))])
def test_named_ratios_are_the_ratios(name):
    added = CONDITIONS[name](noise(0), RATE_HZ, 1, [noise(i) for i in range(1, 10)]) - noise(0)
    assert power_db(noise(0)) - power_db(added) == pytest.approx(float(name.split()[-2]), abs=0.15)


def test_half_volume_is_half():
    np.testing.assert_array_equal(CONDITIONS["half volume"](noise(0), RATE_HZ, 0, []), noise(0) / 2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("length", [1, 10, 700])
def test_the_shortest_sounds_and_silence_do_no_harm(name, length):
    for sound in (np.full(length, 0.5, np.float32), np.zeros(length, np.float32)):
        heard = CONDITIONS[name](sound, RATE_HZ, 0, [noise(1)])
        assert np.isfinite(heard).all()
        if "noise" in name or "babble" in name:
            assert np.array_equal(heard, sound) == (not sound.any())


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    with pytest.raises(MissingExtraError, match="needs scipy"):
        telephone(noise(0), RATE_HZ)


def test_importing_needs_no_scipy():
    code = "import sys, thymos.audio.distort; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
