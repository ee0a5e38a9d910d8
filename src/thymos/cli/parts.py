"""Results in parts: ``predict --shard i/n``, the part of a list of recordings that one of several machines hears; and
``thymos merge``, which makes one file of them, the same as if the list had been heard at once.

Each row of a shard says which one it is of, where it stands in the whole list, and which list that is. So a file of
results is all that ``thymos merge`` needs, whatever it is called and wherever it was copied. A part that one run wrote
says by its name which of how many it is.

Rows of a part are in order, so lines of parts are joined as they are read, and never all in memory; JSON and Parquet
are read whole.
"""

import csv
import hashlib
import heapq
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, NamedTuple, Self

import typer

from thymos.errors import ArgumentError
from thymos.escaping import json_line, printable
from thymos.files import parsed_json, whole_file, write_bytes
from thymos.runtime.formats import SHARD, Columns, Format, rendered

if TYPE_CHECKING:
    from thymos.cli.inputs import NamedRecording

MERGED: tuple[Format, ...] = ("jsonl", "json", "csv", "tsv", "parquet")
"""Formats that ``thymos merge`` joins."""
_MARK = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,8}):(\d{1,12})/(\d{1,12}):([0-9a-f]{12})")


@dataclass(frozen=True)
class ShardMark:
    """Which shard a row is of.

    Attributes:
        number: of the shard, from 1.
        count: of shards.
        place: of the recording in the whole list, from 0.
        recordings: how many the whole list has.
        run: digest of the list and of what else decides answers.
    """

    number: int
    count: int
    place: int
    recordings: int
    run: str

    def __str__(self) -> str:
        return f"{self.number}/{self.count}:{self.place}/{self.recordings}:{self.run}"

    @classmethod
    def parsed(cls, text: Any) -> Self | None:
        """Return what ``str`` of a mark told; None where that is none."""
        found = _MARK.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            return None
        number, count, place, recordings = map(int, found.groups()[:4])
        fits = number <= count and place < recordings
        return cls(number, count, place, recordings, found[5]) if fits else None


def of_shard(
    recordings: "Sequence[NamedRecording]", shard: str | None, options: dict[str, Any] | None = None
) -> "list[NamedRecording]":
    """Return the recordings of the shard that ``--shard`` names, marked, in their order; None: all of them.

    Shards are disjoint, together they are all recordings, and they are about as large as one another: the largest file
    left goes to the shard that has least. The same list is divided alike everywhere.

    Args:
        recordings: all of them, before channels or speakers of them are told apart.
        shard: such as ``2/8``.
        options: what else decides answers, so that shards of other runs are told from these.

    Raises:
        ArgumentError: it is no shard, or standard input is among the recordings, which comes once.
    """
    if shard is None:
        return list(recordings)
    number, count = checked_shard(shard)
    if any(recording.is_piped for recording in recordings):
        raise ArgumentError("standard input comes once, and each shard is heard by itself: name files")
    weights = weights_of(recordings)
    told = json.dumps([[recording.name for recording in recordings], weights, options or {}], sort_keys=True)
    run = hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    loads = [(0, each) for each in range(1, count + 1)]
    mine = []
    for place in sorted(range(len(recordings)), key=lambda place: (-weights[place], place)):
        load, owner = heapq.heappop(loads)
        heapq.heappush(loads, (load + weights[place] + 1, owner))  # one more: empty files are shared out, too
        if owner == number:
            mine.append(place)
    return [
        replace(recordings[place], shard=str(ShardMark(number, count, place, len(recordings), run)))
        for place in sorted(mine)
    ]


def checked_shard(shard: str) -> tuple[int, int]:
    """Return the number of a shard and how many there are, of words such as ``2/8``.

    Raises:
        ArgumentError: they are others.
    """
    found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", shard)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise ArgumentError(f"--shard says which of how many, from 1/{max(count, 1)} on, such as 2/8, not {shard}")
    return number, count


