"""Results as tables of pandas, indexed as audformat has it: by file, and from when to when in it.

Source: https://audeering.github.io/audformat/data-tables.html
"""

import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thymos.errors import MissingExtraError
from thymos.runtime.formats import Columns, ResultRow, column_names, flat_rows

if TYPE_CHECKING:
    import pandas

INDEX = ("file", "start", "end")


def results_frame(rows: Sequence[ResultRow], columns: Columns) -> "pandas.DataFrame":
    """Return ``rows`` as a table with the index ``(file, start, end)``; of what could not be heard, the end is NaT.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    names = [name for name in column_names(columns) if name not in ("file", "start_s", "end_s")]
    return _frame_of_flat(list(flat_rows(rows, columns)), names, columns.timeline)


def _frame_of_flat(plain: Sequence[ResultRow], names: Sequence[str], timeline: bool) -> "pandas.DataFrame":
    """Return rows of plain values, as ``flat_rows`` makes them, with the columns ``names``."""
    pd = _library("pandas", "tables need pandas: pip install pandas")
    starts, ends = ([row.get(key) for row in plain] for key in (("start_s", "end_s")))
    if not timeline:
        starts, ends = [0.0] * len(plain), [row.get("duration_s") for row in plain]
    index = pd.MultiIndex.from_arrays(
        [
            pd.Index([row["file"] for row in plain], dtype="string"),
            pd.to_timedelta([0.0 if start is None else start for start in starts], unit="s"),
            pd.to_timedelta(ends, unit="s"),
        ],
        names=INDEX,
    )
    without = {"error"} if all("error" not in row for row in plain) else set()
    table: pandas.DataFrame = pd.DataFrame(plain, columns=[name for name in names if name not in without])
    return table.set_index(index)


def as_audformat(rows: Sequence[ResultRow], columns: Columns) -> bytes:
    """Return a segmented table of audformat as its CSV.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    return results_frame(rows, columns).to_csv(lineterminator="\n").encode("utf-8", "backslashreplace")


def as_parquet(rows: Sequence[ResultRow], columns: Columns) -> bytes:
    """Return a table in Parquet, which pandas reads back with its index.

    Raises:
        MissingExtraError: pandas or pyarrow is not installed.
    """
    return _parquet(results_frame(rows, columns))


def flat_as_parquet(plain: Sequence[ResultRow], names: Sequence[str]) -> bytes:
    """Return what ``as_parquet`` does, of rows that ``flat_of_parquet`` has read, with the columns ``names``.

    Raises:
        MissingExtraError: pandas or pyarrow is not installed.
    """
    return _parquet(_frame_of_flat(plain, names, "prediction_set" not in names))


def flat_of_parquet(path: Path) -> tuple[list[str], list[ResultRow]]:
    """Return the columns of a table that ``as_parquet`` made, and its rows as they were before they became one.

    Raises:
        MissingExtraError: pyarrow is not installed.
        ValueError: it is no such table.
    """
    arrow = _pyarrow()
    try:
        table = importlib.import_module("pyarrow.parquet").read_table(path)
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(str(error)) from None
    if not {*INDEX, "emotion"} <= {*table.column_names}:
        raise ValueError("it is no table of results")
    names = [name for name in table.column_names if name not in INDEX]
    for name in ("start", "end"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, table.column(name).cast(arrow.int64()))
    return names, [_flat(row) for row in table.to_pylist()]


_ALWAYS_TOLD = ("emotion", "probability")
"""Of what was heard: that it is none is told, too."""


def _flat(row: ResultRow) -> ResultRow:
    """Return a row of Parquet as it was: what it did not have is left out, times are seconds."""
    start, end = row.pop("start"), row.pop("end")
    told = {"start_s": start / 1e9, "end_s": None if end is None else end / 1e9}
    heard = row.get("error") is None
    return told | {name: value for name, value in row.items() if value is not None or (heard and name in _ALWAYS_TOLD)}


def _parquet(table: "pandas.DataFrame") -> bytes:
    _pyarrow()
    content = io.BytesIO()
    table.to_parquet(content)
    return content.getvalue()


def _pyarrow() -> Any:
    return _library("pyarrow", "Parquet needs the library pyarrow: pip install 'thymos[tables]'")


def _library(name: str, sentence: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtraError(sentence) from None
