"""What a corpus holds and what is odd about it: a Corpus becomes an Audit. Nothing here prints or writes.

What counts as odd is found by measure, never by name. A clip is an outlier of a measure where it lies beyond
Tukey's fences, Q1 − 1.5 × IQR and Q3 + 1.5 × IQR over all clips (Tukey 1977, Exploratory Data Analysis).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from thymos.audio.containers import REMARKS
from thymos.corpora.table import Clip, Corpus, Exclusion
from thymos.labels import DIMENSIONS, natural_key

FENCE_FACTOR = 1.5
SMALLEST_DURATION_MARGIN_S = 0.25
SMALLEST_SILENCE_MARGIN_S = 0.25
SMALLEST_SHARE_MARGIN = 0.05
SMALLEST_PEAK_MARGIN_DB = 6.0
LOWEST_PEAK_DB = -120.0
"""Stands in for the peak of digital silence, which has no finite level."""

Value = TypeVar("Value", int, str)

MOST_BINS = 30
_BIN_WIDTHS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 3600.0)

FEWEST_CLIPS = 5
"""An emotion with fewer clips cannot be in each of five folds."""
NEAR_EMPTY_SHARE = 0.25
"""An emotion with less than this part of an equal share of the clips is called near-empty."""


@dataclass(frozen=True)
class Durations:
    """Lengths of all usable clips, in seconds."""

    mean_s: float
    median_s: float
    min_s: float
    max_s: float
    total_s: float


@dataclass(frozen=True)
class Histogram:
    """Clips per bin of length; bin ``i`` runs from ``edges_s[i]`` up to ``edges_s[i + 1]``."""

    edges_s: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Fence:
    """Tukey's fences of one measure, in the unit of that measure."""

    low: float
    high: float


@dataclass(frozen=True)
class Fences:
    """The fences of everything in which a clip can be an outlier."""

    duration_s: Fence
    silence_s: Fence
    silence_share: Fence
    peak_db: Fence


@dataclass(frozen=True)
class RepeatedTake:
    """Recordings of one sentence by one speaker in one emotion."""

    emotion: str
    speaker: str
    sentence: str
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class SharedSound:
    """Clips that have the same sound, or some of it."""

    clips: tuple[Clip, ...]

    @property
    def labels_differ(self) -> bool:
        """Whether the same sound is listed under more than one emotion or speaker."""
        return len({(clip.emotion, clip.speaker) for clip in self.clips}) > 1


@dataclass(frozen=True)
class MissingRecording:
    """A sentence that a speaker lacks in an emotion in which most of the other speakers have it."""

    emotion: str
    speaker: str
    sentence: str


