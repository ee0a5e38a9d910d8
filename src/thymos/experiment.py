"""What an experiment is: the seam between what is fitted and all that judges, compares or ships it.

An experiment makes features of a corpus once, for all folds, and is then fitted to the training part of each::

    class MyExperiment(thymos.Experiment[NDArray[np.float64]]):
        name = "my-features"

        def features(self, corpus, work):
            return np.stack([describe(corpus.waveform(clip)) for clip in corpus.clips])

        def fit(self, features, part, work):
            return MyFitted(LogisticRegression().fit(features[list(part.rows)], part.targets))

    class MyFitted(thymos.Fitted[NDArray[np.float64]]):
        def __init__(self, machine):
            self.machine = machine

        def predict(self, features, rows):
            return thymos.Scores(self.machine.predict_proba(features[list(rows)]))

Both classes stand at the top level of a module, so that worker processes can import them. ``thymos.evaluate(corpus,
MyExperiment(), protocol="speaker")`` does the rest: folds, leakage guard, predictions, spread and intervals.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from thymos.cache import default_cache_dir
from thymos.corpora.table import Clip, Corpus
from thymos.errors import CorpusError, RecipeError
from thymos.labels import house_spelling, label_key
from thymos.scoring.calibration import Conformal

Features = TypeVar("Features")
"""What an experiment makes of a corpus: whatever ``fit`` and ``predict`` read. It travels to worker processes by
pickle, so large arrays are better left on disk and opened where they are used."""
Rows = tuple[int, ...]
"""Places of recordings in ``corpus.clips``."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training part gave, measured while it was trained on, as it was augmented."""

    epoch: int
    loss: float
    accuracy: float
    """Where mixup gave a segment two classes, the heavier counts."""
    validation_loss: float | None = None
    """After the pass, on the recordings that were watched, if any."""
    validation_accuracy: float | None = None


@dataclass(frozen=True)
class Work:
    """How work is done. Nothing in it but the device changes a digit."""

    cache_dir: Path = field(default_factory=default_cache_dir)
    """Where features may be kept."""
    threads: int = 1
    """Cores that may be kept busy. A fit gives the same digits for any number."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``mps``: where networks are fitted, and recordings described."""
    seed: int = 0
    """Of what features draw, such as the noise of distorted copies."""
    advance: Callable[[], None] = lambda: None
    """Called after each step of ``Experiment.steps`` while features are made."""
    on_epoch: Callable[[Epoch], None] = lambda epoch: None
    """Called after each epoch of a fit that has epochs."""

    @property
    def gpus(self) -> float:
        """How many of a cluster's accelerators a fit needs for itself."""
        return 1.0 if self.device == "cuda" else 0.0


@dataclass(frozen=True)
class InnerSplit:
    """A training part divided once more, for what a test part must not choose."""

    train: "TrainingPart"
    """What is left to fit to; of a rare emotion, this may be nothing, and ``train.labels`` then lacks it."""
    rows: Rows
    """Recordings that are held out of ``train``, but for those of an emotion that it lacks: they would choose nothing.
    """
    targets: NDArray[np.int64]
    """Class of each of them among the labels of the part that is divided, shape ``(rows,)``."""


@dataclass(frozen=True)
class TrainingPart:
    """What a fit may look at. Whose class it is not told are not in it."""

    labels: tuple[str, ...]
    """The emotions to tell apart, each of which the part has; a target is a place in it. None where dimensions alone
    are told."""
    rows: Rows
    """Recordings to fit to."""
    targets: NDArray[np.int64]
    """Class of each of them, shape ``(rows,)``."""
    seed: int = 0
    """Of all draws: initial weights, order, dropout."""
    inner: tuple[InnerSplit, ...] = ()
    """As many inner splits as the experiment asks for, divided by the protocol's own rule."""
    dimensions: tuple[str, ...] = ()
    """Arousal, valence, dominance: those that are to be learnt beside the emotions."""
    values: NDArray[np.float64] | None = None
    """Value of each of ``rows`` in each of ``dimensions``, NaN where it is not told: shape ``(rows, dimensions)``."""
    watched: InnerSplit | None = None
    """Recordings to score after each epoch, never to be trained on; the fit must stay the same."""


