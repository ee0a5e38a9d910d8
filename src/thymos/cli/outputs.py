"""What a command is going to write, checked before it works: in which form, where, and over what.

Where each recording has a file of results of its own, no two are called alike.
"""

import csv
import hashlib
import os
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from thymos.cache import default_cache_dir
from thymos.cli.inputs import NamedRecording
from thymos.cli.journal import journal_path
from thymos.cli.parts import MERGED, part_name
from thymos.errors import ArgumentError
from thymos.escaping import from_csv_cell, printable
from thymos.files import bounded_text, is_stream, parsed_json
from thymos.runtime.formats import BINARY, OF_NAMES, PER_FILE, SUFFIX, Format, table_head

FIELDS = ("stem", "name", "folder")
"""What a pattern may hold: a recording's name without its suffix, its name, and the folders that it was found in."""


def own_names(recordings: Sequence[NamedRecording], suffix: str) -> list[Path]:
    """Return a name for a result of each recording, no two alike: its own, if need be with more of its path."""
    ways: list[Callable[[NamedRecording], Path]] = [
        lambda each: each.inside.with_suffix("") if each.inside.stem else each.inside,
        lambda each: each.inside,
        lambda each: _root(each) / each.inside,
    ]
    names: dict[int, Path] = {}
    taken: set[Path] = set()
    left = list(range(len(recordings)))
    for way in ways:
        found = {number: way(recordings[number]) for number in left}
        counts: dict[Path, int] = {}
        for name in found.values():
            counts[name] = counts.get(name, 0) + 1
        for number, name in found.items():
            if counts[name] == 1 and name not in taken:
                names[number] = name
                taken.add(name)
        left = [number for number in left if number not in names]
    for number in left:
        name, count = found[number], 1
        numbered = name
        while numbered in taken:
            count += 1
            numbered = name.with_name(f"{name.name} ({count})")
        names[number] = numbered
        taken.add(numbered)
    return [names[number].with_name(names[number].name + suffix) for number in range(len(recordings))]


def _root(recording: NamedRecording) -> Path:
    """Return the name of the folder that a recording was found in, as the user named it."""
    if recording.path is None:
        return Path()
    return Path(recording.path.absolute().parents[len(recording.inside.parts) - 1].name)


def is_pattern(out: Path) -> bool:
    """Return whether ``out`` holds a field; other braces are letters as any others."""
    return any(f"{{{field}}}" in str(out) for field in FIELDS)


def fixed_part(out: Path) -> Path:
    """Return the folder that all names of a pattern lie in."""
    held = next(place for place, part in enumerate(out.parts) if "{" in part)
    return Path(*out.parts[:held])


def names_by_pattern(recordings: Sequence[NamedRecording], out: Path) -> list[Path]:
    """Return the file of each recording by a pattern such as ``emotions/{folder}/{stem}.json``.

    Raises:
        ArgumentError: it holds another field, or makes one name of two recordings.
    """
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(str(out)) if field is not None]
    except ValueError as error:
        raise ArgumentError(f"--out {out} is no pattern: {error}") from None
    for field in fields:
        if field not in FIELDS:
            raise ArgumentError(f"--out {out} holds {{{field}}}; a pattern may hold {{{'}, {'.join(FIELDS)}}}")
    named: dict[Path, NamedRecording] = {}
    for recording in recordings:
        inside = recording.inside
        # A folder that is none leaves no part behind: a//b is a/b.
        path = Path(str(out).format(stem=inside.stem, name=inside.name, folder=inside.parent))
        other = named.setdefault(path, recording)
        if other is not recording:
            way = "" if "folder" in fields else "; add {folder}/"
            raise ArgumentError(f"--out {out} makes one name, {path}, of {other.name} and {recording.name}{way}")
    return list(named)


def names_beside(recordings: Sequence[NamedRecording], suffix: str) -> list[Path]:
    """Return a file beside each recording: of its name with another suffix, or with one more where two share that.

    Raises:
        ArgumentError: a recording is no file.
    """
    if any(recording.is_piped for recording in recordings):
        raise ArgumentError("--beside writes beside files, and standard input is none: name one by --out")
    away = next((recording.name for recording in recordings if recording.remote is not None), None)
    if away is not None:
        raise ArgumentError(f"--beside writes beside files that lie here, and {away} does not: name a place by --out")
    plain, longer = [], []
    for recording in recordings:
        path = recording.path or recording.inside
        own = path.with_name(recording.inside.name) if recording.inside.name else path
        # Of a part of a file, what follows the last point is no suffix.
        is_whole = recording.source == recording.path
        plain.append(own.with_name((own.stem if is_whole else own.name) + suffix))
        longer.append(own.with_name(own.name + suffix))
    counts = Counter(plain)
    return [one if counts[one] == 1 else other for one, other in zip(plain, longer, strict=True)]


