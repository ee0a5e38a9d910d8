"""Folds that somebody else drew: lists of files, and which recordings of a corpus they mean.

EmoBox (Ma et al. 2024, Interspeech) publishes each fold as ``*_train_fold_N.jsonl`` and ``*_test_fold_N.jsonl``
(and at times ``*_valid_fold_N.jsonl``), one JSON object a line whose ``wav`` is a path. A table, in any dialect, has
the columns ``file``, ``fold`` and ``split``, and may have ``start`` and ``end``. Without ``split``, each file's fold is
the one that tests it, and trains on all others, as in the tables of ESC-50; without ``fold``, there is one.

Others keep a list for each side, ``train.txt`` and ``test.txt``, in a folder for each fold if there are several; a list
for each fold, ``fold1.txt``, of what it tests; or JSON, by side, or by fold and side.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from thymos.audio.excerpt import excerpt_name
from thymos.audio.search import is_sound_name
from thymos.corpora.dialects import SUFFIXES, TableRow, read_table
from thymos.corpora.headings import columns_of, require
from thymos.corpora.readers.listed_files import split_in_name, split_of, times_of
from thymos.corpora.table import Corpus, clip_names
from thymos.errors import CorpusError, ProtocolError
from thymos.files import MOST_TEXT_BYTES, bounded_text, is_hidden, parsed_json
from thymos.labels import natural_key

_OF_FOLD = re.compile(r"fold[\W_]*(\d+)", re.IGNORECASE)
FOLD_FILE = re.compile(r".*_(?P<split>train|valid|validation|test)_fold_(?P<fold>\d+)\.jsonl")


class ListedFile(NamedTuple):
    """A line of somebody else's lists."""

    fold: str
    side: str
    """``train``, ``validation`` or ``test``."""
    file: str
    """As the list has it, with the times of an excerpt behind it: the folder and the format may be those of another
    copy of the corpus."""


def read_fold_lists(path: Path) -> list[ListedFile]:
    """Read the folds at ``path``: a folder of lists, a table, or JSON.

    Raises:
        ProtocolError: nothing readable there, or no fold.
    """
    try:
        if path.is_dir():
            rows = list(_emobox_rows(path)) or list(_rows_of_lists(path))
        elif path.is_file():
            rows = list(_json_rows(path) if path.suffix.lower() == ".json" else ()) or list(_table_rows(path))
        else:
            raise ProtocolError(f"{path} does not exist")
    except CorpusError as error:
        raise ProtocolError(str(error)) from None
    if not rows:
        raise ProtocolError(
            f"{path} names no folds: it has no *_train_fold_N.jsonl and *_test_fold_N.jsonl, no lists such as "
            "train.txt and test.txt, in folders of folds or not, and no fold1.txt, fold2.txt …"
        )
    return rows


def fold_files(folder: Path) -> list[Path]:
    """Return EmoBox's lists in ``folder``, or in its folders ``fold_1``, ``fold_2`` …, sorted."""
    inside = (each for each in folder.iterdir() if FOLD_FILE.fullmatch(each.name))
    return sorted(inside) or sorted(each for each in folder.glob("fold_*/*") if FOLD_FILE.fullmatch(each.name))


def _emobox_rows(folder: Path) -> Iterator[ListedFile]:
    for path in fold_files(folder):
        if match := FOLD_FILE.fullmatch(path.name):
            table = read_table(path)
            columns = columns_of(table.headings)
            for row in table.rows:
                file = row.cells.get(columns.get("file", ""), "")
                if not file:
                    raise ProtocolError(f"{path}, line {row.line}, is not a JSON object with a 'wav'")
                yield ListedFile(match["fold"], split_of(match["split"]), file)


