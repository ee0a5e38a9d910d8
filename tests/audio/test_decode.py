import io
import os
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from thymos.audio import Limits, Samples, read_info, read_waveform
from thymos.audio.byte_view import ByteView, SpannedFile
from thymos.errors import AudioError

RATE_HZ = 24_000
MIB = 1 << 20


def voice_like() -> Samples:
    """Two seconds of a few harmonics under a slow envelope: something that lossy codecs keep well."""
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    harmonics = sum(np.sin(2 * np.pi * 180 * k * t) / k for k in range(1, 6))
    return (0.25 * harmonics * np.sin(np.pi * t / 2) ** 2).astype(np.float32)


def encoded(samples: Samples, container: str, subtype: str, rate_hz: int = RATE_HZ) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, samples, rate_hz, subtype, format=container)
    return target.getvalue()


def wav(
    data: bytes,
    channels: int = 1,
    rate_hz: int = 44_100,
    bits: int = 16,
    code: int = 1,
    claimed_bytes: int | None = None,
) -> bytes:
    """A WAV file written by hand, whose header may lie."""
    frame = channels * bits // 8
    size = len(data) if claimed_bytes is None else claimed_bytes
    form = struct.pack("<HHIIHH", code, channels, rate_hz, rate_hz * frame & 0xFFFFFFFF, frame & 0xFFFF, bits)
    return (
        b"RIFF"
        + struct.pack("<I", min(size + 36, 0xFFFFFFFF))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + (b"data" + struct.pack("<I", size) + data)
    )


def flac_claiming(frames: int) -> bytes:
    """A short FLAC file whose header claims another number of samples (36 bits)."""
    content = bytearray(encoded(voice_like(), "FLAC", "PCM_16"))
    packed = int.from_bytes(content[18:26], "big")
    content[18:26] = (packed >> 36 << 36 | frames).to_bytes(8, "big")
    return bytes(content)


@contextmanager
def at_most(mebibytes: float) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * MIB


LOSSLESS = [
    ("WAV", "PCM_U8", 8),
    ("WAV", "PCM_16", 16),
    ("WAV", "PCM_24", 24),
    ("WAV", "PCM_32", 24),
    ("WAV", "FLOAT", 24),
    ("WAV", "DOUBLE", 24),
    ("WAVEX", "PCM_U8", 8),
    ("WAVEX", "PCM_16", 16),
    ("WAVEX", "PCM_24", 24),
    ("WAVEX", "PCM_32", 24),
    ("WAVEX", "FLOAT", 24),
    ("FLAC", "PCM_16", 16),
    ("FLAC", "PCM_24", 24),
]
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


@pytest.mark.parametrize(("container", "subtype", "bits"), LOSSLESS)
def test_lossless_formats_are_the_same_within_their_quantisation(container: str, subtype: str, bits: int) -> None:
    waveform = read_waveform(encoded(voice_like(), container, subtype))
    assert waveform.rate_hz == RATE_HZ
    assert waveform.samples.dtype == np.float32
    np.testing.assert_allclose(waveform.samples, voice_like(), atol=2.0 ** (1 - bits), rtol=0)


@pytest.mark.parametrize(("container", "subtype"), LOSSY)
def test_lossy_formats_are_nearly_the_same_and_in_time(container: str, subtype: str) -> None:
    waveform = read_waveform(encoded(voice_like(), container, subtype))
    assert waveform.rate_hz == RATE_HZ
    assert waveform.samples.shape == voice_like().shape
    error = waveform.samples - voice_like()
    assert np.sqrt(np.mean(error**2)) < 0.05 * np.sqrt(np.mean(voice_like() ** 2))


@pytest.mark.parametrize(("container", "subtype"), [(container, subtype) for container, subtype, _ in LOSSLESS] + LOSSY)
def test_path_bytes_and_file_object_give_the_same_samples(container: str, subtype: str, tmp_path: Path) -> None:
    content = encoded(voice_like(), container, subtype)
    path = tmp_path / "clip.sound"  # the content tells the format, not the name
    path.write_bytes(content)
    from_bytes = read_waveform(content)
    with path.open("rb") as handle:
        from_file = read_waveform(handle)
        assert not handle.closed
    for other in (from_file, read_waveform(path), read_waveform(str(path)), read_waveform(io.BytesIO(content))):
        np.testing.assert_array_equal(other.samples, from_bytes.samples)
        assert other.rate_hz == from_bytes.rate_hz


