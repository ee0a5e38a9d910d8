"""Embeddings as files: an array with a table of names beside it, or one table of both."""

import csv
import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.errors import ArgumentError, MissingExtraError
from thymos.escaping import csv_cell
from thymos.files import write_bytes

EmbeddedRow = tuple[str, float, float, NDArray[np.float32]]
"""File, start and end in seconds, and the embedding, shape ``(E,)``."""
_INDEX = ("file", "start_s", "end_s")


def checked_files(out: Path) -> list[Path]:
    """Return the files that are written where ``--out`` says ``out``.

    Raises:
        ArgumentError: its suffix is none that embeddings are written in.
        MissingExtraError: what writes it is not installed.
    """
    suffix = out.suffix.lower()
    if suffix == ".npy":
        return [out, names_beside_array(out)]
    if suffix == ".parquet":
        _arrow()
    elif suffix != ".csv":
        raise ArgumentError(f"--out {out} ends in none of .npy, .parquet, .csv, by which embeddings are written")
    return [out]


def names_beside_array(out: Path) -> Path:
    """Return the table of names of the rows of the array ``out``."""
    return out.with_name(out.stem + ".names.csv")


def write_embeddings(out: Path, rows: Sequence[EmbeddedRow]) -> None:
    """Write ``rows`` as the suffix of ``out`` says; each file is whole or not there."""
    values = np.stack([row[3] for row in rows]) if rows else np.zeros((0, 0), np.float32)
    suffix = out.suffix.lower()
    if suffix == ".npy":
        write_bytes(names_beside_array(out), _csv(rows, values[:, :0]))
        content = io.BytesIO()
        np.save(content, values)
        write_bytes(out, content.getvalue())
    elif suffix == ".csv":
        write_bytes(out, _csv(rows, values))
    else:
        arrow, parquet = _arrow(), importlib.import_module("pyarrow.parquet")
        columns: dict[str, Any] = {name: [row[place] for row in rows] for place, name in enumerate(_INDEX)}
        columns["file"] = arrow.array(columns["file"], arrow.string())
        columns |= {f"e{number}": values[:, number] for number in range(values.shape[1])}
        buffer = io.BytesIO()
        parquet.write_table(arrow.table(columns), buffer)
        write_bytes(out, buffer.getvalue())


def _csv(rows: Sequence[EmbeddedRow], values: NDArray[np.float32]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_INDEX, *(f"e{number}" for number in range(values.shape[1]))])
    for (file, start_s, end_s, _), own in zip(rows, values, strict=True):
        # As short as a float32 can be told without loss.
        writer.writerow([csv_cell(file), round(start_s, 3), round(end_s, 3), *map(str, own)])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _arrow() -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise MissingExtraError("Parquet needs the library pyarrow: pip install 'thymos[tables]'") from None
