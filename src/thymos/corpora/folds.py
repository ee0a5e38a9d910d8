"""Folds, what must stay together in them, and the guard that each passes before it is used."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from thymos.cache import read_sealed, write_sealed
from thymos.corpora.near_copies import SPARSE, Fingerprints, from_text
from thymos.corpora.table import Clip, Corpus, clip_names
from thymos.errors import LeakageError, ProtocolError

GroupOf = Callable[[Clip], tuple[str, ...]]

GROUPS: dict[str, GroupOf] = {
    # Exact copies of one recording under two names are one recording, and so are near-copies and excerpts that
    # overlap, which have a name for it.
    "recording": lambda clip: (clip.recording or clip.sound.sha256,),
    "take": lambda clip: (clip.speaker, clip.emotion, clip.sentence),
    "sentence": lambda clip: (clip.sentence,),
    "speaker": lambda clip: (clip.speaker,),
    "corpus": lambda clip: (clip.corpus,),
}
"""What may have to stay on one side: a clip's group, by the name of what is kept together."""
_COPIES_VERSION = 3
"""Of how near-copies are found: what an earlier way found is not taken from the cache."""


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


def with_shared_sound(clips: Sequence[Clip], cache_dir: Path | None = None) -> list[Clip]:
    """Return ``clips`` with one name under ``recording`` for those that overlap in one file, directly or in a chain.

    So do near-copies: the same sound at another rate or level, in another codec, or cut otherwise. A whole file
    overlaps with every part of it. An exact copy of one that shares sound goes with it. Which were found is kept below
    ``cache_dir``.
    """
    chains = [chain for rows in _sharing(clips, lambda clip: clip.lies_in) for chain in _chains(clips, rows)]
    chains += near_copies_among(clips, cache_dir)
    if not chains:
        return list(clips)
    number = list(range(len(clips)))

    def find(row: int) -> int:
        while number[row] != row:
            number[row] = row = number[number[row]]
        return row

    for group in (*chains, *_sharing(clips, lambda clip: clip.sound.sha256)):
        first = min(map(find, group))
        for row in group:
            number[find(row)] = first
    named = {find(chain[0]) for chain in chains}
    return [
        replace(clip, recording=clips[find(row)].path) if find(row) in named else clip for row, clip in enumerate(clips)
    ]


def _sharing(clips: Sequence[Clip], key: Callable[[Clip], str]) -> list[list[int]]:
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


def near_copies_among(clips: Sequence[Clip], cache_dir: Path | None = None) -> list[list[int]]:
    """Return which of ``clips`` are near-copies of each other, as pairs of places among them; not all pairs of many."""
    row_of: dict[str, int] = {}
    for row, clip in enumerate(clips):
        if clip.sound.fingerprint:
            row_of.setdefault(clip.sound.sha256, row)
    sounds = sorted(row_of)
    key = hashlib.sha256(f"{_COPIES_VERSION} {' '.join(sounds)}".encode()).hexdigest()[:32]
    file = None if cache_dir is None else cache_dir / "copies" / f"{key}.json"
    kept = None if file is None else read_sealed(file)
    if kept is None:
        whole = [from_text(clips[row_of[sound]].sound.fingerprint) for sound in sounds]
        stored = Fingerprints([words[::SPARSE] for words in whole])
        found = {
            (min(place, copy.place), max(place, copy.place))
            for place, words in enumerate(whole)
            for copy in stored.near_copies(words)
        }
        kept = {"pairs": [[sounds[one], sounds[other]] for one, other in sorted(found) if one != other]}
        if file is not None:
            with suppress(OSError):
                write_sealed(file, kept)
    return [sorted(row_of[sound] for sound in pair) for pair in kept["pairs"]]
