"""The experiment of recipes of kind encoder: an encoder describes whole recordings, and a linear head decides."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from thymos.corpora import open_corpus
from thymos.corpora.table import Clip, Corpus, clip_names
from thymos.encoder.describe import Descriptions, Start, start_of
from thymos.encoder.described import DescribedCorpus, describe_corpus
from thymos.encoder.export import exportable, linear_reading
from thymos.encoder.heads import (
    USUAL_PENALTY,
    Discriminant,
    Ridge,
    choose_penalties,
    fit_discriminant,
    fit_ridge,
    fit_voice_space,
    without_classes,
)
from thymos.encoder.in_fold import EPOCH, described_by, tuned_start, undescribed
from thymos.encoder.recipe import EncoderRecipe
from thymos.errors import LeakageError, ProtocolError, RecipeError
from thymos.experiment import Experiment, Fitted, Rows, Scores, TrainingPart, Work, corpus_for
from thymos.export import Exportable, check_exportable
from thymos.labels import label_key
from thymos.runtime.adaptation import VoiceSpace


class EncoderExperiment(Experiment[DescribedCorpus]):
    """Descriptions by an encoder, and a discriminant fitted to them."""

    def __init__(self, recipe: EncoderRecipe):
        self.recipe = recipe
        self.name = recipe.name
        self.max_silence_s = recipe.max_silence_s
        self.merge = recipe.merge
        self.transductive = recipe.centring != "none"
        self.learns = recipe.fitted_to is None
        self.calibrated = recipe.calibrated
        self.learns_dimensions = self.learns
        self.epochs = recipe.tuning.steps // EPOCH if recipe.finetune == "fold" else 0

    def settings(self) -> dict[str, Any]:
        """Return the recipe."""
        return self.recipe.model_dump(mode="json")

    def versions(self) -> dict[str, Any]:
        """Return the digest of the encoder."""
        return {"encoder": start_of(self.recipe).digest}

    def provenance(self) -> dict[str, Any]:
        """Return the encoder's digest, whose layers it began as, and the corpora that it was fine-tuned on."""
        return start_of(self.recipe).provenance()

    def check(self, corpus: Corpus) -> None:
        """Check that there is such an encoder, and that it has not heard what is going to be tested.

        Raises:
            RecipeError: there is none that can be used, or it is fine-tuned to emotions, and none is told.
            ProtocolError: speakers are needed, and the corpus does not tell who speaks.
            LeakageError: it has heard recordings of ``corpus``; the message names them.
        """
        recipe = self.recipe
        start = start_of(recipe)
        unknown = [clip.path for clip in corpus.clips if not clip.speaker]
        if unknown and recipe.centring == "speaker":
            raise ProtocolError(f"centring on speakers needs every clip's speaker, unknown for {clip_names(unknown)}")
        if not corpus.emotions and recipe.finetune == "fold":
            raise RecipeError(f"finetune: fold fine-tunes the encoder to emotions, and {corpus.root} tells none")
        # Last: who trains and does not test may go on in spite of it.
        heard = [clip for clip in corpus.clips if start.has_heard(clip)]
        if heard:
            near = sum(not start.has_heard_exactly(clip) for clip in heard)
            otherwise = f", {near} of them in another form (rate, level, codec or cut)" if near else ""
            names = clip_names([clip.path for clip in heard])
            raise LeakageError(f"the encoder was fitted to {len(heard)} of these recordings{otherwise}: {names}")

    def has_heard(self, clip: Clip) -> bool:
        """Return whether the encoder was fitted to ``clip``, or to a near-copy."""
        return start_of(self.recipe).has_heard(clip)

    def features_key(self, corpus: Corpus) -> str:
        """Name the descriptions: recipes that differ in how they decide share them."""
        recipe = self.recipe
        shaping = (
            recipe.start_from,
            recipe.layers,
            recipe.speeds,
            recipe.distorted_copies,
            recipe.half,
            recipe.fitted_to,
        )
        return f"encoder {shaping}" if recipe.finetune == "never" else "sound for encoders"

    def features(self, corpus: Corpus, work: Work) -> DescribedCorpus:
        """Describe the recordings of ``corpus``, and where the head is fitted to another one, of that, too.

        Raises:
            CorpusError: that one cannot be opened.
            RecipeError: it lacks an emotion of ``corpus``.
            AudioError: a file can no longer be read.
        """
        if self.recipe.finetune == "fold":
            return undescribed(corpus)
        start, where = start_of(self.recipe), self.recipe.fitted_to
        if where is None:
            return describe_corpus(corpus, self.recipe, start, work)
        other = corpus_for(self, open_corpus(where, cache_dir=work.cache_dir))
        if unknown := set(corpus.emotions) - set(other.emotions):
            raise RecipeError(f"{where} has no recording of {', '.join(sorted(unknown))} to fit to")
        described = describe_corpus(corpus, self.recipe, start, work)
        heard = describe_corpus(other, self.recipe, start, replace(work, advance=lambda: None))
        return replace(described, fitted_to=(heard, other.emotions, other.targets))

    def fit(self, features: DescribedCorpus, part: TrainingPart, work: Work) -> "FittedHead":
        """Fit the discriminant to ``part``, or to all of the other corpus that the recipe names.

        Where the encoder is fine-tuned first, that is to ``part``, too.
        """
        every = tuple(range(len(part.labels)))
        if features.source is not None:
            start = tuned_start(features.source, part.rows, self.recipe, part.seed, work)
            described = described_by(start, features.source, self.recipe, work)
            head = self._head(described, part.rows, part.targets, part.labels)
            own = FittedTo(described, part.rows, part.targets, every, self._dimensions(described, part))
            return TunedHead(self.recipe, part.labels, head, own, start, work)
        if features.fitted_to is None:
            head = self._head(features, part.rows, part.targets, part.labels)
            own = FittedTo(features, part.rows, part.targets, every, self._dimensions(features, part))
            return FittedHead(self.recipe, part.labels, head, own)
        other, labels, targets = features.fitted_to
        rows = tuple(range(len(targets)))
        asked = tuple(labels.index(word) for word in part.labels)
        head = self._head(other, rows, targets, labels).among(asked)
        return FittedHead(self.recipe, part.labels, head, FittedTo(other, rows, targets, asked))

    def _head(
        self, features: DescribedCorpus, rows: Rows, targets: NDArray[np.int64], labels: Sequence[str]
    ) -> Discriminant:
        """Fit the discriminant; where no emotion is told, it has no class."""
        recipe = self.recipe
        descriptions = features.read(rows)
        descriptions -= _centres(features, recipe, rows, len(descriptions))
        weights = _speakers_alike(features, rows) if recipe.weigh == "speakers" else None
        if not labels:
            return without_classes(descriptions, np.array(recipe.shares()), weights)
        fitted = fit_discriminant(descriptions, targets, np.array(recipe.shares()), recipe.shrinkage, weights)
        priors = {label_key(word): prior for word, prior in recipe.priors.items()}
        return fitted.leaning([priors.get(label_key(label), 1.0) for label in labels])

    def _dimensions(self, features: DescribedCorpus, part: TrainingPart) -> "FittedDimensions | None":
        """Fit a regression to what ``part`` tells of dimensions, its penalties chosen on the inner splits.

        Where the encoder is fine-tuned to the part, it has heard what these hold out, so they choose a little too
        boldly.
        """
        if part.values is None:
            return None
        recipe, place = self.recipe, {row: at for at, row in enumerate(part.rows)}

        def known(rows: Rows) -> tuple[Descriptions, NDArray[np.float64]]:
            assert part.values is not None
            described = features.read(rows, 1) - _centres(features, recipe, rows, 1)
            return described[0], part.values[[place[row] for row in rows]]

        splits = [(*known(split.train.rows), *known(split.rows)) for split in part.inner]
        penalties = choose_penalties(splits) if splits else (USUAL_PENALTY,) * len(part.dimensions)
        descriptions = features.read(part.rows)
        descriptions -= _centres(features, recipe, part.rows, len(descriptions))
        weights = _speakers_alike(features, part.rows) if recipe.weigh == "speakers" else None
        ridge = fit_ridge(descriptions, part.values, penalties, np.array(recipe.shares()), weights)
        return FittedDimensions(part.dimensions, ridge, penalties)

    def steps(self, corpus: Corpus) -> int:
        """Return how many recordings are described before anything is fitted."""
        return 0 if self.recipe.finetune == "fold" else len(corpus.clips)

    def quick(self, epochs: int) -> "EncoderExperiment":
        """Return the same with few steps of fine-tuning, where there are any."""
        if self.recipe.finetune == "never":
            return self
        tuning = self.recipe.tuning.model_copy(update={"steps": max(1, epochs * EPOCH)})
        return EncoderExperiment(self.recipe.model_copy(update={"tuning": tuning}))

    def only_to_predict(self) -> "EncoderExperiment":
        """Return the same at one speed, without distorted copies."""
        return EncoderExperiment(
            self.recipe.model_copy(update={"speeds": self.recipe.speeds[:1], "distorted_copies": 0})
        )

    def check_exportable(self) -> None:
        """Check that graphs can be written, and that one graph says all."""
        if self.transductive:
            raise RecipeError(f"{self.name} judges several recordings together: no graph of one recording says that")
        check_exportable()

    def export(self, fitted: Fitted[DescribedCorpus]) -> Exportable:
        """Return encoder and head."""
        assert isinstance(fitted, FittedHead)
        start = fitted.start if isinstance(fitted, TunedHead) else start_of(self.recipe)
        own = fitted.dimensions
        dimensions = None if own is None else linear_reading(own.names, own.ridge)
        return exportable(start, fitted.discriminant, fitted.voice_space, fitted.labels, self.recipe.int8, dimensions)


