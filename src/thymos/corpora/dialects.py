"""Tables as people have them, whatever wrote them: rows of text under headings.

Comma, semicolon, tab, bar or spaces; UTF-8, UTF-16 or a code page of Windows; quotes as in RFC 4180; JSON, one object
a line or one document; spreadsheets.
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
JSON_LINES_SUFFIXES = frozenset({".jsonl", ".ndjson"})
JSON_SUFFIXES = JSON_LINES_SUFFIXES | {".json"}
SHEET_SUFFIXES = frozenset({".xlsx", ".xlsm"})
SUFFIXES = TEXT_SUFFIXES | JSON_SUFFIXES | SHEET_SUFFIXES
_SEPARATORS = ",;\t|"
_MOST_LOOKED_AT = 1 << 16
_MOST_TITLES = 10
"""Lines in which headings are looked for."""
_CLOCK = re.compile(r"(?:(?P<days>\d+) days?,? ?)?(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):)?(?P<seconds>\d+(?:\.\d*)?)")
_SECONDS = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?: ?s)?")
_DECIMAL_COMMA = re.compile(r"([+-]?(?:[\d:]*\d)?),(\d+)")
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
"""A whole number, as pandas writes those of a column in which one is missing."""
_NOT_KNOWN = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
     "NaN", "None", "n/a", "nan", "null"}
)  # fmt: skip
"""What pandas.read_csv takes for a missing value; in this case alone, so that *none* may be a label."""
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
        from thymos.corpora.columnar import read_spreadsheet

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
    if path.suffix.lower() in JSON_SUFFIXES or text.lstrip()[:1] in ("{", "["):
        return _of_objects(path, _json_objects(path, text), notes)
    return _separated(path, text, notes)


def _json_objects(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    """Return the objects that JSON lines, or a document of JSON, hold, and the line or number of each."""
    if path.suffix.lower() not in JSON_LINES_SUFFIXES:
        try:
            document = parsed_json(text)
        except ValueError:
            pass  # several documents: lines
        else:
            return list(enumerate(_rows_of_document(path, document), start=1))
    return list(_json_lines(path, text))


def _rows_of_document(path: Path, document: object) -> list[dict[str, Any]]:
    """Return the rows of a list of objects, of columns as pandas writes them, or of what is said of each file."""
    if isinstance(document, list) and all(isinstance(row, dict) for row in document):
        return document
    if isinstance(document, dict) and document:
        values = list(document.values())
        if "file" in columns_of(list(document)):
            if all(isinstance(value, list) for value in values):
                return [dict(zip(document, row, strict=False)) for row in zip(*values, strict=False)]
            if all(isinstance(value, dict) for value in values):
                places = dict.fromkeys(place for value in values for place in value)
                return [{name: value.get(place) for name, value in document.items()} for place in places]
            return [document]
        if len(values) == 1 and isinstance(values[0], list):
            return _rows_of_document(path, values[0])
        if all(isinstance(value, dict) for value in values):
            return [
                value if "file" in columns_of(list(value)) else {"file": key, **value}
                for key, value in document.items()
            ]
        if all(isinstance(value, str) for value in values):
            return [{"file": key, "emotion": value} for key, value in document.items()]
    raise CorpusError(f'{path} is JSON, and no list of objects such as {{"file": "a.wav", "emotion": "anger"}}')


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
    flat = [(number, _flat(content)) for number, content in objects]
    headings = tuple(dict.fromkeys(str(key) for _, content in flat for key in content))
    rows = (TableRow(number, {str(key): as_text(value) for key, value in content.items()}) for number, content in flat)
    return Table(path, headings, tuple(rows), notes)


def _flat(content: dict[str, Any]) -> dict[str, Any]:
    """Return an object with those inside it taken apart: ``{"audio": {"path": …}}`` has a field ``audio.path``."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat.update(
            {f"{key}.{own}": inner for own, inner in value.items()} if isinstance(value, dict) else {key: value}
        )
    return flat


