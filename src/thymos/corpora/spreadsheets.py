"""Spreadsheets of Excel and LibreOffice as tables, by pandas and openpyxl (extra ``tables``)."""

import importlib.util
import zipfile
from pathlib import Path

from thymos.corpora.dialects import Table, TableRow, as_text
from thymos.errors import CorpusError, MissingExtraError

MOST_UNPACKED_BYTES = 256 << 20


def read_spreadsheet(path: Path) -> Table:
    """Read the first sheet of the spreadsheet at ``path`` whose first row that is not empty has two headings or more.

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
    for frame in sheets.values():
        lines = ([as_text(value) for value in row] for row in frame.to_numpy())
        filled = [(number, cells) for number, cells in enumerate(lines, start=1) if any(cells)]
        if filled and sum(map(bool, filled[0][1])) > 1:
            headings = filled[0][1]
            rows = (
                TableRow(number, {heading: cell for heading, cell in zip(headings, cells, strict=True) if heading})
                for number, cells in filled[1:]
            )
            return Table(path, tuple(filter(None, headings)), tuple(rows))
    raise CorpusError(f"{path} has no sheet with a table in it")
