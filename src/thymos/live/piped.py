"""Sound that is piped in: raw PCM, or a WAV whose header says what it is, in pieces that may end anywhere."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from thymos.audio.blocks import checked_rate
from thymos.audio.chunks import CODECS, FORMS, NEVER_FILLED_IN, wav_tag
from thymos.audio.containers import media_kind
from thymos.audio.source import DEFAULT_LIMITS
from thymos.errors import AudioError
from thymos.live import PcmFormat

LOUDEST = 1_000.0
"""Floats beyond it, 60 dB above full scale, are not sound at ±1 but bytes of something else."""
_TYPES: dict[PcmFormat, str] = {"s16le": "<i2", "f32le": "<f4"}
_HEAD_BYTES = 12
"""By which a WAV is known."""
_LARGEST_FORM = 1 << 16
_SUBTYPES = {
    (1, 8): "PCM_U8", (1, 16): "PCM_16", (1, 24): "PCM_24", (1, 32): "PCM_32",
    (3, 32): "FLOAT", (3, 64): "DOUBLE", (6, 8): "ALAW", (7, 8): "ULAW",
}  # fmt: skip
"""How libsndfile calls what can be decoded piece by piece, by the codec's tag and the bits of a sample."""
_OTHER_STARTS = {b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3", b".snd": "AU", b"FORM": "AIFF", b"caff": "CAF",
                 b"riff": "Wave64"}  # fmt: skip
_INSTEAD = "have it made WAV on its way: ffmpeg -i - -f wav - | thymos listen -; or thymos predict - once it is over"


class RawPcm:
    """Raw PCM that arrives in pieces which need not end where a sample does."""

    def __init__(self, format: PcmFormat, channels: int = 1):
        """Take the format of the samples, and how many of them, one a channel, follow each other in a frame."""
        self._type, self._channels, self._format = np.dtype(_TYPES[format]), channels, format
        self._left = b""

    @property
    def left(self) -> int:
        """Bytes that have come in of a frame that is not whole yet."""
        return len(self._left)

    def push(self, content: bytes) -> NDArray[Any]:
        """Return the frames that are whole with ``content``: int16 or float32, shape ``(frames, channels)``.

        Raises:
            AudioError: floats that cannot be sound.
        """
        content = self._left + content
        whole = len(content) - len(content) % (self._type.itemsize * self._channels)
        self._left = content[whole:]
        samples = np.frombuffer(content[:whole], self._type).reshape(-1, self._channels)
        if self._type.kind == "f" and not (np.abs(samples) <= LOUDEST).all():
            raise AudioError(f"these bytes are not sound of the format {self._format}: its samples are floats at ±1")
        return samples


@dataclass(frozen=True)
class WavForm:
    """What a chunk ``fmt`` says."""

    rate_hz: int
    channels: int
    frame_bytes: int
    subtype: str
    endian: str


class WavPieces:
    """The sound of a WAV as it comes in, and of others of its form that follow it; what is no sound is passed over.

    A length that could not be filled in, as of a recording that goes on, is taken for no end.
    """

    def __init__(self) -> None:
        """Begin before the header."""
        self.form: WavForm | None = None
        """Known once the header is in."""
        self._left = b""
        self._order = "<"
        self._skip = 0
        self._sound: float = 0
        """Bytes of the chunk that is being read which have not come in; infinite where none says how many."""
        self._pad = False
        self._large = 0

    @property
    def left(self) -> int:
        """Bytes that have come in of a frame that is not whole yet."""
        return len(self._left) if self._sound else 0

    @property
    def missing(self) -> bool:
        """Whether less sound has come in than the header says."""
        return 0 < self._sound < np.inf

    def push(self, content: bytes) -> NDArray[np.float32]:
        """Return the frames that are whole with ``content``: full scale ±1, shape ``(frames, channels)``.

        Raises:
            AudioError: a codec that cannot be decoded piece by piece, a header that makes no sense, or another WAV that
                follows is of another form.
        """
        self._left += content
        blocks = []
        while True:
            if self._sound:
                block = self._frames()
                if block is not None:
                    blocks.append(block)
                if self._sound:
                    break
            elif not self._next_chunk():
                break
        if blocks:
            return np.concatenate(blocks)
        return np.empty((0, 1 if self.form is None else self.form.channels), np.float32)

    def _frames(self) -> NDArray[np.float32] | None:
        """Return whole frames of the sound that has come in; None: there is none."""
        form = self.form
        assert form is not None
        available = int(min(len(self._left), self._sound))
        ends = available == self._sound
        whole = available - available % form.frame_bytes
        taken, self._left = self._left[:whole], self._left[available if ends else whole :]
        self._sound = 0 if ends else self._sound - whole
        if not whole:
            return None
        raw = io.BytesIO(taken)
        frames: NDArray[np.float32]
        frames, _ = soundfile.read(
            raw, dtype="float32", always_2d=True, samplerate=form.rate_hz, channels=form.channels, format="RAW",
            subtype=form.subtype, endian=form.endian,
        )  # fmt: skip
        if not (np.abs(frames) <= LOUDEST).all():
            raise AudioError("standard input is a WAV whose samples are NaN, infinite or far beyond full scale")
        return frames

    def _next_chunk(self) -> bool:
        """Take in the head of the next chunk, and its body where that is no sound; return whether all was there."""
        if self._skip:
            passed = min(self._skip, len(self._left))
            self._left, self._skip = self._left[passed:], self._skip - passed
            if self._skip:
                return False
        if self._pad and self._left:  # a chunk of odd length ends with one more, which some programs forget
            self._left = self._left.removeprefix(b"\0")
            self._pad = False
        name = self._left[:4]
        if len(self._left) < (_HEAD_BYTES if name in FORMS else 8):
            return False
        if name in FORMS:
            self._order, self._large = FORMS[name], 0
            self._left = self._left[_HEAD_BYTES:]
            return True
        (size,) = struct.unpack(f"{self._order}I", self._left[4:8])
        if name == b"data":
            return self._begin_sound(size)
        if name in (b"fmt ", b"ds64"):
            if size > _LARGEST_FORM:
                raise AudioError("standard input is WAV with a damaged header")
            if len(self._left) < 8 + size:
                return False
            body = self._left[8 : 8 + size]
            if name == b"fmt ":
                self._take_form(body)
            else:
                (self._large,) = struct.unpack(f"{self._order}Q", body[8:16].ljust(8, b"\0"))
        self._left, self._skip, self._pad = self._left[8:], size, size % 2 == 1
        return True

    def _begin_sound(self, size: int) -> bool:
        if self.form is None:
            raise AudioError("standard input is WAV with a damaged header: its sound begins before its form is told")
        self._left = self._left[8:]
        if size == 0xFFFFFFFF and self._large and self._large not in NEVER_FILLED_IN:
            self._sound, self._pad = self._large, self._large % 2 == 1
        elif size in NEVER_FILLED_IN:
            self._sound = np.inf
        else:
            self._sound, self._pad = size, size % 2 == 1
        return True

    def _take_form(self, body: bytes) -> None:
        tag = wav_tag(body, self._order)
        if tag is None:
            raise AudioError("standard input is WAV with a damaged header")
        channels, rate_hz, _, frame_bytes, bits = struct.unpack(f"{self._order}HIIHH", body[2:16])
        subtype = _SUBTYPES.get((tag, bits))
        if subtype is None:
            what = f"PCM of {bits} bits" if tag in (1, 3) else CODECS.get(tag, f"the codec 0x{tag:04X}")
            raise AudioError(f"standard input is WAV with {what}, which is not decoded as it comes: {_INSTEAD}")
        try:
            rate_hz = checked_rate(rate_hz)
        except AudioError as error:
            raise error.of("the WAV on standard input") from None
        if not 1 <= channels <= DEFAULT_LIMITS.max_channels or frame_bytes != channels * bits // 8:
            raise AudioError("standard input is WAV with a damaged header")
        form = WavForm(rate_hz, channels, frame_bytes, subtype, "LITTLE" if self._order == "<" else "BIG")
        if self.form not in (None, form):
            raise AudioError("standard input goes on with a WAV of another rate, codec or number of channels")
        self.form = form


