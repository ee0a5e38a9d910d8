"""From the rows of a table to clips: where each file lies, which part of it is meant, and rows that contradict others.

Paths are relative to the table, or to the folder that ``--root`` names, or absolute; a backslash is a slash where no
file has it in its name. Below a folder that is named, the first parts of a path may be those of another machine.
"""

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from thymos.audio.elsewhere import is_address
from thymos.audio.excerpt import excerpt_name
from thymos.cache import default_cache_dir
from thymos.corpora.dialects import Table, TableRow, known_cell, seconds_of, with_point
from thymos.corpora.headings import Chosen, columns_of, gender_of, others_for, require, truths_in, with_files
from thymos.corpora.readers.file_finder import FileFinder
from thymos.corpora.table import ClipEntry, Exclusion, Listing, clip_names
from thymos.errors import CorpusError
from thymos.labels import DIMENSIONS, label_key, speaker_key, to_emotion

SPLITS = {
    **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "devel", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation"), "test"),
}
"""What people call the parts of a corpus that comes divided."""

TIMES = ("start", "end", "duration", "start_ms", "end_ms", "duration_ms")
"""Columns that say which part of a file is meant."""
_MOST_FOLDERS = 500
"""In which it is looked for what a table names and is not there."""
_NOT_CELLS = ("path", "file", "emotion", "split", "start_s", "end_s", *DIMENSIONS)
_TOLD = tuple(each.name for each in fields(ClipEntry) if each.name not in _NOT_CELLS)


_NAMES = ("emotion", "split", *_TOLD, *DIMENSIONS)
"""Columns whose cells may say that nothing is known."""


def split_of(word: str) -> str:
    """Return the split that ``word``, a folder's name or a cell, stands for; the empty string: none.

    A corpus may have several test parts: ``Test2`` is ``test2``.
    """
    key = label_key(word).replace("_", " ").replace("-", " ").removesuffix("set").strip()
    numbered = re.fullmatch(r"(\D+?) ?(\d{1,3})", key)
    if numbered and SPLITS.get(numbered[1]) == "test":
        return f"test{int(numbered[2])}"
    return SPLITS.get(key, "")


def split_in_name(stem: str) -> str:
    """Return the split that a table is named for, as ``train_labels`` is; nothing if for none, or for several."""
    found = {split for word in re.split(r"[\W_]+", stem) if (split := split_of(word))}
    return found.pop() if len(found) == 1 else ""


@dataclass(frozen=True)
class Surroundings:
    """What a reader of tables is told beside their path.

    Attributes:
        base: the folder that the user says paths are relative to; None: that of the table.
        cache_dir: where sound that lies in a table is kept.
        columns: the headings that the user chose.
    """

    base: Path | None = None
    cache_dir: Path = field(default_factory=default_cache_dir)
    columns: Chosen = field(default_factory=dict)


@dataclass
class _Listed:
    """A clip as one row, or several, have it.

    Attributes:
        entry: with the path of its file from the root of the file system.
        lines: of its rows.
        name: the clip's own, where it is not told by its file.
        clash: what its rows contradict one another in.
    """

    entry: ClipEntry
    lines: list[int]
    name: str = ""
    clash: str = ""


