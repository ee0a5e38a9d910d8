"""Heard to its end, as recorded: joined, streamed, cut and damaged files, and headers that lie."""

import io
import struct

import numpy as np
import pytest
from sound_bytes import (
    RATE_HZ,
    encoded,
    heard,
    ogg_pages,
    set_position,
    through_pyav,
    voice_like,
    with_checksum,
)

from thymos.audio import read_waveform
from thymos.audio.byte_view import ByteView, SpannedFile
from thymos.audio.ogg import crc
from thymos.errors import AudioError

KINDS = [
    ("WAV", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("CAF", "PCM_16"), ("AU", "PCM_16"),
    ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
]  # fmt: skip
EXACT = {"PCM_16"}


@pytest.mark.parametrize(("container", "subtype"), KINDS)
def test_a_whole_file_has_no_remark(container, subtype):
    samples, rate_hz, remarks = heard(encoded(container, subtype))
    assert rate_hz == RATE_HZ and len(samples) == 4 * RATE_HZ and not remarks


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.3, 0.97])
@pytest.mark.parametrize(("container", "subtype"), KINDS)
def test_a_file_cut_short_says_so_or_is_refused(container, subtype, share):
    content = encoded(container, subtype)
    try:
        samples, _, remarks = heard(content[: int(share * len(content))])
    except AudioError as error:
        assert "\n" not in str(error)
        assert share < 0.1 or subtype == "VORBIS", "there is enough to hear"
        return
    # The last page or frame may be lost beside what was cut off; pages of Vorbis are seconds long.
    lost = 0.45 if container == "OGG" else 0.1
    assert (share - lost) * 4 * RATE_HZ < len(samples) < 4 * RATE_HZ
    assert remarks == {"cut_short"}


JOINED = [*KINDS[:2], *KINDS[6:]]


@pytest.mark.parametrize(("container", "subtype"), JOINED)
def test_joined_files_are_heard_to_the_end(container, subtype):
    first, second = voice_like(3.0, 180), voice_like(2.0, 240)
    joined = encoded(container, subtype, first) + encoded(container, subtype, second)
    samples, _, remarks = heard(joined)
    assert not remarks
    assert len(samples) == len(first) + len(second)
    for part, whole in ((samples[: len(first)], first), (samples[-len(second) :], second)):
        np.testing.assert_allclose(part, whole, atol=2**-15 if subtype in EXACT else 0.12)
    with io.BytesIO(b"not sound" + joined) as file:
        file.seek(9)
        np.testing.assert_array_equal(heard(file)[0], samples)


def test_a_later_part_at_another_rate_and_in_stereo_is_brought_to_the_first_ones():
    later = np.repeat(voice_like(2.0)[:, None], 2, axis=1)
    joined = encoded("FLAC", "PCM_16", voice_like(1.0)) + encoded("FLAC", "PCM_16", later, 2 * RATE_HZ)
    samples, rate_hz, remarks = heard(joined)
    assert rate_hz == RATE_HZ and not remarks
    assert len(samples) == pytest.approx(2 * RATE_HZ, abs=2), "two seconds at twice the rate are one"


# --- lengths that were never filled in ---


