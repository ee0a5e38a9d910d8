"""The child process of ``media.py``, never imported: decodes standard input and writes its sound to standard output.

Messages are one byte of kind, four bytes of length (little-endian) and the content: first JSON, then blocks of float32,
then an empty one; or, at any time, ``!`` and a sentence that says what is wrong. It imports nothing of Thymos, so that
it starts fast.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import av

# What PyAV imports as it goes must be there before no more file can be opened.
import av.audio.codeccontext
import av.audio.stream
import av.container.streams
import av.subtitles.codeccontext
import av.subtitles.stream
import av.video.codeccontext
import av.video.stream
import numpy as np

_NAMES = (
    "aac aac_latm ac3 adpcm_ima_qt adpcm_ima_wav adpcm_ms adpcm_swf alac amrnb amrwb eac3 flac gsm gsm_ms "
    "libopencore_amrnb libopencore_amrwb libopus libspeex mp1 mp1float mp2 mp2float mp3 mp3float nellymoser opus "
    "pcm_alaw pcm_f32be pcm_f32le pcm_f64le pcm_mulaw pcm_s16be pcm_s16le pcm_s24be pcm_s24le pcm_s32be pcm_s32le "
    "pcm_u8 qdm2 speex vorbis wmapro wmav1 wmav2 wmavoice"
)
DECODERS = frozenset(_NAMES.split())
"""What speech comes in; FFmpeg has some 500 decoders, and none of the others, those of video above all, is ever run."""
MOST_CHANNELS = 8
"""PyAV finds the planes of a frame by looking for a zero, which more than eight do not end with."""
MOST_EMPTY = 20_000
"""Packets in a row that may give no sound."""
TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


class Unusable(Exception):
    """The file cannot be decoded; its text says why."""


def main() -> None:
    """Decode within the bounds that the arguments set: demuxer, block length, address space, seconds without sound.

    A fifth, ``live``, says that standard input is a stream, whose sound is wanted as it comes.
    """
    demuxer, block_frames, memory_bytes, cpu_s = sys.argv[1], *map(int, sys.argv[2:5])
    _bound(memory_bytes, cpu_s)
    try:
        for message in _messages(demuxer, block_frames, sys.argv[5:] == ["live"]):
            _send(b" ", message)
            _grant(cpu_s)
    except Unusable as error:
        _send(b"!", str(error).encode())
    except MemoryError:
        _send(b"!", f"would take more than {memory_bytes >> 20} MiB to decode".encode())
    except av.FFmpegError as error:
        _send(b"!", f"is cut off or damaged ({error.strerror})".encode())
    except BrokenPipeError:
        os._exit(0)  # nobody listens any more


def _bound(memory_bytes: int, cpu_s: int) -> None:
    """Let the kernel keep this process from all but decoding; where there is no such kernel, as on Windows, go on."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # standard input, output and error, and nothing more
    _grant(cpu_s)


def _grant(cpu_s: int) -> None:
    """Have this process killed after ``cpu_s`` seconds of computing, unless it is granted more before."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, cpu_s)


def _send(kind: bytes, content: bytes) -> None:
    sys.stdout.buffer.write(kind + len(content).to_bytes(4, "little") + content)
    sys.stdout.buffer.flush()


def _refuse(url: str, flags: int, options: dict[str, str]) -> Any:
    """A container that asks for another file gets none."""
    raise PermissionError(f"{url!r} is another file")


class _AsItComes:
    """Standard input, of which a read returns what there is: a whole buffer of speech would take seconds to fill."""

    def read(self, size: int) -> bytes:
        return os.read(0, size)


def _messages(demuxer: str, block_frames: int, live: bool) -> Iterator[bytes]:
    # A name that no protocol has: the file is open already, and nothing else shall be.
    options = {
        "protocol_whitelist": "none",
        "format_whitelist": f"{demuxer},mov,matroska",
        "codec_whitelist": ",".join(sorted(DECODERS)),
    }
    if live:
        options["analyzeduration"] = "0"
    container = av.open(
        _AsItComes() if live else sys.stdin.buffer,
        "r",
        format=demuxer,
        container_options=options,
        metadata_errors="replace",
        io_open=_refuse,
    )
    stream = container.streams.best("audio")
    if stream is None:
        raise Unusable("has no sound track")
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all
    context = stream.codec_context
    if context is None or context.name not in DECODERS:
        raise Unusable(f"has sound in a codec that is not decoded ({'unknown' if context is None else context.name})")
    context.thread_count = 1
    rate_hz, kept, n_kept = 0, [], 0
    for frame in _frames(container, stream):
        if not rate_hz:
            rate_hz = frame.sample_rate
            header = {"rate_hz": rate_hz, "channels": frame.layout.nb_channels, "codec": context.name}
            yield json.dumps(header | {"frames": _claimed(container, stream, rate_hz)}).encode()
        elif frame.sample_rate != rate_hz:
            raise Unusable(f"changes its sampling rate from {rate_hz} to {frame.sample_rate} Hz on the way")
        kept.append(_mono(frame))
        n_kept += len(kept[-1])
        if live:
            yield kept.pop().tobytes()
            n_kept = 0
        elif n_kept >= block_frames:
            joined = np.concatenate(kept)
            whole = n_kept - n_kept % block_frames
            for start in range(0, whole, block_frames):
                yield joined[start : start + block_frames].tobytes()
            kept, n_kept = [joined[whole:]], n_kept - whole
    if not rate_hz:
        raise Unusable("holds no samples")
    if n_kept:
        yield np.concatenate(kept).tobytes()
    yield b""


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    good, bad, empty = 0, 0, 0
    for packet in container.demux(stream):
        try:
            frames = [frame for frame in packet.decode() if frame.samples]
            good += 1
        except (av.error.InvalidDataError, av.error.PatchWelcomeError):
            frames, bad = [], bad + 1
        empty = 0 if frames else empty + 1
        if empty > MOST_EMPTY:
            raise Unusable(f"is damaged: {MOST_EMPTY} packets in a row hold no sound")
        yield from frames
    if bad > good:
        raise Unusable("is damaged: most of it cannot be decoded")


def _claimed(container: Any, stream: Any, rate_hz: int) -> int | None:
    """Return how many frames the header says there are, if it does."""
    if stream.duration is not None and stream.time_base is not None:
        claimed = round(stream.duration * stream.time_base * rate_hz)
    elif container.duration is not None:
        claimed = round(container.duration * rate_hz / av.time_base)
    else:
        return None
    return claimed if 0 < claimed < 1 << 62 else None


def _mono(frame: Any) -> Any:
    """Return a frame's samples as float32 at ±1, shape ``(samples,)``, channels averaged."""
    channels, name = frame.layout.nb_channels, frame.format.name
    if not 1 <= channels <= MOST_CHANNELS:
        raise Unusable(f"has {channels} channels, more than {MOST_CHANNELS}")
    kind = np.dtype(TYPES[name.removesuffix("p")])
    if frame.format.is_planar:
        planes = frame.planes[:channels]
        samples = np.stack([np.frombuffer(plane, kind, frame.samples) for plane in planes])
    else:
        samples = np.frombuffer(frame.planes[0], kind, frame.samples * channels).reshape(-1, channels).T
    if kind.kind == "u":
        samples = (samples.astype(np.float32) - 128) / 128
    elif kind.kind == "i":
        samples = (samples / float(1 << (8 * kind.itemsize - 1))).astype(np.float32)
    return samples[0].astype(np.float32) if channels == 1 else samples.mean(axis=0, dtype=np.float32)


if __name__ == "__main__":
    main()
