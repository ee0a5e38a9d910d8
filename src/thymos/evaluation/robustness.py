"""How much of a model's accuracy is left in noise, on the telephone, in a room.

An experiment is fitted to the training part of each fold, as in an evaluation, and scores the test part once under each
condition of ``audio.distort.CONDITIONS``. Predictions of all folds are pooled before they are scored. All intervals are
percentile bootstraps over recordings, so they take the fitted models as given.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray

from thymos.audio import Samples, resample
from thymos.audio.distort import CLEAN, CONDITIONS, Condition
from thymos.cache import default_cache_dir
from thymos.corpora import open_corpus
from thymos.corpora.folds import Fold
from thymos.corpora.measure import measure_sound
from thymos.corpora.protocols import Protocol, Split, protocol_named
from thymos.corpora.table import Clip, Corpus
from thymos.engine.process import chosen_device, one_thread
from thymos.errors import AudioError
from thymos.evaluation.fitting import fit_calibrated, fold_tasks, predictions_of, tempered
from thymos.experiment import Experiment, Work, corpus_of_emotions
from thymos.machine import available_cores
from thymos.recipes import load_experiment
from thymos.scoring.metrics import Counts, bootstrap_interval, confusion_by_group, scores
from thymos.scoring.predictions import Scored, scored_recordings
from thymos.scoring.significance import bootstrap_difference

Floats = NDArray[np.float64]
Interval = tuple[float, float]

BABBLERS = 40
"""Recordings that babble is made of, at most."""


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
class Robustness:
    """What an experiment scored under each condition."""

    corpus: Corpus
    """Without the clips that the experiment's rules leave out."""
    split: Split
    scored: Mapping[str, Scored]
    """By condition: one row for each recording and repeat, folds pooled, in the same order under each."""
    table: list[ConditionScore]


def robustness(
    corpus: Corpus | str | Path,
    experiment: Experiment[Any] | str,
    protocol: Protocol | str = "recording",
    *,
    changes: Sequence[str] = (),
    folds: int = 5,
    seed: int = 0,
    conditions: Mapping[str, Condition] = CONDITIONS,
    cache_dir: str | Path | None = None,
    threads: int | None = None,
    device: str = "auto",
    on_fold: Callable[[Fold], None] = lambda fold: None,
) -> Robustness:
    """Cross-validate an experiment, and score each fold's test part under each condition.

    A recording's draws of noise, voices and room depend on the seed and its name, so they are the same in any company;
    the noise is the same at all ratios. Voices that babble are recordings of the fold's training part, so that no test
    recording is heard under another. What an experiment makes of a speaker's recordings together, it makes of those of
    the test part.

    Args:
        corpus: opened, or what ``open_corpus`` takes.
        experiment: a recipe's name, a recipe file, or an ``Experiment`` of your own.
        protocol: as for ``evaluate``.
        changes: of a recipe.
        folds: for ``recording``, ``take`` and ``sentence``.
        seed: of folds, fits, distortions and bootstrap.
        conditions: what is done to recordings; ``clean`` is among them.
        cache_dir: where features of the corpus are kept; None: the user's cache folder. Those of distorted recordings
            are not kept.
        threads: cores to keep busy while features are made; None: all that this process may use.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        on_fold: called after each fold.

    Raises:
        ThymosError: as ``evaluate``.
        AudioError: a file cannot be read, or there is nobody to babble.
        ValueError: the clean condition is missing.
    """
    _check_has_clean(conditions)
    work = Work(
        Path(cache_dir) if cache_dir else default_cache_dir(), threads or available_cores(), chosen_device(device), seed
    )
    if isinstance(experiment, str):
        experiment = load_experiment(experiment, changes)
    if not isinstance(corpus, Corpus):
        corpus = open_corpus(str(corpus), cache_dir=work.cache_dir)
    corpus = corpus_of_emotions(experiment, corpus, "robustness")
    split = (protocol_named(protocol, folds) if isinstance(protocol, str) else protocol).split(corpus, seed)
    experiment.check(corpus)
    features = experiment.features(corpus, work)
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in conditions}
    for task in fold_tasks(corpus, experiment, split, features, seed, work):
        with one_thread():
            fitted, calibration = fit_calibrated(experiment, features, task.part, work)
        voices = Voices(corpus, babblers(task.fold, seed))
        for name, condition in conditions.items():
            with distorted(corpus.part(task.fold.test), condition, voices, seed, work.threads) as changed:
                rows = tuple(range(len(changed.clips)))
                own = replace(work, cache_dir=changed.root / "cache")
                heard = experiment.only_to_predict().features(changed, own)
                with one_thread():
                    said = tempered(fitted.predict(heard, rows), calibration, fitted)
            durations_s = tuple(clip.sound.duration_s for clip in changed.clips)
            frames[name].append(predictions_of(replace(task, test=rows, test_durations_s=durations_s), said))
        on_fold(task.fold)
    scored = {name: scored_recordings(pd.concat(parts), corpus.emotions) for name, parts in frames.items()}
    clean = scored[CLEAN]
    said_of = {name: each.probabilities for name, each in scored.items()}
    return Robustness(corpus, split, scored, score_conditions(clean.truth, said_of, clean.clips.tolist(), seed))


