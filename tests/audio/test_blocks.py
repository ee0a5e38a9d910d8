"""Sound block by block: the samples of decoding at once, of files and arrays alike, in flat memory."""

import io

import numpy as np
import pytest
import soundfile

from thymos.audio import blocks as module
from thymos.audio import read_waveform
from thymos.audio.blocks import open_blocks
from thymos.audio.source import Limits
from thymos.errors import AudioError, TooLongError


def all_of(source, **limits: float) -> np.ndarray:
    with open_blocks(source, Limits(**limits)) as sound:
        return np.concatenate(list(sound.blocks))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff"])
def test_blocks_are_the_samples_of_decoding_at_once(suffix, write_sound, make_tone, tmp_path):
    path = write_sound(tmp_path / f"tone{suffix}", make_tone(9.0, 48_000), 48_000)
    whole = read_waveform(path).samples
    assert len(whole) > 2 * module.BLOCK_FRAMES
    for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), (whole, 48_000)):
        np.testing.assert_array_equal(all_of(source), whole)


@pytest.mark.parametrize(
    ("dtype", "scale"), [(np.int16, 1 << 15), (np.int32, 1 << 31), (np.float64, 1), (np.int8, 128)]
)
def test_integers_are_scaled_as_files_are(dtype, scale):
    samples = (np.linspace(-1, 0.99, 1_000) * scale).astype(dtype)
    expected = (samples / scale).astype(np.float32)
    np.testing.assert_array_equal(all_of((samples, 16_000)), expected)
    np.testing.assert_array_equal(all_of((np.stack([samples, samples], 1), 16_000)), expected)


def test_unsigned_bytes_have_their_zero_at_128():
    np.testing.assert_array_equal(all_of((np.array([0, 128, 192], np.uint8), 16_000)), np.float32([-1, 0, 0.5]))


def test_what_would_not_fit_decoded_is_read_but_not_without_end(make_tone):
    assert len(all_of((make_tone(0.5), 16_000), longest_s=0.5)) == 8_000
    with pytest.raises(TooLongError, match=r"^is longer than 0\.5 seconds$"):
        all_of((make_tone(0.6), 16_000), longest_s=0.5)


def test_what_says_that_it_is_too_long_is_refused_before_it_is_decoded(tmp_path, make_tone):
    soundfile.write(tmp_path / "long.wav", make_tone(0.6), 16_000)
    with (
        pytest.raises(TooLongError, match=r"^is longer than 0\.5 seconds$"),
        open_blocks(tmp_path / "long.wav", Limits(longest_s=0.5)),
    ):
        pass


@pytest.mark.parametrize(
    ("longest_s", "words"), [(119, "119 seconds"), (1800, "30 minutes"), (7200, "2 hours"), (9000, "2.5 hours")]
)
def test_the_bound_is_told_in_words(longest_s, words):
    samples = np.zeros(1_000 * longest_s + 1, np.float32)
    with pytest.raises(TooLongError, match=f"^is longer than {words}$"):
        all_of((samples, 1_000), longest_s=longest_s)


def test_damage_further_on_is_told_when_it_is_reached(tmp_path):
    samples = np.zeros(module.BLOCK_FRAMES + 10, np.float32)
    samples[-1] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16_000, subtype="FLOAT")
    with open_blocks(tmp_path / "nan.wav") as sound:
        assert len(next(sound.blocks)) == module.BLOCK_FRAMES
        with pytest.raises(AudioError, match="NaN"):
            next(sound.blocks)
