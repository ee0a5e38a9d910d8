"""Ogg: pages checked one by one, chained streams told apart, and streams that are damaged put together anew.

libsndfile reads one stream and trusts what its pages say of time: a forged position made libsndfile 1.2.2 hand out
memory that it never wrote. So it is given pages only whose checksum, order and positions are right. Opus tells in every
packet how long it is; of Opus that is damaged, whole packets are laid on new pages. FLAC is taken out of its pages.

Sources: RFC 3533 (Ogg), RFC 7845 (Opus in Ogg), RFC 6716 section 3 (packets of Opus), xiph.org/flac/ogg_mapping.html.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from thymos.audio.byte_view import PIECE_BYTES, ByteView
from thymos.audio.containers import Remark
from thymos.audio.source import Findings, SoundPart, Span, Structure, nothing_whole

OPUS_HZ = 48_000
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_MARK = b"OggS"
_LARGEST_PAGE = 27 + 255 + 255 * 255
_NO_POSITION = (1 << 64) - 1
_LONGEST = {"Opus": 0, "Vorbis": 4_096}
"""Codecs whose positions count samples; the most that a packet of Vorbis holds, of Opus it tells itself."""
_FAR = 1 << 50
_MOST_IDLE = 2_000
"""Pages in a row on which no packet ends; no recorder writes more than a few."""
_MOST_STREAMS = 1_000

OTHERS = {b"Speex   ": "Speex", b"\x80theora": "Theora", b"fishead\0": "Ogg Skeleton"}
"""What libsndfile does not read, by how its first packet begins."""


@dataclass(frozen=True)
class _Page:
    start: int
    position: int
    """Of the last sample on it, by its codec's own count."""
    serial: int
    number: int
    flags: int
    lacing: bytes
    content: bytes

    @property
    def body(self) -> int:
        return self.start + 27 + len(self.lacing)

    @property
    def end(self) -> int:
        return self.body + len(self.content)

    @property
    def begins_stream(self) -> bool:
        return bool(self.flags & 2)

    @property
    def ends_stream(self) -> bool:
        return bool(self.flags & 4)

    @property
    def goes_on(self) -> bool:
        """Whether it begins with the rest of a packet."""
        return bool(self.flags & 1)


@dataclass
class _Stream:
    """One logical stream: from its first page to its last."""

    codec: str
    serial: int
    pages: list[tuple[int, int]] = field(default_factory=list)
    """Where its whole pages lie; neighbours are one."""
    number: int = -1
    position: int = 0
    odd: bool = False
    """Whether positions or the order of pages are not what its packets make them."""
    shifted: bool = False
    """Whether it does not begin at position 0, as where somebody tuned in."""
    begun: bytes = b""
    """How the packet begins that goes on on the next page."""
    held: int = 0
    """What the packets hold that ended since a page told a position: of Opus samples, of others at most so many."""
    sounding: int = 0
    """Pages with packets of sound."""
    ended: bool = False

    def take(self, page: _Page) -> None:
        """Take the next page."""
        is_head = self.number < 1
        if self.pages and self.pages[-1][1] == page.start:
            self.pages[-1] = self.pages[-1][0], page.end
        else:
            self.pages.append((page.start, page.end))
        self.odd = self.odd or page.number != self.number + 1
        self.number, self.ended = page.number, page.ends_stream
        if is_head:
            self.odd = self.odd or page.position not in (0, _NO_POSITION)
            return
        self.held += self._ended_on(page)
        if page.position == _NO_POSITION:
            return
        told, self.position = page.position - self.position, page.position
        if self.codec in _LONGEST:
            # The last page may end before its packets do; the first may begin anywhere.
            right = told == self.held if self.codec == "Opus" and not page.ends_stream else 0 <= told <= self.held
            if not right and not self.sounding and 0 < told < _FAR and self.held:
                self.shifted = right = True
            self.odd = self.odd or not right
        self.sounding += page.position != 0
        self.held = 0

    def _ended_on(self, page: _Page) -> int:
        """Return what the packets hold that end on ``page``."""
        held = start = at = 0
        for length in page.lacing:
            at += length
            if length < 255:
                head = (self.begun if page.goes_on and not start else b"") + page.content[start : min(at, start + 2)]
                held += packet_samples(head) if self.codec == "Opus" else _LONGEST.get(self.codec, 0)
                start = at
        begun = page.content[start : start + 2]
        self.begun = self.begun + begun if page.goes_on and not start else begun
        return held