def _rows_of_lists(folder: Path) -> Iterator[ListedFile]:
    """Yield what lists named for sides name, of one fold or in a folder for each; or lists named for folds."""
    inside = sorted(each for each in folder.iterdir() if not is_hidden(each.name))
    folds = [(each.name, each) for each in inside if each.is_dir()]
    for fold, place in folds or [("1", folder)]:
        lists = sorted(each for each in place.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
        for each in lists:
            if side := split_in_name(each.stem):
                yield from (ListedFile(fold, side, file) for file in _files_in(each))
    numbered = [(found[1], each) for each in inside if each.is_file() and (found := _OF_FOLD.search(each.stem))]
    tested = {fold: list(_files_in(each)) for fold, each in numbered if not split_in_name(each.stem)}
    for fold in tested if len(tested) > 1 else ():
        for other, files in tested.items():
            yield from (ListedFile(fold, "test" if other == fold else "train", file) for file in files)


def _files_in(path: Path) -> Iterator[str]:
    """Yield the files that a list names: a table with a column of them, or a file a line, with or without more."""
    table = read_table(path)
    heading = columns_of(table.headings).get("file")
    if heading is not None:
        yield from (row.cells[heading] for row in table.rows if row.cells.get(heading))
        return
    first = table.headings[0] if table.headings else ""
    for line in (first, *(row.cells.get(first, "") for row in table.rows)):
        if line:
            yield line if is_sound_name(line) else line.split()[0]


def _json_rows(path: Path) -> Iterator[ListedFile]:
    """Yield what JSON lists by side, ``{"train": […]}``, or by fold and side; nothing of any other."""
    try:
        content = parsed_json(bounded_text(path, MOST_TEXT_BYTES))
    except (OSError, ValueError):
        return
    if not isinstance(content, dict):
        return
    folds = (
        {"1": content} if any(isinstance(each, list) and split_of(key) for key, each in content.items()) else content
    )
    for fold, sides in folds.items():
        for side, files in sides.items() if isinstance(sides, dict) else ():
            for each in files if isinstance(files, list) and split_of(side) else ():
                named = each.get(columns_of(list(each)).get("file", ""), "") if isinstance(each, dict) else each
                if not isinstance(named, str) or not named:
                    raise ProtocolError(f"{path}: {str(each)[:60]!r}, of {side}, names no file")
                yield ListedFile(str(fold), split_of(side), named)


def _table_rows(path: Path) -> Iterator[ListedFile]:
    table = read_table(path)
    columns = columns_of(table.headings)
    require(columns, ("file",) if "split" in columns else ("file", "fold"), table.headings, path)
    if not table.rows:
        raise ProtocolError(f"{path} has a line of headings, and no row below it")
    folds = sorted({row.cells.get(columns.get("fold", ""), "") for row in table.rows} - {""}, key=natural_key)
    if "split" not in columns and len(folds) < 2:
        raise ProtocolError(f"{path} has no column split, so that it must name two folds or more, not {len(folds)}")
    for row in table.rows:
        cells = {name: row.cells.get(heading, "") for name, heading in columns.items()}
        if "split" not in columns:
            yield from _of_own_fold(path, row, cells, folds)
            continue
        side = split_of(cells["split"])
        if side not in ("train", "validation", "test") or row.problem:
            reason = row.problem or f"split is {cells['split']!r}, not train, validation or test"
            raise ProtocolError(f"{path}, line {row.line}: {reason}")
        yield ListedFile(cells.get("fold", "1"), side, _excerpt(path, row, cells))


def _of_own_fold(path: Path, row: TableRow, cells: dict[str, str], folds: Sequence[str]) -> Iterator[ListedFile]:
    if row.problem or not cells["fold"]:
        raise ProtocolError(f"{path}, line {row.line}: {row.problem or 'names no fold'}")
    file = _excerpt(path, row, cells)
    for fold in folds:
        yield ListedFile(fold, "test" if fold == cells["fold"] else "train", file)


def _excerpt(path: Path, row: TableRow, cells: dict[str, str]) -> str:
    try:
        return excerpt_name(cells["file"], *times_of(cells))
    except ValueError as error:
        raise ProtocolError(f"{path}, line {row.line}: {error}") from None


def clips_listed(corpus: Corpus, listed: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return which clips of ``corpus`` each of the ``listed`` files means; what it does not have means none.

    A path that is a clip's own is that clip. Of all others, folder and format may be those of another copy of the
    corpus: the file of that stem is meant; where several have it, the one whose folders agree with the path furthest.
    A file that the corpus has in excerpts means all of these.

    Raises:
        ProtocolError: a path fits two files of the corpus alike, or two paths one file; the message names both.
    """
    files: dict[str, list[str]] = defaultdict(list)
    for clip in corpus.clips:
        files[clip.lies_in].append(clip.path)
        if clip.path != clip.lies_in:
            files[clip.path].append(clip.path)
    by_stem: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_stem[_parts(file)[0]].append(file)
    meant: dict[str, str] = {}
    for path in dict.fromkeys(listed):
        plain = path if path in files else path.replace("\\", "/")
        if plain in files:
            meant[path] = plain
        elif alike := by_stem.get(_parts(plain)[0]):
            meant[path] = _nearest_file(path, plain, alike)
    _check_one_each(meant, files)
    return {path: tuple(files[file]) for path, file in meant.items()}


def _parts(file: str) -> tuple[str, ...]:
    """Return the stem of ``file``, with the times of an excerpt, then its folders from the innermost outwards."""
    whole, mark, times = file.partition("#t=")
    path = PurePosixPath(whole)
    return (path.stem + mark + times, *reversed(path.parts[:-1]))


def _nearest_file(path: str, plain: str, alike: Sequence[str]) -> str:
    wanted = _parts(plain)

    def agreeing(file: str) -> int:
        same = 0
        for one, other in zip(_parts(file), wanted, strict=False):
            if one.casefold() != other.casefold():
                break
            same += 1
        return same

    most = max(map(agreeing, alike))
    nearest = [file for file in alike if agreeing(file) == most]
    if len(nearest) > 1:
        raise ProtocolError(f"{path} may be {clip_names(sorted(nearest))}: give paths as the corpus has them")
    return nearest[0]


def _check_one_each(meant: dict[str, str], files: dict[str, list[str]]) -> None:
    """Leave out of ``meant`` what only shares its stem with a file that another path names outright.

    Raises:
        ProtocolError: two paths that are none of the corpus's own mean one file.
    """
    paths: dict[str, list[str]] = defaultdict(list)
    for path, file in meant.items():
        paths[file].append(path)
    for file, of in paths.items():
        own = [path for path in of if path.replace("\\", "/") == file]
        for path in of if own else ():
            if path not in own:
                del meant[path]
        if len(of) > 1 and not own:
            raise ProtocolError(f"{clip_names(of)} may all be {file}: give paths as the corpus has them")
