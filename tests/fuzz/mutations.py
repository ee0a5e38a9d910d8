"""Hostile files, made from a few honest ones: each is known by its number and a seed, so that it can be repeated."""

import io
import random
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from structure import fields_of, parts_of, put, with_checksums

RATE_HZ = 24_000
LIBSNDFILE = [
    ("wav", "WAV", "PCM_16"), ("wav", "WAV", "PCM_24"), ("wav", "WAV", "FLOAT"), ("wav", "WAV", "DOUBLE"),
    ("wav", "WAV", "MS_ADPCM"), ("wav", "WAV", "IMA_ADPCM"), ("wav", "WAV", "ULAW"), ("wav", "WAVEX", "PCM_16"),
    ("wav", "RF64", "PCM_16"), ("w64", "W64", "PCM_16"), ("aiff", "AIFF", "PCM_16"), ("au", "AU", "ALAW"),
    ("caf", "CAF", "PCM_16"), ("flac", "FLAC", "PCM_16"), ("flac", "FLAC", "PCM_24"), ("ogg", "OGG", "VORBIS"),
    ("opus", "OGG", "OPUS"), ("opus", "OGG", "OPUS"), ("mp3", "MP3", "MPEG_LAYER_III"),
    ("aiff", "AIFF", "FLOAT"), ("au", "AU", "FLOAT"), ("caf", "CAF", "ALAC_16"), ("w64", "W64", "FLOAT"),
    ("sph", "NIST", "PCM_16"), ("rf64", "RF64", "FLOAT"),
]  # fmt: skip
MEDIA = [
    ("m4a", "ipod", "aac", 44_100, None), ("m4a", "ipod", "alac", 44_100, None),
    ("mp4", "mp4", "aac", 48_000, "mpeg4"), ("mov", "mov", "aac", 48_000, "mpeg4"),
    ("3gp", "3gp", "libopencore_amrnb", 8_000, None), ("aac", "adts", "aac", 44_100, None),
    ("amr", "amr", "libopencore_amrnb", 8_000, None), ("webm", "webm", "libopus", 48_000, None),
    ("mkv", "matroska", "libopus", 48_000, "mpeg4"), ("avi", "avi", "libmp3lame", 44_100, "mpeg4"),
    ("flv", "flv", "aac", 44_100, None), ("mts", "mpegts", "aac", 48_000, "mpeg2video"),
]  # fmt: skip
EXTREMES = (0, 1, 2, 255, 0x7F, 0x7FFF, 0xFFFF, 655_350, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)
MAGICS = (
    b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC\0\0\0\x22", b"OggS\0\2", b"ID3\3\0\0\0\0\0\0", b"\xff\xfb\x90\0",
    b"FORM\xff\xff\xff\xffAIFF", b".snd\0\0\0\x18", b"riff\x2e\x91\xcf\x11", b"caff\0\1\0\0desc",
    b"\0\0\0\x20ftypM4A ", b"\x1a\x45\xdf\xa3", b"#!AMR\n", b"RIFF\xff\xff\xff\xffAVI LIST", b"FLV\1\5\0\0\0\x09",
    b"\xff\xf1\x50\x80", b"G@\x11\x10", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One hostile file.

    Attributes:
        name: what was done to which file.
        suffix: of the name that it is given.
        content: its bytes.
        kind: the container that it was, or claims to be.
    """

    name: str
    suffix: str
    content: bytes
    kind: str = "made up"


def seeds(clip: Path, media: bool, seconds: float = 1.25) -> tuple[list[Case], list[Case]]:
    """Return the start of ``clip`` in every format that libsndfile writes here and, if asked for, that PyAV does."""
    samples, rate_hz = soundfile.read(clip, dtype="float32")
    samples = samples[: round(rate_hz * seconds)]
    made = []
    for suffix, container, subtype in LIBSNDFILE:
        file = io.BytesIO()
        soundfile.write(file, samples, rate_hz, subtype, format=container)
        kind = {"WAVEX": "WAV", "OGG": f"Ogg {subtype.capitalize()}", "NIST": "SPHERE"}.get(container, container)
        made.append(Case(f"{container} {subtype}", suffix, file.getvalue(), kind))
    return made, [_with_pyav(samples, rate_hz, *entry) for entry in MEDIA] if media else []


def _with_pyav(samples: np.ndarray, rate_hz: int, suffix: str, muxer: str, codec: str, to_hz: int, video: str | None):
    import av
    import soxr

    file = io.BytesIO()
    with av.open(file, "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=to_hz, layout="mono")
        if video:
            images = container.add_stream(video, rate=25)
            images.width, images.height, images.pix_fmt = 64, 64, "yuv420p"
            for number in range(25):
                image = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 9 * number, np.uint8), "rgb24")
                image.pts = number
                container.mux(images.encode(image))
            container.mux(images.encode(None))
        frame = av.AudioFrame.from_ndarray(soxr.resample(samples, rate_hz, to_hz)[None], "fltp", "mono")
        frame.sample_rate = to_hz
        fitting = av.AudioResampler(stream.codec_context.format, "mono", to_hz)
        for part in [*fitting.resample(frame), *fitting.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return Case(f"{muxer} {codec}", suffix, file.getvalue(), _MEDIA_KINDS.get(muxer, muxer.upper()))


_MEDIA_KINDS = {
    "ipod": "MP4", "mp4": "MP4", "mov": "MP4", "3gp": "MP4", "webm": "Matroska", "matroska": "Matroska",
    "adts": "AAC", "mpegts": "MPEG-TS",
}  # fmt: skip


def mutated(number: int, seed: int, honest: list[Case]) -> Case:
    """Return the case of that number: one mutation of one of ``honest``, or a file made up."""
    rng = random.Random(f"{seed}:{number}")
    change = rng.choices(list(CHANGES), list(CHANGES.values()))[0]
    case = rng.choice(honest)
    if change in (_splice, _join):
        return change(rng, case, rng.choice(honest))
    return change(rng, case)


def _made(case: Case, what: str, content: bytes) -> Case:
    return Case(f"{case.name} {what}", case.suffix, content, case.kind)


def _cut(rng: random.Random, case: Case) -> Case:
    at = rng.randrange(256) if rng.random() < 0.5 else rng.randrange(len(case.content))
    return _made(case, f"cut at {at}", case.content[:at])


def _cut_at_part(rng: random.Random, case: Case) -> Case:
    part = rng.choice(parts_of(case.content))
    at = max(0, rng.choice((part.start, part.start + part.head, part.stop)) + rng.choice((-1, 0, 0, 1, 4)))
    return _made(case, f"cut at {at}, near the edge of a part", case.content[:at])


def _forged_length(rng: random.Random, case: Case) -> Case:
    sized = [part for part in parts_of(case.content) if part.size_at is not None]
    if not sized:
        return _forged_field(rng, case)
    content = bytearray(case.content)
    for part in rng.sample(sized, min(len(sized), rng.choice((1, 1, 1, 2)))):
        assert part.size_at is not None
        own, size = part.stop - part.start, struct.calcsize(part.size_form)
        length = rng.choice((*EXTREMES, own - 1, own + 1, 2 * own, len(content), len(content) - part.start, own - 8))
        packed = struct.pack(part.size_form[0] + "Q", length & (1 << 64) - 1)
        packed = packed[:size] if part.size_form[0] == "<" else packed[-size:]
        content[part.size_at : part.size_at + size] = packed[: len(content) - part.size_at]
    return _made(case, "with forged lengths", with_checksums(bytes(content)))


def _forged_field(rng: random.Random, case: Case) -> Case:
    fields = fields_of(case.content)
    if not fields:
        return _number(rng, case)
    content = bytearray(case.content)
    for field in rng.sample(fields, min(len(fields), rng.choice((1, 1, 2, 3)))):
        put(content, field, rng.choice(field.values))
    return _made(case, "with forged fields", with_checksums(bytes(content)))


def _pieces(content: bytes) -> list[bytes]:
    """Return what stands at the top of a file: parts that lie in others come with these."""
    pieces, at = [], 0
    for part in parts_of(content):
        if part.start >= at:
            pieces.append(content[at : part.stop])
            at = part.stop
    return [*pieces, content[at:]] if at < len(content) else pieces


def _reordered(rng: random.Random, case: Case) -> Case:
    pieces = _pieces(case.content)
    at, other = rng.randrange(len(pieces)), rng.randrange(len(pieces))
    what = rng.choice(("left out", "twice", "swapped", "last", "first", "many times"))
    if what == "left out":
        del pieces[at]
    elif what in ("twice", "many times"):
        pieces[at] *= 2 if what == "twice" else max(2, min(200, 50_000 // max(1, len(pieces[at]))))
    elif what == "swapped":
        pieces[at], pieces[other] = pieces[other], pieces[at]
    else:
        pieces.insert(len(pieces) if what == "last" else 0, pieces.pop(at))
    return _made(case, f"with part {at} {what}", b"".join(pieces))


def _splice(rng: random.Random, case: Case, other: Case) -> Case:
    pieces, strange = _pieces(case.content), _pieces(other.content)
    at = rng.randrange(len(pieces) + 1)
    pieces[at : at + rng.choice((0, 1))] = rng.sample(strange, min(len(strange), rng.choice((1, 1, 3))))
    return _made(case, f"with parts of {other.name} from part {at} on", b"".join(pieces))


def _join(rng: random.Random, case: Case, other: Case) -> Case:
    between = rng.choice((b"", b"", b"\0", bytes(512), b"TAG" + bytes(125)))
    return _made(case, f"joined to {other.name}", case.content + between + other.content)


def _flip(rng: random.Random, case: Case) -> Case:
    content, flips = bytearray(case.content), rng.choice((1, 3, 20, 200))
    region = rng.choice((64, 512, len(content)))
    for _ in range(flips):
        content[rng.randrange(min(region, len(content)))] ^= 1 << rng.randrange(8)
    return _made(case, f"with {flips} bits flipped in {region} bytes", bytes(content))


def _number(rng: random.Random, case: Case) -> Case:
    content = bytearray(case.content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(min(rng.choice((64, 256, len(content))), len(content) - 8))
        form = rng.choice(("<I", ">I", "<H", ">H", "<Q", ">Q"))
        packed = struct.pack(form[0] + "Q", rng.choice(EXTREMES))
        size = struct.calcsize(form)
        content[at : at + size] = packed[:size] if form[0] == "<" else packed[-size:]
    return _made(case, "with forged numbers", bytes(content))


def _shuffle(rng: random.Random, case: Case) -> Case:
    content = case.content
    start, stop = sorted(rng.randrange(len(content)) for _ in range(2))
    part = content[start:stop]
    what, middle = rng.choice(
        (("left out", b""), ("twice", part * 2), ("zeroed", bytes(len(part))), ("noise", rng.randbytes(len(part))))
    )
    return _made(case, f"with {start} to {stop} {what}", content[:start] + middle + content[stop:])


def _noise(rng: random.Random, case: Case) -> Case:
    magic = rng.choice((b"", rng.choice(MAGICS), case.content[: rng.randrange(16, 300)]))
    content = magic + rng.randbytes(rng.choice((0, 1, 40, 700, 30_000)))
    return Case(f"noise after {magic[:12]!r}", case.suffix, content)


def _riff(rng: random.Random, case: Case) -> Case:
    data = rng.randbytes(rng.choice((0, 1, 2, 44, 4_000, 50_000)))
    content = wav(
        data,
        channels=rng.choice((0, 1, 2, 3, 32, 33, 255, 65_535)),
        rate_hz=rng.choice((0, 1, 999, 1_000, 8_000, 44_100, 384_000, 655_350, 0x7FFFFFFF, 0xFFFFFFFF)),
        bits=rng.choice((0, 1, 4, 7, 8, 16, 24, 32, 64, 65_535)),
        code=rng.choice((0, 1, 2, 3, 6, 7, 0x11, 0x31, 0x55, 0x64, 0xFFFE)),
        claimed=rng.choice((0, 1, len(data), len(data) + 1, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFF)),
    )
    return Case("WAV with a forged header", "wav", content, "WAV")


def _not_finite(rng: random.Random, case: Case) -> Case:
    samples = np.random.default_rng(rng.randrange(1 << 32)).normal(0, 0.1, 30_000).astype("<f4")
    value = np.float32(rng.choice((np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-44)))
    samples[:: rng.choice((1, 2, 29_999))] = value
    content = wav(samples.tobytes(), rate_hz=16_000, bits=32, code=3)
    return Case(f"WAV of floats with {value}", "wav", content, "WAV")


CHANGES = {
    _forged_length: 16, _forged_field: 20, _reordered: 10, _splice: 8, _join: 4, _cut_at_part: 8,
    _cut: 9, _flip: 9, _number: 5, _shuffle: 5, _noise: 3, _riff: 2, _not_finite: 1,
}  # fmt: skip
"""How often each is drawn: mostly those that know how a file is built, as what is struck at random is soon refused."""


def wav(
    data: bytes, channels: int = 1, rate_hz: int = 16_000, bits: int = 16, code: int = 1, claimed: int | None = None
):
    """Return a WAV file whose header says whatever it is told to."""
    frame, claimed = channels * bits // 8, len(data) if claimed is None else claimed
    form = struct.pack("<HHIIHH", code, channels, rate_hz, rate_hz * frame & 0xFFFFFFFF, frame & 0xFFFF, bits & 0xFFFF)
    return (
        b"RIFF"
        + struct.pack("<I", min(claimed + 36, 0xFFFFFFFF))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + (b"data" + struct.pack("<I", claimed) + data)
    )