@dataclass(frozen=True)
class Calibration:
    """What goes with a model's probabilities."""

    temperature: float
    """Logits are divided by it."""
    conformal: Conformal
    """How prediction sets are made of the probabilities so tempered."""

    def as_json(self) -> dict[str, Any]:
        """Return it as ``results.json`` has it; infinity, which is no JSON, as None: every label is in every set."""
        threshold = self.conformal.threshold if isfinite(self.conformal.threshold) else None
        return {"temperature": self.temperature, "conformal": asdict(self.conformal) | {"threshold": threshold}}


@dataclass(frozen=True)
class Scores:
    """What a fitted model says: one row for each recording, in the order they were asked for.

    A model that scores segments says with ``recordings`` and ``times_s`` which each row is of.
    """

    probabilities: NDArray[np.float64]
    """Shape ``(rows, labels)``; each row sums to 1."""
    recordings: NDArray[np.int64] | None = None
    """Place in ``corpus.clips`` of the recording that each row is a segment of, shape ``(rows,)``."""
    times_s: NDArray[np.float64] | None = None
    """Where each segment begins and ends, in seconds, shape ``(rows, 2)``."""
    values: NDArray[np.float64] | None = None
    """What is said of each of the training part's ``dimensions``, shape ``(rows, dimensions)``: NaN where it could not
    be learnt; None of a model that learns none."""

    def of_recordings(self, rows: Rows) -> NDArray[np.float64]:
        """Return the probabilities of each of ``rows``, the mean over its segments: shape ``(rows, labels)``."""
        if self.recordings is None:
            return self.probabilities
        return np.stack([self.probabilities[self.recordings == row].mean(axis=0) for row in rows])


