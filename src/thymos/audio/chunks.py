"""Files made of chunks: WAV in its kinds (RIFF, RIFX, RF64, BW64), Wave64, AIFF, CAF; and AU, which is a single one.

Which codec is it, where do the samples lie, and are all of them there?

Sources: Microsoft 1994, New multimedia data types and data techniques; EBU Tech 3306, RF64; Sonic Foundry, Wave64;
Apple 1991, AIFF-C specification; Apple, Core Audio Format specification; pubs.opengroup.org, .au header.
"""

import struct
from dataclasses import dataclass

from thymos.audio.byte_view import ByteView, patched
from thymos.audio.containers import Remark
from thymos.audio.source import CUT_SHORT, NO_REMARKS, Findings, SoundPart, Span, Structure

FORMS = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<", b"BW64": "<"}
"""How a file begins, and the order of bytes in it."""
W64_FORM = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
_MOST_CHUNKS = 4_096
NEVER_FILLED_IN = frozenset({0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000}) | frozenset(range(0xFFFFFF00, 0x100000000))
"""Lengths that programs leave in a header which they cannot come back to: the sound goes on to the end of the file."""

CODECS = {
    0x02: "Microsoft ADPCM", 0x05: "IBM CVSD", 0x0A: "Windows Media Voice", 0x10: "OKI ADPCM", 0x11: "IMA ADPCM",
    0x14: "G.723 ADPCM", 0x20: "Yamaha ADPCM", 0x22: "TrueSpeech", 0x28: "LRC", 0x31: "GSM 6.10", 0x40: "G.721",
    0x42: "G.723.1", 0x45: "G.726", 0x50: "MPEG audio layer 1 or 2", 0x55: "MP3", 0x57: "AMR-NB", 0x58: "AMR-WB",
    0x61: "Duck DK4 ADPCM", 0x62: "Duck DK3 ADPCM", 0x64: "G.726", 0x65: "G.722", 0x69: "IMA ADPCM", 0x75: "MetaSound",
    0x83: "G.729", 0xFF: "AAC", 0x111: "G.723.1", 0x130: "Sipro ACELP", 0x160: "Windows Media Audio",
    0x161: "Windows Media Audio", 0x162: "Windows Media Audio Pro", 0x163: "Windows Media Audio Lossless",
    0x200: "Creative ADPCM", 0x270: "ATRAC3", 0x28F: "G.722", 0x401: "Intel Music Coder", 0x402: "Indeo Audio",
    0x1500: "G.723.1", 0x1600: "AAC", 0x1602: "AAC", 0x1610: "AAC", 0x2000: "AC-3", 0x2001: "DTS", 0x674F: "Vorbis",
    0x704F: "Opus", 0x706D: "AAC", 0x4143: "AAC", 0xA100: "G.723.1", 0xA106: "AAC", 0xA109: "Speex",
    0xF1AC: "FLAC",
}  # fmt: skip
"""Registered tags of codecs, such as FFmpeg's table has them too (libavformat/riff.c); of PCM nothing is said."""
_READ_BY_LIBSNDFILE = frozenset({0x01, 0x02, 0x03, 0x06, 0x07, 0x11, 0x31, 0x40, 0x55})
_EXTENSIBLE = 0xFFFE
_UNKNOWN = 0xFFFFFFFF


@dataclass
class _Wave:
    """One WAV within a file."""

    start: int
    tag: int | None = None
    data: tuple[int, int] | None = None
    """Where its samples begin, and where they should end."""
    size_at: int = 0
    """Where their number of bytes is told."""
    end: int = 0
    """Where the next one would begin."""


def wav_structure(view: ByteView) -> Structure:
    """Return how a WAV file is built, and others that were joined to it."""
    found, codec, start = Findings(), "", 0
    while (wave := _wave(view, start)) is not None and wave.data is not None:
        begins, ends = wave.data
        told = ends - begins
        available = max(0, min(ends, view.size) - begins)
        changes: list[tuple[int, bytes]] = []
        form = view.read(start, 4)
        if told in NEVER_FILLED_IN and (told or not _is_chunk(view, wave.end)):
            available = view.size - begins
            if not told and available <= 0xFFFFFFFF:
                changes.append((wave.size_at, struct.pack(f"{FORMS[form]}I", available)))
            wave.end = view.size
        elif ends > view.size:
            found.remarks.add("cut_short")
        if form == b"BW64":
            changes.append((start, b"RF64"))
        found.parts.append(SoundPart(patched(view, start, begins + available, *changes)))
        if not codec and wave.tag is not None and wave.tag not in _READ_BY_LIBSNDFILE:
            codec = f"WAV with {CODECS.get(wave.tag, f'the codec 0x{wave.tag:04X}')}"
        start = wave.end
    return _plain_if_whole(found, view, codec)


def _plain_if_whole(found: Findings, view: ByteView, codec: str) -> Structure:
    """Leave to libsndfile what it sees as it is: it knows places of chunks that only seem to be at odds."""
    if len(found.parts) == 1 and not any(isinstance(span, bytes) for span in found.parts[0].spans):
        found.parts.clear()
    return found.structure(codec)


