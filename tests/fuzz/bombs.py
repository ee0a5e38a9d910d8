"""Files that were made to be worst: small, and hours of sound or gigabytes of tables once they are opened."""

import io
import struct
from collections.abc import Iterator

import numpy as np
import soundfile
from mutations import LIBSNDFILE, Case, wav
from structure import ogg_checksum

SILENT_20_MS = b"\xf8\xff\xfe"
"""Opus for 20 ms of silence (CELT, full band)."""
LOST_120_MS = b"\x19"
"""Opus for two frames of 60 ms that were not sent (SILK, narrow band): a byte for 120 ms."""


def bombs(m4a: bytes | None) -> Iterator[Case]:
    """Yield them all; those of MP4's tables if ``m4a`` is an honest file."""
    yield Case("10 hours of Opus that was not sent", "opus", ogg_opus(LOST_120_MS, 0.12, 10 * 3600))
    yield Case("2 hours of Opus silence", "opus", ogg_opus(SILENT_20_MS, 0.02, 2 * 3600))
    yield Case("2 hours of Opus silence that claims a second", "opus", ogg_opus(SILENT_20_MS, 0.02, 7200, claimed_s=1))
    yield Case("2 hours of FLAC silence", "flac", _silence("FLAC", "PCM_16", 2 * 3600))
    yield Case("20 minutes of MP3 silence", "mp3", _silence("MP3", "MPEG_LAYER_III", 20 * 60))
    for suffix, container, subtype in LIBSNDFILE:
        file = io.BytesIO()
        soundfile.write(file, np.empty(0, np.float32), 24_000, subtype, format=container)
        yield Case(f"{container} {subtype} of no frames", suffix, file.getvalue())
    yield Case("WAV that claims 4 GB", "wav", wav(bytes(2_000), claimed=0xFFFFFFF0))
    yield Case("WAV at 655 350 Hz", "wav", wav(bytes(2_000), rate_hz=655_350))
    yield Case("WAV of 255 channels", "wav", wav(bytes(255 * 200), channels=255))
    yield Case("WAV at 1 kHz, 10 minutes", "wav", wav(bytes(2 * 600_000), rate_hz=1_000))
    for words in (b"#EXTM3U\n#EXTINF:1,\n", b"ffconcat version 1.0\nfile "):
        for suffix in ("m4a", "webm", "m3u8"):
            yield Case(f"playlist as {suffix}", suffix, words + b"http://127.0.0.1:9/clip.wav\n")
    if m4a is not None:
        yield Case("M4A of 85 million samples of one byte", "m4a", _of_many_samples(m4a, 1))
        yield Case("M4A of 40 million samples of no byte", "m4a", _of_many_samples(m4a, 0))
        for channels in (7, 8, 24):
            yield Case(f"QuickTime of {channels} channels", "mov", _of_channels(channels))


def ogg_opus(packet: bytes, packet_s: float, seconds: float, claimed_s: float | None = None) -> bytes:
    """Return an Ogg Opus file that is ``packet`` over and over, for so long."""
    pages = [_page(b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0), [19], 0, 0, first=True)]
    tags = b"OpusTags" + struct.pack("<I", 4) + b"none" + struct.pack("<I", 0)
    pages.append(_page(tags, [len(tags)], 0, 1))
    left, position = round(seconds / packet_s), 0
    while left:
        count = min(left, 255)
        left -= count
        position += count
        granule = round(min(position * packet_s, claimed_s or seconds) * 48_000)
        pages.append(_page(packet * count, [len(packet)] * count, granule, len(pages), last=not left))
    return b"".join(pages)


def _page(content: bytes, lacing: list[int], granule: int, number: int, first: bool = False, last: bool = False):
    flags = 2 * first | 4 * last
    head = b"OggS" + struct.pack("<BBqIIIB", 0, flags, granule, 7, number, 0, len(lacing)) + bytes(lacing)
    checksum = ogg_checksum(head + content)
    return head[:22] + struct.pack("<I", checksum) + head[26:] + content


def _silence(container: str, subtype: str, seconds: int) -> bytes:
    file = io.BytesIO()
    minute = np.zeros(8_000 * 60, np.float32)
    with soundfile.SoundFile(file, "w", 8_000, 1, subtype, format=container) as sound:
        for _ in range(seconds // 60):
            sound.write(minute)
    return file.getvalue()


def _of_many_samples(m4a: bytes, n_bytes: int) -> bytes:
    """Forge the tables of samples: how big each is, how many a chunk has, and how many last as long."""
    content, count = bytearray(m4a), 85_000_000 if n_bytes else 40_000_000
    struct.pack_into(">II", content, content.find(b"stsz") + 8, n_bytes, count)
    struct.pack_into(">I", content, content.find(b"stsc") + 16, count)
    struct.pack_into(">I", content, content.find(b"stts") + 12, count)
    return bytes(content)


def _of_channels(channels: int) -> bytes:
    import av

    file = io.BytesIO()
    layout = {7: "6.1", 8: "7.1", 24: "22.2"}[channels]
    with av.open(file, "w", format="mov") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout=layout)
        noise = np.random.default_rng(0).integers(-3_000, 3_000, (1, 16_000 * channels)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(noise, "s16", layout)
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