class FittedTo(NamedTuple):
    """The recordings that a head was fitted to, the class of each, and which classes it is asked about."""

    features: DescribedCorpus
    rows: Rows
    targets: NDArray[np.int64]
    asked: tuple[int, ...]
    dimensions: "FittedDimensions | None" = None
    """What was learnt beside the emotions."""


class FittedDimensions(NamedTuple):
    """Arousal, valence, dominance as they were learnt: their names, how they are read, and the penalties."""

    names: tuple[str, ...]
    ridge: Ridge
    penalties: tuple[float, ...]


class FittedHead(Fitted[DescribedCorpus]):
    """A discriminant of descriptions, and where voices are told from emotions."""

    def __init__(self, recipe: EncoderRecipe, labels: tuple[str, ...], discriminant: Discriminant, part: FittedTo):
        self.recipe, self.labels, self.discriminant, self._part = recipe, labels, discriminant, part
        self.dimensions = part.dimensions
        self.parameters = discriminant.weights.size + discriminant.bias.size

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return the penalty of each dimension that was learnt; None of one of which no value was told."""
        if self.dimensions is None:
            return {}
        names, ridge, penalties = self.dimensions
        told = zip(names, np.isfinite(ridge.bias), penalties, strict=True)
        return {"penalties": {name: penalty if known else None for name, known, penalty in told}}

    @cached_property
    def voice_space(self) -> VoiceSpace | None:
        """Fitted when it is first asked for: most evaluations know no voice, and it takes as long as the head.

        Where nobody says who speaks, all recordings of a corpus are of one voice. Distorted copies of a voice's
        recordings lie apart each in its own way, so they tell nothing of it. None where no emotion is told.
        """
        if not self.labels:
            return None
        recipe, (features, rows, targets, asked, _) = self.recipe, self._part
        voices = [f"{features.corpora[row]}/{features.speakers[row]}" for row in rows]
        weights = _speakers_alike(features, rows) if recipe.weigh == "speakers" else None
        shares = np.array(recipe.shares()[: len(recipe.speeds)])
        descriptions = features.read(rows, len(shares))
        space = fit_voice_space(descriptions, targets, voices, shares / shares.sum(), recipe.shrinkage, weights)
        return replace(space, emotions=space.emotions[list(asked)])

    def predict(self, features: DescribedCorpus, rows: Rows) -> Scores:
        """Return the head's probabilities of recordings as they are."""
        described = features.read(rows, 1)
        described -= _centres(features, self.recipe, rows, 1)
        probabilities: NDArray[np.float64] = self.discriminant.logits(described[0])
        if self.labels:
            probabilities = softmax(probabilities, axis=1)
        return Scores(
            probabilities, values=None if self.dimensions is None else self.dimensions.ridge.values(described[0])
        )

    def embed(self, features: DescribedCorpus, rows: Rows) -> NDArray[np.float32]:
        """Return the encoder's embedding of each recording, shape ``(rows, E)``."""
        return features.embeddings(rows)


