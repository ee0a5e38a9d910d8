"""A file of sound is looked at before it is decoded: is all of it there, and what would libsndfile not see by itself?

libsndfile reads one sound from a file, believes its header and ends early without a word. So joined files are told
apart, lengths that were never filled in are, and what is missing or damaged becomes a remark.
"""

from collections.abc import Callable

from thymos.audio.byte_view import ByteView
from thymos.audio.chunks import (
    FORMS,
    W64_FORM,
    aiff_structure,
    au_structure,
    caf_structure,
    w64_structure,
    wav_structure,
)
from thymos.audio.mpeg import before_tags, is_header, mpeg_structure
from thymos.audio.ogg import ogg_structure
from thymos.audio.source import SoundPart, Structure

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
