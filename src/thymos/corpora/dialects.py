"""Tables as people have them, whatever wrote them: rows of text under headings.

Comma, semicolon, tab or bar; UTF-8, UTF-16 or a code page of Windows; quotes as in RFC 4180; JSON lines; spreadsheets.
"""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thymos.corpora.code_pages import UTF_8, decoded
from thymos.corpora.headings import columns_of
from thymos.errors import CorpusError
from thymos.files import MOST_TEXT_BYTES, bounded_bytes, parsed_json

TEXT_SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".txt", ".psv"})
JSON_SUFFIXES = frozenset({".jsonl", ".ndjson"})
SHEET_SUFFIXES = frozenset({".xlsx", ".xlsm"})
SUFFIXES = TEXT_SUFFIXES | JSON_SUFFIXES | SHEET_SUFFIXES
_SEPARATORS = ",;\t|"
_CLOCK = re.compile(r"(?:(?P<days>\d+) days?,? ?)?(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):)?(?P<seconds>\d+(?:\.\d*)?)")
_SECONDS = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?: ?s)?")
_UNKNOWN = ("", "nat", "nan", "none", "null", "inf")


@dataclass(frozen=True)
class TableRow:
    """A row of a table.

    Attributes:
        line: its line in the file, counted from 1, or its number.
        cells: text by heading, without spaces around it; what the row lacks is left out.
        problem: why it cannot be used; empty where it can.
    """

    line: int
    cells: dict[str, str]
    problem: str = ""


@dataclass(frozen=True)
class Table:
    """What a file of rows holds.

    Attributes:
        path: the file.
        headings: as they are written, in order.
        rows: those that are not empty.
        notes: how it was read, where that is a guess.
    """

    path: Path
    headings: tuple[str, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()


def read_table(path: Path) -> Table:
    """Read the table at ``path``, whatever its dialect.

    Raises:
        CorpusError: it cannot be read, or is none.
        MissingExtraError: it is a spreadsheet or a Parquet file, and what reads those is not installed.
    """
    if path.suffix.lower() in (".parquet", ".arrow"):
        from thymos.corpora.columnar import columnar_table

        return columnar_table(path)
    try:
        content = bounded_bytes(path, MOST_TEXT_BYTES)
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from None
    if content.startswith(b"PK\x03\x04"):
        from thymos.corpora.spreadsheets import read_spreadsheet

        return read_spreadsheet(path)
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise CorpusError(f"{path} is a spreadsheet of an old Excel; save it as .xlsx or CSV")
    return text_table(path, content)


def text_table(path: Path, content: bytes, exists: Callable[[str], bool] | None = None) -> Table:
    """Return the table that ``content``, the bytes of ``path``, holds as text: JSON lines or separated values.

    Raises:
        CorpusError: it is no text, or a line of it no JSON object.
    """

    def there(name: str) -> bool:
        return os.path.lexists(path.parent / name.replace("\\", "/"))

    try:
        text, encoding = decoded(content, exists or there)
    except ValueError as error:
        reason = "it is no text" if isinstance(error, UnicodeDecodeError) else str(error)
        raise CorpusError(f"{path} cannot be read as a table: {reason}") from None
    notes = () if encoding in (UTF_8, "UTF-16", "UTF-32") else (f"{path.name} is read as {encoding}, not as UTF-8",)
    if path.suffix.lower() in JSON_SUFFIXES or text.lstrip()[:1] == "{":
        return _of_objects(path, list(_json_lines(path, text)), notes)
    return _separated(path, text, notes)


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                content = parsed_json(line)
            except ValueError:
                content = None
            if not isinstance(content, dict):
                raise CorpusError(f"{path}, line {number}, is no JSON object")
            yield number, content


def _of_objects(path: Path, objects: Sequence[tuple[int, dict[str, Any]]], notes: tuple[str, ...]) -> Table:
    headings = tuple(dict.fromkeys(str(key) for _, content in objects for key in content))
    rows = (
        TableRow(number, {str(key): as_text(value) for key, value in content.items()}) for number, content in objects
    )
    return Table(path, headings, tuple(rows), notes)


def as_text(value: object) -> str:
    """Return a value of JSON or of a spreadsheet as a cell of text: whole numbers without a point, nothing for null."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _separated(path: Path, text: str, notes: tuple[str, ...]) -> Table:
    lines, skipped = text if "\n" in text else text.replace("\r", "\n"), 0  # old Macs end lines so
    # Excel takes a first line such as sep=; for a remark; empty lines before the headings are none.
    while lines and ((first := lines.split("\n", 1)[0].strip("\r\ufeff \t")) == "" or first.lower().startswith("sep=")):
        lines = lines.partition("\n")[2]
        skipped += 1
    separator = separator_of(lines.split("\n", 1)[0].rstrip("\r")) if lines else ","
    reader = csv.reader(io.StringIO(lines, newline=""), delimiter=separator)
    try:
        headings = tuple(cell.strip() for cell in next(reader, []))
        rows = tuple(_rows(reader, headings, skipped, separator))
        _check_quotes(lines, separator)
    except csv.Error as error:
        raise CorpusError(f"{path}, line {reader.line_num + skipped}, cannot be read as a table: {error}") from None
    return Table(path, headings, rows, notes)


def _rows(reader: Any, headings: Sequence[str], skipped: int, separator: str) -> Iterator[TableRow]:
    before = reader.line_num
    for cells in reader:
        line, before = before + skipped + 1, reader.line_num
        texts = [cell.strip() for cell in cells]
        if not any(texts):
            continue
        problem = ""
        if any(texts[len(headings) :]):
            problem = f"has {len(texts)} cells under {len(headings)} headings; quote a cell that holds {separator!r}"
        named = {heading: text for heading, text in zip(headings, texts, strict=False) if heading}
        yield TableRow(line, named, problem)


def separator_of(first_line: str) -> str:
    """Return what separates the cells of a table that begins with ``first_line``: what gives the most known columns."""

    def told(separator: str) -> tuple[int, int]:
        cells = next(csv.reader([first_line], delimiter=separator), [])
        return len(columns_of(cells)), len(cells)

    return max(_SEPARATORS, key=told)


def _check_quotes(text: str, separator: str) -> None:
    """Raise ``csv.Error`` if a quotation mark is opened and never closed: all lines after it would be one cell."""
    try:
        for _ in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            pass
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise csv.Error("a quotation mark is opened and never closed") from None


def seconds_of(text: str) -> float | None:
    """Return a time in seconds, as tables write it: ``1.5``, ``0 days 00:00:01.5``, ``0:01.5``; of ``NaT``, None.

    Raises:
        ValueError: it is no time.
    """
    word = text.strip()
    if word.lower() in _UNKNOWN:
        return None
    if _SECONDS.fullmatch(word):
        return float(word.removesuffix("s"))
    if match := re.fullmatch(r"(\d+) days?", word):  # as pandas writes a column in which no time has more
        return 86_400.0 * int(match[1])
    match = _CLOCK.fullmatch(word)
    if match is None:
        raise ValueError(f"cannot be cut: {text!r} is no time, such as 1.5 or 0 days 00:00:01.5")
    days, hours, minutes = (int(match[part] or 0) for part in ("days", "hours", "minutes"))
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(match["seconds"])