class TunedHead(FittedHead):
    """A head on an encoder of its own, which describes what the head is asked about."""

    def __init__(
        self,
        recipe: EncoderRecipe,
        labels: tuple[str, ...],
        discriminant: Discriminant,
        part: FittedTo,
        start: Start,
        work: Work,
    ):
        super().__init__(recipe, labels, discriminant, part)
        self.start, self._work, self._described = start, work, part.features

    def predict(self, features: DescribedCorpus, rows: Rows) -> Scores:
        """Return the head's probabilities of recordings as they are."""
        return super().predict(self._own(features), rows)

    def embed(self, features: DescribedCorpus, rows: Rows) -> NDArray[np.float32]:
        """Return the tuned encoder's embedding of each recording, shape ``(rows, E)``."""
        return super().embed(self._own(features), rows)

    def _own(self, features: DescribedCorpus) -> DescribedCorpus:
        assert features.source is not None
        if features.source is not self._described.source:
            self._described = described_by(self.start, features.source, self.recipe, self._work)
        return self._described


def _speakers_alike(features: DescribedCorpus, rows: Sequence[int]) -> NDArray[np.float64]:
    """Return weights of ``rows`` by which every corpus counts alike, and in each of them every speaker."""
    voices = [(features.corpora[row], features.speakers[row]) for row in rows]
    clips, speakers = Counter(voices), Counter(corpus for corpus, _ in set(voices))
    return np.array([1 / (clips[voice] * speakers[voice[0]]) for voice in voices])


def _centres(features: DescribedCorpus, recipe: EncoderRecipe, rows: Rows, versions: int) -> Descriptions:
    """Return what is subtracted from the descriptions of ``rows``: the mean of all that is like them.

    Every recording of the corpus counts, the tested ones too, so this looks beyond the part that is fitted or scored.
    """
    if recipe.centring == "none":
        return np.zeros((1, 1, 1), np.float32)
    groups = np.array(features.speakers if recipe.centring == "speaker" else [""] * len(features.files))
    means = {
        name: features.read(np.flatnonzero(groups == name).tolist(), versions).mean(1, dtype=np.float64)
        for name in sorted(set(groups[list(rows)].tolist()))
    }
    return np.stack([means[groups[row]] for row in rows], axis=1).astype(np.float32)