@dataclass
class ListedFiles:
    """Rows of one table, or of several of one corpus, on their way to a Listing."""

    finder: FileFinder
    clips: dict[str, _Listed] = field(default_factory=dict)
    excluded: list[Exclusion] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    """What cells name and is not there."""
    takes_addresses: bool = False
    """Whether files may lie elsewhere; a corpus is measured here, so its may not."""
    unknown_splits: Counter[str] = field(default_factory=Counter)
    """Words for splits that stand for none, and how many rows have each."""

    def add(
        self, where: str, row: TableRow, columns: Mapping[str, str], finder: FileFinder | None = None, **known: str
    ) -> None:
        """Take a row in.

        Args:
            where: names its table.
            row: one of its rows.
            columns: the heading of each known column, as ``columns_of`` returns them.
            finder: of this table's files, if it is another.
            known: what is known without the row, such as the split, or better.
        """
        cells = {name: row.cells.get(heading, "") for name, heading in columns.items()}
        cells |= {name: known_cell(cell) for name, cell in cells.items() if name in _NAMES}
        cells |= {name: value for name, value in known.items() if value}
        text = cells.get("file", "")
        place = f"{where}, line {row.line}"
        if row.problem or not text:
            self.excluded.append(Exclusion(place, row.problem or "names no file"))
            return
        try:
            start_s, end_s = times_of(cells)
            values = {name: dimension_value(cells.get(name, "")) for name in DIMENSIONS}
        except ValueError as error:
            self.excluded.append(Exclusion(f"{text} ({place})", str(error)))
            return
        cells["gender"] = gender_of(cells.get("gender", ""))
        told: dict[str, Any] = {name: cells[name] for name in _TOLD if cells.get(name)} | values
        split = split_of(cells.get("split", ""))
        self.unknown_splits.update([] if split or not cells.get("split") else [cells["split"]])
        far = "://" in text and not text.startswith("file://")
        if self.takes_addresses and far and is_address(text):
            name = excerpt_name(text, start_s, end_s)
            entry = ClipEntry(text, cells.get("emotion", ""), split=split, start_s=start_s, end_s=end_s, **told)
            self._merge(name, entry, row.line, name)
            return
        found = None if far else (finder or self.finder).find(text)
        if found is None:
            self.absent.append(text)
            reason = "is an address, and only files are read" if far else "does not exist"
            self.excluded.append(Exclusion(excerpt_name(Path(text).as_posix(), start_s, end_s), reason))
            return
        file = os.path.abspath(found)  # noqa: PTH100 - a link stays what it is called
        entry = ClipEntry(file, cells.get("emotion", ""), split=split, start_s=start_s, end_s=end_s, **told)
        self._merge(excerpt_name(file, start_s, end_s), entry, row.line)

    def add_kept(self, name: str, kept: Path, where: str, row: TableRow, split: str = "") -> None:
        """Take in the row of a clip of that ``name``, whose sound lies in the file ``kept``, outside the corpus."""
        columns = {word: word for word in row.cells}
        inside = ListedFiles(FileFinder(kept.parent))
        inside.add(where, replace(row, cells=row.cells | {"file": kept.name}), columns | {"file": "file"}, split=split)
        self.excluded += [replace(each, clip=f"{name} ({where})") for each in inside.excluded]
        for listed in inside.clips.values():
            times = listed.entry.start_s, listed.entry.end_s
            self._merge(excerpt_name(name, *times), listed.entry, row.line, excerpt_name(name, *times))

    def _merge(self, key: str, entry: ClipEntry, line: int, name: str = "") -> None:
        before = self.clips.get(key)
        if before is None:
            self.clips[key] = _Listed(entry, [line], name)
            return
        before.lines.append(line)
        for what, one, other in (
            ("labels", _meaning(before.entry.emotion), _meaning(entry.emotion)),
            ("speakers", *_told_apart(before.entry.speaker, entry.speaker)),
            ("splits", before.entry.split, entry.split),
        ):
            if one and other and one != other:
                before.clash = before.clash or f"is listed with two {what}, {one} and {other}"
        unknown = {
            name: getattr(entry, name) for name in ("emotion", "split", *_TOLD) if not getattr(before.entry, name)
        }
        before.entry = replace(before.entry, **unknown)

    def listing(self, kind: str) -> Listing:
        """Return what was taken in, each clip once, however many rows it has.

        Raises:
            CorpusError: files are named, and none of them is there.
        """
        if self.absent and not self.clips:
            raise CorpusError(self._none_there())
        base = Path(os.path.abspath(self.finder.base))  # noqa: PTH100
        root = _root_of(base, [listed.entry.path for listed in self.clips.values() if not listed.name])
        listing = Listing(kind, root, excluded=list(self.excluded))
        if self.unknown_splits:
            words = clip_names([f"{word} ({count})" for word, count in self.unknown_splits.most_common()])
            listing.notes.append(f"of no split, since their word for it is no train, validation or test: {words}")
        for listed in self.clips.values():
            entry = listed.entry
            file = entry.path if listed.name else Path(os.path.relpath(entry.path, root)).as_posix()
            name = listed.name or excerpt_name(file, entry.start_s, entry.end_s)
            if listed.clash:
                lines = " and ".join(map(str, listed.lines))
                listing.excluded.append(Exclusion(name, f"{listed.clash} (lines {lines})"))
            else:
                listing.entries.append(replace(entry, path=name, file="" if name == file else file))
        return listing

    @property
    def repeated(self) -> list[int]:
        """Lines that say again what an earlier one said, and nothing else."""
        return sorted(line for listed in self.clips.values() if not listed.clash for line in listed.lines[1:])

    def _none_there(self) -> str:
        first, base = self.absent[0], self.finder.base
        here = sum(Path(text.replace("\\", "/")).exists() for text in self.absent)
        if "://" in first:
            return f"the files that it names lie elsewhere, such as {first}, and only files here are read: fetch them"
        hint = "they lie below the folder that you are in: --root ." if here else "--root FOLDER says where they lie"
        if not here and (below := self._folder_with(first)) is not None:
            hint = f"--root {below} finds it"
        elif not here and (other := self.finder.with_stem_of(first)) is not None:
            hint = f"{other.name} is there, which the table may mean"
        if len(self.absent) == 1:
            return f"{first}, which it names, is not in {base}; {hint}"
        return f"none of the {len(self.absent)} files that it names is in {base}, such as {first}; {hint}"

    def _folder_with(self, text: str) -> Path | None:
        """Return a folder at or below the base, but not deep, that has the file when the user names it."""
        base = self.finder.base
        inner = (each for pattern in ("*", "*/*") for each in sorted(base.glob(pattern)) if each.is_dir())
        for folder in islice(chain([base], inner), _MOST_FOLDERS):
            if FileFinder(folder, named=True).find(text) is not None:
                return folder
        return None


