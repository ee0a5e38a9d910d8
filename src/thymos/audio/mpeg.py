"""MP3 and MP2, walked frame by frame: joined files are told apart, a torn last frame and gaps are seen.

Source: ISO/IEC 11172-3 and 13818-3, the header of a frame; gabriel.mp3-tech.org, the tag Xing or Info.
"""

import struct
from dataclasses import dataclass, field

from thymos.audio.byte_view import PIECE_BYTES, ByteView
from thymos.audio.source import Findings, SoundPart, Span, Structure

_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""By the two bits of the version: MPEG 1, 2 and 2.5."""
_KBPS = {
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""By whether it is MPEG 1, and the two bits of the layer: 3 for layer 1, 1 for layer 3."""
_TAG_BYTES = 128
_MOST_GAP = 1 << 20
"""How far behind a gap the next frame is looked for; what comes later is left to the decoder."""


def is_header(head: bytes) -> bool:
    """Return whether four bytes are the header of a frame."""
    return _frame_bytes(head) > 0


def _frame_bytes(head: bytes) -> int:
    """Return how long the frame is that begins with four bytes; 0: it is none, or of a free bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    kbps, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 0 or kbps in (0, 15) or rate == 3:
        return 0
    bits_s = _KBPS[version == 3, layer][kbps - 1] * 1000
    rate_hz = _RATES_HZ[version][rate]
    if layer == 3:
        return (12 * bits_s // rate_hz + padding) * 4
    return (72 if layer == 1 and version != 3 else 144) * bits_s // rate_hz + padding


class _Bytes:
    """Bytes of a view from any place on, read in large pieces."""

    def __init__(self, view: ByteView):
        self._view, self._piece, self._start = view, b"", 0

    def at(self, start: int, count: int) -> bytes:
        inside = start - self._start
        if not 0 <= inside <= len(self._piece) - count:
            self._piece, self._start, inside = self._view.read(start, PIECE_BYTES + count), start, 0
        return self._piece[inside : inside + count]


@dataclass
class _Run:
    """An MP3 file within a file, as far as it has been walked through."""

    start: int
    told: int | None
    """How many frames its own tag tells, that of the tag itself not among them; None: there is no tag."""
    spans: list[Span] = field(default_factory=list)
    frames: int = 0

    def gap(self, at: int, following: int) -> None:
        """Leave out what lies between."""
        self.spans.append((self.start, at))
        self.start = following

    def end(self, at: int, found: Findings) -> None:
        """Take it as a part that ends at ``at``."""
        found.parts.append(SoundPart((*self.spans, (self.start, at))))
        if self.told is not None and self.told > self.frames and not self.spans:
            found.remarks.add("cut_short")


def mpeg_structure(view: ByteView) -> Structure:
    """Return the MP3 files that a file is joined of, and whether their frames are all there and follow each other."""
    look, found = _Bytes(view), Findings()
    at = _behind_tags(look, 0)
    if not is_header(look.at(at, 4)):
        return Structure()
    run = _Run(0, _told_frames(look, at))
    while at < view.size:
        head = look.at(at, 4)
        if length := _frame_bytes(head):
            if run.frames and (told := _told_frames(look, at)) is not None:
                run.end(at, found)
                run = _Run(at, told)
            if at + length > view.size:
                found.remarks.add("cut_short")
            run.frames += 1
            at += length
        elif (behind := _behind_tags(look, at)) > at:
            if head[:3] == b"ID3" and run.frames and is_header(look.at(behind, 4)):
                run.end(at, found)
                run = _Run(at, _told_frames(look, behind))
            at = behind
        elif (following := _next_frame(look, at + 1, view.size)) is not None:
            found.remarks.add("damaged")
            run.gap(at, following)
            at = following
        else:
            if view.size - at >= 4 and look.at(at, 16).strip(b"\0"):
                found.remarks.add("damaged")
            break
    run.end(view.size, found)
    if len(found.parts) == 1 and len(found.parts[0].spans) == 1:
        found.parts.clear()
    return found.structure()


def _told_frames(look: _Bytes, at: int) -> int | None:
    """Return how many frames the tag Xing or Info in the frame at ``at`` tells; None: it is a frame of sound."""
    content = look.at(at, 200)
    for word in (b"Xing", b"Info"):
        place = content.find(word)
        if 4 <= place <= 40 and len(content) >= place + 12:
            flags, frames = struct.unpack(">II", content[place + 4 : place + 12])
            return frames if flags & 1 else 0
    return None


def _behind_tags(look: _Bytes, at: int) -> int:
    """Return where the tags end that begin at ``at``."""
    while True:
        head = look.at(at, 32)
        if head[:3] == b"ID3" and len(head) >= 10:
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            at += 10 + size + (10 if head[5] & 0x10 else 0)
        elif head[:3] == b"TAG":
            at += _TAG_BYTES
        elif head[:8] == b"APETAGEX" and len(head) >= 24:
            size, flags = int.from_bytes(head[12:16], "little"), int.from_bytes(head[20:24], "little")
            at += size + (32 if flags & 0x20000000 else 0) if flags & 0x80000000 else 32
        else:
            return at


def before_tags(view: ByteView) -> int:
    """Return where the tags begin that end a file, ID3v1 and APEv2; without any, its size."""
    end = view.size
    if end > _TAG_BYTES and view.read(end - _TAG_BYTES, 3) == b"TAG":
        end -= _TAG_BYTES
    footer = view.read(end - 32, 32) if end > 32 else b""
    if footer[:8] == b"APETAGEX":
        size, flags = int.from_bytes(footer[12:16], "little"), int.from_bytes(footer[20:24], "little")
        size += 32 if flags & 0x80000000 else 0  # its header, which it need not have
        end -= size if 32 <= size < end else 0
    return end


def _next_frame(look: _Bytes, at: int, size: int) -> int | None:
    """Return where the next frame begins that another one follows; None: there is none."""
    last = min(size, at + _MOST_GAP)
    while at < last:
        piece = look.at(at, 4_096)
        inside = piece.find(b"\xff")
        if inside < 0:
            at += max(1, len(piece))
            continue
        at += inside
        length = _frame_bytes(look.at(at, 4))
        if length and (is_header(look.at(at + length, 4)) or at + length == size):
            return at
        at += 1
    return None