_DEFAULT: Format = "table"
_BESIDE: Format = "json"
_PARTS: Format = "jsonl"
PART_RECORDINGS = 10_000
"""Of each file, where results are written in parts."""
_OVERWRITE = "choose another --out, or replace it by --overwrite"


def format_of(format: Format | None, out: Path | None) -> Format:
    """Return the format to write in: the one that is asked for, else the one that the name of ``out`` ends in.

    Raises:
        ArgumentError: the two contradict each other.
    """
    told = () if out is None or out.is_dir() else OF_NAMES.get(out.suffix.lower(), ())
    if format is not None and told and format not in told:
        raise ArgumentError(f"--out {out} is {told[0]} by its name, and --format says {format}: change one of them")
    return format or (told[0] if told else _DEFAULT)


@dataclass(frozen=True)
class Outputs:
    """Where results go.

    Attributes:
        format: that they are written in.
        out: one file of all; None: there is none.
        each: a file for each recording, in their order; None: there are none. With neither, results are printed.
        journal: the output that a journal belongs to, so that a killed run goes on; None: there is no journal.
        parts: files of ``PART_RECORDINGS`` recordings each, which one after another are what one file would be.
    """

    format: Format
    out: Path | None
    each: list[Path] | None
    journal: Path | None
    parts: list[Path] | None = None

    @property
    def printed(self) -> bool:
        """Whether results go to standard output."""
        return self.out is None and self.each is None and self.parts is None


def outputs_of(
    recordings: Sequence[NamedRecording],
    format: Format | None,
    out: Path | None,
    beside: bool,
    overwrite: bool,
    by_engine: bool = False,
) -> Outputs:
    """Return where the results of ``recordings`` go, once it is sure that they can.

    Args:
        recordings: to hear.
        format: asked for; None: by the name of ``out``.
        out: a file, a folder, or a pattern of names such as ``emotions/{stem}.json``; None: print.
        beside: write a file beside each recording.
        overwrite: whether other files may be replaced.
        by_engine: whether workers of an engine hear, whose results go to a folder in parts unless ``out`` is a file.

    Raises:
        ArgumentError: the format or the number of recordings does not fit, two results would have one name, or a file
            would be lost.
    """
    if beside and out is not None:
        raise ArgumentError("--beside writes beside each recording, and --out elsewhere: give one of both")
    format = format or (_BESIDE if beside else None)
    in_parts = by_engine and out is not None and not is_pattern(out) and (out.is_dir() or not out.suffix)
    if out is not None and in_parts and (format is None or format in MERGED):
        return _outputs_in_parts(recordings, format or _PARTS, out, overwrite)
    format = format_of(format, out)
    inputs = [recording.path for recording in recordings if recording.path is not None]
    if beside:
        each = names_beside(recordings, SUFFIX[format])
        place = _journal_of_many([each[number] for number in range(len(each))])
    elif out is not None and is_pattern(out):
        each = names_by_pattern(recordings, out)
        place = fixed_part(out) / "results"
    elif out is not None and format in PER_FILE:
        each, place = _in_folder(recordings, out, format), out
    else:
        if out is None and format in PER_FILE and len(recordings) != 1:
            raise ArgumentError(
                f"--format {format} makes a file for each of {len(recordings)} recordings: name a folder by --out, or "
                "give --beside"
            )
        if out is None and format in BINARY:
            raise ArgumentError(f"--format {format} is no text, so it cannot be printed: name a file by --out")
        if out is not None:
            names = [recording.name for recording in recordings]
            check_outputs([out], inputs, overwrite or journal_path(out).is_file(), names)
        return Outputs(format, out, None, None if out is None or is_stream(out) else out)
    check_outputs(each, inputs, overwrite or journal_path(place).is_file())
    return Outputs(format, None, each, place)


