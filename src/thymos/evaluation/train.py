"""A model from a whole corpus: fitted to all of it, calibrated on what inner splits tell, and written as a bundle."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.cache import default_cache_dir
from thymos.corpora import open_corpus
from thymos.corpora.protocols import LeaveOneSpeakerOut, Protocol, RecordingFolds, Split
from thymos.corpora.table import Corpus
from thymos.engine.process import chosen_device, one_thread
from thymos.errors import LeakageError, ProtocolError, RecipeError
from thymos.evaluation.fitting import LEAST_HELD_OUT, among_all, calibration_of, training_part, usable_folds
from thymos.experiment import Epoch, Experiment, Fitted, InnerSplit, TrainingPart, Work, corpus_for
from thymos.export import write_bundle
from thymos.machine import available_cores
from thymos.recipes import load_experiment
from thymos.runtime.bundle import OutOfDistributionAbout
from thymos.runtime.out_of_distribution import EmbeddingDistribution, fit_gaussian
from thymos.runtime.rewriting import check_folder
from thymos.scoring.metrics import confusion, scores
from thymos.scoring.results import describe_corpus, versions

ACCEPTANCE = 0.95
"""Share of held-out recordings of the training corpus that shall not be called out-of-distribution."""
DIRECTIONS = 32
"""Principal directions of embeddings that get a variance of their own."""
MOST_SPLITS = 6
"""Each is a fit of its own; where there are more speakers, several are held out together."""
MOST_FOLDS = 5
"""Where recordings are held out; fewer where no emotion has as many."""
LEAST_SPEAKERS = 3
"""With fewer, leaving one out would leave hardly any variety to train on."""
LEAST_TRAINED = 4
"""Recordings that a distribution of embeddings needs."""
NO_LICENCE = "not stated: those of the recordings that it was trained on apply"
FIRST_VERSION = "1"


@dataclass(frozen=True)
class TrainWatcher:
    """Who is told how far it is; every part may be left out."""

    on_features: Callable[[int], None] = lambda total: None
    on_feature: Callable[[], None] = lambda: None
    on_fits: Callable[[int, int], None] = lambda fits, epochs: None
    """How many fits there are, and how many epochs each reports."""
    on_epoch: Callable[[Epoch], None] = lambda epoch: None
    on_fit: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class TrainedModel:
    """A model that was written: ``thymos.load(model.folder)`` hears with it."""

    folder: Path
    about: dict[str, Any]
    """What ``model.json`` says of it: corpora, recipe, calibration, scores of held-out recordings."""
    recordings: int
    """How many it was fitted to."""
    curve: tuple[Epoch, ...]
    notes: tuple[str, ...] = ()
    """What the corpus was too small for: emotions of one recording, calibration."""


def train(
    corpus: Corpus | str | Path,
    experiment: Experiment[Any] | str,
    out: str | Path,
    *,
    changes: Sequence[str] = (),
    seed: int = 0,
    cache_dir: str | Path | None = None,
    threads: int | None = None,
    device: str = "auto",
    watcher: TrainWatcher = TrainWatcher(),
) -> TrainedModel:
    """Fit an experiment to all recordings of a corpus and write a bundle that ``thymos.load`` takes.

    Where the experiment is to be calibrated, it is fitted once more on each of several splits, which hold speakers out
    where there are enough of them: what those fits say of the rest gives temperature, prediction sets, the distance
    from which input is out-of-distribution, and the scores that the bundle tells. Recordings that its encoder has heard
    are fitted to and never held out: what is said of them would promise too much. Where there are too few recordings to
    calibrate on, the model is written all the same, and a note says what it lacks.

    Args:
        corpus: opened, or what ``open_corpus`` takes; of several, ``joined`` makes one.
        experiment: a recipe's name, a recipe file, or an ``Experiment`` of your own that can be exported.
        out: folder of the bundle; new, empty, or an earlier bundle's.
        changes: of a recipe, such as ``training.epochs=5``.
        seed: of all draws.
        cache_dir: where features are kept; None: the user's cache folder.
        threads: cores to keep busy; None: all that this process may use.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        watcher: told how far it is.

    Raises:
        CorpusError: the corpus cannot be opened, or has fewer than two emotions.
        RecipeError: there is no such recipe, it cannot be built, or its models cannot be exported.
        LeakageError: it is to be calibrated, and there are too few recordings that its encoder has not heard.
        MissingExtraError: a library is not installed.
        TrainingError: the loss stopped being a number.
        RunError: ``out`` holds something else, or there is no such device.
    """
    folder, cache = Path(out), Path(cache_dir) if cache_dir else default_cache_dir()
    if isinstance(experiment, str):
        experiment = load_experiment(experiment, changes)
    if experiment.transductive:
        raise RecipeError(f"{experiment.name} judges a speaker's recordings together: it is for evaluation only")
    experiment.check_exportable()
    check_folder(folder)
    work = Work(cache, threads or available_cores(), chosen_device(device), seed, watcher.on_feature, watcher.on_epoch)
    if not isinstance(corpus, Corpus):
        corpus = open_corpus(str(corpus), cache_dir=cache)
    corpus = corpus_for(experiment, corpus)
    with suppress(LeakageError):  # nothing is tested here; what is held out is new to the encoder
        experiment.check(corpus)
    split, notes = None, _rare_emotions(corpus)
    if experiment.calibrated:
        try:
            split = _calibration_split(corpus, experiment, seed)
            notes += _limits(split, corpus) if corpus.emotions else ()
        except LeakageError:
            raise
        except ProtocolError as error:
            if corpus.emotions:
                notes += (
                    f"not calibrated: {error}; probabilities are as the head has them, and sets hold every emotion",
                )
    watcher.on_features(experiment.steps(corpus))
    features = experiment.features(corpus, work)
    watcher.on_fits(1 + (len(split.folds) if split else 0), experiment.epochs)
    every = tuple(range(len(corpus.clips)))
    with one_thread():
        fitted = experiment.fit(features, whole_part(corpus, experiment, split, seed), work)
        watcher.on_fit()
        about = _about(corpus, experiment, seed) | ({"notes": list(notes)} if notes else {})
        distribution = None
        if split is not None:
            calibrated, distribution = _calibrated(experiment, fitted, features, corpus, split, seed, work, watcher)
            about |= calibrated
        exported = experiment.export(fitted)
    write_bundle(folder, exported, {"version": FIRST_VERSION, "licence": NO_LICENCE, **about}, distribution)
    return TrainedModel(folder, about, len(every), fitted.curve, notes)


def whole_part(corpus: Corpus, experiment: Experiment[Any], split: Split | None, seed: int) -> TrainingPart:
    """Return all of ``corpus`` to fit to; where dimensions are learnt, with inner splits to choose their penalty on."""
    every = tuple(range(len(corpus.clips)))
    part = TrainingPart(corpus.emotions, every, corpus.targets, seed)
    if not (experiment.learns_dimensions and corpus.dimensions):
        return part
    if split is None:
        with suppress(ProtocolError):  # too few to hold any out: the penalty is the usual one
            split = held_out_parts(corpus, seed)
    inner = []
    for fold in split.folds if split else ():
        train, test = (tuple(corpus.rows(paths).tolist()) for paths in (fold.train, fold.test))
        own = training_part(corpus, corpus.targets, train, seed, fold.name)
        inner.append(InnerSplit(own, test, corpus.targets[list(test)]))
    return replace(part, inner=tuple(inner), dimensions=corpus.dimensions, values=corpus.values)


def _rare_emotions(corpus: Corpus) -> tuple[str, ...]:
    counts = Counter(clip.emotion for clip in corpus.clips)
    rare = [emotion for emotion in corpus.emotions if counts[emotion] == 1]
    if not rare:
        return ()
    return (f"one recording only of {', '.join(rare)}: it was fitted to, and cannot be held out to judge by",)


def _limits(split: Split, corpus: Corpus) -> tuple[str, ...]:
    """Return what calibration on ``split`` cannot promise."""
    notes = []
    if split.name != LeaveOneSpeakerOut.name:
        notes.append(
            f"calibrated on other recordings of the same voices, since {LEAST_SPEAKERS} speakers and more, and all of "
            "them known, are needed to hold voices out: probabilities of new voices promise too much"
        )
    held_out = learnt_and_tested(corpus, split)
    if held_out < LEAST_HELD_OUT:
        notes.append(
            f"calibrated on {held_out} recordings, and {LEAST_HELD_OUT} are needed: probabilities are rough, and "
            "nothing is flagged as out of distribution"
        )
    return tuple(notes)


def _about(corpus: Corpus, experiment: Experiment[Any], seed: int) -> dict[str, Any]:
    settings = experiment.settings()
    started_from = experiment.provenance()
    names = [clip.corpus or corpus.root.name for clip in corpus.clips]
    trained_on = [
        describe_corpus(replace(corpus, clips=tuple(compress(corpus.clips, [name == own for name in names]))))
        | {"name": own, "stage": "training"}
        for own in sorted(set(names))
    ]
    trained_on += started_from.pop("trained_on", [])
    return {
        "kind": settings.get("kind"),
        "name": experiment.name,
        "recipe": settings,
        **started_from,
        "trained_on": trained_on,
        "seed": seed,
        "versions": versions(),
    }


def _calibrated(
    experiment: Experiment[Any],
    final: Fitted[Any],
    features: Any,
    corpus: Corpus,
    split: Split,
    seed: int,
    work: Work,
    watcher: TrainWatcher,
) -> tuple[dict[str, Any], tuple[EmbeddingDistribution, OutOfDistributionAbout] | None]:
    """Fit once more on each split, and return what its model says of what it was not fitted to.

    The distribution of embeddings is None where fewer than ``LEAST_HELD_OUT`` were held out.
    """
    targets, labels = corpus.targets, corpus.emotions
    known: list[NDArray[np.float32]] = []
    others: list[NDArray[np.float32]] = []
    said: list[NDArray[np.float64]] = []
    rows: list[int] = []
    learnt: list[bool] = []
    for fold in split.folds:
        train_rows, held_out = (tuple(corpus.rows(paths).tolist()) for paths in (fold.train, fold.test))
        part = training_part(corpus, targets, train_rows, seed, fold.name)
        fitted = experiment.fit(features, part, work)
        known.append(fitted.embed(features, train_rows))
        others.append(fitted.embed(features, held_out))
        said.append(among_all(fitted.predict(features, held_out).of_recordings(held_out), part.labels, labels))
        rows += held_out
        learnt += [not labels or labels[targets[row]] in part.labels for row in held_out]
        watcher.on_fit()
    probabilities, truth = np.concatenate(said), targets[rows]
    about: dict[str, Any] = {}
    if labels:
        # An emotion that is held out whole tells nothing of a temperature; in the scores, it counts as wrong.
        about = calibration_of(probabilities[learnt], truth[learnt]).as_json()
        about["scores"] = [
            {
                "corpus": ", ".join(sorted({corpus.clips[row].corpus or corpus.root.name for row in rows})),
                "protocol": split.name,
                "of": "models fitted like this one to the training parts of the calibration splits",
                "splits": len(split.folds),
                "recordings": len(rows),
                **scores(confusion(truth, probabilities.argmax(1), len(labels))),
            }
        ]
    if sum(learnt) < LEAST_HELD_OUT:
        return about, None
    gaussian = fit_distribution(known, others, final.embed(features, tuple(range(len(targets)))))
    return about, (
        gaussian,
        OutOfDistributionAbout(threshold=gaussian.threshold, acceptance=ACCEPTANCE, rows=len(rows)),
    )


def fit_distribution(
    known: Sequence[NDArray[np.float32]], held_out: Sequence[NDArray[np.float32]], final: NDArray[np.float32]
) -> EmbeddingDistribution:
    """Return the distribution of the embeddings of a final network, and how far from its mean input may lie.

    Distances are counted in standard deviations, so the threshold that lets ``ACCEPTANCE`` of the held-out recordings
    pass is carried over from the networks of the inner splits to the final one, which has no held-out recordings.

    Args:
        known: of each inner split's network, embeddings of the recordings that it was fitted to.
        held_out: of each, those of the recordings that it was not fitted to.
        final: of the final network, embeddings of the recordings that it was fitted to.
    """
    distances = np.sort(
        np.concatenate(
            [
                EmbeddingDistribution(fit_gaussian(own, DIRECTIONS), np.inf).distances(others)
                for own, others in zip(known, held_out, strict=True)
            ]
        )
    )
    # The rank that promises the share to one more recording like these, as in split-conformal prediction.
    rank = min(int(np.ceil(round((len(distances) + 1) * ACCEPTANCE, 9))), len(distances))
    return EmbeddingDistribution(fit_gaussian(final, DIRECTIONS), float(distances[rank - 1]))


def _calibration_split(corpus: Corpus, experiment: Experiment[Any], seed: int) -> Split:
    """Return folds whose test parts the encoder has not heard; what it has heard is in every training part.

    Raises:
        LeakageError: it has heard so much that the rest is too small.
        ProtocolError: the corpus is too small.
    """
    heard = tuple(clip.path for clip in corpus.clips if experiment.has_heard(clip))
    if not heard:
        return held_out_parts(corpus, seed)
    known = set(heard)
    new = corpus.part([clip.path for clip in corpus.clips if clip.path not in known])
    if len(new.clips) < LEAST_HELD_OUT:
        raise LeakageError(
            f"the encoder was fitted to {len(heard)} of {len(corpus.clips)} recordings, and calibrating on them would "
            f"promise too much; {LEAST_HELD_OUT} others are needed, or --set calibrated=false"
        )
    split = held_out_parts(new, seed)
    return replace(split, folds=tuple(replace(fold, train=(*fold.train, *heard)) for fold in split.folds))


def held_out_parts(corpus: Corpus, seed: int) -> Split:
    """Divide a whole corpus for calibration.

    Speakers are held out where there are enough of them, since those that a model meets in use are new to it; else
    recordings are.

    Raises:
        ProtocolError: the corpus is too small to be divided.
    """
    speakers = {clip.speaker for clip in corpus.clips}
    by_speaker = len(speakers) >= LEAST_SPEAKERS and "" not in speakers
    most = max(Counter(clip.emotion for clip in corpus.clips).values())
    folds = max(2, min(MOST_FOLDS, most))
    protocol: Protocol = LeaveOneSpeakerOut() if by_speaker else RecordingFolds(folds)
    try:
        split = protocol.split(corpus, seed)
    except LeakageError:
        raise
    except ProtocolError:
        raise ProtocolError("too few recordings to hold some out") from None
    if len(split.folds) > MOST_SPLITS:
        split = replace(split, folds=tuple(protocol.draw_inner(corpus, seed)))  # several speakers a fold
    large = [fold for fold in split.folds if len(fold.train) >= LEAST_TRAINED]
    split = replace(split, folds=usable_folds(corpus, large))
    if not split.folds:
        raise ProtocolError("too few recordings to hold some out")
    return split


def learnt_and_tested(corpus: Corpus, split: Split) -> int:
    """Return how many recordings ``split`` tests of emotions that the fold trains on."""
    emotion = {clip.path: clip.emotion for clip in corpus.clips}
    count = 0
    for fold in split.folds:
        trained = {emotion[path] for path in fold.train}
        count += sum(emotion[path] in trained for path in fold.test)
    return count
