"""The child process of ``media.py``, never imported: decodes standard input and writes its sound to standard output.

Messages are one byte of kind, four bytes of length (little-endian) and the content: first a header in JSON, then
blocks of float32, shape (samples, channels), then an empty one, and a list of remarks in JSON; or, at any time, ``!``
and a sentence that says what is wrong. It imports nothing of Thymos, so that it starts fast.
"""

# ruff: noqa: E402 - what numpy and FFmpeg do as they are loaded is settled before.

import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

# Libraries that reserve memory for a thread on each core would not start within bounds on a machine of many cores.
for _library in ("OMP", "OPENBLAS", "MKL", "BLIS"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"

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
    "aac aac_latm ac3 alac amrnb amrwb dca eac3 flac g723_1 g729 gsm gsm_ms iac imc libopencore_amrnb "
    "libopencore_amrwb libopus libspeex metasound mp1 mp1float mp2 mp2float mp3 mp3float nellymoser opus qdm2 qdmc "
    "sipr speex truespeech vorbis wmalossless wmapro wmav1 wmav2 wmavoice atrac1 atrac3 atrac3p g722 g726 g726le "
    "adpcm_ct adpcm_g722 adpcm_g726 adpcm_g726le adpcm_ima_dk3 adpcm_ima_dk4 adpcm_ima_oki adpcm_ima_qt adpcm_ima_wav "
    "adpcm_ms adpcm_sbpro_2 adpcm_sbpro_3 adpcm_sbpro_4 adpcm_swf adpcm_yamaha "
    "pcm_alaw pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_mulaw pcm_s16be pcm_s16le pcm_s24be pcm_s24le pcm_s32be "
    "pcm_s32le pcm_s64le pcm_s8 pcm_u8"
)
DECODERS = frozenset(_NAMES.split())
"""What speech comes in; FFmpeg has some 500 decoders, and none of the others, those of video above all, is ever run."""
UNFRAMED = ("aac", "speex")
"""In WAV, their frames, of unlike sizes, follow each other without a mark: FFmpeg's packets end within them."""
MOST_UNFRAMED = 4 << 20
LEAST_MISSING_S, MISSING_SHARE = 0.5, 0.02
"""A file that gives so much less than it says is cut short: headers round, and encoders pad."""
MOST_CHANNELS = 8
"""PyAV finds the planes of a frame by looking for a zero, which more than eight do not end with."""
MOST_EMPTY = 20_000
"""Packets in a row that may give no sound."""
TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


class Unusable(Exception):
    """The file cannot be decoded; its text says why."""