def _outputs_in_parts(recordings: Sequence[NamedRecording], format: Format, out: Path, overwrite: bool) -> Outputs:
    """Return the parts of the results in the folder ``out``, where no other results lie."""
    count = max(1, -(-len(recordings) // PART_RECORDINGS))
    parts = [out / part_name(number, count, SUFFIX[format]) for number in range(count)]
    goes_on = overwrite or journal_path(out / "results").is_file()
    check_outputs(parts, [each.path for each in recordings if each.path is not None], goes_on)
    if not goes_on and (other := next((path for path in sorted(out.glob("part-*")) if path not in parts), None)):
        raise ArgumentError(f"{other} is of other results; {_OVERWRITE}")
    return Outputs(format, None, None, out / "results", parts)


def _in_folder(recordings: Sequence[NamedRecording], out: Path, format: Format) -> list[Path]:
    """Return a file for each recording in the folder ``out``, or ``out`` itself where it is the file of one."""
    if format in OF_NAMES.get(out.suffix.lower(), ()) and not out.is_dir():
        if len(recordings) != 1:
            raise ArgumentError(
                f"--out {out} is one file, and there are {len(recordings)} recordings: name a folder, or a pattern, "
                f"such as {out.with_name('{stem}' + out.suffix)}"
            )
        return [out]
    return [out / name for name in own_names(recordings, SUFFIX[format])]


def _journal_of_many(files: Sequence[Path]) -> Path:
    """Return the output, in the cache, that the journal of results in many folders belongs to."""
    told = "\n".join(os.fsdecode(os.path.abspath(file)) for file in files)  # noqa: PTH100 - links are kept
    digest = hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return default_cache_dir() / "journals" / digest


def check_outputs(
    files: Iterable[Path], inputs: Iterable[Path], overwrite: bool, names: Iterable[str] | None = None
) -> None:
    """Check that ``files`` can be written, replacing nothing that is not there to be replaced.

    Args:
        files: that are going to be written.
        inputs: that are read; none of them is ever written to, by whatever name or link.
        overwrite: whether other files may be replaced.
        names: of the recordings; one table of these alone is replaced without being asked to.

    Raises:
        ArgumentError: one is an input, a folder, another file, or lies where nothing can be written.
    """
    read = {identity for path in inputs if (identity := _identity(path)) is not None}
    known = None if names is None else {*names}
    for file in files:
        _check_place(file)
        identity = _identity(file)
        if identity is None or is_stream(file):
            continue
        if identity in read:
            raise ArgumentError(f"{file} is a recording that is heard, and would be lost; choose another --out")
        if file.is_dir():
            raise ArgumentError(f"{file} is a folder; name a file in it")
        if overwrite or file.stat().st_size == 0:
            continue
        other = "exists" if known is None else _other_content(file, known)
        if other is not None:
            raise ArgumentError(f"{file} {other}; {_OVERWRITE}")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _check_place(file: Path) -> None:
    place = file.absolute().parent
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise ArgumentError(f"{file} cannot be written: {place} is no folder")
    if not is_stream(file) and not os.access(place, os.W_OK | os.X_OK):
        raise ArgumentError(f"{file} cannot be written: permission denied in {place}")


def _other_content(file: Path, known: set[str]) -> str | None:
    """Return what the table ``file`` holds that is of none of the recordings ``known``, in words; None: nothing."""
    try:
        named = _names_in(bounded_text(file), known)
    except (OSError, ValueError, csv.Error, KeyError, TypeError, AttributeError):
        named = None
    if named is None:
        return "exists, and is no table of results that could be made anew"
    others = sorted(named - known)
    return f"holds results of other recordings, such as {printable(others[0])}" if others else None


def recordings_told(file: Path) -> set[str]:
    """Return the recordings that ``file``, a table of results, tells of, those that could not be heard, too."""
    try:
        return _names_in(bounded_text(file), set(), failed=True) or set()
    except (OSError, ValueError, csv.Error, KeyError, TypeError, AttributeError, IndexError):
        return set()


def _names_in(text: str, known: set[str], failed: bool = False) -> set[str] | None:
    """Return the recordings that a table, in whatever format, has results of; None where it is none."""
    if text.startswith("{"):
        told = [parsed_json(line) for line in text.splitlines()]
        return {row["file"] for row in told if failed or "error" not in row}
    if text.startswith("["):
        return {row["file"] for row in parsed_json(text) if failed or "error" not in row}
    first, *lines = text.splitlines()
    if first.startswith(("file,", "file\t")):
        cells = csv.DictReader(text.splitlines(keepends=True), delimiter=first[4])
        return {from_csv_cell(row["file"]) for row in cells if failed or not row.get("error")}
    if first.split() == table_head([]).split():
        shown = {f"  {printable(name)}": name for name in known}
        # What is indented is a timeline, and what has a dash could not be heard.
        rows = [line for line in lines if not line.startswith(("    ", "—"))]
        return {next((name for word, name in shown.items() if word in row), row.strip()) for row in rows}
    return None
