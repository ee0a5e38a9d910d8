"""What libsndfile does not read: M4A, MP4, WebM, AMR, video files. FFmpeg decodes it, in a process of its own.

A file of 18 kB can make FFmpeg's MP4 reader take 3 GB and eight seconds, and no call of it can be interrupted. So
``media_worker.py`` decodes each file in a child process that the kernel bounds: how much memory it takes, how long it
computes without giving sound, and that it opens no file and no connection. The child is given the demuxer to use, so
that playlists (HLS, DASH, concat), which would name other files, are never read as such.
"""

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from thymos.audio.byte_view import PIECE_BYTES, ByteView
from thymos.audio.containers import MediaKind, Remark
from thymos.audio.mixing import RawBlock
from thymos.audio.source import BLOCK_FRAMES, UNKNOWN_FRAMES, AudioInfo, LocalSource, OpenSound
from thymos.errors import AudioError, MissingExtraError

MEMORY_BYTES = 432 << 20
"""What a child may take, in address space, beside Python and FFmpeg's libraries."""
CPU_S = 4
"""A child may compute this long, in seconds of processor time, until the first sound and from one block to the next."""

_WORKER = Path(__file__).with_name("media_worker.py")


class MediaExtraError(AudioError, MissingExtraError):
    """A file of a format that needs the extra ``media``, which is not installed."""


class MediaMachineError(AudioError):
    """This machine does not let a decoder start: no fault of the file's."""


def media_command(kind: MediaKind, live: bool = False) -> list[str]:
    """Return the command of a child that decodes ``kind``; if ``live``, a stream, each packet as it comes.

    Raises:
        MediaExtraError: PyAV is not installed.
    """
    if importlib.util.find_spec("av") is None:
        without = "is not read without PyAV" if " with " in kind.name else "needs PyAV to be decoded"
        raise MediaExtraError(f"is {kind.name}, which {without}: pip install 'thymos[media]'")
    # -P: beside the worker lie modules named as those of the standard library are.
    command = [sys.executable, "-P", str(_WORKER), kind.demuxer, str(BLOCK_FRAMES), str(MEMORY_BYTES), str(CPU_S)]
    return [*command, "live"] if live else command


@contextmanager
def open_media(source: LocalSource, kind: MediaKind) -> Iterator[OpenSound]:
    """Open ``source``, a file of ``kind``, for decoding its (best) sound track block by block, all channels.

    A file object is read from where it stands.

    Packets that cannot be decoded are left out, as players do, unless they are more than the others.

    Raises:
        MediaExtraError: PyAV is not installed.
        MediaMachineError: the child does not start.
        AudioError: here, or from the blocks: it holds no sound that can be decoded, or the child ran out of its bounds.
    """
    with ExitStack() as opened:
        said = opened.enter_context(_temporary())
        child = opened.enter_context(_child(source, kind, said))
        pipe = child.stdout
        assert pipe is not None
        header = json.loads(_message(child, pipe, said))
        frames = UNKNOWN_FRAMES if header["frames"] is None else header["frames"]
        info = AudioInfo(header["rate_hz"], header["channels"], frames, f"{kind.name} {header['codec']}")
        remarks: set[Remark] = set()
        yield OpenSound(info, _blocks(child, pipe, said, info.channels, remarks), remarks)


@contextmanager
def _child(source: LocalSource, kind: MediaKind, said: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    with _as_file(source) as file:
        try:
            child = subprocess.Popen(media_command(kind), stdin=file, stdout=subprocess.PIPE, stderr=said)
        except OSError as error:
            raise MediaMachineError(f"is not decoded: no process can be started here ({error.strerror})") from None
    assert child.stdout is not None
    try:
        yield child
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


@contextmanager
def _temporary() -> Iterator[IO[bytes]]:
    """Yield a file that is gone at the end.

    Raises:
        MediaMachineError: there is no room for one.
    """
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed below
    except OSError as error:
        raise MediaMachineError(f"is not decoded: no temporary file can be made here ({error.strerror})") from None
    with file:
        yield file


@contextmanager
def _as_file(source: LocalSource) -> Iterator[IO[bytes]]:
    """Yield ``source`` as a file of the operating system, which a child can be given and seek in."""
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            yield file
        return
    with _temporary() as copy:
        view = ByteView(io.BytesIO(source) if isinstance(source, bytes) else source)
        try:
            for start in range(0, view.size, PIECE_BYTES):
                copy.write(view.read(start, PIECE_BYTES))
            copy.flush()
        except OSError as error:
            if isinstance(error, AudioError):
                raise
            raise MediaMachineError(f"is not decoded: there is no room for a copy ({error.strerror})") from None
        copy.seek(0)
        yield copy


def following_bytes(start: bytes) -> int:
    """Return how many bytes follow the five that a child's message begins with."""
    return int.from_bytes(start[1:], "little")


def _blocks(
    child: "subprocess.Popen[bytes]", pipe: IO[bytes], said: IO[bytes], channels: int, remarks: set[Remark]
) -> Iterator[RawBlock]:
    while content := _message(child, pipe, said):
        yield np.frombuffer(content, np.float32).reshape(-1, channels)
    remarks.update(json.loads(_message(child, pipe, said)))


def _message(child: "subprocess.Popen[Any]", pipe: IO[bytes], said: IO[bytes]) -> bytes:
    """Return the next message: a header, blocks of samples, nothing at their end, and remarks."""
    start = pipe.read(5)
    n_bytes = following_bytes(start)
    content = pipe.read(n_bytes)
    if len(start) == 5 and len(content) == n_bytes:
        if start[:1] == b"!":
            raise AudioError(content.decode("utf-8", "replace"))
        return content
    code = child.wait()
    said.seek(0)
    last = said.read(1 << 16).decode("utf-8", "replace").split("\n")
    words = next((line.strip() for line in reversed(last) if line.strip()), "")
    if words:  # it says something only before it begins to decode
        raise MediaMachineError(f"is not decoded: the decoder's process does not start on this machine ({words[:200]})")
    if code == -getattr(signal, "SIGPROF", signal.SIGTERM):
        raise AudioError(f"is damaged: decoding it took {CPU_S} s without giving sound")
    if code == -getattr(signal, "SIGKILL", signal.SIGTERM):
        raise MediaMachineError("is not decoded: this machine ended the decoder's process; it may be short of memory")
    raise AudioError(f"is damaged: it made the decoder fail ({_death(code)})")


def _death(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
