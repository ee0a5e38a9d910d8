"""How files of sound are built: their chunks, pages, boxes and frames, and the numbers in them that readers believe."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MOST_PARTS = 400
"""A file of silence has hundreds of thousands of pages; the first are enough to forge."""


@dataclass(frozen=True)
class Part:
    """A piece of a file that a reader takes as one.

    Attributes:
        start: its first byte.
        stop: the byte after its last, as the file says, or where the file ends.
        size_at: where its length is written; None: it has none of its own.
        size_form: how, as ``struct`` names it.
        head: how many bytes come before what it holds.
        name: what the format calls it.
    """

    start: int
    stop: int
    size_at: int | None = None
    size_form: str = "<I"
    head: int = 0
    name: bytes = b""


@dataclass(frozen=True)
class Field:
    """A number that readers believe: where it is, how it is written, and values that hurt.

    ``form`` is that of ``struct``, or ``float80`` as AIFF writes its rate.
    """

    at: int
    form: str
    values: tuple[float, ...]


RATES = (0, 1, 999, 8_000, 44_100, 384_001, 655_350, 0x7FFFFFFF, 0xFFFFFFFF)
CHANNELS = (0, 1, 2, 3, 9, 33, 255, 1_024, 65_535)
BITS = (0, 1, 4, 7, 12, 16, 24, 33, 64, 255, 65_535)
LENGTHS = (0, 1, 2, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)
LONG_LENGTHS = (*LENGTHS, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
POSITIONS = (0, 1, 47_999, 1 << 31, 1 << 40, (1 << 63) - 1, (1 << 64) - 1, (1 << 64) - 2)
CODES = (0, 1, 2, 3, 6, 7, 0x11, 0x31, 0x45, 0x50, 0x55, 0x64, 0x161, 0x674F, 0xFFFE)


def parts_of(content: bytes) -> list[Part]:
    """Return the parts of a file in order; of a kind that is not known here, sixteen of one size."""
    walk = next((walk for is_it, walk in _WALKS if is_it(content)), None)
    parts: list[Part] = []
    for part in walk(content) if walk else ():
        parts.append(part)
        if len(parts) == MOST_PARTS:
            break
    if len(parts) < 2:
        step = max(1, len(content) // 16)
        parts = [Part(at, min(at + step, len(content))) for at in range(0, len(content), step)]
    return parts


def fields_of(content: bytes) -> list[Field]:
    """Return the numbers that readers of this kind of file go by; none where the kind has none that are known here."""
    fields: list[Field] = []
    for part in parts_of(content):
        at = part.start + part.head
        for offset, form, values in _FIELDS.get(part.name, ()):
            field = Field(at + offset, form, values)
            if field.at >= 0 and field.at + (10 if form == "float80" else struct.calcsize(form)) <= len(content):
                fields.append(field)
    return fields


def put(content: bytearray, field: Field, value: float) -> None:
    """Write ``value``, cut to what the field holds, into ``content``."""
    if field.form == "float80":
        content[field.at : field.at + 10] = struct.pack(">HQ", 16_383 + 63, int(value) & (1 << 64) - 1)
    elif field.form[-1] == "d":
        struct.pack_into(field.form, content, field.at, value)
    else:
        bits = 8 * struct.calcsize(field.form)
        struct.pack_into(field.form.upper().replace("h", "H"), content, field.at, int(value) & (1 << bits) - 1)


def with_checksums(content: bytes) -> bytes:
    """Return the file with the checksum of each page of Ogg made right, so that a reader goes on to what it says."""
    if content[:4] != b"OggS":
        return content
    mended = bytearray(content)
    for part in parts_of(content):
        if part.name == b"OggS" and part.stop - part.start >= 27:
            page = bytearray(mended[part.start : part.stop])
            page[22:26] = bytes(4)
            struct.pack_into("<I", mended, part.start + 22, ogg_checksum(page))
    return bytes(mended)


def ogg_checksum(page: bytes) -> int:
    """Return the CRC-32 of a page of Ogg, whose own place holds zeros. Source: RFC 3533, section 6."""
    checksum = 0
    for byte in page:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ _OGG_TABLE[checksum >> 24 ^ byte]
    return checksum


def _ogg_table() -> list[int]:
    table = []
    for value in range(256):
        remainder = value << 24
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x04C11DB7 if remainder & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(remainder)
    return table


_OGG_TABLE = _ogg_table()


def _chunks(content: bytes, at: int, form: str, name_bytes: int = 4, own: int = 0, even: int = 1) -> Iterator[Part]:
    """Yield chunks that are a name, a length and so many bytes; ``own`` bytes of the length are of the head itself."""
    head = name_bytes + struct.calcsize(form)
    while at + head <= len(content):
        length = struct.unpack_from(form, content, at + name_bytes)[0]
        stop = min(len(content), at + max(head, head - own + length))
        yield Part(at, stop, at + name_bytes, form, head, content[at : at + 4])
        at = stop + -(stop - at) % even


def _riff(content: bytes) -> Iterator[Part]:
    yield Part(0, 12, 4, "<I", 12, b"RIFF")
    yield from _chunks(content, 12, "<I", even=2)


def _aiff(content: bytes) -> Iterator[Part]:
    yield Part(0, 12, 4, ">I", 12, b"FORM")
    yield from _chunks(content, 12, ">I", even=2)


def _w64(content: bytes) -> Iterator[Part]:
    yield Part(0, 40, 16, "<Q", 40, b"riff")
    yield from _chunks(content, 40, "<Q", name_bytes=16, own=24, even=8)


def _caf(content: bytes) -> Iterator[Part]:
    yield Part(0, 8, None, "", 8, b"caff")
    yield from _chunks(content, 8, ">Q")


def _au(content: bytes) -> Iterator[Part]:
    start = min(len(content), max(24, struct.unpack_from(">I", content, 4)[0]))
    yield Part(0, start, 8, ">I", 0, b".snd")
    yield Part(start, len(content), None, "", 0, b"sound")


def _flac(content: bytes) -> Iterator[Part]:
    yield Part(0, 4, None, "", 4, b"fLaC")
    at, last = 4, False
    while not last and at + 4 <= len(content):
        last = bool(content[at] & 0x80)
        stop = min(len(content), at + 4 + int.from_bytes(content[at + 1 : at + 4], "big"))
        # Three bytes of length, behind one that is changed along with them.
        yield Part(at, stop, at, ">I", 4, b"STREAMINFO" if content[at] & 0x7F == 0 else b"metadata")
        at = stop
    yield from _between(content, at, lambda pair: pair[0] == 0xFF and pair[1] & 0xFC == 0xF8, b"FLAC frame")


def _ogg(content: bytes) -> Iterator[Part]:
    at = 0
    while at + 27 <= len(content) and content[at : at + 4] == b"OggS":
        lacing = content[at + 27 : at + 27 + content[at + 26]]
        stop = min(len(content), at + 27 + len(lacing) + sum(lacing))
        yield Part(at, stop, at + 26, "<B", 27 + len(lacing), b"OggS")
        start = content[at + 27 + len(lacing) :][:8]
        if start.startswith((b"OpusHead", b"\x01vorbis")):
            yield Part(at + 27 + len(lacing), stop, None, "", 0, start[:7])
        at = stop


def _mpeg(content: bytes) -> Iterator[Part]:
    at = 0
    if content[:3] == b"ID3":
        length = sum((byte & 0x7F) << 7 * (3 - number) for number, byte in enumerate(content[6:10]))
        at = min(len(content), 10 + length)
        yield Part(0, at, 6, ">I", 10, b"ID3")
    yield from _between(content, at, lambda pair: pair[0] == 0xFF and pair[1] & 0xE0 == 0xE0, b"MPEG frame", 24)


def _between(
    content: bytes, at: int, begins: Callable[[bytes], bool], name: bytes, shortest: int = 8
) -> Iterator[Part]:
    """Yield what lies from one place where ``begins`` is true of two bytes to the next."""
    start = at
    while 0 <= (at := content.find(b"\xff", at)) < len(content) - 1:
        if begins(content[at : at + 2]) and (at - start >= shortest or at == start):
            if at > start:
                yield Part(start, at, None, "", 4, name)
            start = at
        at += 1
    if start < len(content):
        yield Part(start, len(content), None, "", 4, name)


_FAMILIES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"moof", b"traf")


def _boxes(content: bytes, at: int = 0, end: int | None = None) -> Iterator[Part]:
    end = len(content) if end is None else end
    while at + 8 <= end:
        length, name = struct.unpack_from(">I", content, at)[0], content[at + 4 : at + 8]
        stop = min(end, at + max(8, length))
        yield Part(at, stop, at, ">I", 8, name)
        if name in _FAMILIES:
            yield from _boxes(content, at + 8, stop)
        at = stop


_MASTERS = (0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE1, 0x1F43B675, 0xA0)
"""EBML's own head, Segment, Info, Tracks, TrackEntry, Audio, Cluster, BlockGroup: they hold elements."""


