"""A corpus given as a CSV table: columns ``file`` (relative to the table) and ``emotion``, and if known
``speaker``, ``sentence``, ``take``, ``corpus``, ``gender``, ``language``, ``arousal``, ``valence`` and ``dominance``.
Other columns are left alone."""

import csv
import math
from pathlib import Path
from typing import Any

from thymos.corpora.readers.folders import Knows
from thymos.corpora.table import ClipEntry, Exclusion, Listing
from thymos.errors import CorpusError
from thymos.labels import DIMENSIONS

KIND = "csv"


def recognises(path: Path, knows: Knows) -> bool:
    """Return whether ``path`` is a CSV file."""
    return path.is_file() and path.suffix.lower() == ".csv"


def read(path: Path, knows: Knows) -> Listing:
    """List the rows of the table at ``path``.

    Raises:
        CorpusError: the table is not UTF-8 text, or has no columns ``file`` and ``emotion``.
    """
    listing = Listing(KIND, path.parent)
    seen: set[str] = set()
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            missing = {"file", "emotion"} - set(table.fieldnames or ())
            if missing:
                raise CorpusError(f"{path} has no column {' and no column '.join(sorted(missing))}")
            for row in table:
                _add(
                    listing,
                    seen,
                    {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)},
                )
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read as a CSV table: {error}") from None
    return listing


def _add(listing: Listing, seen: set[str], row: dict[str, str]) -> None:
    name = Path(row["file"]).as_posix()
    if name in seen:
        listing.excluded.append(Exclusion(name, "is listed more than once; its first row counts"))
        return
    seen.add(name)
    told: dict[str, Any] = {
        key: row.get(key, "") for key in ("speaker", "sentence", "take", "corpus", "gender", "language")
    }
    try:
        told |= {key: dimension_value(row.get(key, "")) for key in DIMENSIONS}
    except CorpusError as error:
        raise CorpusError(f"{name}: {error}") from None
    listing.entries.append(ClipEntry(name, row["emotion"], **told))


def dimension_value(text: str) -> float | None:
    """Return the value of a dimension as a table has it; None where the field is empty.

    Raises:
        CorpusError: it is no number.
    """
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CorpusError(f"{text!r} is no value of a dimension: a number is needed, or nothing")
    return value
