"""Results as tables of pandas, indexed as audformat has it: by file, and from when to when in it.

Source: https://audeering.github.io/audformat/data-tables.html
"""

import importlib
import io
from collections.abc import Sequence
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
    pd = _library("pandas", "tables need pandas: pip install pandas")
    plain = list(flat_rows(rows, columns))
    starts, ends = ([row.get(key) for row in plain] for key in (("start_s", "end_s")))
    if not columns.timeline:
        starts, ends = [0.0] * len(plain), [row.get("duration_s") for row in plain]
    index = pd.MultiIndex.from_arrays(
        [
            pd.Index([row["file"] for row in plain], dtype="string"),
            pd.to_timedelta([0.0 if start is None else start for start in starts], unit="s"),
            pd.to_timedelta(ends, unit="s"),
        ],
        names=INDEX,
    )
    names = [name for name in column_names(columns) if name not in ("file", "start_s", "end_s")]
    if all("error" not in row for row in plain):
        names.remove("error")
    table: pandas.DataFrame = pd.DataFrame(plain, columns=names).set_index(index)
    return table


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
    _library("pyarrow", "Parquet needs the library pyarrow: pip install 'thymos[tables]'")
    content = io.BytesIO()
    results_frame(rows, columns).to_parquet(content)
    return content.getvalue()


def _library(name: str, sentence: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtraError(sentence) from None
