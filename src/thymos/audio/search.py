"""Which recordings lie below a folder: for corpora and for ``thymos predict`` the same.

What an operating system hides is no recording: macOS leaves a ``._a.wav`` beside each ``a.wav`` on foreign disks and
in archives, under ``__MACOSX``. A link to a folder is followed once.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from thymos.audio.containers import SOUND_SUFFIXES
from thymos.files import is_hidden

PLAYLISTS = frozenset(
    {".m3u", ".m3u8", ".pls", ".xspf", ".asx", ".wax", ".wvx", ".wpl", ".zpl", ".cue", ".ram", ".mpd"}
)
"""Endings of lists of sound that lies elsewhere, which players open like sound."""
_Known = set[tuple[int, int]]


@dataclass
class FoundSounds:
    """What lies below a folder.

    Attributes:
        sounds: what is named like sound, in order; a folder named so, too, since decoding says what is wrong with it.
        links: links to folders that were not followed: they lead up, or to a folder that is read anyway.
        playlists: files that name sound that lies elsewhere, and hold none.
        hidden: files named like sound, and folders, that an operating system hides.
        others: how many other files there are, by suffix.
        problems: folders that cannot be listed.
    """

    sounds: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    playlists: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    problems: list[OSError] = field(default_factory=list)


def sounds_below(root: Path) -> FoundSounds:
    """Return the recordings below ``root``, its own before those of the folders inside, each by name."""
    found = FoundSounds()
    known: _Known = set()
    waiting = _walk(root, found, known)
    while waiting:
        link = waiting.pop(0)
        if _leads_up(link, root) or _identity(link) in known:
            found.links.append(link)
        else:
            waiting += _walk(link, found, known)
    place = {path: path.relative_to(root).parts for path in found.sounds}
    found.sounds.sort(key=lambda path: _files_first(place[path]))
    return found


def _walk(top: Path, found: FoundSounds, known: _Known) -> list[Path]:
    """Add what lies below ``top``, links to folders left aside, which are returned."""
    links = []
    for where, folders, files in os.walk(top, onerror=found.problems.append, followlinks=False):
        place, entered = Path(where), []
        known.add(_identity(place))
        for name in sorted(folders):
            path = place / name
            if is_hidden(name):
                found.hidden.append(path)
            elif is_sound_name(name):
                found.sounds.append(path)
            elif path.is_symlink():
                links.append(path)
            elif _identity(path) not in known:
                entered.append(name)
        folders[:] = entered
        for name in files:
            if Path(name).suffix.lower() not in SOUND_SUFFIXES:
                if not is_hidden(name):
                    found.others[Path(name).suffix.lower()] += 1
                    if Path(name).suffix.lower() in PLAYLISTS:
                        found.playlists.append(place / name)
            elif is_hidden(name):
                found.hidden.append(place / name)
            else:
                found.sounds.append(place / name)
    return links


def _identity(path: Path) -> tuple[int, int]:
    """Return what a folder is, however it was reached; of what is not there, nothing that any other is."""
    try:
        status = path.stat()
    except OSError:
        return 0, hash(path)
    return status.st_dev, status.st_ino


def _leads_up(link: Path, root: Path) -> bool:
    """Return whether ``link`` leads to ``root`` or a folder that it lies in."""
    return root.resolve().is_relative_to(link.resolve())


def _files_first(parts: tuple[str, ...]) -> tuple[tuple[bool, str], ...]:
    return tuple((place < len(parts) - 1, part) for place, part in enumerate(parts))


def is_sound_name(name: str) -> bool:
    """Return whether ``name`` has a sound file's ending; what an operating system hides does not count."""
    return not is_hidden(name) and Path(name).suffix.lower() in SOUND_SUFFIXES


def told_hidden(hidden: Iterable[Path]) -> str:
    """Return a sentence about what was passed over since it is hidden; nothing where nothing was."""
    return _told(hidden, "passed over, since hidden")


def told_playlists(playlists: Iterable[Path]) -> str:
    """Return a sentence about playlists that were passed over; nothing where there were none."""
    return _told(playlists, "passed over, since playlists, which hold no sound (name the files themselves)")


def _told(paths: Iterable[Path], why: str) -> str:
    names = [path.name for path in paths]
    if not names:
        return ""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{why}: {shown}"
