"""Timelines in the formats of those who annotate, subtitle and cut sound: from when to when, of one recording.

Where nobody speaks there is an empty interval, or none, as the format has it; never an emotion.
"""

import importlib
import mimetypes
import urllib.parse
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from thymos.errors import MissingExtraError

TIER = "emotion"
SHORTEST_CAPTION_S = 1.0
"""What is shown for less cannot be read."""
_NO_DATE = "1970-01-01T00:00:00+00:00"
"""ELAN demands one, and the same sound is to give the same bytes."""
_Row = dict[str, Any]


def annotated(rows: Sequence[_Row], format: str) -> str:
    """Return the timelines of ``rows`` in the format of that name; of more than one recording, only RTTM can be made.

    Raises:
        MissingExtraError: the format needs a library that is not installed.
    """
    heard = [row for row in rows if "error" not in row]
    return "".join(map(_WRITERS[format], heard))


def textgrid(row: _Row) -> str:
    """Return ``row``'s timeline as Praat's TextGrid, long format: one tier of intervals, empty where none is heard.

    Source: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
    """
    end_s = row["duration_s"]
    stretches = [at for at in row["timeline"] if at["end_s"] > at["start_s"]]
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end_s}",
        "tiers? <exists>",
        "size = 1",
        "item []:",
        "    item [1]:",
        '        class = "IntervalTier"',
        f'        name = "{TIER}"',
        "        xmin = 0",
        f"        xmax = {end_s}",
        f"        intervals: size = {len(stretches)}",
    ]
    for number, at in enumerate(stretches, 1):
        text = (at["emotion"] or "").replace('"', '""')
        lines += [
            f"        intervals [{number}]:",
            f"            xmin = {at['start_s']}",
            f"            xmax = {at['end_s']}",
            f'            text = "{text}"',
        ]
    return "\n".join(lines) + "\n"


def srt(row: _Row) -> str:
    """Return ``row``'s timeline as SubRip subtitles; where none is heard, there is none."""
    return "\n".join(
        f"{number}\n{_clock(start_s, ',')} --> {_clock(end_s, ',')}\n{text}\n"
        for number, (start_s, end_s, text) in enumerate(_captions(row), 1)
    )


def web_vtt(row: _Row) -> str:
    """Return ``row``'s timeline as WebVTT; see ``srt``.

    Source: https://www.w3.org/TR/webvtt1/
    """
    marks = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    return "WEBVTT\n\n" + "\n".join(
        f"{_clock(start_s, '.')} --> {_clock(end_s, '.')}\n{text.translate(marks)}\n"
        for start_s, end_s, text in _captions(row)
    )


def audacity(row: _Row) -> str:
    """Return ``row``'s timeline as a label track of Audacity: start and end in seconds, and the emotion.

    Source: https://manual.audacityteam.org/man/importing_and_exporting_labels.html
    """
    return "".join(f"{at['start_s']:.6f}\t{at['end_s']:.6f}\t{at['emotion']}\n" for at in _emotions(row))


def rttm(row: _Row) -> str:
    """Return ``row``'s timeline in the format Rich Transcription Time Marked: a line for each stretch, the emotion
    where a speaker is named. Blanks would end a field, so they become underscores.

    Source: NIST, The 2009 RT-09 evaluation plan, appendix A.
    """
    name = _one_word(row["file"])
    return "".join(
        f"SPEAKER {name} 1 {at['start_s']:.3f} {at['end_s'] - at['start_s']:.3f} <NA> <NA> {_one_word(at['emotion'])} "
        f"{at['probability']} <NA>\n"
        for at in _emotions(row)
    )


def eaf(row: _Row) -> str:
    """Return ``row``'s timeline as a document of ELAN, which links the recording.

    Raises:
        MissingExtraError: pympi is not installed.
    """
    try:
        elan: Any = importlib.import_module("pympi.Elan")
    except ImportError:
        raise MissingExtraError("ELAN's format needs the library pympi: pip install 'thymos[annotation]'") from None
    document = elan.Eaf(author="thymos")
    document.adocument["DATE"] = _NO_DATE
    document.remove_tier("default")
    document.add_tier(TIER)
    if Path(row["file"]).is_file():
        place = Path(row["file"]).absolute()
        kind = mimetypes.guess_type(place.name)[0] or "audio/x-wav"
        document.add_linked_file(place.as_uri(), urllib.parse.quote(f"./{place.name}"), kind)
    for at in _emotions(row):
        start_ms, end_ms = round(at["start_s"] * 1000), round(at["end_s"] * 1000)
        if end_ms > start_ms:
            document.add_annotation(TIER, start_ms, end_ms, at["emotion"])
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + str(elan.to_string(document)) + "\n"


def _emotions(row: _Row) -> list[_Row]:
    """Return the stretches in which an emotion is heard."""
    return [at for at in row["timeline"] if at["emotion"] is not None and at["end_s"] > at["start_s"]]


def _captions(row: _Row) -> list[tuple[float, float, str]]:
    """Return start, end and text of subtitles: none shorter than can be read, none over another.

    A short one stays until it has been read; the next one comes when it is gone.
    """
    captions: list[tuple[float, float, str]] = []
    for at in _emotions(row):
        start_s = max(at["start_s"], captions[-1][1] if captions else 0.0)
        end_s = max(at["end_s"], start_s + SHORTEST_CAPTION_S)
        captions.append((start_s, end_s, f"{at['emotion']} {at['probability']:.2f}"))
    assert all(one[1] <= other[0] for one, other in pairwise(captions))
    return captions


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _one_word(text: str) -> str:
    return "_".join(text.split()) or "_"


_WRITERS: dict[str, Callable[[_Row], str]] = {
    "textgrid": textgrid, "srt": srt, "vtt": web_vtt, "audacity": audacity, "rttm": rttm, "eaf": eaf
}  # fmt: skip