def _elements(content: bytes, at: int = 0, end: int | None = None) -> Iterator[Part]:
    end = len(content) if end is None else end
    while at + 2 <= end and content[at]:
        id_bytes = 9 - content[at].bit_length()
        name = int.from_bytes(content[at : at + id_bytes], "big")
        size_at = at + id_bytes
        if size_at >= end or not content[size_at]:
            return
        size_bytes = 9 - content[size_at].bit_length()
        length = int.from_bytes(content[size_at : size_at + size_bytes], "big") & (1 << 7 * size_bytes) - 1
        head = id_bytes + size_bytes
        stop = min(end, at + head + length)
        form = {1: ">B", 2: ">H", 4: ">I", 8: ">Q"}.get(size_bytes, ">B")
        yield Part(at, stop, size_at, form, head, name.to_bytes(4, "big").lstrip(b"\0"))
        if name in _MASTERS:
            yield from _elements(content, at + head, stop)
        at = stop


def _adts(content: bytes) -> Iterator[Part]:
    at = 0
    while at + 7 <= len(content) and content[at] == 0xFF:
        length = (content[at + 3] & 3) << 11 | content[at + 4] << 3 | content[at + 5] >> 5
        stop = min(len(content), at + max(7, length))
        yield Part(at, stop, at + 3, ">H", 7, b"ADTS")
        at = stop


