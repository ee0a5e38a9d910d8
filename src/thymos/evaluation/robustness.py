"""How much of a model's accuracy is left in noise, on the telephone, in a room; and where in a corpus it is right.

Recordings of a test fold are distorted as ``audio.distort.CONDITIONS`` says and predicted again by the network that
never heard them. Predictions of several folds are pooled before they are scored. All intervals are percentile
bootstraps over recordings, so they take the fitted networks as given.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thymos.audio import Samples, Waveform, read_waveform, resample
from thymos.audio.distort import CLEAN, CONDITIONS, Condition
from thymos.errors import AudioError
from thymos.scoring.metrics import Counts, bootstrap_interval, confusion_by_group, scores
from thymos.scoring.predictions import Scored
from thymos.scoring.significance import bootstrap_difference

Floats = NDArray[np.float64]
Interval = tuple[float, float]
Predict = Callable[[Sequence[tuple[Samples, int]]], Floats]
"""``predict([(samples, rate_hz), ...])`` returns probabilities, shape ``(recordings, labels)``."""

CLIPS_AT_ONCE = 32
"""How many recordings are held, and predicted, together."""
UNKNOWN = "unknown"


@dataclass(frozen=True)
class ConditionScore:
    """One row of the table of conditions."""

    condition: str
    recordings: int
    accuracy: float
    accuracy_ci95: Interval
    uar: float
    uar_ci95: Interval
    difference: float
    """Accuracy less that of the clean recordings, in points (hundredths)."""
    difference_ci95: Interval
    """In points; paired, so a draw holds the same recordings in both."""


@dataclass(frozen=True)
class GroupScore:
    """Accuracy on the recordings that have something in common."""

    by: str
    """What they were grouped by: ``emotion``, ``gender``, ``duration``."""
    group: str
    recordings: int
    accuracy: float
    accuracy_ci95: Interval


def robustness(
    predict: Predict,
    root: Path,
    clips: Sequence[str],
    truth: NDArray[np.int64],
    babble: Sequence[Path],
    conditions: Mapping[str, Condition] = CONDITIONS,
    seed: int = 0,
) -> list[ConditionScore]:
    """Return the table of conditions for one fold: ``predict_conditions``, then ``score_conditions``.

    Raises:
        AudioError: a file cannot be read, or there is nobody to babble.
        ValueError: the conditions lack the clean one, or ``truth`` has another length than ``clips``.
    """
    return score_conditions(truth, predict_conditions(predict, root, clips, babble, conditions, seed), clips)


def predict_conditions(
    predict: Predict,
    root: Path,
    clips: Sequence[str],
    babble: Sequence[Path],
    conditions: Mapping[str, Condition] = CONDITIONS,
    seed: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Floats]:
    """Return what is predicted for each clip under each condition: probabilities, shape ``(clips, labels)``.

    A clip's draws of noise, voices and room depend on the seed and its name, so they are the same in any company; the
    noise is the same at all ratios.

    Args:
        predict: the network of this fold.
        root: folder of the corpus.
        clips: test clips, relative to ``root``.
        babble: recordings of which babble is made, some dozens, all held in memory; the clip that is covered is left
            out. Taken from the fold's training part, no test recording is heard under another.
        conditions: what is done to them.
        seed: of the distortions, not negative.
        advance: called after each clip.

    Raises:
        AudioError: a file cannot be read, or there is nobody to babble.
    """
    others = _Others(babble)
    predicted: dict[str, list[Floats]] = {name: [] for name in conditions}
    for start in range(0, len(clips), CLIPS_AT_ONCE):
        some = clips[start : start + CLIPS_AT_ONCE]
        waveforms = [_read(root / clip, clip) for clip in some]
        around = [others.without(root / clip, waveform.rate_hz) for clip, waveform in zip(some, waveforms, strict=True)]
        for name, condition in conditions.items():
            heard = [
                (_distorted(condition, waveform, clip, own_others, seed), waveform.rate_hz)
                for clip, waveform, own_others in zip(some, waveforms, around, strict=True)
            ]
            predicted[name].append(predict(heard))
        for _ in some:
            advance()
    return {name: np.concatenate(parts) for name, parts in predicted.items()}


def score_conditions(
    truth: NDArray[np.int64], probabilities: Mapping[str, Floats], clips: Sequence[str] | None = None, seed: int = 0
) -> list[ConditionScore]:
    """Return one row for each condition, in the order given.

    Args:
        truth: index of the true label, shape ``(rows,)``: one row for each recording and repeat, folds pooled.
        probabilities: of each condition, shape ``(rows, labels)``; the clean one is among them.
        clips: recording of each row; whole recordings are drawn. None: each row is one.
        seed: of the bootstrap.

    Raises:
        ValueError: the clean condition is missing, or lengths differ.
    """
    if CLEAN not in probabilities:
        raise ValueError(f"needs the condition {CLEAN!r} to compare with")
    names = np.arange(len(truth)).astype(str) if clips is None else np.asarray(clips, str)
    if len(names) != len(truth) or any(len(rows) != len(truth) for rows in probabilities.values()):
        raise ValueError("needs one truth, one clip and one prediction under each condition for each row")
    counts = {
        name: confusion_by_group(names, truth, rows.argmax(1), rows.shape[1]) for name, rows in probabilities.items()
    }
    clean = _hits_and_total(counts[CLEAN])
    return [_condition_score(name, own, clean, seed) for name, own in counts.items()]


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
    lengths_s = np.array([durations_s[str(clip)] for clip in scored.clips])
    groupings = {"emotion": (np.array(labels)[scored.truth], list(labels))}
    if genders is not None:
        own = np.array([genders.get(str(speaker), UNKNOWN) for speaker in scored.speakers])
        groupings["gender"] = (own, [*sorted(set(own.tolist()) - {UNKNOWN}), UNKNOWN])
    groupings["duration"] = _duration_thirds(lengths_s, scored.clips)
    return [
        _group_score(by, name, scored.where(own == name), seed)
        for by, (own, names) in groupings.items()
        for name in names
        if (own == name).any()
    ]


class _Others:
    """Recordings that babble, at whatever rate a clip has."""

    def __init__(self, paths: Sequence[Path]):
        self._paths = [path.resolve() for path in paths]
        self._waveforms = [_read(path, str(path)) for path in paths]
        self._at_rate: dict[int, list[Samples]] = {}

    def without(self, path: Path, rate_hz: int) -> list[Samples]:
        if rate_hz not in self._at_rate:
            self._at_rate[rate_hz] = [resample(waveform, rate_hz).samples for waveform in self._waveforms]
        own = path.resolve()
        return [samples for other, samples in zip(self._paths, self._at_rate[rate_hz], strict=True) if other != own]


def _read(path: Path, name: str) -> Waveform:
    try:
        return read_waveform(path)
    except AudioError as error:
        raise AudioError(f"{name} {error}") from None


def _distorted(condition: Condition, waveform: Waveform, clip: str, others: Sequence[Samples], seed: int) -> Samples:
    own_seed = int(np.random.SeedSequence([seed, zlib.crc32(clip.encode())]).generate_state(1)[0])
    try:
        return condition(waveform.samples, waveform.rate_hz, own_seed, others)
    except AudioError as error:
        raise AudioError(f"{clip} {error}") from None


def _condition_score(name: str, counts: Counts, clean: Floats, seed: int) -> ConditionScore:
    found, intervals, own = scores(counts.sum(0)), bootstrap_interval(counts, seed), _hits_and_total(counts)
    low, high = bootstrap_difference(clean, own, seed)
    difference = own[:, 0].sum() / own[:, 1].sum() - clean[:, 0].sum() / clean[:, 1].sum()
    return ConditionScore(
        condition=name,
        recordings=len(counts),
        accuracy=found["accuracy"],
        accuracy_ci95=intervals["accuracy"],
        uar=found["uar"],
        uar_ci95=intervals["uar"],
        difference=100 * float(difference),
        difference_ci95=(100 * low, 100 * high),
    )


def _group_score(by: str, name: str, rows: Scored, seed: int) -> GroupScore:
    counts = confusion_by_group(rows.clips, rows.truth, rows.predicted, rows.probabilities.shape[1])
    interval = bootstrap_interval(counts, seed)["accuracy"]
    return GroupScore(by, name, len(counts), scores(counts.sum(0))["accuracy"], interval)


def _hits_and_total(counts: Counts) -> Floats:
    """Right decisions and decisions of each clip: shape ``(clips, 2)``."""
    return np.column_stack([np.trace(counts, axis1=1, axis2=2), counts.sum((1, 2))]).astype(np.float64)


def _duration_thirds(lengths_s: Floats, clips: NDArray[np.str_]) -> tuple[NDArray[np.str_], list[str]]:
    """Third of each row, equally many recordings in each as far as ties allow, and the thirds' names."""
    once = lengths_s[np.unique(clips, return_index=True)[1]]
    first, second = np.quantile(once, [1 / 3, 2 / 3])
    names = [
        f"shortest third, up to {first:.2f} s",
        f"middle third, up to {second:.2f} s",
        f"longest third, above {second:.2f} s",
    ]
    return np.array(names)[np.searchsorted([first, second], lengths_s)], names
