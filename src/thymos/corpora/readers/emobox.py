"""EmoBox's lists as a corpus: JSON lines of ``wav`` and ``emo``, one file for each side of each fold.

(Ma et al. 2024, EmoBox, Interspeech; https://github.com/emo-box/EmoBox.) ``label_map.json``, beside the lists or one
folder up, says what its codes mean. One fold's lists are a corpus with its own split.
"""

from pathlib import Path

from thymos.corpora.dialects import read_table
from thymos.corpora.fold_lists import FOLD_FILE, fold_files
from thymos.corpora.headings import columns_of, require, truths_in
from thymos.corpora.readers.file_finder import FileFinder
from thymos.corpora.readers.folders import Knows
from thymos.corpora.readers.listed_files import ListedFiles, Surroundings, split_of
from thymos.corpora.table import Listing
from thymos.errors import CorpusError
from thymos.files import MOST_TEXT_BYTES, bounded_text, parsed_json

KIND = "emobox"
CODES = "label_map.json"


def recognises(path: Path, knows: Knows) -> bool:
    """Return whether ``path`` is a folder of EmoBox's lists, or one of them."""
    if path.is_file():
        return FOLD_FILE.fullmatch(path.name) is not None
    return path.is_dir() and bool(fold_files(path))


def read(path: Path, knows: Knows, where: Surroundings) -> Listing:
    """List what the lists at ``path`` name; paths are relative to them, or to ``where.base``.

    Raises:
        CorpusError: a list cannot be read, or none of the files is there.
    """
    folder = path if path.is_dir() else path.parent
    lists = [path] if path.is_file() else fold_files(path)
    named = [(each, match) for each in lists if (match := FOLD_FILE.fullmatch(each.name))]
    codes = _codes(folder)
    one_fold = len({match["fold"] for _, match in named}) == 1
    files = ListedFiles(FileFinder(where.base or folder, where.base is not None))
    for each, match in named:
        table = read_table(each)
        columns = columns_of(table.headings, where.columns)
        require(columns, ("file", *truths_in(columns, table.headings)), table.headings, each, where.columns)
        for row in table.rows:
            label = row.cells.get(columns.get("emotion", ""), "")
            split = split_of(match["split"]) if one_fold else ""
            files.add(each.name, row, columns, emotion=codes.get(label, label), split=split)
    try:
        return files.listing(KIND)
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}") from None


def _codes(folder: Path) -> dict[str, str]:
    for path in (folder / CODES, folder.parent / CODES):
        if path.is_file():
            try:
                content = parsed_json(bounded_text(path, MOST_TEXT_BYTES))
            except (OSError, ValueError) as error:
                raise CorpusError(f"{path} cannot be read: {error}") from None
            if isinstance(content, dict):
                return {str(code): str(word) for code, word in content.items()}
    return {}
