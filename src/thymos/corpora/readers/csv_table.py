"""A corpus given as a table: columns of files and emotions, and if known of speakers, sentences, times and more.

What columns may be called says ``corpora.headings``, and how tables may be written ``corpora.dialects``. Other columns
are left alone.
"""

from pathlib import Path

from thymos.corpora.dialects import SUFFIXES, read_table
from thymos.corpora.readers.folders import Knows
from thymos.corpora.readers.listed_files import Surroundings, listing_of
from thymos.corpora.table import Listing

KIND = "csv"


def recognises(path: Path, knows: Knows) -> bool:
    """Return whether ``path`` is a file that is named as tables are."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def read(path: Path, knows: Knows, where: Surroundings) -> Listing:
    """List the rows of the table at ``path``, whose files are relative to ``where.base``, or to its own folder.

    Raises:
        CorpusError: it is no table, has no column of files or of emotions, or none of its files is there.
        MissingExtraError: it is a spreadsheet, and what reads those is not installed.
    """
    return listing_of(KIND, read_table(path), where)