def babblers(fold: Fold, seed: int) -> list[str]:
    """Return recordings of a fold's training part, drawn at random, whose voices may babble."""
    count = min(BABBLERS, len(fold.train))
    drawn: list[str] = np.random.default_rng(seed).choice(fold.train, count, False).tolist()
    return drawn


class Voices:
    """Recordings of other voices, decoded once, at whatever rate a clip has."""

    def __init__(self, corpus: Corpus, paths: Sequence[str]):
        clips = {clip.path: clip for clip in corpus.clips}
        self._waveforms = {path: corpus.waveform(clips[path]) for path in paths}
        self._at_rate: dict[int, dict[str, Samples]] = {}

    def without(self, path: str, rate_hz: int) -> list[Samples]:
        """Return all voices but the one at ``path``: nobody babbles under himself."""
        if rate_hz not in self._at_rate:
            self._at_rate[rate_hz] = {
                name: resample(waveform, rate_hz).samples for name, waveform in self._waveforms.items()
            }
        return [samples for name, samples in self._at_rate[rate_hz].items() if name != path]


@contextmanager
def distorted(corpus: Corpus, condition: Condition, voices: Voices, seed: int, threads: int = 1) -> Iterator[Corpus]:
    """Yield ``corpus`` under a condition: files of 32-bit floats in a temporary folder, in the order of its clips.

    Raises:
        AudioError: a file cannot be read, or there is nobody to babble.
    """
    with TemporaryDirectory(prefix="thymos-") as name:
        folder = Path(name)

        def changed(number: int) -> Clip:
            clip = corpus.clips[number]
            waveform = corpus.waveform(clip)
            own_seed = int(np.random.SeedSequence([seed, zlib.crc32(clip.path.encode())]).generate_state(1)[0])
            others = voices.without(clip.path, waveform.rate_hz)
            try:
                samples = condition(waveform.samples, waveform.rate_hz, own_seed, others)
            except AudioError as error:
                raise error.of(clip.path) from None
            path = folder / f"{number:06}.wav"
            soundfile.write(path, samples, waveform.rate_hz, "FLOAT")
            return replace(clip, path=path.name, file="", start_s=0.0, end_s=None, sound=measure_sound(path))

        with ThreadPoolExecutor(threads) as pool:
            clips = tuple(pool.map(changed, range(len(corpus.clips))))
        yield replace(corpus, root=folder, clips=clips)


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
    _check_has_clean(probabilities)
    names = np.arange(len(truth)).astype(str) if clips is None else np.asarray(clips, str)
    if len(names) != len(truth) or any(len(rows) != len(truth) for rows in probabilities.values()):
        raise ValueError("needs one truth, one clip and one prediction under each condition for each row")
    counts = {
        name: confusion_by_group(names, truth, rows.argmax(1), rows.shape[1]) for name, rows in probabilities.items()
    }
    clean = _hits_and_total(counts[CLEAN])
    return [_condition_score(name, own, clean, seed) for name, own in counts.items()]


def _check_has_clean(conditions: Mapping[str, Any]) -> None:
    if CLEAN not in conditions:
        raise ValueError(f"needs the condition {CLEAN!r} to compare with")


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


def _hits_and_total(counts: Counts) -> Floats:
    """Right decisions and decisions of each clip: shape ``(clips, 2)``."""
    return np.column_stack([np.trace(counts, axis1=1, axis2=2), counts.sum((1, 2))]).astype(np.float64)
