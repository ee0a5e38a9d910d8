"""What libsndfile reads: the parts of a file, block by block, to the end of each and past what is damaged."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import soundfile

from thymos.audio.byte_view import ByteView, SpannedFile
from thymos.audio.containers import Remark
from thymos.audio.mixing import RawBlock
from thymos.audio.source import BLOCK_FRAMES, UNKNOWN_FRAMES, AudioInfo, SoundPart
from thymos.errors import AudioError

_SOUGHT_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "FLAC"})
_SOUGHT_SUBTYPES = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})
"""What is decoded after a seek is there what it is after decoding from the beginning: not so in MP3, Vorbis or Opus."""
_CAREFUL_FRAMES = 4_096
"""FLAC is read in pieces as long as its frames are: what stands in one with a damaged frame is lost."""
_MOST_FAULTS = 100
"""In a row, with nothing between them."""


class _Forwards(soundfile.SoundFile):  # type: ignore[misc]
    """A sound that is read from its beginning to its end.

    soundfile seeks after each read, to where it believes to be: that fails behind a damaged frame, and where a stream's
    length is not known. It does not where it is told that it cannot.
    """

    def seekable(self) -> bool:
        return False


def _free_to_open() -> None:
    """Let a child of a fork open files: soundfile (since 0.14) opens one at a time, by a lock that a thread of the
    parent may have held, who will never give it back here."""
    if hasattr(soundfile.SoundFile, "_sf_error_lock"):
        soundfile.SoundFile._sf_error_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_to_open)


@dataclass
class SndFile:
    """A file that libsndfile has opened.

    Attributes:
        info: of the whole file; of several parts, ``frames`` is not known before they are decoded.
        sought: whether ``blocks`` may begin anywhere.
        remarks: what was found on the way.
    """

    info: AudioInfo
    sought: bool
    remarks: set[Remark]
    _first: _Forwards
    _file: SpannedFile
    _rest: Sequence[SoundPart]
    _view: ByteView
    _opened: ExitStack = field(repr=False)

    def blocks(self, first: int = 0) -> Iterator[RawBlock]:
        """Yield what is decoded from frame ``first`` on: blocks of up to ``BLOCK_FRAMES``.

        Raises:
            AudioError: nothing can be decoded, or the file cannot be read on.
        """
        sound, file = self._first, self._file
        first = min(first, sound.frames) if self.sought else 0
        if self.sought and sound.tell() != first:
            try:
                sound.seek(first)
            except soundfile.LibsndfileError as error:
                raise file.fault or AudioError(plain_reason(error.error_string)) from None
        yield from self._of_part(sound, file, sound.frames - first)
        for part in self._rest:
            try:
                sound, file = _open_part(self._view, part, self._opened)
            except AudioError:
                self.remarks.add("damaged")
                continue
            yield from _conformed(self._of_part(sound, file, sound.frames), sound.samplerate, self.info)

    def _of_part(self, sound: _Forwards, file: SpannedFile, claimed: int) -> Iterator[RawBlock]:
        careful = sound.format == "FLAC"
        frames = faults = 0
        waiting: list[RawBlock] = []
        failed: AudioError | None = None
        while faults < _MOST_FAULTS:
            try:
                block = sound.read(_CAREFUL_FRAMES if careful else BLOCK_FRAMES, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                if file.fault is not None:
                    break
                failed, faults = AudioError(plain_reason(error.error_string)), faults + 1
                continue
            if file.fault is not None or not len(block):
                break
            if failed is not None and frames:
                self.remarks.add("damaged")
            faults, frames = 0, frames + len(block)
            waiting.append(block)
            if sum(map(len, waiting)) >= BLOCK_FRAMES:
                yield waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
                waiting = []
        if waiting:
            yield np.concatenate(waiting)
        if file.fault is not None:
            raise file.fault
        if failed is not None and not frames:
            raise failed
        if careful and (frames < claimed < UNKNOWN_FRAMES or failed is not None) and "damaged" not in self.remarks:
            self.remarks.add("cut_short")
        elif failed is not None and not careful:
            self.remarks.add("damaged")


@contextmanager
def open_sndfile(view: ByteView, parts: Sequence[SoundPart]) -> Iterator[SndFile]:
    """Open the parts of a file by libsndfile; none: the file as it is.

    Raises:
        AudioError: it is not in a format of libsndfile's, or damaged from its beginning on.
    """
    own = [*parts] or [SoundPart(((0, view.size),))]
    with ExitStack() as opened:
        sound, file = _open_part(view, own[0], opened)
        frames = sound.frames if len(own) == 1 else UNKNOWN_FRAMES
        if own[0].seconds is not None and len(own) == 1:
            frames = round(own[0].seconds * sound.samplerate)
        info = AudioInfo(sound.samplerate, sound.channels, frames, f"{sound.format} {sound.subtype}")
        sought = len(own) == 1 and sound.format in _SOUGHT_FORMATS and sound.subtype in _SOUGHT_SUBTYPES
        sought = sought and frames < UNKNOWN_FRAMES
        yield SndFile(info, sought, set(), sound, file, own[1:], view, opened)


def _open_part(view: ByteView, part: SoundPart, opened: ExitStack) -> tuple[_Forwards, SpannedFile]:
    file = SpannedFile(view, part.spans)
    try:
        return opened.enter_context(_Forwards(file)), file
    except soundfile.LibsndfileError as error:
        raise file.fault or AudioError(plain_reason(error.error_string)) from None


def _conformed(blocks: Iterator[RawBlock], rate_hz: int, info: AudioInfo) -> Iterator[RawBlock]:
    """Yield a later part's blocks at the first one's rate, and with as many channels."""
    import soxr

    stream = None
    if rate_hz != info.rate_hz:
        stream = soxr.ResampleStream(rate_hz, info.rate_hz, info.channels, "float32", "HQ")
    for block in blocks:
        if block.shape[1] != info.channels:
            block = np.repeat(block.mean(axis=1, keepdims=True), info.channels, axis=1)
        yield block if stream is None else stream.resample_chunk(block).reshape(-1, info.channels)
    if stream is not None:
        yield stream.resample_chunk(np.empty((0, info.channels), np.float32), last=True).reshape(-1, info.channels)


def plain_reason(libsndfile_words: str) -> str:
    """Return what libsndfile says of a file in words that follow its name."""
    words = libsndfile_words.strip().rstrip(".")
    known = {
        "Format not recognised": "is not sound in a known format",
        "Error in WAV file. No 'data' chunk marker": "is a WAV file without a data chunk",
        # What libsndfile says of an MP3 that holds no whole frame: by then the file has been opened.
        "File does not exist or is not a regular file (possibly a pipe?)": "is cut off or damaged",
    }
    return known.get(words, f"cannot be decoded: {words}")
