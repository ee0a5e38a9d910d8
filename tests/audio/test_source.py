"""Bounds that hold for every sound: how long it may be for its size, and how large its samples."""

import io
import time

import numpy as np
import pytest
import soundfile

from thymos.audio import Samples, read_info, read_waveform
from thymos.audio.blocks import open_blocks
from thymos.audio.source import (
    LARGEST,
    LEAST_BYTES_PER_S,
    MOST_SPARSE_S,
    UNKNOWN_FRAMES,
    AudioInfo,
    Limits,
    OpenSound,
    check_density,
    check_samples,
    watched,
)
from thymos.errors import AudioError


def opus_of(samples: Samples) -> bytes:
    target = io.BytesIO()
    with soundfile.SoundFile(target, "w", 8_000, 1, "OPUS", format="OGG") as file:
        for start in range(0, len(samples), 8_000):
            file.write(samples[start : start + 8_000])
    return target.getvalue()


@pytest.mark.slow
def test_an_opus_file_of_sixteen_minutes_of_silence_is_refused_before_it_is_decoded():
    content = opus_of(np.zeros(8_000 * 960, np.float32))
    for read in (read_info, read_waveform, lambda source: open_blocks(source).__enter__()):
        began = time.process_time()
        with pytest.raises(AudioError, match=f"is {len(content)} bytes for 16 minutes or more of sound"):
            read(content)
        assert time.process_time() - began < 1


def test_density_is_bounded_beyond_a_length_only():
    seconds = MOST_SPARSE_S + 1
    check_density(int(MOST_SPARSE_S) * 8_000, 8_000, 0)
    check_density(int(seconds) * 8_000, 8_000, int(seconds) * LEAST_BYTES_PER_S)
    with pytest.raises(AudioError, match="speech takes at least 250 bytes a second"):
        check_density(int(seconds) * 8_000, 8_000, int(seconds) * LEAST_BYTES_PER_S - 1)


@pytest.mark.parametrize("claimed", [UNKNOWN_FRAMES, 100])
def test_what_says_no_length_or_a_false_one_is_stopped_as_it_comes_out(claimed):
    def endless():
        while True:
            yield np.zeros(1 << 16, np.float32)

    sound = watched(OpenSound(AudioInfo(16_000, 1, claimed, "X"), endless()), Limits(max_decoded_bytes=1 << 62), 10_000)
    frames = 0
    with pytest.raises(AudioError, match="is 10000 bytes for 15 minutes or more of sound"):
        for block in sound.blocks:
            frames += len(block)
    assert frames == pytest.approx(MOST_SPARSE_S * 16_000, abs=1 << 16)
    small = watched(OpenSound(AudioInfo(16_000, 1, claimed, "X"), endless()), Limits(max_decoded_bytes=1 << 20), 10_000)
    with pytest.raises(AudioError, match="would take more than 1 MiB"):
        list(small.blocks)


def test_integers_at_their_own_scale_are_sound_and_what_overflows_is_not():
    check_samples(np.float32([-LARGEST, LARGEST]))
    with pytest.raises(AudioError, match=r"as large as 3e\+38, where full scale is 1"):
        check_samples(np.float32([0, 3e38]))
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(AudioError, match="NaN or infinite"):
            check_samples(np.float32([0, value]))
    with pytest.raises(AudioError, match="where full scale is 1"), open_blocks((np.float64([1e20]), 16_000)) as sound:
        list(sound.blocks)
