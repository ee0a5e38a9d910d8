"""audformat's databases, as audEERING and nkululeko keep them: ``db.yaml``, and tables as CSV or Parquet.

They are read here and not by the library of that name, since that opens a table's pickle where there is one, and
nothing is unpickled. (https://audeering.github.io/audformat/data-format.html)
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thymos.corpora.dialects import Table, read_table
from thymos.corpora.headings import Chosen, columns_of
from thymos.corpora.readers.file_finder import FileFinder
from thymos.corpora.readers.folders import Knows
from thymos.corpora.readers.listed_files import ListedFiles, Surroundings, split_of
from thymos.corpora.table import Listing
from thymos.errors import CorpusError
from thymos.files import MOST_TEXT_BYTES, bounded_text
from thymos.labels import DIMENSIONS

KIND = "audformat"
HEADER = "db.yaml"
GOLD = "gold_standard"
"""In the names of tables that hold what several raters agreed on."""

_TRUTHS = ({"emotion"}, {*DIMENSIONS})
"""What tables say that makes clips of their rows: emotions; where there are none, dimensions."""

Key = tuple[str, str, str]
"""File, start and end, as a table writes them; the last two empty where a row is about the whole file."""


def recognises(path: Path, knows: Knows) -> bool:
    """Return whether ``path`` is a folder with a ``db.yaml``, or that file."""
    header = path / HEADER if path.is_dir() else path
    return header.name == HEADER and header.is_file()


def read(path: Path, knows: Knows, where: Surroundings) -> Listing:
    """List what the tables of emotions of the database at ``path`` name, with what its other tables say of that.

    Raises:
        CorpusError: it cannot be read, has no table of emotions but pickled ones, or none of its files is there.
        MissingExtraError: a table is a Parquet file, and pyarrow is not installed.
    """
    folder = path if path.is_dir() else path.parent
    database = _Database(folder, _header(folder / HEADER), where.columns)
    files = ListedFiles(FileFinder(where.base or folder, where.base is not None))
    for name in database.emotion_tables():
        table = database.tables[name]
        columns = columns_of(table.headings, where.columns)
        for row in table.rows:
            own = {field: row.cells.get(heading, "") for field, heading in columns.items()}
            told = database.told_of(_key(own)) | {field: cell for field, cell in own.items() if cell}
            told.setdefault("split", database.split_of_table(name))
            row = type(row)(row.line, told, row.problem)
            files.add(table.path.name, row, {field: field for field in told})
    try:
        return files.listing(KIND)
    except CorpusError as error:
        raise CorpusError(f"{folder}: {error}") from None


def _header(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.load(bounded_text(path, MOST_TEXT_BYTES), Loader=yaml.CSafeLoader)
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise CorpusError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(content, dict) or not isinstance(content.get("tables"), dict):
        raise CorpusError(f"{path} is no header of an audformat database: it has no tables")
    return content


def _key(cells: dict[str, str]) -> Key:
    return cells.get("file", ""), cells.get("start", ""), cells.get("end", "")


@dataclass
class _Database:
    """What a database's files hold."""

    folder: Path
    header: dict[str, Any]
    chosen: Chosen
    tables: dict[str, Table] = field(default_factory=dict)
    pickled: list[str] = field(default_factory=list)
    told: dict[Key, dict[str, str]] = field(default_factory=dict)
    speakers: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.header["tables"]:
            if (table := self._table(str(name))) is not None:
                self.tables[str(name)] = table
        for table in self.tables.values():
            columns = self._columns(table)
            for row in table.rows:
                cells = {word: row.cells.get(heading, "") for word, heading in columns.items()}
                about = {word: cell for word, cell in cells.items() if cell and word not in ("emotion", "split")}
                self.told.setdefault(_key(cells), {}).update(about)
        self.speakers = dict(self._speakers())

    def emotion_tables(self) -> list[str]:
        """Return the names of the tables that say emotions, or else dimensions: what raters agreed on, where there are
        such."""
        found = {field for table in self.tables.values() for field in self._columns(table)}
        if absent := [heading for field, heading in self.chosen.items() if field not in found]:
            raise CorpusError(f"{self.folder} has no table with a column {absent[0]}{self._headings()}")
        telling = (
            [
                name
                for name, table in self.tables.items()
                if (told := self._columns(table).keys()) & truth and "file" in told
            ]
            for truth in _TRUTHS
        )
        named = next(filter(None, telling), [])
        gold = [name for name in named if GOLD in name]
        if named:
            return [*gold, *(name for name in named if name == "emotion")] if gold else named
        if self.pickled:
            raise CorpusError(
                f"{self.folder} has its tables as pickles, such as {self.pickled[0]}, and nothing is unpickled; "
                "with audformat, db.save(folder, storage_format='csv') writes them as CSV"
            )
        raise CorpusError(f"{self.folder} has no table with a column emotion{self._headings()}")

    def _headings(self) -> str:
        tables = [f"{name} ({', '.join(table.headings)})" for name, table in self.tables.items()]
        return f"; its tables are {', '.join(tables) or 'none'}"

    def _columns(self, table: Table) -> dict[str, str]:
        return columns_of(table.headings, self.chosen)

    def told_of(self, key: Key) -> dict[str, str]:
        """Return what all tables say of a clip, and of the whole file that it is a part of."""
        told = self.told.get((key[0], "", ""), {}) | self.told.get(key, {})
        about = self.speakers.get(told.get("speaker", ""), {}) | told
        languages = self.header.get("languages") or []
        if len(languages) == 1:
            about.setdefault("language", str(languages[0]))
        return about

    def split_of_table(self, name: str) -> str:
        """Return the split that a table is for: by its ``split_id``, or by a word in its name."""
        about = self.header["tables"].get(name) or {}
        split = about.get("split_id")
        kind = ((self.header.get("splits") or {}).get(split) or {}).get("type", split)
        words = [str(kind or ""), *name.split(".")]
        return next((found for word in words if (found := split_of(word.rstrip("-0123456789")))), "")

    def _table(self, name: str) -> Table | None:
        for suffix in (".csv", ".parquet"):
            path = self.folder / f"db.{name}{suffix}"
            if path.is_file():
                return read_table(path)
        if (path := self.folder / f"db.{name}.pkl").exists():
            self.pickled.append(path.name)
        return None

    def _speakers(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield what the scheme of speakers says of each: in the header itself, or in a table of its own."""
        labels = ((self.header.get("schemes") or {}).get("speaker") or {}).get("labels")
        if isinstance(labels, dict):
            for speaker, about in labels.items():
                if isinstance(about, dict):
                    found = columns_of([str(word) for word in about])
                    yield str(speaker), {word: str(about[key]) for word, key in found.items() if key in about}
        elif isinstance(labels, str) and (table := self._table(labels)) is not None:
            columns = {word: heading for word, heading in columns_of(table.headings[1:]).items() if word != "speaker"}
            for row in table.rows:
                cells = {word: row.cells.get(heading, "") for word, heading in columns.items()}
                yield row.cells.get(table.headings[0], ""), cells