def _wave(view: ByteView, start: int) -> _Wave | None:
    """Return the WAV that begins at ``start``; None: there is none."""
    head = view.read(start, 12)
    order = FORMS.get(head[:4])
    if order is None or head[8:12] != b"WAVE":
        return None
    wave, large = _Wave(start), None
    at = start + 12
    for _ in range(_MOST_CHUNKS):
        chunk = view.read(at, 8)
        if len(chunk) < 8 or (chunk[:4] in FORMS and wave.data is not None):
            break
        (size,) = struct.unpack(f"{order}I", chunk[4:])
        body = at + 8
        if chunk[:4] == b"ds64":
            (large,) = struct.unpack(f"{order}Q", view.read(body + 8, 8).ljust(8, b"\0"))
        elif chunk[:4] == b"fmt " and wave.tag is None:
            wave.tag = wav_tag(view.read(body, min(size, 40)), order)
        elif chunk[:4] == b"data" and wave.data is None:
            if large is not None and size == 0xFFFFFFFF:
                size = large if large < 1 << 62 else 0xFFFFFFFF
            wave.data, wave.size_at = (body, body + size), at + 4
        elif wave.data is not None and not chunk[:4].isascii():
            break
        if body + size > view.size:
            wave.end = view.size
            return wave
        at = body + size
        if size % 2 and view.read(at, 4) not in FORMS:
            at += 1
        wave.end = at
    return wave


def wav_tag(form: bytes, order: str) -> int | None:
    """Return the tag of the codec that a chunk ``fmt`` names; ``order`` as ``FORMS`` has it. None: it is too short."""
    if len(form) < 16:
        return None
    (tag,) = struct.unpack(f"{order}H", form[:2])
    if tag == _EXTENSIBLE and len(form) >= 26:
        (tag,) = struct.unpack(f"{order}H", form[24:26])
    return int(tag)


def _is_chunk(view: ByteView, at: int) -> bool:
    """Whether a chunk begins at ``at`` that ends within the file, or the file ends there."""
    head = view.read(at, 8)
    if len(head) < 8:
        return not head.strip(b"\0")
    return head[:4].isalnum() and at + 8 + int.from_bytes(head[4:], "little") <= view.size + 1


def w64_structure(view: ByteView) -> Structure:
    """Return how a Wave64 file is built."""
    remarks: set[Remark] = set()
    spans: tuple[Span, ...] = ()
    at = 40
    for _ in range(_MOST_CHUNKS):
        head = view.read(at, 24)
        if len(head) < 24:
            break
        (size,) = struct.unpack("<Q", head[16:])
        if head[:16] == _W64_DATA:
            available = view.size - at
            if size <= 24 or size >= 1 << 62:
                spans = patched(view, 0, view.size, (at + 16, struct.pack("<Q", available)))
            elif size > available:
                remarks.add("cut_short")
            break
        if size < 24:
            break
        at += size + -size % 8
    return Structure((SoundPart(spans),) if spans else (), frozenset(remarks))


def aiff_structure(view: ByteView) -> Structure:
    """Return how an AIFF or AIFF-C file is built; one that was streamed says that it holds nothing."""
    at, common = 12, None
    for _ in range(_MOST_CHUNKS):
        head = view.read(at, 8)
        if len(head) < 8:
            break
        (size,) = struct.unpack(">I", head[4:])
        if head[:4] == b"COMM":
            common = at
        elif head[:4] == b"SSND":
            available = view.size - at - 8
            if size in (0, 8, _UNKNOWN) and common is not None and available > 8:
                return _filled_in(view, common, at, available)
            return Structure((), CUT_SHORT if size > available else NO_REMARKS)
        at += 8 + size + size % 2
    return Structure()


def _filled_in(view: ByteView, common: int, sound: int, available: int) -> Structure:
    channels, _, bits = struct.unpack(">HIH", view.read(common + 8, 8).ljust(8, b"\0"))
    frame_bytes = max(1, channels * ((bits + 7) // 8))
    available = min(available, _UNKNOWN - 1)
    changes = (
        (4, struct.pack(">I", min(view.size - 8, _UNKNOWN - 1))),
        (common + 10, struct.pack(">I", (available - 8) // frame_bytes)),
        (sound + 4, struct.pack(">I", available)),
    )
    return Structure((SoundPart(patched(view, 0, view.size, *changes)),))


def caf_structure(view: ByteView) -> Structure:
    """Return how a CAF file is built. libsndfile refuses one that is shorter than it says: then it says less."""
    at = 8
    for _ in range(_MOST_CHUNKS):
        head = view.read(at, 12)
        if len(head) < 12:
            break
        (size,) = struct.unpack(">q", head[4:])
        available = view.size - at - 12
        if head[:4] == b"data" and size > available:
            spans = patched(view, 0, view.size, (at + 4, struct.pack(">q", available)))
            return Structure((SoundPart(spans),), CUT_SHORT)
        if size < 0:
            break
        at += 12 + size
    return Structure()


def au_structure(view: ByteView) -> Structure:
    """Return how an AU file is built."""
    head = view.read(0, 12)
    if len(head) < 12:
        return Structure()
    begins, size = struct.unpack(">II" if head[:1] == b"." else "<II", head[4:])
    available = view.size - begins
    if size == 0 and available > 0:
        return Structure((SoundPart(patched(view, 0, view.size, (8, b"\xff" * 4))),))
    return Structure((), CUT_SHORT if size != _UNKNOWN and size > available else NO_REMARKS)