@pytest.mark.parametrize("told", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_a_wav_whose_length_was_never_filled_in_is_heard_to_its_end(told):
    content = bytearray(encoded("WAV", "PCM_16"))
    struct.pack_into("<I", content, content.find(b"data") + 4, told)
    struct.pack_into("<I", content, 4, min(told + 36, 0xFFFFFFFF))
    samples, _, remarks = heard(bytes(content))
    assert len(samples) == 4 * RATE_HZ and not remarks


def test_a_wav_without_samples_is_not_taken_for_a_stream():
    content = bytearray(encoded("WAV", "PCM_16"))
    at = content.find(b"data") + 4
    struct.pack_into("<I", content, at, 0)
    listing = b"LIST" + struct.pack("<I", 8) + b"INFOICMT"
    samples, _, _ = heard(bytes(content[: at + 4]) + listing)
    assert not len(samples)


def test_a_bw64_file_is_heard():
    content = bytearray(encoded("RF64", "PCM_16"))
    content[:4] = b"BW64"
    np.testing.assert_allclose(heard(bytes(content))[0], voice_like(), atol=2**-15)


@pytest.mark.slow
@pytest.mark.parametrize("length", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("container", ["W64", "RF64", "CAF"])
def test_a_length_that_no_file_can_have_leads_nowhere(container, length, tmp_path):
    """Of any chunk, in bytes, an open file and a file object."""
    content = encoded(container, "PCM_16")
    at = {"W64": 40 + 16, "RF64": 20, "CAF": 12}[container]
    forged = content[:at] + struct.pack(">Q" if container == "CAF" else "<Q", length) + content[at + 8 :]
    (tmp_path / "forged").write_bytes(forged)
    for source in (forged, io.BytesIO(forged), tmp_path / "forged"):
        try:
            waveform = read_waveform(source)
        except AudioError as error:
            assert "made its decoder fail" not in str(error)
        else:
            assert len(waveform.samples) <= len(content) // 2


def test_a_wave64_an_aiff_and_an_au_file_without_lengths_are_heard():
    w64, aiff, au = (bytearray(encoded(kind, "PCM_16")) for kind in ("W64", "AIFF", "AU"))
    struct.pack_into("<Q", w64, w64.find(b"data\xf3\xac\xd3\x11") + 16, 0)
    sound, common = aiff.find(b"SSND"), aiff.find(b"COMM")
    struct.pack_into(">I", aiff, sound + 4, 0)
    struct.pack_into(">I", aiff, common + 10, 0)
    struct.pack_into(">I", aiff, 4, 0)
    struct.pack_into("<I" if au[:1] == b"d" else ">I", au, 8, 0)
    for content in (w64, aiff, au):
        samples, _, remarks = heard(bytes(content))
        np.testing.assert_allclose(samples, voice_like(), atol=2**-15)
        assert not remarks


def flac_without_length() -> bytes:
    content = bytearray(encoded("FLAC", "PCM_16"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


def test_streamed_flac_is_heard_to_its_end_and_in_ogg_too():
    samples, _, remarks = heard(flac_without_length())
    np.testing.assert_allclose(samples, voice_like(), atol=2**-15)
    assert not remarks
    samples, _, remarks = heard(flac_without_length()[:-3_000])
    assert 3.5 * RATE_HZ < len(samples) < 4 * RATE_HZ and remarks == {"cut_short"}


APE_TAG = b"APETAGEX" + struct.pack("<IIII", 2_000, 32 + 11, 1, 0x80000000) + bytes(8)


@pytest.mark.parametrize(
    "tags",
    [
        b"TAG" + bytes(125),
        APE_TAG + bytes(11) + APE_TAG,
        APE_TAG + bytes(11) + APE_TAG + b"TAG" + bytes(125),
        bytes(11) + b"APETAGEX" + struct.pack("<IIII", 2_000, 32 + 11, 1, 0) + bytes(8),
    ],
)
def test_tags_behind_flac_take_nothing_from_it(tags):
    for content in (encoded("FLAC", "PCM_16"), flac_without_length()):
        samples, _, remarks = heard(content + tags)
        np.testing.assert_allclose(samples, voice_like(), atol=2**-15)
        assert not remarks


# --- damage ---


def test_flac_that_is_damaged_in_the_middle_goes_on_behind_it():
    content = bytearray(encoded("FLAC", "PCM_16"))
    middle = len(content) // 2
    content[middle : middle + 200] = np.random.default_rng(0).bytes(200)
    samples, _, remarks = heard(bytes(content))
    assert remarks == {"damaged"}
    assert 3.5 * RATE_HZ < len(samples) < 4 * RATE_HZ
    np.testing.assert_allclose(samples[-RATE_HZ:], voice_like()[-RATE_HZ:], atol=2**-15)


def test_mp3_with_noise_between_its_frames_is_damaged():
    content = bytearray(encoded("MP3", "MPEG_LAYER_III"))
    middle = len(content) // 2
    content[middle : middle + 900] = np.random.default_rng(0).bytes(900)
    samples, _, remarks = heard(bytes(content))
    assert remarks == {"damaged"} and len(samples) > 3 * RATE_HZ


def test_checksums_are_those_of_ogg():
    for page in ogg_pages(encoded("OGG", "OPUS"))[:4]:
        told = struct.unpack_from("<I", page, 22)[0]
        assert crc(bytes(page[:22]) + bytes(4) + bytes(page[26:])) == told
        assert with_checksum(bytearray(page)) == bytes(page)


def forged(place: int, position: int) -> bytes:
    pages = ogg_pages(encoded("OGG", "OPUS"))
    set_position(pages[place], position)
    return b"".join([*pages[:place], with_checksum(pages[place]), *pages[place + 1 or len(pages) :]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "position"), [(2, 1 << 40), (3, 5), (-1, 0), (-1, 100), (-1, 1 << 50), (3, -5), (2, 1 << 62)]
)
def test_opus_is_as_long_as_its_packets_whatever_its_pages_say(place, position):
    """An end that lies before the beginning, and positions that made libsndfile hand out memory it never wrote."""
    content = forged(place if place >= 0 else len(ogg_pages(encoded("OGG", "OPUS"))) - 1, position)
    whole = heard(encoded("OGG", "OPUS"))[0]
    answers = [heard(content) for _ in range(3)]
    for samples, _, remarks in answers:
        assert remarks <= {"damaged"}
        np.testing.assert_array_equal(samples, answers[0][0])
        # All of the sound, and up to a packet of what the encoder padded it with.
        assert len(whole) <= len(samples) <= len(whole) + 0.13 * RATE_HZ
        np.testing.assert_allclose(samples[: len(whole)], whole, atol=1e-4)


def test_opus_with_a_lost_page_is_heard_without_it():
    pages = ogg_pages(encoded("OGG", "OPUS"))
    assert len(pages) > 4
    samples, _, remarks = heard(b"".join([*pages[:3], *pages[4:]]))
    assert remarks == {"damaged"} and 2 * RATE_HZ < len(samples) < 4 * RATE_HZ
    pages[3][60] ^= 1  # its checksum is wrong now
    assert len(heard(b"".join(pages))[0]) == len(samples)


def test_opus_that_somebody_tuned_in_to_is_whole():
    pages = ogg_pages(encoded("OGG", "OPUS"))
    for page in pages[2:]:
        set_position(page, struct.unpack_from("<q", page, 6)[0] + 48_000 * 1_000)
    samples, _, remarks = heard(b"".join(with_checksum(page) for page in pages))
    assert not remarks and 4 * RATE_HZ <= len(samples) < 4.2 * RATE_HZ


@pytest.mark.slow
def test_vorbis_whose_positions_go_back_is_left_to_the_extra():
    pytest.importorskip("av")
    pages = ogg_pages(encoded("OGG", "VORBIS", voice_like(12.0)))
    assert len(pages) > 4
    set_position(pages[3], 7)
    samples, rate_hz, remarks = heard(b"".join(with_checksum(page) for page in pages))
    assert "damaged" in remarks and 10 * rate_hz < len(samples) < 13 * rate_hz


def test_a_file_object_that_fails_half_way_is_an_error():
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 60_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    for container, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16")):
        content = encoded(container, subtype, voice_like(20.0))
        assert len(content) > 100_000
        with pytest.raises(AudioError, match="cannot be read to its end: Input/output error"):
            heard(Failing(content))


def test_spans_are_read_as_one_file_and_a_seek_to_before_the_start_ends_at_the_start():
    file = SpannedFile(ByteView(io.BytesIO(b"0123456789")), [(2, 4), b"ab", (9, 10), b"", (0, 1)])
    assert file.size == 6 and file.read() == b"23ab90"
    assert file.seek(-9) == 0 and file.read(3) == b"23a" and file.seek(-1, io.SEEK_END) == 5 and file.read(9) == b"0"
    assert file.read(1) == b"" and file.seek(-3, io.SEEK_CUR) == 3 and file.read(2) == b"b9"


# --- codecs in WAV ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "rate_hz"),
    [
        ("g722", 16_000), ("g726", 8_000), ("g723_1", 8_000), ("aac", 16_000), ("wmav2", 16_000), ("mp2", 16_000),
        ("libmp3lame", 16_000), ("adpcm_ima_wav", 8_000), ("adpcm_ms", 8_000), ("adpcm_yamaha", 8_000),
        ("pcm_alaw", 8_000), ("pcm_mulaw", 8_000),
    ],
)  # fmt: skip
def test_wav_is_heard_whatever_its_codec(codec, rate_hz):
    av = pytest.importorskip("av")
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no encoder {codec}")
    t = np.arange(4 * rate_hz) / rate_hz
    tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    samples, told_hz, remarks = heard(through_pyav("wav", codec, tone, rate_hz))
    assert told_hz == rate_hz and len(samples) / rate_hz == pytest.approx(4.0, abs=0.15)
    assert not remarks
    spectrum = np.abs(np.fft.rfft(samples[rate_hz : 2 * rate_hz]))
    assert spectrum.argmax() == pytest.approx(440, abs=2), "the tone is still there"


def test_wav_with_a_codec_that_needs_the_extra_says_so(monkeypatch):
    pytest.importorskip("av")
    content = through_pyav("wav", "g726", np.zeros(8_000, np.float32), 8_000)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        AudioError, match=r"is WAV with G\.726, which is not read without PyAV: pip install 'thymos\[me"
    ):
        heard(content)


def test_wav_with_an_unknown_codec_names_its_tag():
    content = bytearray(encoded("WAV", "PCM_16"))
    struct.pack_into("<H", content, 20, 0x1234)
    with pytest.raises(AudioError, match=r"WAV with the codec 0x1234|a codec that is not decoded"):
        heard(bytes(content))
