"""What libsndfile does not read: M4A, MP4, WebM, AMR, video files. FFmpeg decodes it, in a process of its own.

A file of 18 kB can make FFmpeg's MP4 reader take 3 GB and eight seconds, and no call of it can be interrupted. So
``media_worker.py`` decodes each file in a child process that the kernel bounds: how much memory it takes, how long it
computes without giving sound, and that it opens no file and no connection. The child is given the demuxer to use, so
that playlists (HLS, DASH, concat), which would name other files, are never read as such.
"""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from thymos.audio.source import BLOCK_FRAMES, UNKNOWN_FRAMES, AudioInfo, OpenSound, Samples, Source
from thymos.errors import AudioError, MissingExtraError

_SUFFIXES = (
    ".m4a .m4b .m4r .mp4 .m4v .mov .qt .qta .3gp .3ga .3g2 .aac .amr .webm .weba .mkv .mka .wma .wmv .asf .avi .flv "
    ".mpg .mpeg .mts .m2ts .ogv .spx .caf"
)
MEDIA_SUFFIXES = frozenset(_SUFFIXES.split())
"""Of the files that this module is for; that of transport streams, .ts, is TypeScript's too."""
HEAD_BYTES = 512
"""How much of a file ``media_kind`` looks at."""
MEMORY_BYTES = 640 << 20
"""Address space of a child, of which Python and FFmpeg's libraries take a third."""
CPU_S = 4
"""A child may compute this long, in seconds of processor time, until the first sound and from one block to the next."""

_WORKER = Path(__file__).with_name("media_worker.py")
_BRANDS = {b"M4A": "M4A", b"M4B": "M4A", b"qt ": "QuickTime", b"3gp": "3GP", b"3g2": "3GP"}
_STARTS = {
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": ("WMA or WMV", "asf"),
    b"#!AMR": ("AMR", "amr"),
    b"FLV\x01": ("FLV", "flv"),
    b"\0\0\x01\xba": ("MPEG video", "mpeg"),
}


class MediaExtraError(AudioError, MissingExtraError):
    """A file of a format that needs the extra ``media``, which is not installed."""


@dataclass(frozen=True)
class MediaKind:
    """A container format.

    Attributes:
        name: what users call it.
        demuxer: FFmpeg's reader of it.
        try_libsndfile: whether libsndfile reads some files of it.
    """

    name: str
    demuxer: str
    try_libsndfile: bool = False


def media_kind(head: bytes) -> MediaKind | None:
    """Return the container that a file which begins with ``head`` is in, if it is one that this module reads."""
    for start, (name, demuxer) in _STARTS.items():
        if head.startswith(start):
            return MediaKind(name, demuxer)
    if head[4:8] == b"ftyp":
        return MediaKind(_BRANDS.get(head[8:11], "MP4"), "mov")
    if head[4:8] in (b"moov", b"mdat", b"wide"):
        return MediaKind("QuickTime", "mov")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return MediaKind("WebM" if b"webm" in head[:64] else "Matroska", "matroska")
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return MediaKind("AVI", "avi")
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:  # the layer, 0, tells it from MP3
        return MediaKind("AAC", "aac")
    if any(head[at : at + 1] == b"G" == head[at + size : at + size + 1] for at, size in ((0, 188), (4, 192))):
        return MediaKind("MPEG transport stream", "mpegts")
    if head.startswith(b"OggS") and any(word in head for word in (b"Speex   ", b"theora", b"fishead")):
        return MediaKind("Ogg", "ogg", try_libsndfile=True)
    if head.startswith(b"caff"):
        return MediaKind("CAF", "caf", try_libsndfile=True)
    return None


def media_command(kind: MediaKind, live: bool = False) -> list[str]:
    """Return the command of a child that decodes ``kind``; if ``live``, a stream, each packet as it comes.

    Raises:
        MediaExtraError: PyAV is not installed.
    """
    if importlib.util.find_spec("av") is None:
        raise MediaExtraError(f"is {kind.name}, which needs PyAV to be decoded: pip install 'thymos[media]'")
    # -P: beside the worker lie modules named as those of the standard library are.
    command = [sys.executable, "-P", str(_WORKER), kind.demuxer, str(BLOCK_FRAMES), str(MEMORY_BYTES), str(CPU_S)]
    return [*command, "live"] if live else command


@contextmanager
def open_media(source: Source, kind: MediaKind) -> Iterator[OpenSound]:
    """Open ``source``, a file of ``kind``, for decoding its (best) sound track block by block.

    A file object is read from where it stands.

    Packets that cannot be decoded are left out, as players do, unless they are more than the others.

    Raises:
        MediaExtraError: PyAV is not installed.
        AudioError: here, or from the blocks: it holds no sound that can be decoded, or the child ran out of its bounds.
    """
    with _as_file(source) as file:
        child = subprocess.Popen(media_command(kind), stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    try:
        header = json.loads(_message(child, child.stdout))
        frames = UNKNOWN_FRAMES if header["frames"] is None else header["frames"]
        info = AudioInfo(header["rate_hz"], header["channels"], frames, f"{kind.name} {header['codec']}")
        yield OpenSound(info, _blocks(child, child.stdout))
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


@contextmanager
def _as_file(source: Source) -> Iterator[IO[bytes]]:
    """Yield ``source`` as a file of the operating system, which a child can be given and seek in."""
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as copy:
        if isinstance(source, bytes):
            copy.write(source)
        else:
            shutil.copyfileobj(source, copy)
        copy.flush()
        copy.seek(0)
        yield copy


def following_bytes(start: bytes) -> int:
    """Return how many bytes follow the five that a child's message begins with."""
    return int.from_bytes(start[1:], "little")


def _blocks(child: "subprocess.Popen[bytes]", pipe: IO[bytes]) -> Iterator[Samples]:
    while content := _message(child, pipe):
        yield np.frombuffer(content, np.float32)


def _message(child: "subprocess.Popen[Any]", pipe: IO[bytes]) -> bytes:
    """Return the next message: a header, a block of samples, or nothing at the end."""
    start = pipe.read(5)
    n_bytes = following_bytes(start)
    content = pipe.read(n_bytes)
    if len(start) == 5 and len(content) == n_bytes:
        if start[:1] == b"!":
            raise AudioError(content.decode("utf-8", "replace"))
        return content
    code = child.wait()
    if code == -getattr(signal, "SIGPROF", signal.SIGTERM):
        raise AudioError(f"is damaged: decoding it took {CPU_S} s without giving sound")
    raise AudioError(f"is damaged: it made the decoder fail ({_death(code)})")


def _death(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
