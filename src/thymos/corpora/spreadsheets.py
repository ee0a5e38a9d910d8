"""Spreadsheets of Excel and LibreOffice as tables, by pandas and openpyxl (extra ``tables``)."""

import importlib.util
import zipfile
from pathlib import Path

from thymos.corpora.dialects import Table, TableRow, as_text
from thymos.corpora.headings import columns_of
from thymos.errors import CorpusError, MissingExtraError

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
