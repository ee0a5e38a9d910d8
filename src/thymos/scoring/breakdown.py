"""Where in a corpus a model is right: recordings by who speaks, in what language, in which corpus, how long.

All intervals are percentile bootstraps over recordings, so they take the fitted models as given.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from thymos.corpora.table import Corpus
from thymos.labels import natural_key
from thymos.scoring.metrics import Interval, bootstrap_interval, confusion_by_group, scores
from thymos.scoring.predictions import Scored

UNKNOWN = "unknown"
TOLD = ("gender", "language", "corpus")
"""Fields of a clip that recordings are grouped by, where they tell clips apart."""


@dataclass(frozen=True)
class Grouping:
    """Recordings divided by something that they have in common."""

    by: str
    """``gender``, ``language``, ``corpus``, ``duration`` …"""
    names: tuple[str, ...]
    """The groups, in the order in which tables list them."""
    group_of: Mapping[str, str]
    """Group of each clip, by its path."""


@dataclass(frozen=True)
class GroupScore:
    """Accuracy on the recordings that have something in common."""

    by: str
    """What they were grouped by: ``emotion``, ``gender``, ``duration``."""
    group: str
    recordings: int
    accuracy: float
    accuracy_ci95: Interval


def groupings(corpus: Corpus) -> list[Grouping]:
    """Return how recordings of ``corpus`` can be divided: by each of ``TOLD`` that tells them apart, and by duration.

    What a clip does not tell is ``unknown``. Clips of several corpora, and only these, are divided by corpus.
    """
    found = []
    for by in TOLD:
        own = {clip.path: getattr(clip, by) or UNKNOWN for clip in corpus.clips}
        if len(set(own.values())) > 1:
            found.append(Grouping(by, _unknown_last(own.values()), own))
    return [*found, by_duration({clip.path: clip.sound.duration_s for clip in corpus.clips})]


def by_duration(durations_s: Mapping[str, float]) -> Grouping:
    """Return thirds of recordings by length: equally many in each as far as ties allow; some may be empty.

    Args:
        durations_s: length of each clip in seconds, by its path.
    """
    first, second = np.quantile(list(durations_s.values()), [1 / 3, 2 / 3])
    names = (
        f"shortest third, up to {first:.2f} s",
        f"middle third, up to {second:.2f} s",
        f"longest third, above {second:.2f} s",
    )
    third = {clip: int(np.searchsorted([first, second], length_s)) for clip, length_s in durations_s.items()}
    return Grouping("duration", names, {clip: names[place] for clip, place in third.items()})


def breakdown(
    scored: Scored,
    labels: Sequence[str],
    durations_s: Mapping[str, float],
    genders: Mapping[str, str] | None = None,
    seed: int = 0,
) -> list[GroupScore]:
    """Return accuracy by true emotion, by gender of the speaker, and by third of the durations.

    Groups without a recording are left out.

    Args:
        scored: recordings.
        labels: their vocabulary, in the order of the probabilities.
        durations_s: length of each clip in seconds.
        genders: of speakers; a speaker that is not there counts as unknown. None: no such rows. AESDD's description
            counts three women and two men among its first five actors, but gives neither their numbers nor the sixth.
            The median pitch of ten sad recordings of each (YIN) parts 1, 2 and 5 (223 to 251 Hz) from 3, 4 and 6
            (122 to 125 Hz), which fits that count.
        seed: of the bootstrap.

    Raises:
        KeyError: a clip has no duration.
    """
    clips = [str(clip) for clip in scored.clips]
    divided = {"emotion": ([labels[place] for place in scored.truth], tuple(labels))}
    if genders is not None:
        own = [genders.get(str(speaker), UNKNOWN) for speaker in scored.speakers]
        divided["gender"] = (own, _unknown_last(own))
    thirds = by_duration({clip: durations_s[clip] for clip in dict.fromkeys(clips)})
    divided[thirds.by] = ([thirds.group_of[clip] for clip in clips], thirds.names)
    return [
        _group_score(by, name, scored.where(np.array(own) == name), seed)
        for by, (own, names) in divided.items()
        for name in names
        if name in own
    ]


def _unknown_last(names: Collection[str]) -> tuple[str, ...]:
    known = sorted(set(names) - {UNKNOWN}, key=natural_key)
    return (*known, *([UNKNOWN] if UNKNOWN in names else []))


def _group_score(by: str, name: str, rows: Scored, seed: int) -> GroupScore:
    counts = confusion_by_group(rows.clips, rows.truth, rows.predicted, rows.probabilities.shape[1])
    interval = bootstrap_interval(counts, seed)["accuracy"]
    return GroupScore(by, name, len(counts), scores(counts.sum(0))["accuracy"], interval)