def test_integers_are_scaled_by_full_scale() -> None:
    integers = np.array([0, 1, -1, 16_384, 32_767, -32_768], "<i2")
    np.testing.assert_array_equal(read_waveform(wav(integers.tobytes())).samples, integers / np.float32(32_768))


def test_float_samples_past_full_scale_are_kept() -> None:
    loud = np.array([0.5, -2.5, 1.5], "<f4")
    np.testing.assert_array_equal(read_waveform(wav(loud.tobytes(), bits=32, code=3)).samples, loud)


def test_channels_are_averaged() -> None:
    left = voice_like()
    stereo = np.stack([left, np.float32(0.5) * left[::-1]], axis=1)
    waveform = read_waveform(encoded(stereo, "WAV", "FLOAT"))
    np.testing.assert_allclose(waveform.samples, stereo.mean(axis=1), atol=1e-7)
    assert read_info(encoded(stereo, "WAV", "FLOAT")).channels == 2


def test_sound_longer_than_a_block_is_whole() -> None:
    long = np.random.default_rng(0).uniform(-1, 1, 200_001).astype(np.float32)
    np.testing.assert_array_equal(read_waveform(encoded(long, "WAV", "FLOAT")).samples, long)


def test_info_tells_what_the_header_says() -> None:
    info = read_info(encoded(voice_like(), "FLAC", "PCM_24"))
    assert (info.rate_hz, info.channels, info.frames) == (RATE_HZ, 1, 2 * RATE_HZ)
    assert info.format == "FLAC PCM_24"
    assert info.duration_s == 2.0


# --- what is refused, and with which words ---


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"this is no sound", "is not sound in a known format"),
        (b"RIFF\x1c\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16), "without a data chunk"),
        (wav(b""), "holds no samples"),
        (wav(bytes(255 * 8), channels=255), "has 255 channels, more than 32"),
        (wav(bytes(2000), rate_hz=655_350), "sampling rate of 655350 Hz; it must be 1000 to 384000"),
        (wav(bytes(2000), rate_hz=999), "sampling rate of 999 Hz"),
        (wav(bytes(2000), rate_hz=0), "cannot be decoded"),
        (wav(bytes(2000), channels=0), "cannot be decoded"),
        (wav(np.array([0.1, np.nan], "<f4").tobytes(), bits=32, code=3), "NaN or infinite"),
        (wav(np.array([0.1, -np.inf], "<f4").tobytes(), bits=32, code=3), "NaN or infinite"),
        (encoded(voice_like(), "MP3", "MPEG_LAYER_III")[:100], "is cut off or damaged"),
        (encoded(voice_like(), "OGG", "OPUS")[:2000], "cannot be decoded"),
        (encoded(voice_like(), "FLAC", "PCM_16")[:500], "cannot be decoded"),
    ],
)
def test_bad_content_is_refused_in_plain_words(content: bytes, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        read_waveform(content)


@pytest.mark.parametrize("source", [None, bytearray(100_000), ["clip.wav"]])
def test_what_is_no_source_is_refused_in_a_short_sentence(source: object) -> None:
    with pytest.raises(AudioError, match="not a path, bytes or a file object") as caught:
        read_waveform(source)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 100


@pytest.mark.slow
@pytest.mark.parametrize("cut_at", [1, 4, 20, 60, 500, 2000])
@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("WAVEX", "FLOAT"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16"), *LOSSY],
)
def test_a_file_cut_off_anywhere_is_refused_or_read_short(container: str, subtype: str, cut_at: int) -> None:
    content = encoded(voice_like(), container, subtype)[:cut_at]
    try:
        waveform = read_waveform(content)
    except AudioError as error:
        assert "\n" not in str(error)
    else:
        assert 0 < len(waveform.samples) < len(voice_like())


def test_a_wav_header_that_claims_4_gb_takes_no_memory() -> None:
    content = wav(np.arange(500, dtype="<i2").tobytes(), claimed_bytes=0xFFFFFFF0)
    with at_most(2):
        assert len(read_waveform(content).samples) == 500


def test_a_flac_header_that_claims_hours_is_refused_before_memory_is_taken() -> None:
    with at_most(2), pytest.raises(AudioError, match="would take more than 2048 MiB once decoded"):
        read_waveform(flac_claiming((1 << 36) - 1))


def test_a_file_of_gigabytes_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(b"", claimed_bytes=0xFFFFFF00))
    os.truncate(path, 0xFFFFFF00 + 44)  # sparse: takes no room on disk
    with at_most(2):
        with pytest.raises(AudioError, match="would take more than 2048 MiB once decoded"):
            read_info(path)
        with pytest.raises(AudioError, match="would take more than 2048 MiB once decoded"):
            read_waveform(path)


