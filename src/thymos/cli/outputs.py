"""What a command is going to write, checked before it works: in which form, where, and over what."""

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from thymos.cli.inputs import NamedRecording
from thymos.errors import ArgumentError
from thymos.escaping import from_csv_cell, printable
from thymos.files import bounded_text, is_stream, parsed_json
from thymos.runtime.formats import PER_FILE, SUFFIXES, Format, table_head

_DEFAULT: Format = "table"
_OVERWRITE = "choose another --out, or replace it by --overwrite"


def format_of(format: Format | None, out: Path | None) -> Format:
    """Return the format to write in: the one that is asked for, else the one that the name of ``out`` ends in.

    Raises:
        ArgumentError: the two contradict each other.
    """
    told = None if out is None or out.is_dir() else SUFFIXES.get(out.suffix.lower())
    if format is not None and told is not None and told != format:
        raise ArgumentError(f"--out {out} is {told} by its name, and --format says {format}: change one of them")
    return format or told or _DEFAULT


def result_files(recordings: Sequence[NamedRecording], out: Path, format: Format) -> list[Path]:
    """Return the file that each recording's result is written to, in a format that describes one recording.

    Raises:
        ArgumentError: ``out`` is one file, and there are several recordings.
    """
    if SUFFIXES.get(out.suffix.lower()) == format and not out.is_dir():
        if len(recordings) != 1:
            raise ArgumentError(f"--out {out} is one file, and there are {len(recordings)} recordings: name a folder")
        return [out]
    return [out / name for name in own_names(recordings, PER_FILE[format])]


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


def _names_in(text: str, known: set[str]) -> set[str] | None:
    """Return the recordings that a table, in whatever format, has results of; None where it is none."""
    if text.startswith("{"):
        told = [parsed_json(line) for line in text.splitlines()]
        return {row["file"] for row in told if "error" not in row}
    first, *lines = text.splitlines()
    if first.startswith("file,"):
        cells = csv.DictReader(text.splitlines(keepends=True))
        return {from_csv_cell(row["file"]) for row in cells if not row["error"]}
    if first.split() == table_head([]).split():
        shown = {f"  {printable(name)}": name for name in known}
        # What is indented is a timeline, and what has a dash could not be heard.
        rows = [line for line in lines if not line.startswith(("    ", "—"))]
        return {next((name for word, name in shown.items() if word in row), row.strip()) for row in rows}
    return None
