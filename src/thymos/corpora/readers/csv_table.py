"""A corpus given as a table: columns of files and emotions, and if known of speakers, sentences, times and more.

What columns may be called says ``corpora.headings``, and how tables may be written ``corpora.dialects``. Other columns
are left alone.
"""

from pathlib import Path

from thymos.corpora.dialects import SUFFIXES, read_table
from thymos.corpora.headings import columns_of, require, with_files
from thymos.corpora.readers.file_finder import FileFinder
from thymos.corpora.readers.folders import Knows
from thymos.corpora.readers.listed_files import TIMES, ListedFiles, Surroundings, listing_of
from thymos.corpora.table import Listing
from thymos.errors import CorpusError

KIND = "csv"


def recognises(path: Path, knows: Knows) -> bool:
    """Return whether ``path`` is a file that is named as tables are."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def files_listed(path: Path) -> Listing:
    """List the files, and parts of files, that the table at ``path`` names, whatever it says of them; files that lie
    elsewhere are named by their addresses.

    Raises:
        CorpusError: it is no table, has no column of files, or none of them is there.
        MissingExtraError: it is a spreadsheet or a Parquet file, and what reads those is not installed.
    """
    table = read_table(path)
    columns = with_files(columns_of(table.headings), table.headings, [row.cells for row in table.rows])
    require(columns, ("file",), table.headings, path)
    places = {name: heading for name, heading in columns.items() if name == "file" or name in TIMES}
    files = ListedFiles(FileFinder(path.parent), takes_addresses=True)
    for row in table.rows:
        files.add(path.name, row, places)
    try:
        return files.listing(KIND)
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}") from None


def read(path: Path, knows: Knows, where: Surroundings) -> Listing:
    """List the rows of the table at ``path``, whose files are relative to ``where.base``, or to its own folder.

    Raises:
        CorpusError: it is no table, has no column of files or of emotions, or none of its files is there.
        MissingExtraError: it is a spreadsheet, and what reads those is not installed.
    """
    return listing_of(KIND, read_table(path), where)
