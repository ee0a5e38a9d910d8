"""Parquet and Arrow files as rows of text, and the sound that lies in their cells (extra ``tables``)."""

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thymos.audio.search import is_sound_name
from thymos.corpora.dialects import Table, TableRow, as_text
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