def listing_of(kind: str, table: Table, where: Surroundings) -> Listing:
    """Return the clips that ``table`` lists.

    Raises:
        CorpusError: it has no column of files, none of emotions or a dimension, or none of its files is there.
    """
    known = columns_of(table.headings, where.columns)
    columns = known if "file" in where.columns else with_files(known, table.headings, [row.cells for row in table.rows])
    require(columns, ("file", *truths_in(columns, table.headings)), table.headings, table.path, where.columns)
    columns, legend = _in_words(table, columns, where.columns)
    if not table.rows:
        raise CorpusError(f"{table.path} has a line of headings, and no row below it")
    files = ListedFiles(FileFinder(where.base or table.path.parent, where.base is not None))
    for row in table.rows:
        files.add(table.path.name, row, columns)
    try:
        listing = files.listing(kind)
    except CorpusError as error:
        raise CorpusError("; ".join([f"{table.path}: {error}", *table.notes])) from None
    listing.notes.extend((*table.notes, *legend, *_two_of_a_kind(table, columns, where.columns, bool(legend))))
    if again := files.repeated:
        rows = f"{len(again)} rows say" if len(again) > 1 else "one row says"
        lines = clip_names([str(line) for line in again])
        listing.notes.append(f"{table.path.name}: {rows} again what an earlier one said (line {lines})")
    return listing


def _in_words(table: Table, columns: dict[str, str], chosen: Chosen) -> tuple[dict[str, str], list[str]]:
    """Return ``columns``, and what to say, where emotions are numbers in one of them and words in another."""

    def in_words(heading: str) -> bool:
        cells = {row.cells.get(heading, "") for row in table.rows} - {""}
        return not all(cell.replace(".", "", 1).lstrip("-").isdecimal() for cell in cells)

    read = columns.get("emotion", "")
    if not read or "emotion" in chosen or in_words(read):
        return columns, []
    words = next(filter(in_words, others_for("emotion", columns, table.headings)), None)
    if words is None:
        return columns, []
    said = (
        f"{table.path.name}: its column {words} is read as the emotion, since {read} has numbers; "
        f"--columns emotion={read} reads these"
    )
    return columns | {"emotion": words}, [said]


def _two_of_a_kind(table: Table, columns: Mapping[str, str], chosen: Chosen, in_words: bool) -> Iterator[str]:
    """Yield what to say where two columns could be the emotion, or the speaker, and of one that is for a protocol."""
    if "file" not in columns_of([columns["file"]]) and "file" not in chosen:
        yield f"{table.path.name}: its column {columns['file']} is read as the files, since it is named for none"
    if "fold" in columns:
        yield f"{table.path.name}: its column {columns['fold']} is read by --protocol file:{table.path} alone"
    for what in ("speaker",) if in_words else ("emotion", "speaker"):
        read = columns.get(what, "")
        others = [] if what in chosen else others_for(what, columns, table.headings)
        for other in others:
            if any(row.cells.get(read, "") != row.cells.get(other, "") for row in table.rows):
                yield (
                    f"{table.path.name}: its column {read} is read as the {what}, not {other}; "
                    f"--columns {what}={other} reads that"
                )


def times_of(cells: Mapping[str, str]) -> tuple[float, float | None]:
    """Return where a clip begins and ends in its file, by the cells of its times: ``start``, ``end_ms`` and so on.

    Raises:
        ValueError: what is said of it is no time, or ends before it begins.
    """

    def told(name: str) -> float | None:
        if (text := cells.get(f"{name}_ms", "")) and name not in cells:
            value = seconds_of(text)
            return None if value is None else value / 1000
        return seconds_of(cells.get(name, ""))

    names = {name.removesuffix("_ms") for name in cells}
    if not names & {"start", "end"}:
        return 0.0, None
    start_s, end_s = told("start") or 0.0, told("end")
    if end_s is None and "end" not in names and (length_s := told("duration")):
        end_s = start_s + length_s
    if start_s < 0:
        raise ValueError(f"cannot be cut: it begins at {start_s:g} s")
    if end_s is not None and end_s <= start_s:
        raise ValueError(f"cannot be cut: it begins at {start_s:g} s and ends at {end_s:g} s")
    return start_s, end_s


def dimension_value(text: str) -> float | None:
    """Return the value of a dimension as a table has it; None where the cell is empty.

    Raises:
        ValueError: it is no number.
    """
    if not text:
        return None
    try:
        value = float(with_point(text))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no value of a dimension: a number is needed, or nothing")
    return value


def _told_apart(one: str, other: str) -> tuple[str, str]:
    """Return two speakers; in the first one's spelling where they are one."""
    return one, one if speaker_key(one) == speaker_key(other) else other


def _meaning(label: str) -> str:
    return to_emotion(label) or label_key(label)


def _root_of(base: Path, files: Sequence[str]) -> Path:
    """Return ``base`` if all ``files`` lie below it, else the folder that all of them share."""
    inside = f"{base}{os.sep}".replace(os.sep * 2, os.sep)
    if not files or all(file.startswith(inside) for file in files):
        return base
    return Path(os.path.commonpath([str(Path(file).parent) for file in files]))
