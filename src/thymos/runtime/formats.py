"""What results can be written as. All formats are made from rows of JSON lines, so that none says more than another.

Tables of recordings, and timelines in the formats of those who annotate, subtitle and cut sound: from when to when, of
one recording. Where nobody speaks there is an empty interval, or none, as the format has it; never an emotion. What
pandas writes is in ``data_frames``.
"""

import csv
import importlib
import io
import mimetypes
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from thymos.errors import AudioError, MissingExtraError, ThymosError
from thymos.escaping import csv_cell, json_line, printable
from thymos.labels import spaced
from thymos.runtime.prediction import LEAST_SHARE, NONE_HEARD, shares_text, values_text

Format = Literal[
    "table", "jsonl", "json", "csv", "tsv", "parquet", "audformat", "rttm", "textgrid", "srt", "vtt", "audacity", "eaf"
]
SUFFIX: dict[Format, str] = {
    "table": ".txt", "jsonl": ".jsonl", "json": ".json", "csv": ".csv", "tsv": ".tsv", "parquet": ".parquet",
    "audformat": ".csv", "rttm": ".rttm", "textgrid": ".TextGrid", "srt": ".srt", "vtt": ".vtt", "audacity": ".txt",
    "eaf": ".eaf",
}  # fmt: skip
"""What the names of a format's files end in."""
OF_NAMES: dict[str, tuple[Format, ...]] = {
    ".csv": ("csv", "audformat"), ".tsv": ("tsv",), ".jsonl": ("jsonl",), ".ndjson": ("jsonl",), ".json": ("json",),
    ".parquet": ("parquet",), ".rttm": ("rttm",), ".textgrid": ("textgrid",), ".srt": ("srt",), ".vtt": ("vtt",),
    ".eaf": ("eaf",),
}  # fmt: skip
"""Formats that go with a file's suffix, in small letters; the first is taken where none is asked for."""
PER_FILE: set[Format] = {"textgrid", "srt", "vtt", "audacity", "eaf"}
"""Formats that describe one recording."""
IN_TIME: set[Format] = {*PER_FILE, "rttm"}
"""Formats that say from when to when, and nothing without that."""
LINE_BY_LINE: set[Format] = {"table", "jsonl", "csv", "tsv", "rttm"}
"""Formats in which a recording's result can follow the one before it, whatever comes after."""
BINARY: set[Format] = {"parquet"}
SHARD = "shard"
"""The field, and the column, that says of which part of a list a row is, where a list is heard in parts."""
ResultRow = dict[str, Any]
"""What JSON lines say of one recording: with ``emotion`` and so on, or with ``error``."""


@dataclass(frozen=True)
class Columns:
    """What tables have columns for.

    Attributes:
        labels: that are told apart.
        timeline: a row for each stretch, instead of one for each recording.
        dimensions: that the model reads; their values stand after the probabilities.
        shard: which part of a list each row is of; it stands last.
    """

    labels: Sequence[str]
    timeline: bool = False
    dimensions: Sequence[str] = ()
    shard: bool = False


def rendered(rows: Sequence[ResultRow], format: Format, columns: Columns, head: bool = True) -> bytes:
    """Return ``rows`` in a format, text as UTF-8. Formats that hold only what is heard leave out what could not be.

    Args:
        rows: of recordings; of one where the format is in ``PER_FILE``.
        format: to write in.
        columns: of tables.
        head: whether this is where a table begins; see ``LINE_BY_LINE``.

    Raises:
        MissingExtraError: the format needs a library that is not installed.
    """
    if format in ("parquet", "audformat"):
        from thymos.runtime.data_frames import as_audformat, as_parquet

        return as_parquet(rows, columns) if format == "parquet" else as_audformat(rows, columns)
    if format in IN_TIME:
        return annotated(rows, format).encode("utf-8", "backslashreplace")
    if format == "jsonl":
        text = "".join(json_line(row) + "\n" for row in rows)
    elif format == "json":
        # Lines of JSON in a list: as large as lines are, and as easy to compare.
        text = "[\n" + ",\n".join(map(json_line, rows)) + "\n]\n"
    elif format == "table":
        lines = [line for row in rows for line in table_lines(row, columns.labels)]
        text = "".join(line + "\n" for line in [*([table_head(columns.labels)] if head else []), *lines])
    else:
        text = csv_lines(rows, columns, head, "\t" if format == "tsv" else ",")
    return text.encode("utf-8", "backslashreplace")


