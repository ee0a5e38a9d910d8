"""Folds, the guard that each passes before it is used, and lists of folds that somebody else drew.

EmoBox (Ma et al. 2024, Interspeech) publishes each fold as ``*_train_fold_N.jsonl`` and ``*_test_fold_N.jsonl``
(and at times ``*_valid_fold_N.jsonl``), one JSON object a line whose ``wav`` is a path. A CSV table has the columns
``file``, ``fold`` and ``split``.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from thymos.corpora.table import Clip, Corpus, clip_names
from thymos.errors import LeakageError, ProtocolError

GroupOf = Callable[[Clip], tuple[str, ...]]

GROUPS: dict[str, GroupOf] = {
    # Exact copies of one recording under two names are one recording, and so are excerpts that overlap.
    "recording": lambda clip: (clip.recording or clip.sound.sha256,),
    "take": lambda clip: (clip.speaker, clip.emotion, clip.sentence),
    "sentence": lambda clip: (clip.sentence,),
    "speaker": lambda clip: (clip.speaker,),
    "corpus": lambda clip: (clip.corpus,),
}
"""What may have to stay on one side: a clip's group, by the name of what is kept together."""

_FOLD_FILE = re.compile(r".*_(?P<split>train|valid|validation|test)_fold_(?P<fold>\d+)\.jsonl")
_SIDES = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class Fold:
    """One division of a corpus. Clips are named by their paths; ``validation`` is there if the protocol has one."""

    repeat: int
    index: int
    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    validation: tuple[str, ...] = ()


def check_leakage(corpus: Corpus, folds: Iterable[Fold], must_not_cross: Sequence[str], protocol: str) -> None:
    """Check that nothing which must stay together is on both sides of a fold.

    Args:
        corpus: whose clips the folds name.
        folds: what is checked.
        must_not_cross: keys of ``GROUPS``.
        protocol: name of what drew the folds, for the message.

    Raises:
        LeakageError: it is; the message names the offenders.
        ProtocolError: a fold names a clip that the corpus does not have, or has nothing to train on or to test.
    """
    by_path = {clip.path: clip for clip in corpus.clips}
    for fold in folds:
        sides = {"train": fold.train, "validation": fold.validation, "test": fold.test}
        for side, paths in sides.items():
            if not paths and side != "validation":
                raise ProtocolError(f"protocol {protocol}, {fold.name}: no recording to {side}")
            if unknown := [path for path in paths if path not in by_path]:
                raise ProtocolError(f"protocol {protocol}, {fold.name}: not in the corpus: {clip_names(unknown)}")
        for what in must_not_cross:
            seen: dict[tuple[str, ...], tuple[str, str]] = {}
            for side, paths in sides.items():
                for path in paths:
                    group = GROUPS[what](by_path[path])
                    other_side, other = seen.setdefault(group, (side, path))
                    if other_side != side:
                        raise LeakageError(
                            f"protocol {protocol}, {fold.name}: one {what} is on both sides, "
                            f"{other} in {other_side} and {path} in {side}"
                        )


class ListedFile(NamedTuple):
    """A line of somebody else's lists."""

    fold: str
    side: str
    """``train``, ``validation`` or ``test``."""
    file: str
    """As the list has it: the folder and the format may be those of another copy of the corpus."""


def read_fold_lists(path: Path) -> list[ListedFile]:
    """Read the folds at ``path``, a folder of EmoBox lists or a CSV table.

    Raises:
        ProtocolError: nothing readable there, or no fold.
    """
    if path.is_dir():
        rows = list(_emobox_rows(path))
    elif path.is_file():
        rows = list(_csv_rows(path))
    else:
        raise ProtocolError(f"{path} does not exist")
    if not rows:
        raise ProtocolError(f"{path} names no folds: it has no *_train_fold_N.jsonl and *_test_fold_N.jsonl")
    return rows


def _emobox_rows(folder: Path) -> Iterator[ListedFile]:
    for path in sorted(folder.iterdir()):
        match = _FOLD_FILE.fullmatch(path.name)
        if match is None:
            continue
        for number, line in enumerate(_text(path).splitlines(), start=1):
            if line.strip():
                try:
                    yield ListedFile(match["fold"], _SIDES[match["split"]], str(json.loads(line)["wav"]))
                except (ValueError, KeyError, TypeError):
                    raise ProtocolError(f"{path}, line {number}, is not a JSON object with a 'wav'") from None


def _csv_rows(path: Path) -> Iterator[ListedFile]:
    table = csv.DictReader(io.StringIO(_text(path), newline=""), restval="")
    missing = {"file", "fold", "split"} - set(table.fieldnames or ())
    if missing:
        raise ProtocolError(f"{path} has no column {' and no column '.join(sorted(missing))}")
    for row in table:
        side = _SIDES.get(row["split"].strip().lower())
        if side is None:
            raise ProtocolError(
                f"{path}, line {table.line_num}: split is {row['split']!r}, not train, validation or test"
            )
        yield ListedFile(row["fold"].strip(), side, row["file"].strip())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ProtocolError(f"{path} cannot be read: {reason}") from None