def test_limits_are_on_frames_times_channels_times_four() -> None:
    stereo = encoded(np.zeros((1000, 2), np.float32), "WAV", "PCM_16")
    assert len(read_waveform(stereo, Limits(max_decoded_bytes=8000)).samples) == 1000
    with pytest.raises(AudioError, match="once decoded"):
        read_waveform(stereo, Limits(max_decoded_bytes=7999))
    with pytest.raises(AudioError, match="has 2 channels, more than 1"):
        read_waveform(stereo, Limits(max_channels=1))
    with pytest.raises(AudioError, match="has 2 channels, more than 1"):
        read_info(stereo, Limits(max_channels=1))


# --- what lies at a path ---


def test_paths_that_are_no_sound_files_are_named_for_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "dangling.wav").symlink_to("gone.wav")
    (tmp_path / "empty.wav").touch()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "text.wav").write_text("Thymos")
    reasons = {
        "folder.wav": "is a directory, not a sound file",
        "loop.wav": "is a symbolic link that leads back to itself",
        "dangling.wav": "is a symbolic link to nothing",
        "empty.wav": "is empty (0 bytes)",
        "pipe.wav": "is not a regular file",
        "text.wav": "is not sound in a known format (6 bytes)",
        "absent.wav": "does not exist",
        "nul\0.wav": "has a name that no file can have: embedded null byte",
    }
    for name, reason in reasons.items():
        for read in (read_waveform, read_info):
            with pytest.raises(AudioError) as caught:
                read(tmp_path / name)
            assert str(caught.value) == reason


def test_a_greek_name_and_a_link_are_read(tmp_path: Path) -> None:
    path = tmp_path / "θυμός (1).wav"
    path.write_bytes(encoded(voice_like(), "WAV", "PCM_16"))
    (tmp_path / "link.wav").symlink_to(path)
    np.testing.assert_array_equal(read_waveform(path).samples, read_waveform(tmp_path / "link.wav").samples)


def test_a_file_that_may_not_be_read_is_named_so(tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    path.write_bytes(encoded(voice_like(), "WAV", "PCM_16"))
    path.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(AudioError, match="may not be read: permission denied"):
            read_waveform(path)
        return
    # Root may read everything, so another user tries: through a descriptor of the folder, whose parents are private.
    code = (
        "import os, sys\n"
        "from thymos.audio import read_waveform\n"
        "from thymos.errors import AudioError\n"
        "os.fchdir(int(sys.argv[1])); os.setgroups([]); os.setuid(65534)\n"
        "try: read_waveform('secret.wav')\n"
        "except AudioError as error: print(error)\n"
    )
    tmp_path.chmod(0o755)
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)], pass_fds=[folder], capture_output=True, text=True, check=True
        )
    finally:
        os.close(folder)
    assert done.stdout == "may not be read: permission denied\n"


def test_seeking_to_before_the_start_ends_at_the_start() -> None:
    whole = io.BytesIO(b"__abc")
    whole.seek(2)
    file = SpannedFile(ByteView(whole), [(0, 1), b"b", (2, 3)])
    assert file.seek(-1) == 0 and file.seek(-9, io.SEEK_END) == 0 and file.seek(2) == 2
    assert file.seek(-1, io.SEEK_CUR) == 1 == file.tell() and file.read() == b"bc"


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"), *LOSSY],
)
def test_an_open_file_begins_where_it_stands(container: str, subtype: str) -> None:
    content = encoded(voice_like(), container, subtype)
    file = io.BytesIO(b"something else" + content)
    file.seek(len(b"something else"))
    np.testing.assert_array_equal(read_waveform(file).samples, read_waveform(content).samples)


@pytest.mark.real
@pytest.mark.parametrize("clip", ["anger/a06 (5)b.flac", "disgust/d03 (01).flac", "sadness/s01 (1).flac"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_aesdd_clips_read_the_same_from_wav_as_published(
    aesdd: Path, clip: str, subtype: str, tmp_path: Path, write_sound: Callable[..., Path]
) -> None:
    original = read_waveform(aesdd / clip)
    copy = write_sound(tmp_path / "copy.wav", original.samples, original.rate_hz, subtype)
    assert read_info(copy).format == f"WAV {subtype}"
    np.testing.assert_array_equal(read_waveform(copy).samples, original.samples)
    assert original.rate_hz == 44_100