def result_row(name: str, said: dict[str, Any] | ThymosError, voice: str | None = None) -> ResultRow:
    """Return the row of the recording ``name``: of what ``Prediction.to_dict`` says, or of why it cannot be heard.

    ``voice`` is the name of the one that it was heard as, if any.
    """
    if not isinstance(said, dict):
        return {"file": name, "error": said.reason if isinstance(said, AudioError) else str(said)}
    return {"file": name, **said} | ({} if voice is None else {"voice": voice})


def table_lines(row: ResultRow, labels: Sequence[str]) -> list[str]:
    """Return ``row`` as aligned text: emotion of ``labels``, probability, speech, file; then its timeline, indented."""
    width = _width(labels)
    if "error" in row:
        return [f"{'—':<{width}} {'':>5} {'':>8}  {printable(row['file'])}  {printable(row['error'])}"]
    emotion = row["emotion"]
    sure = f"{row['probabilities'][emotion]:.2f}" if emotion else ""
    others = row["prediction_set"][1:]
    shares = row.get("shares") or {}
    if shares and row.get("long"):  # minutes have shares, not a probability
        emotion, *others = shares
        sure = f"{shares[emotion]:.0%}"
        others = [f"{word} {shares[word]:.0%}" for word in others if shares[word] >= LEAST_SHARE]
    values = [values_text(row["dimensions"])] if row.get("dimensions") else []
    also = "then" if row.get("long") else "or"
    remarks = ([f"{also} {', '.join(others)}"] if others else []) + values + row["flags"]
    said = f"  ({'; '.join(remarks)})" if remarks else ""
    heard = emotion or (NONE_HEARD if row["probabilities"] is None else "")  # what tells dimensions alone names none
    lines = [f"{heard:<{width}} {sure:>5} {row['speech_s']:7.1f}s  {printable(row['file'])}{said}"]
    if len(shares) > 1 and "timeline" in row:
        lines.append(f"    {shares_text(shares)} of what is heard")
    for at in row.get("timeline", []):
        part = "" if at["probability"] is None else f" {at['probability']:.2f}"
        lines.append(f"    {at['start_s']:9.2f} – {at['end_s']:9.2f} s  {at['emotion'] or NONE_HEARD}{part}")
    return lines


def table_head(labels: Sequence[str]) -> str:
    """Return the line above ``table_lines``."""
    return f"{'emotion':<{_width(labels)}} {'p':>5} {'speech':>8}  file"


def _width(labels: Sequence[str]) -> int:
    return max(map(len, (NONE_HEARD, *labels)))


def column_names(columns: Columns) -> list[str]:
    """Return the columns of a table: one row for each recording, or for each stretch of its timeline."""
    last = [SHARD] if columns.shard else []
    if columns.timeline:
        return ["file", "start_s", "end_s", "emotion", "probability", "error", *last]
    probabilities = [f"p_{word}" for word in columns.labels]
    told = ["prediction_set", "speech_s", "duration_s", "flags", "model", "error"]
    return ["file", "emotion", *probabilities, *columns.dimensions, *told, *last]


def csv_lines(rows: Iterable[ResultRow], columns: Columns, head: bool = True, delimiter: str = ",") -> str:
    """Return ``rows`` as CSV; what is not known is empty, and lists are words with spaces between them (``spaced``)."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, column_names(columns), restval="", extrasaction="ignore", lineterminator="\n", delimiter=delimiter
    )
    if head:
        writer.writeheader()
    writer.writerows(_cells(row) for row in flat_rows(rows, columns))
    return text.getvalue()


def flat_rows(rows: Iterable[ResultRow], columns: Columns) -> Iterable[ResultRow]:
    """Yield the rows of a table: of plain values by the names of its columns, what is not known left out or None."""
    for row in rows:
        if "error" in row:
            yield row
        elif columns.timeline:
            common = {key: row[key] for key in ("file", SHARD) if key in row}
            yield from (common | stretch for stretch in row["timeline"])
        else:
            probabilities = {f"p_{word}": value for word, value in (row["probabilities"] or {}).items()}
            words = {key: spaced(row[key]) for key in ("prediction_set", "flags")}
            yield row | probabilities | (row.get("dimensions") or {}) | words


def _cells(row: ResultRow) -> ResultRow:
    """Return ``row`` with words as a spreadsheet may be given them (``csv_cell``)."""
    return {key: csv_cell(value) if isinstance(value, str) else value for key, value in row.items()}


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
