"""Sound in: a path, bytes or a file object becomes mono float32 samples, within bounds.

A file is looked at before it is decoded: is all of it there? libsndfile reads one sound from a file, believes its
header and ends early without a word. So joined files are told apart, lengths that were never filled in are, and what
is missing or damaged becomes a remark. Then libsndfile reads what it can, in this process; what else there is
(``media.py``) is decoded in one of its own. Whatever goes wrong costs one recording, and is an ``AudioError``.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from thymos.audio.byte_view import ByteView, viewed
from thymos.audio.chunks import (
    FORMS,
    W64_FORM,
    aiff_structure,
    au_structure,
    caf_structure,
    w64_structure,
    wav_structure,
)
from thymos.audio.containers import HEAD_BYTES, MediaKind, Remark, media_kind
from thymos.audio.elsewhere import RemoteFile
from thymos.audio.libsndfile import SndFile, open_sndfile
from thymos.audio.media import open_media
from thymos.audio.mixing import Channel, Mixer
from thymos.audio.mpeg import before_tags, is_header, mpeg_structure
from thymos.audio.ogg import ogg_structure
from thymos.audio.source import (
    DEFAULT_LIMITS,
    UNKNOWN_FRAMES,
    AudioInfo,
    Limits,
    OpenSound,
    Samples,
    SoundPart,
    Source,
    Structure,
    check_info,
    check_samples,
    watched,
)
from thymos.errors import AudioAbsentError, AudioError, AudioFileError, ThymosError

State = tuple[int, int, int] | None


@contextmanager
def decoder_faults() -> Iterator[None]:
    """Turn what a decoder, or a file that it reads, raises inside the block into an ``AudioError`` of one sentence."""
    try:
        yield
    except ThymosError:
        raise
    except MemoryError:
        raise AudioError("takes more memory to decode than there is") from None
    except OSError as error:
        raise AudioFileError(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise AudioError(f"made its decoder fail ({said})") from error


def guarded(blocks: Iterator[Samples], source: Source, before: State) -> Iterator[Samples]:
    """Yield ``blocks``; in the end, find that ``source`` is as it was ``before``.

    Raises:
        AudioError: the decoder failed, or somebody has written into the file: what was heard is of no one recording.
    """
    while True:
        with decoder_faults():
            block = next(blocks, None)
        if block is None:
            break
        yield block
    after = state_of(source)
    if before is not None and after is not None and before != after:
        raise AudioFileError("was changed while it was read; hear it again once it is whole")


def state_of(source: Source) -> State:
    """Return what changes when somebody writes into the file at a path; None of anything else, or where it is gone."""
    if not isinstance(source, str | os.PathLike):
        return None
    try:
        status = Path(source).stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


_FLAC_BEGINNINGS = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")
"""The marker, and the head of the block that always comes first, with others behind it or as the only one."""


def structure_of(view: ByteView) -> Structure:
    """Return how the file is built; of formats that are not known here, nothing is said.

    Raises:
        AudioError: it cannot be read, or holds no whole piece of sound.
    """
    head = view.read(0, 16)
    looks: tuple[tuple[bool, Callable[[ByteView], Structure]], ...] = (
        (head[:4] in FORMS and head[8:12] == b"WAVE", wav_structure),
        (head == W64_FORM, w64_structure),
        (head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"), aiff_structure),
        (head[:4] == b"caff", caf_structure),
        (head[:4] in (b".snd", b"dns."), au_structure),
        (head[:4] == b"fLaC", _flac_structure),
        (head[:4] == b"OggS", ogg_structure),
        (is_header(head[:4]) or head[:3] == b"ID3", mpeg_structure),
    )
    structure = next((look(view) for is_it, look in looks if is_it), Structure())
    view.rewind()
    return structure


def _flac_structure(view: ByteView) -> Structure:
    """Return the FLAC files that a file is joined of, without tags behind them, by which a last frame would be lost."""
    starts = [0]
    for beginning in _FLAC_BEGINNINGS:
        at = 0
        while (at := view.find(beginning, at + 1)) >= 0:
            starts.append(at)
    sound = before_tags(view)
    if len(starts) == 1 and sound == view.size:
        return Structure()
    starts.sort()
    return Structure(tuple(SoundPart(((start, end),)) for start, end in zip(starts, [*starts[1:], sound], strict=True)))


TINY_FILE_BYTES = 1024


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


def read_waveform_and_info(
    source: Source, limits: Limits = DEFAULT_LIMITS, channel: Channel = "mix", remarks: set[Remark] | None = None
) -> tuple[Waveform, AudioInfo]:
    """Decode ``source`` as ``read_waveform`` does, and return what its header says beside it.

    Where the header says no length, it is the one that was decoded. What was found and done is added to ``remarks``.
    """
    with open_sound(source, limits, channel=channel) as sound:
        info, blocks = sound.info, list(sound.blocks)
    if remarks is not None:
        remarks.update(sound.remarks)
    samples = joined_blocks(blocks)
    if len(samples) == 0:
        raise AudioError("holds no samples")
    check_samples(samples)
    if info.frames == UNKNOWN_FRAMES:
        info = replace(info, frames=len(samples))
    return Waveform(samples, info.rate_hz), info


def joined_blocks(blocks: list[Samples]) -> Samples:
    """Return ``blocks`` as one, and let go of each as it is copied: hours of sound are not in memory twice."""
    if len(blocks) == 1:
        return blocks.pop()
    samples = np.empty(sum(map(len, blocks)), np.float32)
    at = len(samples)
    while blocks:
        block = blocks.pop()
        at -= len(block)
        samples[at : at + len(block)] = block
    return samples


@contextmanager
def open_sound(
    source: Source,
    limits: Limits = DEFAULT_LIMITS,
    start_s: float = 0.0,
    channel: Channel = "mix",
    centred: bool = False,
) -> Iterator[OpenSound]:
    """Open ``source`` for decoding block by block, as its blocks are asked for; a file object from where it stands.

    Args:
        source: as ``read_waveform`` takes it.
        limits: bounds on it.
        start_s: the first seconds are left out; where the format is one in which every sample has its place, they are
            not decoded. ``info`` is of the whole file.
        channel: all of them as one (see ``mixing``), or the number of one.
        centred: take a constant offset off.

    Raises:
        AudioError: here, if it cannot be opened or its header is outside ``limits``; from the blocks, if it is damaged
            further on, changes while it is read, or more comes out of it than ``limits`` allow.
    """
    with ExitStack() as opened:
        with decoder_faults():
            before = state_of(source)
            sound = opened.enter_context(_opened(source, limits, start_s, channel, centred))
        yield replace(sound, blocks=guarded(sound.blocks, source, before))


@contextmanager
def _opened(source: Source, limits: Limits, start_s: float, channel: Channel, centred: bool) -> Iterator[OpenSound]:
    """As ``open_sound``, with the decoders' own exceptions, whatever they are."""
    if isinstance(source, bytes) and not source:
        raise AudioError("is empty (0 bytes)")
    if isinstance(source, str | os.PathLike):
        if not os.fspath(source):
            raise AudioAbsentError("is an empty name, which no file has")
        _check_is_file_with_content(Path(source))
    with ExitStack() as opened:
        local = opened.enter_context(source.fetched()) if isinstance(source, RemoteFile) else source
        view = opened.enter_context(viewed(local))
        structure = structure_of(view)
        decoder = _decoder(view, structure, opened)
        if isinstance(decoder, MediaKind):
            view.rewind()
            sound = opened.enter_context(open_media(local, decoder))
            raw, sought = replace(sound, remarks=sound.remarks), False
        else:
            raw, sought = OpenSound(decoder.info, decoder.blocks(), decoder.remarks), decoder.sought
        raw.remarks.update(structure.remarks)
        mixer = Mixer(raw.info.channels, raw.info.rate_hz, channel, centred, raw.remarks)
        first = round(start_s * raw.info.rate_hz)
        if first and sought and isinstance(decoder, SndFile):
            check_info(raw.info, limits)
            # Channels of an excerpt are mixed as those of all are, which the file's beginning decides.
            if raw.info.channels > 1 or raw.info.format.endswith(("FLOAT", "DOUBLE")):
                mixer.settle(decoder.blocks())
            raw = replace(raw, blocks=decoder.blocks(first))
            first = 0
        raw = watched(raw, limits, view.size)
        yield replace(raw, blocks=_begun(mixer.mono(raw.blocks), first))
        mixer.conclude()


def _decoder(view: ByteView, structure: Structure, opened: ExitStack) -> SndFile | MediaKind:
    """Return what decodes a file: libsndfile, where it can and may."""
    kind = media_kind(view.read(0, HEAD_BYTES))
    if structure.codec:
        kind = kind or MediaKind(structure.codec, "ogg" if structure.codec.startswith("Ogg") else "wav")
    if structure.for_media:
        return MediaKind("damaged Ogg", "ogg")
    if kind is not None and not kind.try_libsndfile and not structure.codec:
        return kind
    try:
        return opened.enter_context(open_sndfile(view, structure.parts))
    except AudioError as error:
        if kind is None:
            size = f" ({view.size} bytes)" if view.size < TINY_FILE_BYTES else ""
            raise AudioError(error.reason + size) from None
        return kind


def _begun(blocks: Iterator[Samples], left: int) -> Iterator[Samples]:
    """Yield ``blocks`` without the first samples, so many."""
    for block in blocks:
        if left < len(block):
            yield block[left:] if left else block
        left = max(0, left - len(block))


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