def ogg_structure(view: ByteView) -> Structure:
    """Return the streams that follow each other in a file, each as libsndfile can read it.

    Raises:
        AudioError: no page of sound is whole.
    """
    found, streams, for_media, others, heads = Findings(), list[_Stream](), False, "", False
    for page in _pages(view, found.remarks):
        if page.begins_stream:
            others = others or next((name for word, name in OTHERS.items() if page.content.startswith(word)), "")
            if others or len(streams) > _MOST_STREAMS:
                break
            if not heads:  # of streams that run side by side, the first is heard
                streams.append(_Stream(_codec(page.content), page.serial))
        heads = page.begins_stream
        if streams and page.serial == streams[-1].serial:
            streams[-1].take(page)
    if others:
        return found.structure(f"Ogg with {others}")
    if not any(stream.sounding for stream in streams):
        raise nothing_whole("Ogg")
    for stream in streams:
        if not stream.sounding:
            continue
        if not stream.ended:
            found.remarks.add("cut_short")
        if stream.odd:
            found.remarks.add("damaged")
        if stream.codec == "FLAC":
            found.parts.append(SoundPart(tuple(_flac_spans(view, stream))))
        elif stream.codec == "Opus" and (stream.odd or stream.shifted):
            found.parts.append(_anew(view, stream))
        else:
            for_media = for_media or stream.odd
            found.parts.append(SoundPart(tuple(stream.pages)))
    if "damaged" not in found.remarks and len(found.parts) == 1 and found.parts[0].spans == ((0, view.size),):
        found.parts.clear()
    return found.structure(for_media=for_media)


def _codec(first: bytes) -> str:
    if first.startswith(b"OpusHead"):
        return "Opus"
    return "FLAC" if first.startswith(b"\x7fFLAC") else "Vorbis" if first.startswith(b"\x01vorbis") else ""


def _pages(view: ByteView, remarks: set[Remark]) -> Iterator[_Page]:
    """Yield the pages whose checksum is right, and note what lies between them."""
    start, piece, at, idle = 0, b"", 0, 0
    while start + at < view.size:
        if len(piece) - at < _LARGEST_PAGE and start + len(piece) < view.size:
            start, piece, at = start + at, view.read(start + at, PIECE_BYTES), 0
        page = _page(piece, at, start)
        if page is None:
            following = piece.find(_MARK, at + 1)
            is_last = start + len(piece) >= view.size
            remarks.add("cut_short" if following < 0 and is_last and piece.startswith(_MARK, at) else "damaged")
            at = following if following >= 0 else len(piece) if is_last else len(piece) - len(_MARK) + 1
            continue
        idle = 0 if any(length < 255 for length in page.lacing) else idle + 1
        if idle > _MOST_IDLE:
            remarks.add("damaged")
            return
        yield page
        at = page.end - start


def _page(piece: bytes, at: int, start: int) -> _Page | None:
    """Return the page that begins at ``at`` in a piece of the file; None: none that is whole."""
    if piece[at : at + 4] != _MARK or len(piece) < at + 27:
        return None
    flags, position, serial, number, checksum, count = struct.unpack("<BQIIIB", piece[at + 5 : at + 27])
    lacing = piece[at + 27 : at + 27 + count]
    end = at + 27 + count + sum(lacing)
    if len(lacing) < count or end > len(piece):
        return None
    if crc(piece[at : at + 22] + bytes(4) + piece[at + 26 : end]) != checksum:
        return None
    return _Page(start + at, position, serial, number, flags, lacing, piece[at + 27 + count : end])


