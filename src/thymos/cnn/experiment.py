"""The experiment of recipes of kind cnn: a network fitted to spectrograms of segments, which scores segments."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.cnn.export import check_graph, exportable
from thymos.cnn.fit import FittedNetwork, check_buildable, fit, predict_probabilities
from thymos.cnn.recipe import CnnRecipe
from thymos.cnn.spectrograms import (
    Spectrograms,
    cache_key,
    make_spectrograms,
    open_spectrograms,
    plain_part,
    speakers_of,
    training_part,
)
from thymos.corpora.table import Corpus
from thymos.experiment import Experiment, Fitted, Rows, Scores, TrainingPart, Work
from thymos.export import Exportable, check_exportable


@dataclass(frozen=True)
class SpectrogramFiles:
    """Where the spectrograms of a corpus lie: what travels to a worker process in their place."""

    folder: Path
    copies: tuple[Path, ...]
    """Of each of the recipe's changed copies, for the training part."""
    speakers: tuple[str, ...] | None
    """Speaker of every recording, where the recipe normalises by speaker."""

    def open(self) -> Spectrograms:
        """Return the spectrograms; their values stay on disk until used."""
        return open_spectrograms(self.folder, self.copies)

    def segment_speakers(self, spectrograms: Spectrograms) -> tuple[str, ...] | None:
        """Return the speaker of every segment; None where nobody asks."""
        return None if self.speakers is None else tuple(self.speakers[i] for i in spectrograms.clip_index)


class CnnExperiment(Experiment[SpectrogramFiles]):
    """Spectrograms of segments, and a network fitted to them."""

    def __init__(self, recipe: CnnRecipe):
        self.recipe = recipe
        self.name = recipe.name
        self.max_silence_s = recipe.max_silence_s
        self.transductive = recipe.transductive
        self.epochs = recipe.training.epochs

    def settings(self) -> dict[str, Any]:
        """Return the recipe."""
        return self.recipe.model_dump(mode="json")

    def check(self, corpus: Corpus) -> None:
        """Check that the recipe's network can be built; see ``check_buildable``."""
        check_buildable(self.recipe, len(corpus.emotions))

    def steps(self, corpus: Corpus) -> int:
        """Return how many times a recording is turned into spectrograms, copies counted."""
        return len(corpus.clips) * (1 + len(self.recipe.augmentation.copies))

    def features_key(self, corpus: Corpus) -> str:
        """Name the spectrograms and those of the copies: recipes that differ elsewhere share them."""
        recipe = self.recipe
        keys = [cache_key(corpus, recipe.sound, recipe.features, copy) for copy in recipe.augmentation.copies]
        return " ".join([cache_key(corpus, recipe.sound, recipe.features), *keys, recipe.features.normalise])

    def features(self, corpus: Corpus, work: Work) -> SpectrogramFiles:
        """Return the spectrograms of ``corpus`` and of the recipe's copies; see ``make_spectrograms``.

        Raises:
            ProtocolError: the recipe normalises by speaker, and the corpus does not tell who speaks.
        """
        recipe = self.recipe
        speakers = speakers_of(corpus) if recipe.features.normalise == "speaker" else None
        made = make_spectrograms(
            corpus,
            recipe.sound,
            recipe.features,
            work.cache_dir,
            work.advance,
            work.threads,
            recipe.augmentation.copies,
        )
        return SpectrogramFiles(made.folder, tuple(copy.folder for copy in made.copies), speakers)

    def fit(self, features: SpectrogramFiles, part: TrainingPart, work: Work) -> "FittedCnn":
        """Fit a new network to the segments of ``part``."""
        spectrograms = features.open()
        speakers = features.segment_speakers(spectrograms)
        segments = _segments(spectrograms, part.rows)
        targets = _targets(spectrograms, segments, part.rows, part.targets)
        watch = None
        if part.watched:
            seen = _segments(spectrograms, part.watched.rows)
            wanted = _targets(spectrograms, seen, part.watched.rows, part.watched.targets)
            watch = plain_part(spectrograms, seen, speakers), wanted
        fitted = fit(
            self.recipe,
            training_part(spectrograms, segments, speakers),
            np.tile(targets, 1 + len(features.copies)),
            len(part.labels),
            part.seed,
            work.on_epoch,
            watch=watch,
            threads=work.threads,
            device=work.device,
        )
        return FittedCnn(self.recipe, fitted, part.labels, len(segments), work)

    def work_of(self, recordings: int) -> float:
        """Return epochs × training recordings and their copies."""
        return float(self.epochs * recordings * (1 + len(self.recipe.augmentation.copies)))

    def quick(self, epochs: int) -> "CnnExperiment":
        """Return the same with no more than ``epochs`` epochs."""
        training = self.recipe.training
        fewer = training.model_copy(update={"epochs": min(training.epochs, epochs)})
        return CnnExperiment(self.recipe.model_copy(update={"training": fewer}))

    def only_to_predict(self) -> "CnnExperiment":
        """Return the same without changed copies."""
        augmentation = self.recipe.augmentation.model_copy(update={"copies": ()})
        return CnnExperiment(self.recipe.model_copy(update={"augmentation": augmentation}))

    def export(self, fitted: Fitted[SpectrogramFiles]) -> Exportable:
        """Return the ``Exportable`` of ``fitted``; see ``exportable``."""
        if not isinstance(fitted, FittedCnn):
            raise TypeError(f"{self.name} exports what it fitted, not a {type(fitted).__name__}")
        return exportable(self.recipe, fitted.model, fitted.labels)

    def check_exportable(self) -> None:
        """Check, before any work is done, that ``export`` will be able to; see ``check_graph``."""
        check_graph(self.recipe)
        check_exportable()


class FittedCnn(Fitted[SpectrogramFiles]):
    """A fitted network of segments."""

    def __init__(
        self, recipe: CnnRecipe, fitted: FittedNetwork, labels: tuple[str, ...], train_segments: int, work: Work
    ):
        self.recipe, self.model, self.curve, self.labels = recipe, fitted.model, fitted.curve, labels
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self._train_segments, self._threads, self._device = train_segments, work.threads, work.device

    @property
    def facts(self) -> Mapping[str, Any]:
        """How many segments it was fitted to."""
        return {"train_segments": self._train_segments}

    def predict(self, features: SpectrogramFiles, rows: Rows) -> Scores:
        """Return the scores of every segment of ``rows``."""
        spectrograms = features.open()
        segments = _segments(spectrograms, rows)
        values = plain_part(spectrograms, segments, features.segment_speakers(spectrograms))
        probabilities = predict_probabilities(self.model, values, self.recipe.training, self._threads, self._device)
        return Scores(probabilities, spectrograms.clip_index[segments], spectrograms.times_s[segments])


def _segments(spectrograms: Spectrograms, rows: Rows) -> list[int]:
    """Return the places of the segments of some recordings. Segments follow their recording: none can leave it."""
    places: list[int] = np.flatnonzero(np.isin(spectrograms.clip_index, rows)).tolist()
    return places


def _targets(
    spectrograms: Spectrograms, segments: list[int], rows: Rows, targets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the class of each segment, given those of its recordings ``rows``."""
    class_of = dict(zip(rows, targets.tolist(), strict=True))
    return np.array([class_of[int(recording)] for recording in spectrograms.clip_index[segments]], np.int64)