class Fitted(ABC, Generic[Features]):
    """A model fitted to one training part."""

    curve: tuple[Epoch, ...] = ()
    """By epoch, where there are epochs."""
    parameters: int | None = None
    """How many numbers were fitted."""
    calibration: Calibration | None = None
    """Temperature and prediction sets, where the fit itself found them on inner splits: ``predict`` has applied the
    temperature."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """More to tell of the fit in ``results.json``: JSON values by name."""
        return {}

    @abstractmethod
    def predict(self, features: Features, rows: Rows) -> Scores:
        """Return what the model says of the recordings ``rows``, whose classes it is never told."""

    def embed(self, features: Features, rows: Rows) -> NDArray[np.float32]:
        """Return the embedding of each recording, shape ``(rows, E)``: what out-of-distribution input is told by.

        Only models that are exported have one.
        """
        raise NotImplementedError(f"{type(self).__name__} has no embedding")


class Experiment(ABC, Generic[Features]):
    """A way from recordings to a fitted model. Subclasses that have settings return them from ``settings``."""

    name: str = ""
    """What it is called in tables."""
    max_silence_s: float | None = None
    """Recordings with more seconds of silence than this are left out; None: none are."""
    merge: Mapping[str, str] = {}
    """Labels, of any words, that count as another, such as calm as neutral."""
    transductive: bool = False
    """Whether predictions for one recording hinge on other recordings that are tested; reports say so."""
    learns: bool = True
    """Whether anything is fitted to the corpus, so that only what is in a training part can be told apart."""
    learns_dimensions: bool = False
    """Whether it learns arousal, valence and dominance, too, where the corpus tells them: it then gets inner splits."""
    inner_splits: int = 0
    """How many inner splits of its training part a fit needs."""
    calibrated: bool = False
    """Whether it is fitted once more on each inner split, all of them, for a temperature and for prediction sets."""
    epochs: int = 0
    """How many epochs each fit reports; 0: it has none."""

    def settings(self) -> dict[str, Any]:
        """Return all that decides the numbers, as JSON values, ``name`` among them: the recipe in ``results.json``."""
        return {"name": self.name, "kind": type(self).__name__}

    def versions(self) -> dict[str, Any]:
        """Return what decides the numbers beside the settings: versions of libraries, digests of files."""
        return {}

    def provenance(self) -> dict[str, Any]:
        """Return what a bundle tells of where a fit starts: ``trained_on``, corpora of an earlier stage, and more."""
        return {}

    def check(self, corpus: Corpus) -> None:
        """Check, before any work is done, that it can be fitted to such a corpus.

        Raises:
            ThymosError: it cannot, or a library that it needs is not installed.
        """

    def has_heard(self, clip: Clip) -> bool:
        """Return whether what a fit starts from was itself fitted to ``clip``, so that nobody may test on it."""
        return False

    def steps(self, corpus: Corpus) -> int:
        """Return how often ``features`` calls ``work.advance``."""
        return len(corpus.clips)

    def features_key(self, corpus: Corpus) -> str:
        """Name the features of ``corpus``: experiments with the same name share them in a study."""
        return repr(sorted(self.settings().items()))

    @abstractmethod
    def features(self, corpus: Corpus, work: Work) -> Features:
        """Return what all folds share. It sees the test parts, too, so nothing in it may be fitted."""

    @abstractmethod
    def fit(self, features: Features, part: TrainingPart, work: Work) -> Fitted[Features]:
        """Return a model fitted to ``part``. The same part gives the same digits, whatever ``work`` says."""

    def work_of(self, recordings: int) -> float:
        """Return a rough measure of how long a fit to so many recordings takes, for a forecast."""
        return float(max(1, self.epochs) * recordings)

    def quick(self, epochs: int) -> "Experiment[Features]":
        """Return the same with no more than ``epochs`` epochs, for a look."""
        return self

    def only_to_predict(self) -> "Experiment[Features]":
        """Return the same, whose features hold no more than ``predict`` reads: no copies that only a fit needs."""
        return self

    def export(self, fitted: Fitted[Features]) -> Any:
        """Return the ``Exportable`` of ``fitted``, from which ``thymos train`` writes a bundle.

        Raises:
            RecipeError: models of this kind cannot be exported.
        """
        raise RecipeError(f"{self.name} cannot be exported: no graph says all that it does, from waveform to emotion")

    def check_exportable(self) -> None:
        """Check, before any work is done, that ``export`` will be able to.

        Raises:
            RecipeError: it will not.
            MissingExtraError: a library that writes graphs is not installed.
        """
        raise RecipeError(
            f"{self.name} cannot be trained into a model: its features have no graph; evaluate it instead"
        )


def corpus_of_emotions(experiment: Experiment[Any], corpus: Corpus, what: str) -> Corpus:
    """Return ``corpus_for`` of both, for ``what`` goes by how well emotions are told.

    Raises:
        CorpusError: as ``corpus_for``, or it tells no emotions.
    """
    usable = corpus_for(experiment, corpus)
    if not usable.emotions:
        raise CorpusError(
            f"{what} goes by how well emotions are told, and {corpus.root} tells dimensions alone, which `evaluate` "
            "and `train` learn"
        )
    return usable


def corpus_for(experiment: Experiment[Any], corpus: Corpus) -> Corpus:
    """Return ``corpus`` as the experiment takes it: without the clips that its rules leave out, emotions merged.

    Raises:
        CorpusError: fewer than two emotions are left, or dimensions alone are told, and it learns none, or none varies.
    """
    most = experiment.max_silence_s

    def too_silent(clip: Clip) -> str | None:
        if most is None or clip.sound.silence_s <= most:
            return None
        return f"is left out: {clip.sound.silence_s:.1f} s of its {clip.sound.duration_s:.1f} s are silence"

    usable = corpus.excluding(too_silent)
    if experiment.merge:
        merge = {label_key(word): house_spelling(counts_as) for word, counts_as in experiment.merge.items()}
        usable = usable.relabelled(lambda word: merge.get(label_key(word), word))
    if not usable.emotions and usable.clips:
        if not experiment.learns_dimensions:
            raise CorpusError(
                f"{corpus.root} tells dimensions and no emotions, and {experiment.name} learns emotions alone; recipes "
                "of kind encoder learn dimensions: --recipe thymos"
            )
        if not usable.dimensions:
            raise CorpusError(f"{corpus.root} tells no emotions, and no dimension of it varies: nothing can be learnt")
        return usable
    if len(usable.emotions) < 2:
        raise CorpusError(f"{corpus.root} has recordings of {len(usable.emotions)} emotion; two are needed")
    return usable
