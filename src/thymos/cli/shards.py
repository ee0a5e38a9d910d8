"""``predict --shard i/n``: the part of a list of recordings that one of several machines hears, and how it is known.

Each row of a shard says which one it is of, where it stands in the whole list, and which list that is. So a file of
results is all that ``thymos merge`` needs, whatever it is called and wherever it was copied.
"""

import hashlib
import heapq
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from thymos.cli.inputs import NamedRecording
from thymos.errors import ArgumentError
from thymos.runtime.formats import Format

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
    recordings: Sequence[NamedRecording], shard: str | None, options: dict[str, Any] | None = None
) -> list[NamedRecording]:
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


def weights_of(recordings: Sequence[NamedRecording]) -> list[int]:
    """Return the bytes of each recording; of parts of one file, equal shares of it; 0 of what cannot be looked at."""
    parts: dict[str, int] = {}
    for recording in recordings:
        place = recording.place
        parts[place] = parts.get(place, 0) + 1
    return [recording.n_bytes // parts[recording.place] for recording in recordings]
