"""Clips that are a part of a file: how tables write the times, what such clips are called, and which share sound."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from thymos.audio.excerpt import excerpt_name as excerpt_name
from thymos.corpora.near_copies import near_copies_among
from thymos.corpora.table import Clip

_CLOCK = re.compile(r"(?:(?P<days>\d+) days?,? ?)?(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):)?(?P<seconds>\d+(?:\.\d*)?)")
_SECONDS = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?: ?s)?")
_UNKNOWN = ("", "nat", "nan", "none", "null", "inf")


def seconds_of(text: str) -> float | None:
    """Return a time in seconds, as tables write it: ``1.5``, ``0 days 00:00:01.5``, ``0:01.5``; of ``NaT``, None.

    Raises:
        ValueError: it is no time.
    """
    word = text.strip()
    if word.lower() in _UNKNOWN:
        return None
    if _SECONDS.fullmatch(word):
        return float(word.removesuffix("s"))
    if match := re.fullmatch(r"(\d+) days?", word):  # as pandas writes a column in which no time has more
        return 86_400.0 * int(match[1])
    match = _CLOCK.fullmatch(word)
    if match is None:
        raise ValueError(f"cannot be cut: {text!r} is no time, such as 1.5 or 0 days 00:00:01.5")
    days, hours, minutes = (int(match[part] or 0) for part in ("days", "hours", "minutes"))
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(match["seconds"])


def with_shared_sound(clips: Sequence[Clip]) -> list[Clip]:
    """Return ``clips`` with one name under ``recording`` for those that overlap in one file, directly or in a chain.

    So do near-copies: the same sound at another rate or level, in another codec, or cut otherwise. A whole file
    overlaps with every part of it. An exact copy of one that shares sound goes with it.
    """
    chains = [chain for rows in _by(clips, lambda clip: clip.lies_in) for chain in _chains(clips, rows)]
    chains += near_copies_among(clips)
    if not chains:
        return list(clips)
    number = list(range(len(clips)))

    def find(row: int) -> int:
        while number[row] != row:
            number[row] = row = number[number[row]]
        return row

    for group in (*chains, *_by(clips, lambda clip: clip.sound.sha256)):
        first = min(map(find, group))
        for row in group:
            number[find(row)] = first
    named = {find(chain[0]) for chain in chains}
    return [
        replace(clip, recording=clips[find(row)].path) if find(row) in named else clip for row, clip in enumerate(clips)
    ]


def _by(clips: Sequence[Clip], key: Callable[[Clip], str]) -> list[list[int]]:
    """Return the places of clips that share a key, where several do."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, clip in enumerate(clips):
        groups[key(clip)].append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def _chains(clips: Sequence[Clip], rows: Sequence[int]) -> list[list[int]]:
    """Return which of ``rows``, all of one file, overlap: lists of two and more."""
    chains: list[list[int]] = []
    reached_s = -1.0
    for row in sorted(rows, key=lambda row: clips[row].start_s):
        end_s = math.inf if (end := clips[row].end_s) is None else end
        if clips[row].start_s < reached_s:
            chains[-1].append(row)
            reached_s = max(reached_s, end_s)
        else:
            chains.append([row])
            reached_s = end_s
    return [chain for chain in chains if len(chain) > 1]
