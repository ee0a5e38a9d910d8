"""Corpora that name their recordings in tables: which kinds there are, and those that come in parts, a table each."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import ModuleType

from thymos.corpora.dialects import read_table
from thymos.corpora.headings import columns_of, truths_in
from thymos.corpora.readers import audformat_folder, csv_table, emobox, hugging_face, kaldi
from thymos.corpora.readers.folders import Knows
from thymos.corpora.readers.listed_files import Surroundings, split_in_name, split_of
from thymos.corpora.table import Exclusion, Listing
from thymos.errors import CorpusError, MissingExtraError
from thymos.files import is_hidden

LISTED: tuple[ModuleType, ...] = (audformat_folder, kaldi, emobox, hugging_face, csv_table)
"""What names its files in tables: their ``read`` takes the ``Surroundings``."""


def in_parts(path: Path, knows: Knows, where: Surroundings) -> Listing | None:
    """Read a corpus whose parts have a table each: ``train.csv`` and ``test.csv``, or a folder each, ``train/`` and
    ``test/``, with a table in it or of a kind that has tables, such as Kaldi's. None where there are no two such parts.

    Raises:
        CorpusError: a table cannot be read, or none of its files is there.
    """
    inside = [child for child in sorted(path.iterdir()) if not is_hidden(child.name)]
    tables = [(child, split_in_name(child.stem)) for child in inside if _tells_clips(child, knows, where)]
    folders = [(_source_in(child, knows, where), split_of(child.name)) for child in inside if child.is_dir()]
    for parts in (tables, folders):
        named = [(source, split) for source, split in parts if source is not None and split]
        if len({split for _, split in named}) > 1:
            return _together(path, [(own_listing(source, knows, where), split) for source, split in named])
    return None


def _source_in(folder: Path, knows: Knows, where: Surroundings) -> Path | None:
    """Return ``folder`` if it is of a kind that has tables, else the one table of clips in it, if there is one."""
    if any(module.recognises(folder, knows) for module in LISTED):
        return folder
    tables = [child for child in sorted(folder.iterdir()) if _tells_clips(child, knows, where)]
    return tables[0] if len(tables) == 1 else None


def _tells_clips(path: Path, knows: Knows, where: Surroundings) -> bool:
    """Return whether ``path`` is a table with columns of files and of emotions or dimensions."""
    if is_hidden(path.name) or not csv_table.recognises(path, knows):
        return False
    try:
        headings = read_table(path).headings
    except (CorpusError, MissingExtraError):
        return False
    return {"file", *truths_in(columns := columns_of(headings, where.columns), headings)} <= columns.keys()


def own_listing(source: Path, knows: Knows, where: Surroundings) -> Listing:
    """Return what ``source``, of one of the kinds that are ``LISTED``, names.

    Raises:
        CorpusError: a table cannot be read, or none of its files is there.
    """
    module = next(module for module in LISTED if module.recognises(source, knows))
    listing: Listing = module.read(source, knows, where)
    return listing


def _together(path: Path, parts: Sequence[tuple[Listing, str]]) -> Listing:
    """Return the listings of parts of the corpus at ``path`` as one, each with its split."""
    root = Path(os.path.commonpath([path.absolute(), *(listing.root.absolute() for listing, _ in parts)]))
    whole = Listing(parts[0][0].kind, root)
    seen: dict[str, str] = {}
    for listing, split in parts:
        inner = PurePosixPath(os.path.relpath(listing.root.absolute(), root))
        for entry in listing.entries:
            name, own = str(inner / entry.path), entry.split or split
            if seen.setdefault(name, own) != own:
                whole.excluded.append(Exclusion(name, f"is listed with two splits, {seen[name]} and {own}"))
                continue
            whole.entries.append(replace(entry, path=name, file=entry.file and str(inner / entry.file), split=own))
        whole.excluded.extend(replace(each, clip=str(inner / each.clip)) for each in listing.excluded)
        whole.notes.extend(note for note in listing.notes if note not in whole.notes)
    twice = {each.clip for each in whole.excluded}
    whole.entries[:] = {entry.path: entry for entry in whole.entries if entry.path not in twice}.values()
    return whole
