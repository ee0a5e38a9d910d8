"""The one table of what can be heard, and by what: corpora, ``predict``, ``enrol`` and the pages of docs go by it.

And what may be remarked of a file that was heard. Nothing here loads a library.
"""

from dataclasses import dataclass
from typing import Literal

Reader = Literal["libsndfile", "libsndfile or media", "media"]
"""``libsndfile`` comes with every install; ``media`` is the extra, which brings FFmpeg."""
HEAD_BYTES = 512
"""How much of a file ``media_kind`` looks at."""


@dataclass(frozen=True)
class SoundFormat:
    """A kind of file.

    Attributes:
        name: what users call it.
        suffixes: of its files, which are looked for in folders; what a file is, its content tells.
        holds: the codecs that are read.
        reader: what reads it.
    """

    name: str
    suffixes: str
    holds: str
    reader: Reader


FORMATS = (
    SoundFormat("WAV", ".wav .wave", "PCM, float, A-law, µ-law, GSM 6.10, Microsoft and IMA ADPCM, MP3", "libsndfile"),
    SoundFormat(
        "WAV with other codecs", ".wav", "AAC, Windows Media Audio, Speex, G.722, G.723.1, G.726, G.729, MP2, AMR, "
        "AC-3, DTS, ATRAC3, TrueSpeech, other ADPCM", "media",
    ),
    SoundFormat("RF64, BW64, Wave64", ".rf64 .bw64 .w64", "as WAV", "libsndfile"),
    SoundFormat("FLAC", ".flac", "also streamed, joined, or in Ogg", "libsndfile"),
    SoundFormat("Ogg", ".ogg .oga .opus", "Vorbis, Opus, FLAC, also chained", "libsndfile"),
    SoundFormat("Ogg Speex, Ogg video", ".spx .ogv", "Speex; the sound beside Theora; damaged Vorbis", "media"),
    SoundFormat("MP3, MP2", ".mp3 .mp2 .mpga", "also joined", "libsndfile"),
    SoundFormat("AIFF, AIFF-C", ".aif .aiff .aifc", "PCM, float, A-law, µ-law", "libsndfile or media"),
    SoundFormat("AU, SPHERE", ".au .snd .sph", "PCM, float, A-law, µ-law", "libsndfile"),
    SoundFormat("CAF", ".caf", "PCM, float, A-law, µ-law, ALAC; others by media", "libsndfile or media"),
    SoundFormat(
        "MP4, M4A, QuickTime, 3GP", ".m4a .m4b .m4r .mp4 .m4v .mov .qt .qta .3gp .3ga .3g2",
        "AAC, ALAC, AMR, MP3, Opus, PCM", "media",
    ),
    SoundFormat("WebM, Matroska", ".webm .weba .mkv .mka", "Opus, Vorbis, AAC, MP3, FLAC, PCM", "media"),
    SoundFormat("AAC", ".aac", "ADTS", "media"),
    SoundFormat("AMR", ".amr", "narrow and wide band", "media"),
    SoundFormat("WMA, WMV", ".wma .wmv .asf", "Windows Media Audio", "media"),
    SoundFormat("AVI, FLV", ".avi .flv", "the sound beside the images", "media"),
    SoundFormat("MPEG", ".mpg .mpeg .mts .m2ts", "MP2, MP3, AAC, AC-3", "media"),
)  # fmt: skip


def _suffixes(*readers: Reader) -> frozenset[str]:
    return frozenset(suffix for each in FORMATS if each.reader in readers for suffix in each.suffixes.split())


AUDIO_SUFFIXES = _suffixes("libsndfile", "libsndfile or media") - {".caf"}
"""Of files that every install reads."""
MEDIA_SUFFIXES = _suffixes("media") - AUDIO_SUFFIXES | {".caf"}
"""Of files that the extra ``media`` is for; that of transport streams, .ts, is TypeScript's too."""
SOUND_SUFFIXES = AUDIO_SUFFIXES | MEDIA_SUFFIXES
"""Of all that can be heard."""


@dataclass(frozen=True)
class MediaKind:
    """A container that FFmpeg reads.

    Attributes:
        name: what users call it.
        demuxer: FFmpeg's reader of it.
        try_libsndfile: whether libsndfile reads some files of it.
    """

    name: str
    demuxer: str
    try_libsndfile: bool = False


_BRANDS = {b"M4A": "M4A", b"M4B": "M4A", b"qt ": "QuickTime", b"3gp": "3GP", b"3g2": "3GP"}
_STARTS = {
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": ("WMA or WMV", "asf"),
    b"#!AMR": ("AMR", "amr"),
    b"FLV\x01": ("FLV", "flv"),
    b"\0\0\x01\xba": ("MPEG video", "mpeg"),
}


def media_kind(head: bytes) -> MediaKind | None:
    """Return the container that a file which begins with ``head`` is in, if it is one that FFmpeg is needed for."""
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
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return MediaKind("AIFF", "aiff", try_libsndfile=True)
    return None


Remark = Literal[
    "cut_short", "damaged", "rescaled", "offset", "clipped", "inverted_channel", "silent_channel", "mixed_channels"
]
"""What was found in a sound, or done to it, on its way in; ``REMARKS`` says it in words."""
REMARKS: dict[Remark, str] = {
    "cut_short": "the file ends before its sound does",
    "damaged": "parts of the file are damaged and were left out",
    "rescaled": "samples were divided by the full scale of integers",
    "offset": "a constant offset was taken off",
    "clipped": "the sound is clipped",
    "inverted_channel": "a channel was recorded upside down and turned round",
    "silent_channel": "one of the channels is silent",
    "mixed_channels": "channels that differ were mixed; --channels split hears each by itself",
}
