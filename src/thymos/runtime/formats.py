"""What results can be written as. All formats are made from rows of JSON lines, so that none says more than another.

Tables are here; what annotates one recording in time is in ``annotations``, what pandas writes in ``data_frames``.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from thymos.errors import AudioError, ThymosError
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
        from thymos.runtime.annotations import annotated

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