def _amr(content: bytes) -> Iterator[Part]:
    sizes = (13, 14, 16, 18, 20, 21, 27, 32, 6)  # RFC 4867, section 5.3: narrow band, octets of each mode
    yield Part(0, 6, None, "", 6, b"#!AMR")
    at = 6
    while at < len(content):
        mode = content[at] >> 3 & 0xF
        stop = min(len(content), at + (sizes[mode] if mode < len(sizes) else 1))
        yield Part(at, stop, at, ">B", 1, b"AMR frame")
        at = stop


def _flv(content: bytes) -> Iterator[Part]:
    yield Part(0, 9, 5, ">I", 9, b"FLV")
    at = 13
    while at + 11 <= len(content):
        stop = min(len(content), at + 15 + int.from_bytes(content[at + 1 : at + 4], "big"))
        yield Part(at, stop, at, ">I", 11, b"FLV tag")
        at = stop


def _packets(content: bytes) -> Iterator[Part]:
    for at in range(0, len(content), 188):
        yield Part(at, min(at + 188, len(content)), at + 2, ">H", 4, b"TS packet")


_WALKS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Iterator[Part]]], ...] = (
    (lambda file: file[:4] in (b"RIFF", b"RF64", b"BW64"), _riff),
    (lambda file: file[:4] == b"FORM", _aiff),
    (lambda file: file[:4] == b"riff", _w64),
    (lambda file: file[:4] == b"caff", _caf),
    (lambda file: file[:4] == b".snd" and len(file) >= 24, _au),
    (lambda file: file[:4] == b"fLaC", _flac),
    (lambda file: file[:4] == b"OggS", _ogg),
    (lambda file: file[4:8] == b"ftyp", _boxes),
    (lambda file: file[:4] == b"\x1a\x45\xdf\xa3", _elements),
    (lambda file: file[:5] == b"#!AMR", _amr),
    (lambda file: file[:3] == b"FLV", _flv),
    (lambda file: file[:1] == b"G" and file[188:189] == b"G", _packets),
    (lambda file: len(file) > 1 and file[0] == 0xFF and file[1] & 0xF6 == 0xF0, _adts),
    (lambda file: file[:3] == b"ID3" or (len(file) > 1 and file[0] == 0xFF and file[1] & 0xE0 == 0xE0), _mpeg),
)

_WAV_FORMAT = ((0, "<H", CODES), (2, "<H", CHANNELS), (4, "<I", RATES), (8, "<I", RATES), (12, "<H", CHANNELS),
               (14, "<H", BITS), (16, "<H", BITS))  # fmt: skip
