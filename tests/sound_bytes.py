"""Files of sound, made and spoilt in memory."""

import io
import struct

import numpy as np
import soundfile

from thymos.audio import Samples
from thymos.audio.blocks import open_blocks
from thymos.audio.containers import Remark

RATE_HZ = 24_000


def voice_like(seconds: float = 4.0, pitch_hz: float = 180.0) -> Samples:
    """A few harmonics under the envelope of syllables."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    harmonics = sum(np.sin(2 * np.pi * pitch_hz * k * t) / k for k in range(1, 6))
    return (0.2 * harmonics * np.sin(np.pi * 3 * t) ** 2).astype(np.float32)


def encoded(container: str, subtype: str, samples: Samples | None = None, rate_hz: int = RATE_HZ) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, voice_like() if samples is None else samples, rate_hz, subtype, format=container)
    return target.getvalue()


def through_pyav(muxer: str, codec: str, samples: Samples, rate_hz: int, piped: bool = False) -> bytes:
    """Mono ``samples`` at ``rate_hz`` as FFmpeg writes them; ``piped``: without going back to fill in lengths."""
    import av

    class Pipe:
        content = b""

        def write(self, content: bytes) -> int:
            self.content += bytes(content)
            return len(content)

    target = Pipe() if piped else io.BytesIO()
    with av.open(target, "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        if codec in ("g723_1", "wmav2"):
            stream.bit_rate = 6_300 if codec == "g723_1" else 64_000
        frame = av.AudioFrame.from_ndarray(np.atleast_2d(samples).astype(np.float32), "flt", "mono")
        frame.sample_rate = rate_hz
        size = stream.codec_context.frame_size or 4_096
        fitting = av.AudioResampler(stream.codec_context.format, "mono", rate_hz, size)
        for part in [*fitting.resample(frame), *fitting.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return target.content if isinstance(target, Pipe) else target.getvalue()


def heard(source, channel="mix") -> tuple[Samples, int, set[Remark]]:
    """What comes out of a file: samples, their rate, and the remarks."""
    with open_blocks(source, channel=channel) as sound:
        samples = np.concatenate([np.empty(0, np.float32), *sound.blocks])
    return samples, sound.rate_hz, set(sound.remarks)


def ogg_pages(content: bytes) -> list[bytearray]:
    """The pages of an Ogg file."""
    pages, at = [], 0
    while at < len(content):
        count = content[at + 26]
        end = at + 27 + count + sum(content[at + 27 : at + 27 + count])
        pages.append(bytearray(content[at:end]))
        at = end
    return pages


def with_checksum(page: bytearray) -> bytes:
    """A page that was changed, with the checksum that it should have (RFC 3533, bit by bit)."""
    page[22:26] = bytes(4)
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum & 0x80000000 else 0)) & 0xFFFFFFFF
    page[22:26] = struct.pack("<I", checksum)
    return bytes(page)


def set_position(page: bytearray, position: int) -> None:
    struct.pack_into("<q", page, 6, position)
