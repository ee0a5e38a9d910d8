"""Codecs: what rate results, what band is left, and that nothing moves or changes its length."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import welch

from thymos.audio import Samples, read_waveform
from thymos.audio.distort import encode_mp3, encode_opus, through_mp3, through_opus
from thymos.errors import AudioError

CODECS = [through_mp3, through_opus]


def noise(seconds: float, rate_hz: int) -> Samples:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * rate_hz)).astype(np.float32)


def lag_ms(samples: Samples, other: Samples, rate_hz: int) -> float:
    """How much later ``other`` is."""
    size = 2 * len(samples)
    product = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(samples, size)), size)
    place = int(np.argmax(product))
    return 1000 * (place if place < size // 2 else place - size) / rate_hz


def recordings(root: Path, suffix: str, step: int) -> list[tuple[Samples, int]]:
    waveforms = [read_waveform(path) for path in sorted(root.glob(f"*/*{suffix}"))[::step]]
    return [(waveform.samples, waveform.rate_hz) for waveform in waveforms]


def bitrates(encode, sounds: list[tuple[Samples, int]]) -> list[float]:
    return [8 * len(encode(*sound)) * sound[1] / len(sound[0]) for sound in sounds]


@pytest.mark.real
def test_bit_rates_on_real_speech_are_those_documented(aesdd):
    sounds = recordings(aesdd, ".flac", 40)
    mp3, opus = bitrates(encode_mp3, sounds), bitrates(encode_opus, sounds)
    assert len(sounds) == 16
    assert 16_000 <= min(mp3) <= max(mp3) < 16_900
    assert 14_500 < min(opus) <= max(opus) < 21_500
    assert np.mean(opus) == pytest.approx(18_500, abs=700)


@pytest.mark.slow
@pytest.mark.parametrize("bitrate", [16_000, 24_000, 160_000])
def test_mp3_has_the_rate_asked_for(bitrate):
    sound = noise(20, 16_000)
    assert 8 * len(encode_mp3(sound, 16_000, bitrate)) / 20 == pytest.approx(bitrate, rel=0.02)


@pytest.mark.slow
def test_opus_takes_fewer_bits_when_asked():
    sound = noise(5, 16_000)
    low, middle, high = (len(encode_opus(sound, 16_000, bitrate)) for bitrate in (8_000, 16_000, 48_000))
    assert low < 0.75 * middle < 0.75 * 0.75 * high


@pytest.mark.parametrize("through", CODECS)
@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("seconds", [0.5, pytest.param(3.137, marks=pytest.mark.slow)])
def test_nothing_moves_and_the_length_stays(through, rate_hz, seconds):
    sound = noise(seconds, rate_hz)
    heard = through(sound, rate_hz)
    assert heard.shape == sound.shape and heard.dtype == np.float32
    assert abs(lag_ms(sound, heard, rate_hz)) < 0.13
    assert not np.array_equal(heard, sound)


def test_nothing_moves_where_the_decoder_knows_of_the_delay():
    sound = noise(3, 16_000)
    assert lag_ms(sound, through_mp3(sound, 16_000, 160_000), 16_000) == 0


@pytest.mark.slow
@pytest.mark.parametrize("through", CODECS)
def test_speech_stays_where_it_was(through, mini):
    for sound, rate_hz in recordings(mini, ".opus", 40):
        heard = through(sound, rate_hz)
        assert abs(lag_ms(sound, heard, rate_hz)) < 0.13
        assert np.sqrt(np.mean(heard**2)) == pytest.approx(np.sqrt(np.mean(sound**2)), rel=0.15)


def test_mp3_at_this_rate_keeps_no_sibilants():
    sound = noise(10, 44_100)
    hz, power = welch(through_mp3(sound, 44_100), 44_100, nperseg=2048)
    assert power[(hz > 6_500) & (hz < 20_000)].max() < 1e-3 * power[(hz > 500) & (hz < 4_000)].mean()


@pytest.mark.parametrize("through", CODECS)
@pytest.mark.parametrize("length", [1, 10, 700])
def test_the_shortest_sounds_and_silence_do_no_harm(through, length):
    for sound in (np.full(length, 0.5, np.float32), np.zeros(length, np.float32)):
        heard = through(sound, 44_100)
        assert heard.shape == sound.shape
        assert np.isfinite(heard).all()


@pytest.mark.parametrize("through", CODECS)
def test_the_same_sound_comes_out_the_same_twice(through):
    sound = noise(1, 16_000)
    np.testing.assert_array_equal(through(sound, 16_000), through(sound, 16_000))


@pytest.mark.parametrize(("through", "bitrate"), [(through_mp3, 8_000), (through_mp3, 320_000), (through_opus, 5_000)])
def test_rates_that_the_codec_lacks_are_refused(through, bitrate):
    with pytest.raises(ValueError, match="bit rate must be"):
        through(noise(0.1, 16_000), 16_000, bitrate)


@pytest.mark.parametrize("through", CODECS)
def test_a_library_without_the_codec_is_named(through, monkeypatch):
    monkeypatch.setattr(soundfile, "available_subtypes", lambda format=None: {"PCM_16": "Signed 16 bit PCM"})
    with pytest.raises(AudioError, match="this libsndfile does not write"):
        through(noise(0.1, 16_000), 16_000)
