"""What the files of results are called, where each recording has one of its own: no two alike."""

import string
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from thymos.cli.inputs import NamedRecording
from thymos.errors import ArgumentError

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
