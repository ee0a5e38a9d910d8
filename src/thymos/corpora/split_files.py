"""Folds that somebody else drew: EmoBox's lists, or a CSV table.

EmoBox (Ma et al. 2024, Interspeech) publishes each fold as ``*_train_fold_N.jsonl`` and ``*_test_fold_N.jsonl``
(and at times ``*_valid_fold_N.jsonl``), one JSON object a line whose ``wav`` is a path. A CSV table has the columns
``file``, ``fold`` and ``split``. Recordings are matched by file stem, since copies differ in folder and format.
"""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from thymos.corpora.folds import Fold, Protocol
from thymos.corpora.table import Corpus, clip_names
from thymos.errors import ProtocolError

_FOLD_FILE = re.compile(r".*_(?P<split>train|valid|validation|test)_fold_(?P<fold>\d+)\.jsonl")
_SPLITS = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}

# (fold, split, file) as the lists have them.
Row = tuple[str, str, str]


def read_split_files(corpus: Corpus, path: Path) -> Protocol:
    """Read the folds at ``path``, a folder of EmoBox lists or a CSV table, for ``corpus``.

    Raises:
        ProtocolError: nothing readable there, a fold without training or test part, or a stem that two clips share.
    """
    if path.is_dir():
        rows = list(_emobox_rows(path))
    elif path.is_file():
        rows = list(_csv_rows(path))
    else:
        raise ProtocolError(f"{path} does not exist")
    by_stem = _clips_by_stem(corpus)
    sides: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    absent = []
    for fold, split, file in rows:
        clip = by_stem.get(_stem(file))
        if clip is None:
            absent.append(file)
        else:
            sides[fold][split].append(clip)
    named = sorted({fold for fold, _, _ in rows}, key=lambda fold: (len(fold), fold))
    folds = tuple(_fold(index, name, sides[name]) for index, name in enumerate(named))
    if not folds:
        raise ProtocolError(f"{path} names no folds: it has no *_train_fold_N.jsonl and *_test_fold_N.jsonl")
    return Protocol(f"file:{path.name or path.resolve().name}", ("recording",), folds, tuple(sorted(set(absent))))


def _fold(index: int, name: str, sides: dict[str, list[str]]) -> Fold:
    for side in ("train", "test"):
        if not sides[side]:
            raise ProtocolError(f"fold {name} has no recording of this corpus to {side}")
    train, test, validation = (tuple(dict.fromkeys(sides[side])) for side in ("train", "test", "validation"))
    return Fold(0, index, f"fold {name}", train, test, validation)


def _emobox_rows(folder: Path) -> Iterator[Row]:
    for path in sorted(folder.iterdir()):
        match = _FOLD_FILE.fullmatch(path.name)
        if match is None:
            continue
        for number, line in enumerate(_text(path).splitlines(), start=1):
            if line.strip():
                try:
                    yield match["fold"], _SPLITS[match["split"]], str(json.loads(line)["wav"])
                except (ValueError, KeyError, TypeError):
                    raise ProtocolError(f"{path}, line {number}, is not a JSON object with a 'wav'") from None


def _csv_rows(path: Path) -> Iterator[Row]:
    table = csv.DictReader(io.StringIO(_text(path), newline=""), restval="")
    missing = {"file", "fold", "split"} - set(table.fieldnames or ())
    if missing:
        raise ProtocolError(f"{path} has no column {' and no column '.join(sorted(missing))}")
    for row in table:
        split = _SPLITS.get(row["split"].strip().lower())
        if split is None:
            raise ProtocolError(
                f"{path}, line {table.line_num}: split is {row['split']!r}, not train, validation or test"
            )
        yield row["fold"].strip(), split, row["file"].strip()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ProtocolError(f"{path} cannot be read: {reason}") from None


def _clips_by_stem(corpus: Corpus) -> dict[str, str]:
    by_stem: dict[str, str] = {}
    for clip in corpus.clips:
        other = by_stem.setdefault(_stem(clip.path), clip.path)
        if other != clip.path:
            raise ProtocolError(f"files cannot be matched by name: {clip_names([other, clip.path])} share theirs")
    return by_stem


def _stem(file: str) -> str:
    return PurePosixPath(file.replace("\\", "/")).stem