@dataclass(frozen=True)
class PipedSound:
    """Sound on its way in.

    Attributes:
        rate_hz: samples per second.
        channels: how many.
        is_wav: whether a header has told so.
        blocks: shape ``(n, channels)``; n may be 0.
        pcm: what takes the bytes; its ``left`` says, in the end, whether the last sample was whole.
    """

    rate_hz: int
    channels: int
    is_wav: bool
    blocks: Iterator[NDArray[Any]]
    pcm: "RawPcm | WavPieces"


def open_piped(
    pieces: Iterator[bytes], rate_hz: int | None, format: PcmFormat | None, channels: int | None
) -> PipedSound:
    """Return the sound that ``pieces`` are; as much of them is taken as its header needs.

    Args:
        pieces: bytes, as they come.
        rate_hz: of raw PCM; None: it must be a WAV.
        format: of raw PCM; None: 16-bit integers.
        channels: of raw PCM; None: one.

    Raises:
        AudioError: it does not say its rate, or is in a form that is not decoded as it comes; also from the blocks.
    """
    head = b""
    while len(head) < _HEAD_BYTES and (piece := next(pieces, b"")):
        head += piece
    if head[:4] in FORMS and head[8:12] == b"WAVE":
        return _open_wav(head, pieces)
    _refuse_other_files(head)
    if rate_hz is None:
        if not head:
            raise AudioError("nothing came in on standard input")
        raise AudioError("raw PCM on standard input does not say its sampling rate: name it by --rate, or pipe a WAV")
    raw = RawPcm(format or "s16le", channels or 1)

    def blocks() -> Iterator[NDArray[Any]]:
        yield raw.push(head)
        for piece in pieces:
            yield raw.push(piece)

    return PipedSound(rate_hz, channels or 1, False, blocks(), raw)


def _open_wav(head: bytes, pieces: Iterator[bytes]) -> PipedSound:
    wav = WavPieces()
    first = wav.push(head)
    while wav.form is None:
        piece = next(pieces, b"")
        if not piece:
            raise AudioError("standard input is a WAV that ends before its sound begins")
        first = wav.push(piece)

    def blocks() -> Iterator[NDArray[Any]]:
        yield first
        for piece in pieces:
            yield wav.push(piece)

    return PipedSound(wav.form.rate_hz, wav.form.channels, True, blocks(), wav)


def _refuse_other_files(head: bytes) -> None:
    """Refuse what is a file of another form: as raw PCM, it would be heard as noise."""
    name = next((name for start, name in _OTHER_STARTS.items() if head.startswith(start)), None)
    kind = media_kind(head)
    if name is None and kind is not None and kind.name in ("WMA or WMV", "AMR", "FLV", "MP4", "M4A", "QuickTime",
                                                           "3GP", "WebM", "Matroska"):  # fmt: skip
        name = kind.name
    if name is not None:
        raise AudioError(f"standard input is {name}, which is not heard as it comes: {_INSTEAD}")
