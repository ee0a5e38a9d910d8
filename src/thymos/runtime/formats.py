"""Results as text. All formats are made from the rows of JSON lines, so that none says more than another."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from thymos.errors import AudioError, ThymosError
from thymos.escaping import csv_cell, printable
from thymos.labels import spaced
from thymos.runtime.prediction import LEAST_SHARE, NONE_HEARD, shares_text, values_text

Format = Literal["table", "jsonl", "csv", "textgrid", "srt"]
PER_FILE: dict[str, str] = {"textgrid": ".TextGrid", "srt": ".srt"}
"""Formats that describe one recording, and the suffix of their files."""
SUFFIXES: dict[str, Format] = {
    ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".textgrid": "textgrid", ".srt": "srt"
}  # fmt: skip
"""What a file's name says of its format, in small letters."""
TIER = "emotion"
SUBTITLE_S = 1.0
"""A shorter subtitle cannot be read."""
ResultRow = dict[str, Any]
"""What JSON lines say of one recording: with ``emotion`` and so on, or with ``error``."""


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
    lines = [f"{emotion or NONE_HEARD:<{width}} {sure:>5} {row['speech_s']:7.1f}s  {printable(row['file'])}{said}"]
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


def csv_columns(labels: Sequence[str], timeline: bool, dimensions: Sequence[str] = ()) -> list[str]:
    """Return the columns of a CSV file: one row for each recording, or for each stretch of its timeline.

    ``dimensions`` are those that the model reads, whose values then stand after the probabilities.
    """
    if timeline:
        return ["file", "start_s", "end_s", "emotion", "probability", "error"]
    probabilities = [f"p_{word}" for word in labels]
    told = ["prediction_set", "speech_s", "duration_s", "flags", "model", "error"]
    return ["file", "emotion", *probabilities, *dimensions, *told]


def csv_lines(
    rows: Iterable[ResultRow], labels: Sequence[str], timeline: bool, head: bool, dimensions: Sequence[str] = ()
) -> str:
    """Return ``rows`` as CSV; what is not known is empty, and lists are words with spaces between them (``spaced``)."""
    text = io.StringIO()
    columns = csv_columns(labels, timeline, dimensions)
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    if head:
        writer.writeheader()
    for row in rows:
        if "error" in row:
            writer.writerow(_cells(row))
        elif timeline:
            writer.writerows(_cells({"file": row["file"], **stretch}) for stretch in row["timeline"])
        else:
            probabilities = {f"p_{word}": value for word, value in (row["probabilities"] or {}).items()}
            words = {key: spaced(row[key]) for key in ("prediction_set", "flags")}
            writer.writerow(_cells(row | probabilities | (row.get("dimensions") or {}) | words))
    return text.getvalue()


def _cells(row: ResultRow) -> ResultRow:
    """Return ``row`` with words as a spreadsheet may be given them (``csv_cell``)."""
    return {key: csv_cell(value) if isinstance(value, str) else value for key, value in row.items()}


def textgrid(row: ResultRow) -> str:
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


def srt(row: ResultRow) -> str:
    """Return ``row``'s timeline as SubRip subtitles; where none is heard, there is none.

    Each stands for ``SUBTITLE_S`` at least, where the next one does not begin before.
    """
    heard = _readable([at for at in row["timeline"] if at["emotion"] is not None], row["duration_s"])
    return "\n".join(
        f"{number}\n{_clock(at['start_s'])} --> {_clock(at['end_s'])}\n{at['emotion']} {at['probability']:.2f}\n"
        for number, at in enumerate(heard, 1)
    )


def _readable(heard: list[dict[str, Any]], duration_s: float) -> list[dict[str, Any]]:
    """Return stretches that end late enough to be read, but no later than the next begins, or the recording ends."""
    latest = [*(at["start_s"] for at in heard[1:]), duration_s]
    return [
        at | {"end_s": max(at["end_s"], min(at["start_s"] + SUBTITLE_S, end_s))}
        for at, end_s in zip(heard, latest, strict=True)
    ]


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d},{rest % 1000:03d}"