def crc(content: bytes) -> int:
    """Return Ogg's checksum, of the polynomial that zlib's is of, bits the other way round and nothing inverted."""
    turned = zlib.crc32(content.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(turned.to_bytes(4, "big").translate(_REVERSED), "little")


def packet_samples(head: bytes) -> int:
    """Return how many samples at 48 kHz a packet holds that begins with ``head``."""
    if not head:
        return 0
    config = head[0] >> 3
    if config < 12:
        frame = (480, 960, 1920, 2880)[config % 4]
    elif config < 16:
        frame = (480, 960)[config % 2]
    else:
        frame = (120, 240, 480, 960)[config % 4]
    code = head[0] & 3
    count = (1, 2, 2)[code] if code < 3 else (head[1] & 63 if len(head) > 1 else 0)
    return frame * count


@dataclass
class _Packet:
    spans: list[tuple[int, int]]
    head: bytes

    @property
    def length(self) -> int:
        return sum(end - start for start, end in self.spans)


def _packets(view: ByteView, stream: _Stream) -> Iterator[_Packet]:
    """Yield the packets of a stream that are whole, pages lost between them or not."""
    open_packet: _Packet | None = None
    number = -1
    for first, last in stream.pages:
        for page in _pages(_Window(view, first, last), set()):
            if page.number != number + 1 or not page.goes_on:
                open_packet = None
            number, at, start = page.number, page.body + first, page.body + first
            skipping = page.goes_on and open_packet is None
            for length in page.lacing:
                at += length
                if length == 255:
                    continue
                inside = start - page.body - first
                if not skipping:
                    packet = open_packet or _Packet([], b"")
                    packet.spans.append((start, at))
                    packet.head = (packet.head + page.content[inside : inside + 16])[:16]
                    yield packet
                open_packet, skipping, start = None, False, at
            if start < at and not skipping:
                open_packet = open_packet or _Packet([], page.content[start - page.body - first :][:16])
                open_packet.spans.append((start, at))


class _Window(ByteView):
    """A part of a view as if it were all."""

    def __init__(self, view: ByteView, start: int, end: int):
        self._view, self._first, self.size = view, start, end - start

    def read(self, start: int, count: int) -> bytes:
        return self._view.read(self._first + start, min(count, self.size - start))


def _flac_spans(view: ByteView, stream: _Stream) -> Iterator[Span]:
    """Yield the FLAC file that a stream holds: its first packet has a head of 9 bytes before it."""
    for place, packet in enumerate(_packets(view, stream)):
        spans = packet.spans
        if place == 0:
            spans = [(spans[0][0] + 9, spans[0][1]), *spans[1:]]
        yield from spans


def _anew(view: ByteView, stream: _Stream) -> SoundPart:
    """Return a stream of Opus on new pages, whose positions are those of its packets.

    Raises:
        AudioError: not even its head is whole.
    """
    packets = _packets(view, stream)
    spans: list[Span] = []
    number = position = 0
    head, tags = next(packets, None), next(packets, None)
    if head is None or tags is None or not head.head.startswith(b"OpusHead") or not tags.head.startswith(b"OpusTags"):
        raise nothing_whole("Ogg Opus")
    spans += _new_page(view, [head], 0, 0, 2)
    spans += _new_page(view, [_Packet([], b"")], 0, 1, 0, b"OpusTags" + bytes(8))
    number, waiting, size = 2, list[_Packet](), 0
    for packet in packets:
        lacing = packet.length // 255 + 1
        if waiting and size + lacing > 255:
            spans += _new_page(view, waiting, position, number, 0)
            number, waiting, size = number + 1, [], 0
        if lacing > 255 or not (samples := packet_samples(packet.head)):
            continue
        position += samples
        waiting.append(packet)
        size += lacing
    if not waiting:
        raise nothing_whole("Ogg Opus")
    spans += _new_page(view, waiting, position, number, 4)
    return SoundPart(tuple(spans), position / OPUS_HZ)


def _new_page(
    view: ByteView, packets: list[_Packet], position: int, number: int, flags: int, own: bytes = b""
) -> Iterator[Span]:
    """Yield the spans of a page: its head, and what lies on it; ``own`` is what is not in the file."""
    lengths = [packet.length for packet in packets] if not own else [len(own)]
    lacing = b"".join(b"\xff" * (length // 255) + bytes([length % 255]) for length in lengths)
    head = _MARK + struct.pack("<BBQIIIB", 0, flags, position, 1, number, 0, len(lacing)) + lacing
    body = [span for packet in packets for span in packet.spans]
    content = own or b"".join(view.read(start, end - start) for start, end in body)
    yield head[:22] + struct.pack("<I", crc(head + content)) + head[26:]
    if own:
        yield own
    yield from body
