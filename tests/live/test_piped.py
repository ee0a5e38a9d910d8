"""Sound that is piped in: a WAV is known by its header, in pieces of any size, and heard as its file."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from thymos.errors import AudioError
from thymos.live.piped import WavPieces, open_piped

RATE_HZ = 22_050
SAMPLES = np.random.default_rng(3).uniform(-0.9, 0.9, (600, 2)).astype(np.float32)


def wav(subtype: str = "PCM_16", format: str = "WAV", endian: str = "FILE", samples: np.ndarray = SAMPLES) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, RATE_HZ, subtype, endian, format)
    return content.getvalue()


def of_file(content: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)[0]


def heard(content: bytes, sizes=(1 << 20,), **told) -> tuple[np.ndarray, object]:
    pieces, at = [], 0
    while at < len(content):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(content[at : at + size])
        at += size
    sound = open_piped(iter(pieces), told.get("rate_hz"), told.get("format"), told.get("channels"))
    return np.concatenate(list(sound.blocks)), sound


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 700), min_size=1, max_size=6), subtype=st.sampled_from(["PCM_16", "PCM_24"]))
def test_a_wav_may_come_in_pieces_that_end_anywhere(sizes, subtype):
    content = wav(subtype)
    samples, sound = heard(content, sizes)
    np.testing.assert_array_equal(samples, of_file(content))
    assert (sound.rate_hz, sound.channels, sound.is_wav, sound.pcm.left, sound.pcm.missing) == (
        RATE_HZ, 2, True, 0, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("subtype", "format", "endian"),
    [
        *((subtype, "WAV", "FILE") for subtype in ("PCM_U8", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW")),
        ("PCM_16", "WAV", "BIG"),
        ("PCM_16", "WAVEX", "FILE"),
        ("PCM_24", "RF64", "FILE"),
    ],
)
def test_codecs_that_need_no_neighbours_are_heard_as_of_a_file(subtype, format, endian):
    content = wav(subtype, format, endian)
    np.testing.assert_array_equal(heard(content, (777,))[0], of_file(content))


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_a_length_that_could_not_be_filled_in_is_no_end(size):
    content = wav()
    at = content.index(b"data") + 4
    samples, sound = heard(content[:at] + struct.pack("<I", size) + content[at + 4 :], (100,))
    np.testing.assert_array_equal(samples, of_file(content))
    assert not sound.pcm.missing


def test_what_lies_around_the_sound_is_not_heard_and_a_wav_may_follow():
    content = wav()
    tag = b"LIST" + struct.pack("<I", 5) + b"INFO!" + b"\0"
    at = content.index(b"data")
    padded = content[:12] + tag + content[12:at] + tag + content[at:] + tag
    samples, _ = heard(padded + content, (9, 50))
    np.testing.assert_array_equal(samples, np.concatenate([of_file(content)] * 2))


def test_what_is_missing_is_known():
    content = wav()
    samples, sound = heard(content[:-402])
    assert len(samples) == 600 - 101 and sound.pcm.missing and sound.pcm.left == 2


def test_raw_samples_are_what_is_told():
    raw = np.arange(20, dtype="<i2")
    samples, sound = heard(raw.tobytes(), (3,), rate_hz=8_000, channels=2)
    np.testing.assert_array_equal(samples, raw.reshape(10, 2))
    assert (sound.rate_hz, sound.channels, sound.is_wav) == (8_000, 2, False)
    short, _ = heard(b"RI", rate_hz=8_000)
    assert short.tolist() == [[int.from_bytes(b"RI", "little")]]


def with_form(tag: int, channels: int, rate_hz: int, frame_bytes: int, bits: int) -> bytes:
    form = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame_bytes, frame_bytes, bits)
    return b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", 8) + bytes(8)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "nothing came in"),
        (bytes(100), "does not say its sampling rate"),
        (wav()[:30], "ends before its sound begins"),
        (wav("IMA_ADPCM"), "WAV with IMA ADPCM, which is not decoded as it comes"),
        (with_form(1, 2, 16_000, 3, 16), "damaged header"),
        (with_form(1, 0, 16_000, 0, 16), "damaged header"),
        (with_form(1, 1, 16_000, 2, 12), "PCM of 12 bits"),
        (with_form(1, 1, 7, 2, 16), "sampling rate of 7 Hz"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0\0\0\0\0", "before its form is told"),
        (b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\x7f" + bytes(50), "damaged header"),
        (wav() + wav("PCM_24"), "goes on with a WAV of another rate"),
        (with_form(3, 1, 16_000, 4, 32)[:-8] + np.array([0.1, np.nan], "<f4").tobytes(), "NaN"),
    ],
)
def test_what_cannot_be_heard_is_one_sentence(content, sentence):
    with pytest.raises(AudioError, match=sentence):
        heard(content, (64,))


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"fLaC", "FLAC"), (b"OggS", "Ogg"), (b"ID3\4", "MP3"), (b"FORM\0\0\0\1AIFF", "AIFF"), (b".snd", "AU"),
        (b"\0\0\0\x20ftypM4A ", "M4A"), (b"\x1a\x45\xdf\xa3\x9fB\x86\x81", "Matroska"), (b"#!AMR\n", "AMR"),
    ],
)  # fmt: skip
def test_other_files_are_not_heard_as_noise(start, name):
    with pytest.raises(AudioError, match=f"standard input is {name}, which is not heard as it comes"):
        heard(start + bytes(100), rate_hz=16_000)


def test_a_header_of_no_end_takes_no_memory():
    pieces = WavPieces()
    pieces.push(b"RIFF\0\0\0\0WAVEJUNK\xf0\xff\xff\xff")
    for _ in range(50):
        pieces.push(bytes(100_000))
    assert pieces.form is None and len(pieces._left) == 0
