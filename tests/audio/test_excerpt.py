"""A part of a file is what decoding the whole file and cutting gives, in every format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thymos.audio import Samples, read_waveform
from thymos.audio.excerpt import read_excerpt
from thymos.audio.source import Limits
from thymos.errors import AudioError

WriteSound = Callable[..., Path]
RATE_HZ = 16_000


@pytest.fixture(scope="module")
def rising() -> Samples:
    """Four seconds in which no two parts are alike."""
    return np.random.default_rng(1).uniform(-0.5, 0.5, 4 * RATE_HZ).astype(np.float32)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.ogg", "a.opus", "a.mp3"])
def test_an_excerpt_is_a_cut_of_the_whole(tmp_path: Path, write_sound: WriteSound, rising: Samples, name: str) -> None:
    path = write_sound(tmp_path / name, rising, RATE_HZ)
    whole = read_waveform(path)
    for start_s, end_s in ((0.0, 1.5), (1.25, 3.0), (3.5, None), (1.00003, 1.00013)):
        part, info = read_excerpt(path, start_s, end_s)
        first, stop = (round(at * whole.rate_hz) for at in (start_s, 99 if end_s is None else end_s))
        np.testing.assert_array_equal(part.samples, whole.samples[first:stop])
        assert (part.rate_hz, info.frames) == (whole.rate_hz, len(whole.samples))


@pytest.mark.slow
def test_media_is_cut_too(tmp_path: Path, rising: Samples) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray((rising * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part, _ = read_excerpt(path, 1.0, 2.0)
    np.testing.assert_array_equal(part.samples, read_waveform(path).samples[RATE_HZ : 2 * RATE_HZ])


def test_tables_round_so_an_end_may_lie_a_little_late(tmp_path: Path, write_sound: WriteSound, rising: Samples) -> None:
    path = write_sound(tmp_path / "a.wav", rising, RATE_HZ)
    assert len(read_excerpt(path, 3.0, 4.05)[0].samples) == RATE_HZ


@pytest.mark.parametrize(
    ("start_s", "end_s", "words"),
    [
        (3.0, 5.0, "has no part from 3 s to 5 s: it is 4.00 s long"),
        (7.0, None, "has no part from 7 s to its end"),
        (7.0, 8.0, "has no part from 7 s to 8 s"),
        (2.0, 1.0, "it must end after it begins"),
        (-1.0, 1.0, "it must end after it begins"),
        (float("nan"), None, "it must end after it begins"),
        (1.0, 1.00001, "has no sample from 1 s to 1.00001 s at 16000 Hz"),
    ],
)
def test_what_is_not_there_is_refused(
    tmp_path: Path, write_sound: WriteSound, rising: Samples, start_s: float, end_s: float | None, words: str
) -> None:
    path = write_sound(tmp_path / "a.wav", rising, RATE_HZ)
    with pytest.raises(AudioError, match=words):
        read_excerpt(path, start_s, end_s)


def test_the_bound_counts_the_excerpt_alone(tmp_path: Path, write_sound: WriteSound, rising: Samples) -> None:
    path = write_sound(tmp_path / "a.wav", rising, RATE_HZ)
    limits = Limits(max_decoded_bytes=RATE_HZ * 4)
    assert len(read_excerpt(path, 0.5, 1.5, limits)[0].samples) == RATE_HZ
    with pytest.raises(AudioError, match="once decoded"):
        read_excerpt(path, 0.5, 3.5, limits)