def known_cell(text: str) -> str:
    """Return what a cell says: nothing where pandas reads that nothing is known, and whole numbers without a point."""
    if text in _NOT_KNOWN:
        return ""
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def as_text(value: object) -> str:
    """Return a value of JSON or of a spreadsheet as a cell of text: whole numbers without a point, nothing for null."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return ", ".join(map(as_text, value))
    return str(value).strip()


def _separated(path: Path, text: str, notes: tuple[str, ...]) -> Table:
    lines, skipped = text if "\n" in text else text.replace("\r", "\n"), 0  # old Macs end lines so
    while lines and _is_remark(lines.split("\n", 1)[0].strip("\r\ufeff \t")):
        lines = lines.partition("\n")[2]
        skipped += 1
    if lines.startswith("#"):  # before the headings
        lines = lines.lstrip("# \t")
    if above := _lines_above(lines.split("\n", _MOST_TITLES)[:_MOST_TITLES]):
        lines = lines.split("\n", above)[above]
        skipped += above
        notes = (*notes, f"{path.name}: the {above} lines above its headings are not read")
    separator = separator_of(lines.split("\n", 1)[0].rstrip("\r")) if lines else ","
    if (of_rows := _separator_of_rows(lines, separator)) != separator:
        first, _, below = lines.partition("\n")
        words = next(csv.reader([first.rstrip("\r")], delimiter=separator))
        lines = of_rows.join('"{}"'.format(word.replace('"', '""')) for word in words) + "\n" + below
        notes = (*notes, f"{path.name}: its first line is separated by {separator!r}, and its rows by {of_rows!r}")
        separator = of_rows
    reader = csv.reader(io.StringIO(lines, newline=""), delimiter=separator, skipinitialspace=separator == " ")
    try:
        headings = tuple(cell.strip() for cell in next(reader, []))
        rows = tuple(_rows(reader, headings, skipped, separator))
        _check_quotes(lines, separator)
    except csv.Error as error:
        raise CorpusError(f"{path}, line {reader.line_num + skipped}, cannot be read as a table: {error}") from None
    return Table(path, headings, rows, notes)


def _lines_above(lines: Sequence[str]) -> int:
    """Return how many of the first ``lines`` are a title: none where the first has a known heading."""

    def known(line: str) -> dict[str, str]:
        line = line.strip("\r\ufeff")
        return columns_of(next(csv.reader([line], delimiter=separator_of(line)), []))

    if not lines or known(lines[0]):
        return 0
    return next((place for place, line in enumerate(lines) if "file" in (found := known(line)) and len(found) > 1), 0)


def _is_remark(line: str) -> bool:
    """Return whether a first line is none of headings: empty, Excel's ``sep=;``, or behind a ``#``."""
    if line.startswith("#"):
        headings = line.lstrip("# \t")
        return len(columns_of(next(csv.reader([headings], delimiter=separator_of(headings)), []))) < 2
    return line == "" or line.lower().startswith("sep=")


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

    best = max(_SEPARATORS, key=told)
    return " " if told(best)[1] == 1 and len(columns_of(first_line.split())) > 1 else best


def _separator_of_rows(lines: str, separator: str) -> str:
    """Return what separates the rows below headings that ``separator`` separates: as a rule, the same."""
    first = [line for line in lines[:_MOST_LOOKED_AT].split("\n")[:2] if line.strip()]
    if len(first) < 2 or separator == " ":
        return separator

    def cells(line: str, by: str) -> int:
        return len(next(csv.reader([line], delimiter=by), []))

    wanted = cells(first[0], separator)
    fitting = (by for by in (separator, *_SEPARATORS) if cells(first[1], by) == wanted > 1)
    return next(fitting, separator)


def _check_quotes(text: str, separator: str) -> None:
    """Raise ``csv.Error`` if a quotation mark is opened and never closed: all lines after it would be one cell."""
    try:
        spaced = separator == " "
        for _ in csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=spaced, strict=True):
            pass
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise csv.Error("a quotation mark is opened and never closed") from None


def with_point(number: str) -> str:
    """Return ``number`` with a point where it has a decimal comma, as half of Europe writes it: ``3,5``."""
    match = _DECIMAL_COMMA.fullmatch(number)
    return f"{match[1]}.{match[2]}" if match else number


def seconds_of(text: str) -> float | None:
    """Return a time in seconds, as tables write it: ``1.5``, ``0 days 00:00:01.5``, ``0:01.5``; of ``NaT``, None.

    Raises:
        ValueError: it is no time.
    """
    word = with_point(text.strip())
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
