"""Sound block by block: the samples of decoding at once, of files and arrays alike, in flat memory."""

import io

import numpy as np
import pytest
import soundfile

from thymos.audio import blocks as module
from thymos.audio import read_waveform
from thymos.audio.blocks import open_blocks
from thymos.errors import AudioError


def all_of(source) -> np.ndarray:
    with open_blocks(source) as sound:
        return np.concatenate(list(sound.blocks))


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


def test_what_would_not_fit_decoded_is_read_but_not_without_end(monkeypatch, make_tone):
    monkeypatch.setattr(module, "LONGEST_S", 0.5)
    assert len(all_of((make_tone(0.5), 16_000))) == 8_000
    with pytest.raises(AudioError, match="is longer than"):
        all_of((make_tone(0.6), 16_000))


def test_damage_further_on_is_told_when_it_is_reached(tmp_path):
    samples = np.zeros(module.BLOCK_FRAMES + 10, np.float32)
    samples[-1] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16_000, subtype="FLOAT")
    with open_blocks(tmp_path / "nan.wav") as sound:
        assert len(next(sound.blocks)) == module.BLOCK_FRAMES
        with pytest.raises(AudioError, match="NaN"):
            next(sound.blocks)
