"""Channels on their way to one: turned round, told apart, taken alone; scale, offset and clipping."""

import io

import numpy as np
import pytest
import soundfile
from sound_bytes import RATE_HZ, heard, voice_like

from thymos.audio.decode import open_sound
from thymos.audio.excerpt import read_excerpt
from thymos.audio.mixing import ClippedCounter
from thymos.audio.source import Limits
from thymos.errors import AudioError

SPEECH = voice_like(5.0)
OTHER = voice_like(5.0, 310.0)
NOISE = np.random.default_rng(1).normal(0, 0.1, len(SPEECH)).astype(np.float32)


def stereo(left, right) -> tuple[np.ndarray, int]:
    return np.stack([left, right], axis=1).astype(np.float32), RATE_HZ


def as_wav(samples, subtype="FLOAT") -> bytes:
    target = io.BytesIO()
    soundfile.write(target, samples, RATE_HZ, subtype, format="WAV")
    return target.getvalue()


def test_a_channel_that_is_upside_down_is_turned_round_and_told():
    for left, right in ((SPEECH, -SPEECH), (-SPEECH, SPEECH), (SPEECH + 0.05 * NOISE, -0.8 * SPEECH)):
        samples, _, remarks = heard(stereo(left, right))
        assert remarks == {"inverted_channel"}
        assert abs(np.corrcoef(samples, SPEECH)[0, 1]) > 0.99
        assert np.std(samples) > 0.85 * np.std(SPEECH)


def test_equal_channels_are_the_sound_itself():
    samples, _, remarks = heard(stereo(SPEECH, SPEECH))
    np.testing.assert_allclose(samples, SPEECH, atol=1e-7)
    assert not remarks


@pytest.mark.parametrize("side", [0.5, 1.0, 1.6])
def test_wide_stereo_is_mixed_as_it_is(side):
    """Uncorrelated sides, and more of them than of the middle: channels that correlate by -0.4 are no fault."""
    left, right = SPEECH + side * NOISE * 1.5, SPEECH - side * NOISE * 1.5
    samples, _, remarks = heard(stereo(left, right))
    np.testing.assert_allclose(samples, SPEECH, atol=1e-6)
    assert "inverted_channel" not in remarks


def test_the_two_ends_of_a_call_are_told_apart_and_each_can_be_taken_alone():
    half = len(SPEECH) // 2
    agent, customer = SPEECH.copy(), OTHER.copy()
    agent[half:], customer[:half] = 0, 0
    both = stereo(agent, customer)
    mixed, _, remarks = heard(both)
    np.testing.assert_allclose(mixed, (agent + customer) / 2, atol=1e-7)
    assert remarks == {"mixed_channels"}
    for number, own in ((1, agent), (2, customer)):
        for source in (both, as_wav(both[0])):
            samples, _, remarks = heard(source, number)
            np.testing.assert_allclose(samples, own, atol=1e-7)
            assert not remarks
    with pytest.raises(AudioError, match="has 2 channels, so there is no channel 3"):
        heard(both, 3)
    with pytest.raises(AudioError, match="has 1 channel, so there is no channel 2"):
        heard((SPEECH, RATE_HZ), 2)


def test_a_dead_channel_is_told():
    assert heard(stereo(SPEECH, 0 * SPEECH))[2] == {"silent_channel"}
    assert heard(stereo(SPEECH, 1e-5 * NOISE))[2] == {"silent_channel"}
    assert not heard(stereo(0 * SPEECH, 0 * SPEECH))[2], "of silence there is nothing to say"


def test_a_beginning_of_silence_decides_nothing():
    silence = np.zeros(40 * RATE_HZ, np.float32)
    left, right = (np.concatenate([silence, sign * SPEECH]) for sign in (1, -1))
    samples, _, remarks = heard(stereo(left, right))
    assert remarks == {"inverted_channel"} and abs(np.corrcoef(samples[len(silence) :], SPEECH)[0, 1]) > 0.999


def test_an_excerpt_is_mixed_as_all_of_it_is():
    left, right = (np.concatenate([SPEECH, sign * SPEECH]) for sign in (1, -1))
    content = as_wav(np.stack([left, right], axis=1))  # upside down only in its second half
    whole = heard(content)[0]
    part, _ = read_excerpt(content, 6.0, 9.0)
    np.testing.assert_array_equal(part.samples, whole[6 * RATE_HZ : 9 * RATE_HZ])


@pytest.mark.parametrize("scale", [2**15, 2**23, 2**31])
def test_floats_on_the_scale_of_integers_are_brought_to_theirs(scale):
    for source in ((SPEECH * np.float32(scale), RATE_HZ), as_wav(SPEECH * np.float32(scale))):
        samples, _, remarks = heard(source)
        np.testing.assert_allclose(samples, SPEECH, atol=1e-6)
        assert remarks == {"rescaled"}
    loud = 3 * SPEECH / np.abs(SPEECH).max()
    samples, _, remarks = heard((loud, RATE_HZ))
    np.testing.assert_array_equal(samples, loud)
    assert "rescaled" not in remarks


@pytest.mark.parametrize("offset", [0.02, -0.1, 0.3])
def test_an_offset_is_taken_off_for_hearing(offset):
    quiet = SPEECH * np.float32(0.1)
    for subtype in ("FLOAT", "PCM_24"):
        samples, _, remarks = heard(as_wav(quiet + np.float32(offset), subtype))
        np.testing.assert_allclose(samples, quiet, atol=2e-5)
        assert remarks == {"offset"}
    with open_sound(as_wav(quiet + np.float32(offset)), Limits()) as sound:
        raw = np.concatenate(list(sound.blocks))
    assert raw.mean() == pytest.approx(offset, abs=1e-4), "what is decoded is what is there"


def test_sound_without_an_offset_is_left_as_it_is():
    for samples in (SPEECH, NOISE, NOISE[:100], SPEECH[:700]):
        np.testing.assert_array_equal(heard((samples, RATE_HZ))[0], samples)


def test_clipped_sound_is_told_and_single_peaks_are_not():
    assert heard(as_wav(np.clip(6 * SPEECH, -1, 1), "PCM_16"))[2] == {"clipped"}
    peaks = SPEECH.copy()
    peaks[::5_000] = 1.0
    assert not heard(as_wav(peaks, "PCM_16"))[2]


def test_clipped_runs_are_counted_across_blocks():
    sound = np.float32([0, 1, 1, 1, 1, 0, 1, 1, -1, -1, -1, 0.5])[:, None]
    for cut in range(len(sound) + 1):
        counter = ClippedCounter()
        for block in (sound[:cut], sound[cut:]):
            counter.add(block)
        assert counter.count == 4 + 3 and counter.values == len(sound)
    counter = ClippedCounter()
    for sample in sound:
        counter.add(sample[None])
    assert counter.count == 7