def main() -> None:
    """Decode within the bounds that the arguments set: demuxer, block length, address space, seconds without sound.

    A fifth, ``live``, says that standard input is a stream, whose sound is wanted as it comes, mono, without remarks.
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
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what is said from here on nobody hears
    try:
        import resource
    except ImportError:
        return
    os.closerange(3, 64)
    for kind, wanted in (
        (resource.RLIMIT_AS, _address_space() + memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 3),  # standard input, output and error, and nothing more
    ):
        hardest = resource.getrlimit(kind)[1]  # which the machine may have set lower
        most = wanted if hardest == resource.RLIM_INFINITY else min(wanted, hardest)
        resource.setrlimit(kind, (most, most))
    _grant(cpu_s)


def _address_space() -> int:
    """Return how much of its address space this process uses, in bytes: what it loads is larger on some machines."""
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123 - pathlib takes time to load
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 256 << 20


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
    container, stream = _opened(demuxer, live)
    codec = stream.codec_context.name
    blocks, tally = _Blocks(block_frames, live), PacketCounts()
    rate_hz = channels = 0
    claimed: int | None = None
    unframed = demuxer == "wav" and codec in UNFRAMED
    for frame in _frames(_joined if unframed else _packets, container, stream, tally):
        if not rate_hz:
            rate_hz, channels = frame.sample_rate, frame.layout.nb_channels
            claimed = _claimed(container, stream, rate_hz)
            header = {"rate_hz": rate_hz, "channels": channels, "codec": codec, "frames": claimed}
            yield json.dumps(header).encode()
        elif frame.sample_rate != rate_hz:
            raise Unusable(f"changes its sampling rate from {rate_hz} to {frame.sample_rate} Hz on the way")
        yield from blocks.take(_conformed(_values(frame), channels))
    if not rate_hz:
        raise Unusable("holds no samples")
    yield from blocks.rest()
    yield b""
    if live:
        return
    missing = 0 if claimed is None else claimed - blocks.taken
    is_short = tally.ends_torn or missing > max(LEAST_MISSING_S * rate_hz, MISSING_SHARE * (claimed or 0))
    remarks = [*(["cut_short"] if is_short else []), *(["damaged"] if tally.bad else [])]
    yield json.dumps(remarks).encode()


def _opened(demuxer: str, live: bool) -> tuple[Any, Any]:
    """Return what is on standard input, and its sound track; of other tracks nothing is read."""
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
    return container, stream


class _Blocks:
    """Sound in blocks of one length; live, whatever comes at once, as the mean of its channels."""

    def __init__(self, block_frames: int, live: bool):
        self.taken = 0
        self._block_frames, self._live = block_frames, live
        self._kept: list[Any] = []
        self._n_kept = 0

    def take(self, values: Any) -> Iterator[bytes]:
        """Take ``values``, shape ``(samples, channels)``, and yield the blocks that are full."""
        self.taken += len(values)
        if self._live:
            yield values.mean(axis=1, dtype=np.float32).tobytes()
            return
        self._kept.append(values)
        self._n_kept += len(values)
        if self._n_kept >= self._block_frames:
            joined = np.concatenate(self._kept)
            whole = self._n_kept - self._n_kept % self._block_frames
            for start in range(0, whole, self._block_frames):
                yield joined[start : start + self._block_frames].tobytes()
            self._kept, self._n_kept = [joined[whole:]], self._n_kept - whole

    def rest(self) -> Iterator[bytes]:
        """Yield what is left, which is less than a block, if anything is."""
        if self._n_kept:
            yield np.concatenate(self._kept).tobytes()


class PacketCounts:
    """What became of packets: decoded, damaged with others behind them, not decoded; and whether the last was torn."""

    good = bad = lost = 0
    ends_torn = False


def _frames(packets: Any, container: Any, stream: Any, tally: PacketCounts) -> Iterator[Any]:
    empty = 0
    for packet in packets(container, stream, tally):
        torn = False
        try:
            frames = [frame for frame in stream.decode(packet) if frame.samples]
            tally.good += 1
        except (av.error.InvalidDataError, av.error.PatchWelcomeError):
            frames, torn = [], True
        if packet.size:  # the last one is empty: it asks for what the decoder still holds
            tally.bad += tally.ends_torn and not torn
            tally.ends_torn = torn or packet.is_corrupt
        empty = 0 if frames else empty + 1
        if empty > MOST_EMPTY:
            raise Unusable(f"is damaged: {MOST_EMPTY} packets in a row hold no sound")
        yield from frames
        if torn:
            tally.lost += 1
    if tally.lost > tally.good:
        raise Unusable("is damaged: most of it cannot be decoded")


def _packets(container: Any, stream: Any, tally: PacketCounts) -> Iterator[Any]:
    """Yield packets; where the file breaks off in one, what came before it counts."""
    try:
        yield from container.demux(stream)
    except (av.error.InvalidDataError, av.error.EOFError):
        if not tally.good:
            raise
        tally.ends_torn = True


def _joined(container: Any, stream: Any, tally: PacketCounts) -> Iterator[Any]:
    """Yield all that is in packets as a single one, in which the decoder finds its frames, one behind the other."""
    content = bytearray()
    for packet in _packets(container, stream, tally):
        content += bytes(packet)
        if len(content) > MOST_UNFRAMED:
            raise Unusable(
                f"is too long for a codec that WAV does not divide into frames ({stream.codec_context.name})"
            )
    yield av.Packet(bytes(content))
    yield av.Packet(0)


def _claimed(container: Any, stream: Any, rate_hz: int) -> int | None:
    """Return how many frames the header says there are, if it does."""
    if stream.duration is not None and stream.time_base is not None:
        claimed = round(stream.duration * stream.time_base * rate_hz)
    elif container.duration is not None:
        claimed = round(container.duration * rate_hz / av.time_base)
    else:
        return None
    return claimed if 0 < claimed < 1 << 62 else None


def _values(frame: Any) -> Any:
    """Return a frame's samples as float32 at ±1, shape ``(samples, channels)``."""
    channels, name = frame.layout.nb_channels, frame.format.name
    if not 1 <= channels <= MOST_CHANNELS:
        raise Unusable(f"has {channels} channels, more than {MOST_CHANNELS}")
    kind = np.dtype(TYPES[name.removesuffix("p")])
    if frame.format.is_planar:
        planes = frame.planes[:channels]
        values = np.stack([np.frombuffer(plane, kind, frame.samples) for plane in planes], axis=1)
    else:
        values = np.frombuffer(frame.planes[0], kind, frame.samples * channels).reshape(-1, channels)
    if kind.kind == "u":
        return (values.astype(np.float32) - 128) / 128
    if kind.kind == "i":
        return (values / float(1 << (8 * kind.itemsize - 1))).astype(np.float32)
    return values.astype(np.float32)


def _conformed(values: Any, channels: int) -> Any:
    """Return samples with as many channels as the first ones: those of AAC may change on the way."""
    if values.shape[1] == channels:
        return values
    return np.repeat(values.mean(axis=1, keepdims=True), channels, axis=1)


if __name__ == "__main__":
    main()
