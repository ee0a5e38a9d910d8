"""Tables that are no text, as rows of text (extra ``tables``): Parquet and Arrow, with the sound in their cells, and
spreadsheets of Excel and LibreOffice, by pandas and openpyxl.
"""

import hashlib
import importlib.util
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thymos.audio.search import is_sound_name
from thymos.corpora.dialects import Table, TableRow, as_text
from thymos.corpora.headings import columns_of
from thymos.errors import CorpusError, MissingExtraError
from thymos.files import whole_file

SUFFIXES = frozenset({".parquet", ".arrow"})
_ROWS_AT_ONCE = 64
_STARTS = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"FORM": ".aiff"}


@dataclass(frozen=True)
class SoundCell:
    """A cell that holds a recording.

    Attributes:
        content: the bytes of a sound file; empty where ``path`` alone is told.
        path: what the file was called.
    """

    content: bytes
    path: str

    @property
    def suffix(self) -> str:
        """The ending of its name, or the one that its bytes tell."""
        if is_sound_name(self.path):
            return Path(self.path).suffix.lower()
        return next((suffix for start, suffix in _STARTS.items() if self.content.startswith(start)), ".m4a")

    def unpacked(self, folder: Path) -> Path:
        """Return the file in ``folder`` that holds the content, named by its digest; it is written if need be."""
        path = folder / f"{hashlib.sha256(self.content).hexdigest()[:40]}{self.suffix}"
        if not path.is_file() or path.stat().st_size != len(self.content):
            with whole_file(path) as temporary:
                temporary.write_bytes(self.content)
        return path


def columnar_table(path: Path) -> Table:
    """Return the Parquet or Arrow file at ``path`` as a table of text; cells that hold bytes are left out.

    Raises:
        CorpusError: it is damaged, or none.
        MissingExtraError: pyarrow is not installed.
    """
    headings, rows = columnar_rows(path)
    return Table(path, headings, tuple(row for row, _ in rows))


def columnar_rows(path: Path) -> tuple[tuple[str, ...], Iterator[tuple[TableRow, dict[str, SoundCell]]]]:
    """Return the headings of the file at ``path``, and its rows with their sounds by heading, a few in memory at once.

    Words stand for the numbers of a column that Hugging Face calls a ``ClassLabel``.

    Raises:
        CorpusError: it is damaged, or none; also while rows are read.
        MissingExtraError: pyarrow is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError(f"{path} is a Parquet or Arrow file, which needs pyarrow: pip install 'thymos[tables]'")
    import pyarrow as pa

    try:
        schema, batches = _opened(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None
    names = _class_names(schema)

    def rows() -> Iterator[tuple[TableRow, dict[str, SoundCell]]]:
        number = 0
        try:
            for batch in batches:
                for content in batch.to_pylist():
                    number += 1
                    yield _row(number, content, names)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from None

    return tuple(schema.names), rows()


def _opened(path: Path) -> tuple[Any, Iterator[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"PAR1"):
        parquet = pq.ParquetFile(path)
        return parquet.schema_arrow, parquet.iter_batches(_ROWS_AT_ONCE)
    source = pa.memory_map(str(path))
    if start == b"ARROW1":
        reader = pa.ipc.open_file(source)
        batches: Iterator[Any] = (reader.get_batch(place) for place in range(reader.num_record_batches))
        return reader.schema, batches
    stream = pa.ipc.open_stream(source)
    return stream.schema, iter(stream)


def _unreadable(path: Path, error: Exception) -> CorpusError:
    return CorpusError(f"{path} cannot be read as Parquet or Arrow: {' '.join(str(error).split())[:200]}")


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Return the words of each ``ClassLabel``, as ``datasets`` keeps them beside the columns."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: [str(word) for word in about["names"]]
            for name, about in features.items()
            if isinstance(about, dict) and about.get("_type") == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _row(number: int, content: dict[str, Any], names: dict[str, list[str]]) -> tuple[TableRow, dict[str, SoundCell]]:
    cells: dict[str, str] = {}
    sounds: dict[str, SoundCell] = {}
    for heading, value in content.items():
        if isinstance(value, dict) and "bytes" in value:
            sounds[heading] = SoundCell(value["bytes"] or b"", str(value.get("path") or ""))
        elif isinstance(value, bytes):
            sounds[heading] = SoundCell(value, "")
        elif heading in names and isinstance(value, int) and 0 <= value < len(names[heading]):
            cells[heading] = names[heading][value]
        else:
            cells[heading] = as_text(value)
    return TableRow(number, cells), sounds


MOST_UNPACKED_BYTES = 256 << 20
_MOST_TITLES = 10
"""Rows in which headings are looked for."""


def read_spreadsheet(path: Path) -> Table:
    """Read the first sheet of the spreadsheet at ``path`` that has a row of known headings, of which that is the first;
    where none has, the first whose first row that is not empty has two headings or more.

    Raises:
        CorpusError: it is no spreadsheet, or has no such sheet.
        MissingExtraError: pandas or openpyxl is not installed.
    """
    if importlib.util.find_spec("openpyxl") is None or importlib.util.find_spec("pandas") is None:
        raise MissingExtraError(f"{path} is a spreadsheet, which needs openpyxl: pip install 'thymos[tables]'")
    import pandas as pd

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > MOST_UNPACKED_BYTES:
                raise ValueError(f"it unpacks to more than {MOST_UNPACKED_BYTES >> 20} MiB")
        sheets = pd.read_excel(path, sheet_name=None, header=None, dtype=object, engine="openpyxl")
    except Exception as error:  # a sheet can be wrong in as many ways as there are exceptions
        raise CorpusError(f"{path} cannot be read as a spreadsheet: {error}") from None
    every = []
    for frame in sheets.values():
        lines = ([as_text(value) for value in row] for row in frame.to_numpy())
        every.append([(number, cells) for number, cells in enumerate(lines, start=1) if any(cells)])
    for is_headings, most in ((_known, _MOST_TITLES), (lambda cells: sum(map(bool, cells)) > 1, 1)):
        for filled in every:
            place = next((place for place, (_, cells) in enumerate(filled[:most]) if is_headings(cells)), None)
            if place is not None:
                return _table(path, filled[place:])
    raise CorpusError(f"{path} has no sheet with a table in it")


def _known(cells: list[str]) -> bool:
    found = columns_of(cells)
    return "file" in found and len(found) > 1


def _table(path: Path, filled: list[tuple[int, list[str]]]) -> Table:
    headings = filled[0][1]
    rows = (
        TableRow(number, {heading: cell for heading, cell in zip(headings, cells, strict=True) if heading})
        for number, cells in filled[1:]
    )
    return Table(path, tuple(filter(None, headings)), tuple(rows))
