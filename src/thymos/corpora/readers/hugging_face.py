"""Data sets of Hugging Face: folders of sound with a ``metadata`` table, Parquet and Arrow files with sound in them.

(https://huggingface.co/docs/datasets/audio_dataset.) Sound that lies in a table is written to the cache folder once,
each recording under the digest of its bytes.
"""

import re
from collections import Counter
from pathlib import Path

from thymos.corpora.columnar import SUFFIXES, columnar_rows
from thymos.corpora.dialects import TableRow, read_table
from thymos.corpora.headings import columns_of, require, truths_in
from thymos.corpora.readers.file_finder import FileFinder
from thymos.corpora.readers.folders import Knows
from thymos.corpora.readers.listed_files import ListedFiles, Surroundings, split_of
from thymos.corpora.table import Listing
from thymos.errors import CorpusError
from thymos.files import is_hidden

KIND = "datasets"
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_SHARD = re.compile(r"(?P<split>[A-Za-z_]+)(?:-\d+)?-\d{5}-of-\d{5}.*")


def recognises(path: Path, knows: Knows) -> bool:
    """Return whether ``path`` is such a folder, or a Parquet or Arrow file."""
    if path.is_file():
        return path.suffix.lower() in SUFFIXES or path.name in METADATA
    return path.is_dir() and bool(_metadata(path) or _shards(path))


def read(path: Path, knows: Knows, where: Surroundings) -> Listing:
    """List the recordings of the data set at ``path``.

    Raises:
        CorpusError: a table cannot be read, has no labels, or none of its files is there.
        MissingExtraError: it is of Parquet or Arrow files, and pyarrow is not installed.
    """
    folder = path if path.is_dir() else path.parent
    files = ListedFiles(FileFinder(where.base or folder, where.base is not None))
    tables = [path] if path.is_file() else _metadata(path) or _shards(path)
    for table in tables:
        split = _split(table, folder)
        if table.name in METADATA:
            _add_metadata(files, table, split, where)
        else:
            _add_shard(files, table, folder, split, where)
    try:
        return files.listing(KIND)
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}") from None


def _metadata(folder: Path) -> list[Path]:
    """Return the metadata tables in ``folder`` and in the folders of its splits."""
    places = [folder, *_inner(folder), *(deeper for inner in _inner(folder) for deeper in _inner(inner))]
    tables = [place / name for place in places for name in METADATA if (place / name).is_file()]
    return [table for table in tables if "file" in columns_of(read_table(table).headings)]


def _shards(folder: Path) -> list[Path]:
    """Return the Parquet and Arrow files in ``folder``, in ``data/``, and in the folders of splits."""
    places = [folder, *_inner(folder)]
    return sorted(
        file
        for place in places
        for file in place.iterdir()
        if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(("cache-", "."))
    )


def _inner(folder: Path) -> list[Path]:
    return sorted(
        inner
        for inner in folder.iterdir()
        if inner.is_dir() and not is_hidden(inner.name) and (split_of(inner.name) or inner.name == "data")
    )


def _split(table: Path, folder: Path) -> str:
    shard = _SHARD.fullmatch(table.stem)
    words = [shard["split"] if shard else table.stem, *reversed(table.relative_to(folder).parts[:-1])]
    return next((split for word in words if (split := split_of(word))), "")


def _add_metadata(files: ListedFiles, path: Path, split: str, where: Surroundings) -> None:
    table = read_table(path)
    columns = columns_of(table.headings, where.columns)
    require(columns, ("file",), table.headings, path, where.columns)
    finder = files.finder if files.finder.named else FileFinder(path.parent)
    by_column = "emotion" in columns or not truths_in(columns, table.headings)
    for row in table.rows:
        # A folder of sound needs no column of labels: its folders are.
        label = "" if by_column else Path(row.cells.get(columns["file"], "")).parent.name
        files.add(path.name, row, columns, finder=finder, split=split, emotion=label)


def _add_shard(files: ListedFiles, path: Path, folder: Path, split: str, where: Surroundings) -> None:
    headings, rows = columnar_rows(path)
    columns = columns_of(headings, where.columns)
    truths = truths_in(columns, headings)
    inside = path.relative_to(folder).with_suffix("").as_posix()
    seen: Counter[str] = Counter()
    for row, sounds in rows:
        require(columns, truths if sounds else ("file", *truths), headings, path, where.columns)
        if not sounds:
            files.add(path.name, row, columns, split=split)
            continue
        sound = next(iter(sounds.values()))
        cells = {name: row.cells.get(heading, "") for name, heading in columns.items() if name != "file"}
        if not sound.content:
            cells["file"] = sound.path
            files.add(path.name, TableRow(row.line, cells), {name: name for name in cells}, split=split)
            continue
        name = Path(sound.path.replace("\\", "/")).name or f"{row.line:06}{sound.suffix}"
        seen[name] += 1
        name = name if seen[name] == 1 else f"{Path(name).stem}-{row.line:06}{Path(name).suffix}"
        kept = sound.unpacked(where.cache_dir / "unpacked")
        files.add_kept(f"{inside}/{name}", kept, path.name, TableRow(row.line, cells), split=split)