_FIELDS: dict[bytes, tuple[tuple[int, str, tuple[float, ...]], ...]] = {
    b"fmt ": _WAV_FORMAT,
    b"fact": ((0, "<I", LENGTHS),),
    b"ds64": ((0, "<Q", LONG_LENGTHS), (8, "<Q", LONG_LENGTHS), (16, "<Q", LONG_LENGTHS), (24, "<I", LENGTHS)),
    b"COMM": ((0, ">H", CHANNELS), (2, ">I", LENGTHS), (6, ">H", BITS), (8, "float80", (*RATES, (1 << 64) - 1))),
    b"SSND": ((0, ">I", LENGTHS), (4, ">I", LENGTHS)),
    b".snd": ((4, ">I", LENGTHS), (8, ">I", LENGTHS), (12, ">I", (*range(30), 0xFFFFFFFF)), (16, ">I", RATES),
              (20, ">I", (*CHANNELS, 0xFFFFFFFF))),
    b"desc": ((0, ">d", (*RATES, float("nan"), float("inf"), -8_000.0, 1e-300)), (12, ">I", LENGTHS),
              (16, ">I", LENGTHS), (20, ">I", LENGTHS), (24, ">I", (*CHANNELS, 0xFFFFFFFF)), (28, ">I", BITS)),
    b"pakt": ((0, ">Q", LONG_LENGTHS), (8, ">Q", LONG_LENGTHS), (16, ">I", LENGTHS), (20, ">I", LENGTHS)),
    b"STREAMINFO": ((0, ">H", LENGTHS), (2, ">H", LENGTHS), (4, ">I", LENGTHS), (10, ">I", LENGTHS),
                    (12, ">H", LENGTHS), (13, ">I", LENGTHS), (18, ">Q", POSITIONS)),
    b"FLAC frame": ((-2, ">H", LENGTHS), (-1, "<B", BITS), (0, ">I", LENGTHS)),
    b"OggS": ((-22, "<Q", POSITIONS), (-10, "<I", LENGTHS), (0, "<I", LENGTHS)),
    b"OpusHea": ((8, "<B", BITS), (9, "<B", CHANNELS), (10, "<H", LENGTHS), (12, "<I", RATES), (16, "<H", LENGTHS),
                 (18, "<B", BITS)),
    b"\x01vorbis": ((7, "<I", LENGTHS), (11, "<B", CHANNELS), (12, "<I", RATES), (16, "<I", LENGTHS),
                    (20, "<I", LENGTHS), (28, "<B", (0, 0x11, 0xB8, 0x8B, 0xFF, 0x0F))),
    b"MPEG frame": ((-3, "<B", (0xE3, 0xEB, 0xF2, 0xF3, 0xFA, 0xFB, 0xFF)), (32, ">I", LENGTHS), (36, ">I", LENGTHS),
                    (-2, "<B", (0, 0x10, 0x94, 0x98, 0xF0, 0xFF)), (-1, "<B", (0, 0x40, 0x80, 0xC0, 0xFF))),
    b"mdhd": ((12, ">I", RATES), (16, ">I", LENGTHS)),
    b"mvhd": ((12, ">I", RATES), (16, ">I", LENGTHS)),
    b"stsd": ((4, ">I", LENGTHS), (8, ">I", LENGTHS), (32, ">H", CHANNELS), (34, ">H", BITS), (40, ">H", RATES)),
    b"stsz": ((4, ">I", LENGTHS), (8, ">I", LENGTHS), (12, ">I", LENGTHS)),
    b"stts": ((4, ">I", LENGTHS), (8, ">I", LENGTHS), (12, ">I", LENGTHS)),
    b"stsc": ((4, ">I", LENGTHS), (12, ">I", LENGTHS)),
    b"stco": ((4, ">I", LENGTHS), (8, ">I", LENGTHS)),
    b"elst": ((4, ">I", LENGTHS), (8, ">I", LENGTHS), (12, ">I", LENGTHS), (16, ">I", LENGTHS)),
    b"\xb5": ((0, ">Q", LONG_LENGTHS),),
    b"\x9f": ((0, ">B", CHANNELS),),
    b"ADTS": ((-5, ">B", BITS), (-4, ">H", LENGTHS)),
    b"AMR frame": ((-1, ">B", tuple(range(0, 256, 12))),),
    b"FLV tag": ((-11, ">B", BITS), (-7, ">I", LENGTHS), (0, ">B", tuple(range(0, 256, 17)))),
    b"TS packet": ((-3, ">H", LENGTHS), (-1, ">B", BITS), (0, ">B", BITS)),
}  # fmt: skip
"""Of each part by its name: where from the beginning of what it holds, how written, and what hurts."""