@dataclass(frozen=True, repr=False)
class Audit:
    """What a corpus holds and what is odd about it. Lists of clips are ranked, the oddest first."""

    corpus: Corpus
    emotions: tuple[str, ...]
    speakers: tuple[str, ...]
    """In natural order; the empty string stands for clips whose speaker is not known."""
    counts: dict[tuple[str, str], int]
    """Clips per (emotion, speaker); combinations without a clip are absent."""
    rates_hz: dict[int, int]
    """Clips per sampling rate, the commonest first; so are the next two."""
    channels: dict[int, int]
    formats: dict[str, int]
    durations: Durations
    histogram: Histogram
    fences: Fences
    longest: tuple[Clip, ...]
    """Longer than the fence, by length."""
    shortest: tuple[Clip, ...]
    """Shorter than the fence, by length."""
    silent: tuple[Clip, ...]
    """Above the fences of silent seconds and of silence share both, by silent seconds: a long clip may have
    seconds of pauses and a short one a large share of them without being odd."""
    clipped: tuple[Clip, ...]
    """With runs of samples at full scale, by their share."""
    quiet: tuple[Clip, ...]
    """With a peak below the fence, or digital silence, by peak."""
    duplicates: tuple[SharedSound, ...]
    """Equal to the last bit, once decoded."""
    near_copies: tuple[SharedSound, ...]
    """At another rate or level, in another codec or cut otherwise, or excerpts that overlap."""
    repeated_takes: tuple[RepeatedTake, ...]
    missing: tuple[MissingRecording, ...]
    near_empty: tuple[str, ...]
    """Emotions with too few clips to learn or to score."""

    def __repr__(self) -> str:
        return (
            f"<Audit of {self.corpus!r}: clips with problems {len(self.problems)}, unusable files {len(self.unusable)}>"
        )

    @property
    def unusable(self) -> tuple[Exclusion, ...]:
        """Files that could not be used, each with its reason."""
        return self.corpus.unusable

    @property
    def by_emotion(self) -> dict[str, int]:
        """Clips per emotion."""
        return {emotion: self.count(emotion=emotion) for emotion in self.emotions}

    @property
    def told_dimensions(self) -> dict[str, str]:
        """What is told of each dimension that some clips tell: how many do, and from which value to which."""
        told = {
            name: [at for clip in self.corpus.clips if (at := getattr(clip, name)) is not None] for name in DIMENSIONS
        }
        return {
            name: f"{min(values):g} to {max(values):g}, mean {np.mean(values):.3g}, of {len(values)}"
            for name, values in told.items()
            if values
        }

    @property
    def imbalance(self) -> float:
        """Clips of the commonest emotion for each clip of the rarest; 1 where none is told."""
        sizes = self.by_emotion.values() or [1]
        return max(sizes) / min(sizes)

    def count(self, emotion: str | None = None, speaker: str | None = None) -> int:
        """Return the number of clips of ``emotion`` by ``speaker``; None counts all."""
        return sum(
            clips
            for (of_emotion, by_speaker), clips in self.counts.items()
            if emotion in (None, of_emotion) and speaker in (None, by_speaker)
        )

    @cached_property
    def problems(self) -> dict[str, list[str]]:
        """Clip path -> what is odd about it, in a few words each; clips without a problem are absent."""
        found: dict[str, list[str]] = defaultdict(list)
        for clip in self.longest:
            found[clip.path].append("long")
        for clip in self.shortest:
            found[clip.path].append("short")
        for clip in self.silent:
            found[clip.path].append("mostly silent")
        for clip in self.clipped:
            found[clip.path].append("clipped")
        for clip in self.quiet:
            found[clip.path].append("quiet")
        for clip in self.corpus.clips:
            for remark in clip.sound.remarks:
                if remark != "clipped":
                    found[clip.path].append(REMARKS[remark])
        for group in self.duplicates:
            for clip in group.clips:
                others = ", ".join(other.path for other in group.clips if other is not clip)
                found[clip.path].append(f"same sound as {others}")
        for shared in self.near_copies:
            for clip in shared.clips:
                others = ", ".join(other.path for other in shared.clips if other is not clip)
                found[clip.path].append(f"shares sound with {others}")
        return dict(found)


def audit_corpus(corpus: Corpus) -> Audit:
    """Return what ``corpus``, which has at least one clip, holds and what is odd about it."""
    clips = corpus.clips
    counts = Counter((clip.emotion, clip.speaker) for clip in clips)
    fences = Fences(
        duration_s=_fence(map(_duration_s, clips), SMALLEST_DURATION_MARGIN_S),
        silence_s=_fence(map(_silence_s, clips), SMALLEST_SILENCE_MARGIN_S),
        silence_share=_fence(map(_silence_share, clips), SMALLEST_SHARE_MARGIN),
        peak_db=_fence(map(peak_db, clips), SMALLEST_PEAK_MARGIN_DB),
    )
    return Audit(
        corpus=corpus,
        emotions=corpus.emotions,
        speakers=tuple(sorted({clip.speaker for clip in clips}, key=natural_key)),
        counts=dict(counts),
        rates_hz=_tally(clip.sound.rate_hz for clip in clips),
        channels=_tally(clip.sound.channels for clip in clips),
        formats=_tally(clip.sound.format for clip in clips),
        durations=_durations(clips),
        histogram=_histogram([_duration_s(clip) for clip in clips]),
        fences=fences,
        longest=_ranked(clips, _duration_s, lambda clip: _duration_s(clip) > fences.duration_s.high),
        shortest=_ranked(clips, _duration_s, lambda clip: _duration_s(clip) < fences.duration_s.low, up=True),
        silent=_ranked(clips, _silence_s, lambda clip: _is_silent(clip, fences)),
        clipped=_ranked(clips, clipped_share, lambda clip: clip.sound.clipped_samples > 0),
        quiet=_ranked(clips, peak_db, lambda clip: _is_quiet(clip, fences), up=True),
        duplicates=_duplicates(clips),
        near_copies=_near_copies(clips),
        repeated_takes=_repeated_takes(clips),
        missing=_missing(clips),
        near_empty=_near_empty(corpus),
    )


def peak_db(clip: Clip) -> float:
    """Return the peak of ``clip`` in dB below full scale, not below -120."""
    peak = clip.sound.peak
    return max(LOWEST_PEAK_DB, 20 * float(np.log10(peak))) if peak > 0 else LOWEST_PEAK_DB


def clipped_share(clip: Clip) -> float:
    """Return the part of the samples of ``clip`` that is clipped, 0 to 1."""
    return clip.sound.clipped_samples / clip.sound.frames


def _duration_s(clip: Clip) -> float:
    return clip.sound.duration_s