def weights_of(recordings: "Sequence[NamedRecording]") -> list[int]:
    """Return the bytes of each recording; of parts of one file, equal shares of it; 0 of what cannot be looked at."""
    parts: dict[str, int] = {}
    for recording in recordings:
        place = recording.place
        parts[place] = parts.get(place, 0) + 1
    return [recording.n_bytes // parts[recording.place] for recording in recordings]


def part_name(number: int, count: int, suffix: str) -> str:
    """Return what the part ``number``, from 0, of ``count`` that one run writes is called."""
    return f"part-{number:05d}-of-{count:05d}{suffix}"


_PART_NAME = re.compile(r"part-(\d{5,9})-of-(\d{5,9})\.\w+")


class _Placed(NamedTuple):
    """A row of a part, without its mark.

    Attributes:
        place: in the whole list.
        part: the number of its part among those that were named.
        row: as its format has it.
    """

    place: int
    part: int
    row: Any


def merged_into(out: Path, parts: Sequence[Path], format: Format) -> None:
    """Write to ``out`` what one run would have written, whose shards wrote ``parts``, all in ``format``.

    Raises:
        ArgumentError: a part cannot be read, or is no shard's; one is missing, or there twice.
    """
    marks = _Names(parts) if all(_PART_NAME.fullmatch(path.name) for path in parts) else _Marks(parts)
    if format in ("csv", "tsv"):
        _join_cells(out, parts, marks, "\t" if format == "tsv" else ",")
    elif format == "jsonl":
        with whole_file(out) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
            rows = [_of_lines(path, number, marks) for number, path in enumerate(parts)]
            file.writelines(json_line(row) + "\n" for row in marks.in_order(rows))
    elif format == "json":
        rows = [_of_list(path, number, marks) for number, path in enumerate(parts)]
        write_bytes(out, rendered(list(marks.in_order(rows)), "json", Columns(())))
    else:
        from thymos.runtime.data_frames import flat_as_parquet

        tables = [_parquet(path) for path in parts]
        rows = [
            _of_rows(path, table, number, marks)
            for number, (path, (_, table)) in enumerate(zip(parts, tables, strict=True))
        ]
        names = max((names for names, _ in tables), key=len)
        write_bytes(out, flat_as_parquet(list(marks.in_order(rows)), [name for name in names if name != SHARD]))


class _Marks:
    """What the marks of all rows say together."""

    def __init__(self, parts: Sequence[Path]):
        self._parts = parts
        self._first: tuple[ShardMark, int] | None = None
        self._owner: dict[int, int] = {}

    def placed(self, row: dict[str, Any], part: int) -> _Placed:
        """Return ``row`` of a part without its mark, and where it stands.

        Raises:
            ArgumentError: it is marked as no row of a shard is, or as one of another run, or its shard is there twice.
        """
        path = self._parts[part]
        mark = ShardMark.parsed(row.pop(SHARD, None) if isinstance(row, dict) else None)
        if mark is None:
            raise ArgumentError(f"{path} holds results that are of no shard: parts are written by predict --shard i/n")
        first, first_part = self._first = self._first or (mark, part)
        if (mark.run, mark.count, mark.recordings) != (first.run, first.count, first.recordings):
            raise ArgumentError(
                f"{self._parts[first_part]} and {path} are shards of different runs: other recordings, or other options"
            )
        owner = self._owner.setdefault(mark.number, part)
        if owner != part:
            raise ArgumentError(f"{self._parts[owner]} and {path} are both shard {mark.number} of {mark.count}")
        return _Placed(mark.place, part, row)

    def in_order(self, parts: Iterable[Iterable[_Placed]]) -> Iterator[Any]:
        """Yield the rows of all parts as one run has them.

        Raises:
            ArgumentError: as ``placed``, or recordings are missing, or there twice.
        """
        last, owner = -1, -1
        for placed in heapq.merge(*parts, key=lambda each: each[:2]):
            if placed.place < last or (placed.place == last and placed.part != owner):
                raise ArgumentError(f"{self._parts[placed.part]} holds recording {placed.place + 1} once more")
            self._check_gap(last, placed.place)
            last, owner = placed.place, placed.part
            yield placed.row
        if self._first is None:
            raise ArgumentError("parts hold no result, so nothing is joined")
        self._check_gap(last, self._first[0].recordings)

    def _check_gap(self, last: int, place: int) -> None:
        if place <= last + 1 or self._first is None:
            return
        mark = self._first[0]
        absent = [number for number in range(1, mark.count + 1) if number not in self._owner]
        if absent:
            told = ", ".join(map(str, absent[:10])) + (" …" if len(absent) > 10 else "")
            which = f"shard {told} of {mark.count} is" if len(absent) == 1 else f"shards {told} of {mark.count} are"
            raise ArgumentError(f"{which} missing among the parts, so nothing is joined")
        raise ArgumentError(f"parts do not hold recording {last + 2} of {mark.recordings}: one of them is not whole")


class _Names(_Marks):
    """What the names of the parts say, which one run wrote.

    Raises:
        ArgumentError: one is missing, or there twice, or of another run.
    """

    def __init__(self, parts: Sequence[Path]):
        super().__init__(parts)
        told = [tuple(map(int, found.groups())) for path in parts if (found := _PART_NAME.fullmatch(path.name))]
        self._places = [number for number, _ in told]
        counts = sorted({count for _, count in told})
        if len(counts) > 1:
            raise ArgumentError(f"parts are of different runs: some of {counts[0]} parts, and some of {counts[1]}")
        absent = sorted({*range(counts[0])} - {*self._places})
        if absent:
            name = part_name(absent[0], counts[0], parts[0].suffix)
            raise ArgumentError(f"{name} is missing among the parts, so nothing is joined")
        if len(parts) > counts[0]:
            raise ArgumentError("a part is there twice, so nothing is joined")

    def placed(self, row: dict[str, Any], part: int) -> _Placed:
        """Return ``row`` at the place of its part."""
        return _Placed(self._places[part], part, row)

    def in_order(self, parts: Iterable[Iterable[_Placed]]) -> Iterator[Any]:
        """Yield the rows of one part after another."""
        for placed in heapq.merge(*parts, key=lambda each: each[:2]):
            yield placed.row


def _of_rows(path: Path, rows: Iterable[dict[str, Any]], part: int, marks: _Marks) -> Iterator[_Placed]:
    """Yield ``rows``, which are read from ``path`` as they are asked for, with their places."""
    try:
        for row in rows:
            yield marks.placed(row, part)
    except (ValueError, csv.Error) as error:
        if isinstance(error, ArgumentError):
            raise
        raise _no_results(path) from None


def _of_lines(path: Path, part: int, marks: _Marks) -> Iterator[_Placed]:
    with _opened(path) as file:
        yield from _of_rows(path, (parsed_json(line) for line in file), part, marks)


def _of_list(path: Path, part: int, marks: _Marks) -> Iterator[_Placed]:
    with _opened(path) as file:
        yield from _of_rows(path, (row for row in parsed_json(file.read())), part, marks)


def _join_cells(out: Path, parts: Sequence[Path], marks: _Marks, delimiter: str) -> None:
    heads = [_head(path, delimiter) for path in parts]
    for path, head in zip(parts, heads, strict=True):
        if head != heads[0]:
            raise ArgumentError(f"{parts[0]} and {path} have different columns, so they are of different runs")

    def rows(number: int, path: Path) -> Iterator[_Placed]:
        with _opened(path, newline="") as file:
            yield from _of_rows(path, csv.DictReader(file, delimiter=delimiter, restkey=SHARD), number, marks)

    with (
        whole_file(out) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        columns = [name for name in heads[0] if name != SHARD]
        writer = csv.DictWriter(file, columns, lineterminator="\n", delimiter=delimiter)
        writer.writeheader()
        writer.writerows(marks.in_order([rows(number, path) for number, path in enumerate(parts)]))


def _head(path: Path, delimiter: str) -> list[str]:
    with _opened(path, newline="") as file:
        try:
            return next(csv.reader(file, delimiter=delimiter), [])
        except (csv.Error, ValueError):
            raise _no_results(path) from None


def _parquet(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    from thymos.runtime.data_frames import flat_of_parquet

    with _opened(path):  # what cannot be opened is told as of any other part
        pass
    try:
        return flat_of_parquet(path)
    except ValueError:
        raise _no_results(path) from None


def _opened(path: Path, newline: str | None = None) -> IO[str]:
    if not path.is_file():
        raise ArgumentError(f"{path} is no file of results")
    try:
        return path.open(encoding="utf-8", newline=newline)
    except OSError as error:
        raise ArgumentError(f"{path} cannot be opened: {error.strerror}") from None


def _no_results(path: Path) -> ArgumentError:
    return ArgumentError(f"{printable(str(path))} is cut off or damaged: it cannot be read as the results of a shard")


def merge(
    parts: Annotated[
        list[Path],
        typer.Argument(metavar="PART…", help="Results of `predict --shard i/n`, all n; or a folder of parts."),
    ],
    out: Annotated[Path, typer.Option(help="Write to this file, whole or not at all.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what --out names, but no part.")] = False,
) -> None:
    """Join results of shards: what one run over the whole list would have written, to the last byte.

    All parts are of one format: JSON lines, JSON, CSV, TSV or Parquet. If a shard is missing, or there twice, nothing
    is written.
    """
    from thymos.cli.outputs import check_outputs, format_of

    parts = [each for part in parts for each in (sorted(part.glob("part-*")) if part.is_dir() else [part])]
    if not parts:
        raise ArgumentError("there are no parts in that folder")
    again = next((part for place, part in enumerate(parts) if part in parts[:place]), None)
    if again is not None:
        raise ArgumentError(f"{again} is named twice among the parts")
    formats = {format_of(None, part) for part in parts}
    if len(formats) > 1 or not formats <= {*MERGED}:
        raise ArgumentError(f"parts are files of one format by their names ({', '.join(MERGED)})")
    (format,) = formats
    if format_of(None, out) != format:
        raise ArgumentError(f"parts are {format}, and --out {out} is not by its name: joining changes no format")
    if any(out.exists() and part.exists() and out.samefile(part) for part in parts):
        raise ArgumentError(f"--out {out} is one of the parts")
    check_outputs([out], (), overwrite)
    merged_into(out, parts, format)
