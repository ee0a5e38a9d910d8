"""Sound in: a path, bytes or a file object becomes mono float32 samples, within bounds."""

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
from numpy.typing import NDArray

from thymos.errors import AudioError

Samples = NDArray[np.float32]
Source = str | os.PathLike[str] | bytes | IO[bytes]

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64"})
BLOCK_FRAMES = 1 << 16
TINY_FILE_BYTES = 1024
UNKNOWN_FRAMES = (1 << 63) - 1


@dataclass(frozen=True)
class Limits:
    """Bounds on sound, checked on the header before memory is taken and again while decoding."""

    min_rate_hz: int = 1_000
    max_rate_hz: int = 384_000
    max_channels: int = 32
    max_decoded_bytes: int = 2 << 30
    """frames × channels × 4: what the decoded float32 samples of all channels would take."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says."""

    rate_hz: int
    channels: int
    frames: int
    format: str
    """Container and sample type, such as ``WAV PCM_16``."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate_hz


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
    with _open(source) as sound:
        return _checked_info(sound, limits)


def read_waveform(source: Source, limits: Limits = DEFAULT_LIMITS) -> Waveform:
    """Decode ``source`` at its own rate, channels averaged to mono.

    Raises:
        AudioError: not readable as sound, no samples, samples that are NaN or infinite, or outside ``limits``.
    """
    waveform, _ = read_waveform_and_info(source, limits)
    return waveform


def read_waveform_and_info(source: Source, limits: Limits = DEFAULT_LIMITS) -> tuple[Waveform, AudioInfo]:
    """Decode ``source`` as ``read_waveform`` does, and return what its header says beside it."""
    with _open(source) as sound:
        info = _checked_info(sound, limits)
        samples = _decode_mono(sound, info, limits)
    if len(samples) == 0:
        raise AudioError("holds no samples")
    if not np.isfinite(samples).all():
        raise AudioError("holds samples that are NaN or infinite")
    return Waveform(samples, info.rate_hz), info


def _open(source: Source) -> soundfile.SoundFile:
    if isinstance(source, bytes):
        if not source:
            raise AudioError("is empty (0 bytes)")
        source = io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        _check_is_file_with_content(Path(source))
    try:
        return soundfile.SoundFile(source)
    except soundfile.LibsndfileError as error:
        raise AudioError(_plain_reason(error.error_string) + _size_if_tiny(source)) from None
    except OSError as error:
        raise AudioError(f"cannot be opened: {error}") from None
    except TypeError:
        raise AudioError(f"is a {type(source).__name__}, not a path, bytes or a file object") from None


def _check_is_file_with_content(path: Path) -> None:
    """Name what libsndfile would only call a system error; also keeps pipes and devices from blocking."""
    try:
        status = path.stat()
    except FileNotFoundError:
        reason = "is a symbolic link to nothing" if path.is_symlink() else "does not exist"
        raise AudioError(reason) from None
    except PermissionError:
        raise AudioError("may not be read: permission denied") from None
    except ValueError as error:
        raise AudioError(f"has a name that no file can have: {error}") from None
    except OSError as error:
        looped = "Too many levels" in str(error.strerror)
        raise AudioError("is a symbolic link that leads back to itself" if looped else str(error)) from None
    if stat.S_ISDIR(status.st_mode):
        raise AudioError("is a directory, not a sound file")
    if not stat.S_ISREG(status.st_mode):
        raise AudioError("is not a regular file")
    if status.st_size == 0:
        raise AudioError("is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        raise AudioError("may not be read: permission denied")


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
    if not isinstance(source, str | os.PathLike):
        return ""
    size = Path(source).stat().st_size
    return f" ({size} bytes)" if size < TINY_FILE_BYTES else ""


def _checked_info(sound: soundfile.SoundFile, limits: Limits) -> AudioInfo:
    info = AudioInfo(sound.samplerate, sound.channels, sound.frames, f"{sound.format} {sound.subtype}")
    if not limits.min_rate_hz <= info.rate_hz <= limits.max_rate_hz:
        raise AudioError(
            f"has a sampling rate of {info.rate_hz} Hz; it must be {limits.min_rate_hz} to {limits.max_rate_hz}"
        )
    if info.channels > limits.max_channels:
        raise AudioError(f"has {info.channels} channels, more than {limits.max_channels}")
    _check_size(info.frames, info.channels, limits)
    return info


def _check_size(frames: int, channels: int, limits: Limits) -> None:
    if frames == UNKNOWN_FRAMES:
        raise AudioError("does not say how long it is, as streamed FLAC may; convert it anew")
    if frames * channels * 4 > limits.max_decoded_bytes:
        raise AudioError(f"would take more than {limits.max_decoded_bytes / 2**20:.0f} MiB once decoded")


def _decode_mono(sound: soundfile.SoundFile, info: AudioInfo, limits: Limits) -> Samples:
    """Decode block by block, so that a header that lies about its length cannot make us take memory."""
    blocks = []
    frames = 0
    try:
        while len(block := sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
            frames += len(block)
            _check_size(frames, info.channels, limits)
            blocks.append(block[:, 0] if info.channels == 1 else block.mean(axis=1))
    except soundfile.LibsndfileError as error:
        raise AudioError(_plain_reason(error.error_string)) from None
    return np.concatenate(blocks) if blocks else np.empty(0, np.float32)
