"""Sound in: a path, bytes or a file object becomes mono float32 samples, within bounds.

libsndfile reads what it can, in this process; what else there is (``media.py``) is decoded in one of its own.
"""

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from thymos.audio.faults import decoder_faults, guarded, state_of
from thymos.audio.media import HEAD_BYTES, MediaKind, media_kind, open_media
from thymos.audio.source import BLOCK_FRAMES as BLOCK_FRAMES
from thymos.audio.source import DEFAULT_LIMITS as DEFAULT_LIMITS
from thymos.audio.source import UNKNOWN_FRAMES, OpenSound, check_samples, no_source, watched
from thymos.audio.source import AudioInfo as AudioInfo
from thymos.audio.source import Limits as Limits
from thymos.audio.source import Samples as Samples
from thymos.audio.source import Source as Source
from thymos.errors import AudioAbsentError, AudioError, AudioFileError

_SUFFIXES = ".wav .wave .flac .ogg .oga .opus .mp3 .mp2 .mpga .aif .aiff .aifc .au .snd .w64 .rf64 .sph"
AUDIO_SUFFIXES = frozenset(_SUFFIXES.split())
TINY_FILE_BYTES = 1024
# What is decoded after a seek is there what it is after decoding from the beginning: not so in MP3, Vorbis or Opus.
_SOUGHT_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "FLAC"})
_SOUGHT_SUBTYPES = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})


@dataclass(frozen=True)
class Waveform:
    """Mono sound.

    Attributes:
        samples: float32, shape ``(samples,)``, full scale at ±1.
        rate_hz: samples per second.
    """

    samples: Samples
    rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz


def read_info(source: Source, limits: Limits = DEFAULT_LIMITS) -> AudioInfo:
    """Read the header of ``source`` without decoding it.

    Raises:
        AudioError: not readable as sound, or outside ``limits``.
    """
    with open_sound(source, limits) as sound:
        if sound.info.frames == UNKNOWN_FRAMES:
            raise AudioError("does not say how long it is; convert it anew")
        return sound.info


def read_waveform(source: Source, limits: Limits = DEFAULT_LIMITS) -> Waveform:
    """Decode ``source`` at its own rate, channels averaged to mono.

    Raises:
        AudioError: not readable as sound, no samples, samples that are no sound (NaN, infinite), or outside ``limits``.
    """
    waveform, _ = read_waveform_and_info(source, limits)
    return waveform


def read_waveform_and_info(source: Source, limits: Limits = DEFAULT_LIMITS) -> tuple[Waveform, AudioInfo]:
    """Decode ``source`` as ``read_waveform`` does, and return what its header says beside it.

    Where the header says no length, it is the one that was decoded.
    """
    with open_sound(source, limits) as sound:
        info, blocks = sound.info, list(sound.blocks)
    samples = np.concatenate(blocks) if blocks else np.empty(0, np.float32)
    if len(samples) == 0:
        raise AudioError("holds no samples")
    check_samples(samples)
    if info.frames == UNKNOWN_FRAMES:
        info = replace(info, frames=len(samples))
    return Waveform(samples, info.rate_hz), info


@contextmanager
def open_sound(source: Source, limits: Limits = DEFAULT_LIMITS, start_s: float = 0.0) -> Iterator[OpenSound]:
    """Open ``source`` for decoding block by block, as its blocks are asked for; a file object from where it stands.

    The first ``start_s`` seconds are left out; where the format is one in which every sample has its place, they are
    not decoded. ``info`` is of the whole file.

    Raises:
        AudioError: here, if it cannot be opened or its header is outside ``limits``; from the blocks, if it is damaged
            further on, changes while it is read, or more comes out of it than ``limits`` allow.
    """
    with ExitStack() as opened:
        with decoder_faults():
            before = state_of(source)
            sound = opened.enter_context(_opened(source, limits, start_s))
        yield replace(sound, blocks=guarded(sound.blocks, source, before))


@contextmanager
def _opened(source: Source, limits: Limits, start_s: float) -> Iterator[OpenSound]:
    """As ``open_sound``, with the decoders' own exceptions, whatever they are."""
    if isinstance(source, bytes) and not source:
        raise AudioError("is empty (0 bytes)")
    if isinstance(source, str | os.PathLike):
        if not os.fspath(source):
            raise AudioAbsentError("is an empty name, which no file has")
        _check_is_file_with_content(Path(source))
    head, n_bytes = _head_and_size(source)
    kind = media_kind(head)
    if kind is None or kind.try_libsndfile:
        try:
            opened: soundfile.SoundFile | MediaKind = _open(source)
        except AudioError:
            if kind is None:
                raise
            opened = kind
    else:
        opened = kind
    if isinstance(opened, MediaKind):
        with open_media(source, opened) as sound:
            yield _begun(watched(sound, limits, n_bytes), round(start_s * sound.info.rate_hz))
        return
    with opened:
        info = AudioInfo(opened.samplerate, opened.channels, opened.frames, f"{opened.format} {opened.subtype}")
        if info.frames == UNKNOWN_FRAMES:
            raise AudioError("does not say how long it is, as streamed FLAC may; convert it anew")
        first = min(round(start_s * info.rate_hz), info.frames)
        if first and opened.format in _SOUGHT_FORMATS and opened.subtype in _SOUGHT_SUBTYPES:
            opened.seek(first)
            first = 0
        yield _begun(watched(OpenSound(info, _blocks(opened)), limits, n_bytes), first)


