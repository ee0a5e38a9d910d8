"""What a sound is before it is heard: where it comes from, what its header says, how it is built, and its bounds."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import IO

import numpy as np
from numpy.typing import NDArray

from thymos.audio.containers import Remark
from thymos.audio.elsewhere import RemoteFile
from thymos.errors import AudioError

Samples = NDArray[np.float32]
LocalSource = str | os.PathLike[str] | bytes | IO[bytes]
Source = LocalSource | RemoteFile
BLOCK_FRAMES = 1 << 16
UNKNOWN_FRAMES = (1 << 63) - 1
LEAST_BYTES_PER_S = 250
"""Speech takes more in every codec: 6 kbit/s of Opus are 750, and 4.75 kbit/s of AMR with half of it pauses 350."""
LARGEST = float(1 << 32)
"""Floats at the scale of 32-bit integers are below; the squares of larger ones overflow where power is measured."""
MOST_SPARSE_S = 900.0
"""What takes less is decoded up to this length, which takes two or three seconds; then it is refused."""


@dataclass(frozen=True)
class Limits:
    """Bounds on sound, checked on the header before memory is taken and again while decoding."""

    min_rate_hz: int = 1_000
    max_rate_hz: int = 384_000
    max_channels: int = 32
    max_decoded_bytes: int = 2 << 30
    """frames × channels × 4: what the decoded float32 samples of all channels would take."""
    longest_s: float = 100 * 3600.0
    """Longer recordings are refused: a small file may claim, and decode to, years of silence."""


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
class OpenSound:
    """A file that has been opened.

    Attributes:
        info: what its header says; ``UNKNOWN_FRAMES`` where it says no length.
        blocks: float32 blocks in order, of 1 to ``BLOCK_FRAMES`` samples: as they were decoded, shape
            ``(samples, channels)``, or mono, shape ``(samples,)``.
        remarks: what was found and done; whole once all blocks have been taken.
    """

    info: AudioInfo
    blocks: Iterator[Samples]
    remarks: set[Remark] = field(default_factory=set)


def check_info(info: AudioInfo, limits: Limits) -> None:
    """Raise ``AudioError`` if the rate, the channels or the size that a header claims are outside ``limits``."""
    if not limits.min_rate_hz <= info.rate_hz <= limits.max_rate_hz:
        raise AudioError(
            f"has a sampling rate of {info.rate_hz} Hz; it must be {limits.min_rate_hz} to {limits.max_rate_hz} Hz"
        )
    if info.channels > limits.max_channels:
        raise AudioError(f"has {info.channels} channels, more than {limits.max_channels}")
    check_size(0 if info.frames == UNKNOWN_FRAMES else info.frames, info.channels, limits)


def check_size(frames: int, channels: int, limits: Limits) -> None:
    """Raise ``AudioError`` if so many frames would take more than ``limits`` allow."""
    if frames * channels * 4 > limits.max_decoded_bytes:
        raise AudioError(f"would take more than {limits.max_decoded_bytes / 2**20:.0f} MiB once decoded")


def check_density(frames: int, rate_hz: int, n_bytes: int) -> None:
    """Raise ``AudioError`` if a file of ``n_bytes`` holds, or claims, far longer sound than speech could be in it.

    A few hundred kilobytes can decode to hours of silence, which would take minutes and say nothing.
    """
    seconds = frames / rate_hz
    if seconds > MOST_SPARSE_S and n_bytes < LEAST_BYTES_PER_S * seconds:
        raise AudioError(
            f"is {n_bytes} bytes for {seconds / 60:.0f} minutes or more of sound; speech takes at least "
            f"{LEAST_BYTES_PER_S} bytes a second"
        )


def no_source(source: object, wanted: str) -> AudioError:
    """Return what to raise where ``source`` is not what is ``wanted``: nothing that sound is read from."""
    name = type(source).__name__
    article = "an" if name[0] in "aeiouAEIOU" else "a"
    return AudioError(f"is {article} {name}, not {wanted}")


def watched(sound: OpenSound, limits: Limits, n_bytes: int) -> OpenSound:
    """Return ``sound`` with what was checked of its header checked again of what has been decoded."""
    info = sound.info
    check_info(info, limits)
    if info.frames != UNKNOWN_FRAMES:
        check_density(info.frames, info.rate_hz, n_bytes)

    def blocks() -> Iterator[Samples]:
        frames = 0
        for block in sound.blocks:
            frames += len(block)
            check_size(frames, info.channels, limits)
            check_density(frames, info.rate_hz, n_bytes)
            yield block

    return replace(sound, blocks=blocks())


def check_samples(block: Samples) -> None:
    """Raise ``AudioError`` if ``block`` holds what is no sound: NaN, infinity, or floats beyond any full scale."""
    if not (np.abs(block) <= LARGEST).all():
        if not np.isfinite(block).all():
            raise AudioError("holds samples that are NaN or infinite")
        raise AudioError(f"holds samples as large as {np.abs(block).max():.1g}, where full scale is 1")


Span = tuple[int, int] | bytes
"""A piece of a file that is put together: where it begins and ends in another one, or its own bytes."""
CUT_SHORT = frozenset[Remark](("cut_short",))
NO_REMARKS = frozenset[Remark]()


@dataclass(frozen=True)
class SoundPart:
    """One of the sounds that a file is made of.

    Attributes:
        spans: what libsndfile is given to read: pieces of the file, and bytes that ought to be in it.
        seconds: how long it is, where its structure tells so for certain.
    """

    spans: tuple[Span, ...]
    seconds: float | None = None


@dataclass(frozen=True)
class Structure:
    """How a file is built.

    Attributes:
        parts: the sounds in it, one after another; none: libsndfile is given the file as it is.
        remarks: what is missing or damaged.
        codec: what it is coded in, where that is nothing that libsndfile reads, such as "WAV with G.726".
        for_media: whether what libsndfile makes of it cannot be trusted, so that FFmpeg decodes it.
    """

    parts: tuple[SoundPart, ...] = ()
    remarks: frozenset[Remark] = NO_REMARKS
    codec: str = ""
    for_media: bool = False


@dataclass
class Findings:
    """What a walk through a file collects."""

    parts: list[SoundPart] = field(default_factory=list)
    remarks: set[Remark] = field(default_factory=set)

    def structure(self, codec: str = "", for_media: bool = False) -> Structure:
        """Return all of it."""
        return Structure(tuple(self.parts), frozenset(self.remarks), codec, for_media)


def nothing_whole(name: str) -> AudioError:
    """Return what to raise of a file in which no piece of sound is whole."""
    return AudioError(f"cannot be decoded: {name} that is cut off before its sound begins, or damaged")