def _silence_s(clip: Clip) -> float:
    return clip.sound.silence_s


def _silence_share(clip: Clip) -> float:
    return clip.sound.silence_share


def _is_silent(clip: Clip, fences: Fences) -> bool:
    if clip.sound.peak == 0:
        return True
    return _silence_s(clip) > fences.silence_s.high and _silence_share(clip) > fences.silence_share.high


def _is_quiet(clip: Clip, fences: Fences) -> bool:
    return clip.sound.peak == 0 or peak_db(clip) < fences.peak_db.low


def _fence(values: Iterable[float], smallest_margin: float) -> Fence:
    """Return Tukey's fences, which lie at least ``smallest_margin`` beyond the quartiles.

    In a corpus of clips cut or levelled alike the IQR is next to nothing, and without that margin a
    difference of one sample would make an outlier.
    """
    q1, q3 = (float(q) for q in np.percentile(list(values), [25, 75]))
    margin = max(FENCE_FACTOR * (q3 - q1), smallest_margin)
    return Fence(q1 - margin, q3 + margin)


def _ranked(
    clips: Sequence[Clip],
    measure: Callable[[Clip], float],
    belongs: Callable[[Clip], bool],
    up: bool = False,
) -> tuple[Clip, ...]:
    return tuple(sorted(filter(belongs, clips), key=measure, reverse=not up))


def _tally(values: Iterable[Value]) -> dict[Value, int]:
    return dict(Counter(values).most_common())


def _durations(clips: Sequence[Clip]) -> Durations:
    lengths = np.array([_duration_s(clip) for clip in clips])
    return Durations(
        mean_s=float(lengths.mean()),
        median_s=float(np.median(lengths)),
        min_s=float(lengths.min()),
        max_s=float(lengths.max()),
        total_s=float(lengths.sum()),
    )


def _histogram(lengths_s: Sequence[float]) -> Histogram:
    """Count lengths in at most about 30 bins of a round width, from a multiple of that width."""
    low, high = min(lengths_s), max(lengths_s)
    widths = [width for width in _BIN_WIDTHS_S if (high - low) / width <= MOST_BINS]
    width = widths[0] if widths else (high - low) / MOST_BINS
    first = int(low // width)
    last = max(int(np.ceil(high / width)), first + 1)
    edges = [round(i * width, 6) for i in range(first, last + 1)]
    counts, _ = np.histogram(lengths_s, np.array(edges))
    return Histogram(tuple(edges), tuple(int(count) for count in counts))


def _duplicates(clips: Sequence[Clip]) -> tuple[SharedSound, ...]:
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.sound.sha256].append(clip)
    return tuple(SharedSound(tuple(group)) for group in groups.values() if len(group) > 1)


def _near_copies(clips: Sequence[Clip]) -> tuple[SharedSound, ...]:
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.recording:
            groups[clip.recording].append(clip)
    # Of clips that a rule left out, what shared their sound may be alone, or among exact copies, which are told of.
    several = (group for group in groups.values() if len({clip.sound.sha256 for clip in group}) > 1)
    return tuple(SharedSound(tuple(group)) for group in several)


def _repeated_takes(clips: Sequence[Clip]) -> tuple[RepeatedTake, ...]:
    groups: dict[tuple[str, str, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.speaker and clip.sentence:
            groups[clip.emotion, clip.speaker, clip.sentence].append(clip)
    return tuple(RepeatedTake(*take, tuple(group)) for take, group in groups.items() if len(group) > 1)


def _missing(clips: Sequence[Clip]) -> tuple[MissingRecording, ...]:
    """Return what most speakers have and a speaker lacks.

    Most, not all and not any: two speakers may lack the same sentence, and in a corpus where each speaker
    says sentences of their own nothing is missing.
    """
    speakers = {clip.speaker for clip in clips if clip.speaker}
    having: dict[tuple[str, str], set[str]] = defaultdict(set)
    for clip in clips:
        if clip.speaker and clip.sentence:
            having[clip.emotion, clip.sentence].add(clip.speaker)
    lacking = [
        MissingRecording(emotion, speaker, sentence)
        for (emotion, sentence), have in having.items()
        if 2 * len(have) > len(speakers)
        for speaker in speakers - have
    ]
    return tuple(sorted(lacking, key=lambda m: (m.emotion, natural_key(m.speaker), natural_key(m.sentence))))


def _near_empty(corpus: Corpus) -> tuple[str, ...]:
    sizes = Counter(clip.emotion for clip in corpus.clips)
    fewest = max(FEWEST_CLIPS, NEAR_EMPTY_SHARE * len(corpus.clips) / len(sizes))
    return tuple(emotion for emotion in corpus.emotions if sizes[emotion] < fewest)