def _begun(sound: OpenSound, first: int) -> OpenSound:
    """Return ``sound`` without its ``first`` samples."""

    def blocks() -> Iterator[Samples]:
        left = first
        for block in sound.blocks:
            if left < len(block):
                yield block[left:]
            left = max(0, left - len(block))

    return OpenSound(sound.info, blocks()) if first else sound


def _head_and_size(source: Source) -> tuple[bytes, int]:
    """Return the first bytes of ``source``, and how many it has; a file object stays where it was, its beginning."""
    if isinstance(source, bytes):
        return source[:HEAD_BYTES], len(source)
    try:
        if isinstance(source, str | os.PathLike):
            with Path(source).open("rb") as file:
                return file.read(HEAD_BYTES), os.fstat(file.fileno()).st_size
        position = source.tell()
        head = source.read(HEAD_BYTES)
        n_bytes = source.seek(0, io.SEEK_END) - position
        source.seek(position)
    except OSError as error:
        raise AudioFileError(f"cannot be opened: {error.strerror or error}") from None
    except (AttributeError, TypeError):
        raise no_source(source, "a path, bytes or a file object") from None
    except ValueError:
        raise AudioFileError("is a file object that is closed, or can no longer be read") from None
    if not isinstance(head, bytes):
        raise AudioError("is a file that is open as text; open it in binary mode")
    return head, n_bytes


class _FromHere:
    """An open file as if it began where it stands now.

    libsndfile takes some formats' offsets from the file's own beginning. Damaged sound makes it seek to before that,
    which Python's files complain about: this one stays at its beginning.
    """

    def __init__(self, file: IO[bytes]):
        self._file, self._start = file, file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET:
            wanted = self._start + offset
        elif whence == io.SEEK_CUR:
            wanted = self._file.tell() + offset
        else:
            wanted = self._file.seek(0, io.SEEK_END) + offset
        return self._file.seek(max(self._start, wanted)) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


def _open(source: Source) -> soundfile.SoundFile:
    """Open ``source`` by libsndfile; if it cannot be, a file object stays where it was."""
    try:
        if isinstance(source, str | os.PathLike):
            return soundfile.SoundFile(source)
        file = _FromHere(io.BytesIO(source) if isinstance(source, bytes) else source)
        try:
            return soundfile.SoundFile(file)
        except soundfile.LibsndfileError:
            file.seek(0)
            raise
    except soundfile.LibsndfileError as error:
        raise AudioError(_plain_reason(error.error_string) + _size_if_tiny(source)) from None
    except OSError as error:
        raise AudioFileError(f"cannot be opened: {error.strerror or error}") from None


def _check_is_file_with_content(path: Path) -> None:
    """Name what libsndfile would only call a system error; also keeps pipes and devices from blocking."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise AudioAbsentError("is a symbolic link to nothing" if path.is_symlink() else "does not exist") from None
    except PermissionError:
        raise AudioFileError("may not be read: permission denied") from None
    except ValueError as error:
        raise AudioFileError(f"has a name that no file can have: {error}") from None
    except OSError as error:
        looped = error.errno == errno.ELOOP
        raise AudioFileError(
            "is a symbolic link that leads back to itself" if looped else f"cannot be opened: {error.strerror}"
        ) from None
    if stat.S_ISDIR(status.st_mode):
        raise AudioFileError("is a directory, not a sound file")
    if not stat.S_ISREG(status.st_mode):
        raise AudioFileError("is not a regular file")
    if status.st_size == 0:
        raise AudioError("is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        raise AudioFileError("may not be read: permission denied")


def _plain_reason(libsndfile_words: str) -> str:
    words = libsndfile_words.strip().rstrip(".")
    known = {
        "Format not recognised": "is not sound in a known format",
        "Error in WAV file. No 'data' chunk marker": "is a WAV file without a data chunk",
        # What libsndfile says of an MP3 that holds no whole frame: by then the file has been opened.
        "File does not exist or is not a regular file (possibly a pipe?)": "is cut off or damaged",
    }
    return known.get(words, f"cannot be decoded: {words}")


def _size_if_tiny(source: Source) -> str:
    """A file of a few bytes is a broken download or copy: its size says so."""
    if isinstance(source, bytes):
        size = len(source)
    elif isinstance(source, str | os.PathLike):
        size = Path(source).stat().st_size
    else:
        return ""
    return f" ({size} bytes)" if size < TINY_FILE_BYTES else ""


def _blocks(sound: soundfile.SoundFile) -> Iterator[Samples]:
    try:
        while len(block := sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
            yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
    except soundfile.LibsndfileError as error:
        raise AudioError(_plain_reason(error.error_string)) from None
