"""The experiment of recipes of kind encoder: whole recordings, from a pretrained encoder to their emotions.

A linear discriminant is fitted to descriptions that the encoder, left as it is, makes of recordings; or, without one,
the whole network is fine-tuned.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from thymos.corpora.table import Corpus, clip_names
from thymos.encoder.attentive import EmotionNetwork
from thymos.encoder.decision import Discriminant
from thymos.encoder.descriptions import decide, describe_recordings, layout, voice_network
from thymos.encoder.encoder_file import WEIGHTS, Pretrained, encoder_folder, read_encoder, resolved
from thymos.encoder.export import exportable
from thymos.encoder.fit_recordings import fine_tune, hear
from thymos.encoder.level_spectrograms import make_recordings, open_recordings
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.voice_statistics import VoiceNetwork
from thymos.errors import LeakageError, RecipeError
from thymos.experiment import Epoch, Experiment, Fitted, Rows, Scores, TrainingPart, Work
from thymos.export import Exportable, check_exportable


@dataclass(frozen=True)
class DescribedRecordings:
    """Where the level spectrograms of a corpus lie, and what the encoder says of them."""

    folder: Path
    descriptions_file: Path | None
    """Where the recipe has a discriminant."""


class EncoderExperiment(Experiment[DescribedRecordings]):
    """A pretrained encoder with a discriminant, or fine-tuned."""

    def __init__(self, recipe: EncoderRecipe):
        self.recipe = recipe
        self.name = recipe.name
        self.max_silence_s = recipe.max_silence_s
        self.learns = recipe.learns
        self.calibrated = recipe.calibrated
        self.epochs = recipe.training.epochs

    def settings(self) -> dict[str, Any]:
        """Return the recipe."""
        return self.recipe.model_dump(mode="json")

    def versions(self) -> dict[str, Any]:
        """Return the digest of the encoder that the recipe starts from."""
        folder = encoder_folder(self.recipe.start_from)
        return {} if folder is None else {"encoder": read_encoder(folder).about["sha256"][WEIGHTS]}

    def provenance(self) -> dict[str, Any]:
        """Return the digest of the encoder that a fit starts from, and the corpora that it was pretrained on."""
        _, pretrained = resolved(self.recipe)
        if pretrained is None:
            return {}
        heard = [row | {"stage": "pretraining"} for row in pretrained.about.get("trained_on", [])]
        return {"start_from": {"sha256": pretrained.about["sha256"][WEIGHTS]}, "trained_on": heard}

    def check(self, corpus: Corpus) -> None:
        """Check that there is such an encoder, and that it has not been pretrained on what is going to be tested.

        Raises:
            RecipeError: there is none that can be used, or none that a discriminant can describe recordings with, or it
                lacks an emotion of ``corpus`` and nothing is fitted.
            LeakageError: it has seen recordings of ``corpus``; the message names them.
        """
        recipe = self.recipe
        _, pretrained = resolved(recipe)
        unknown = [word for word in corpus.emotions if pretrained is not None and word not in pretrained.labels]
        if unknown and not recipe.learns:
            raise RecipeError(
                f"the encoder does not know {', '.join(unknown)}, and in 0 training.epochs nothing is learnt"
            )
        if recipe.discriminant is not None:
            _check_discriminant(recipe, pretrained)
        # Last: who trains and does not test may go on in spite of it.
        seen = [clip.path for clip in corpus.clips if pretrained is not None and pretrained.has_seen(clip)]
        if seen:
            raise LeakageError(f"the encoder was pretrained on {len(seen)} of these recordings: {clip_names(seen)}")

    def steps(self, corpus: Corpus) -> int:
        """Return how many recordings are read, and then described."""
        return len(corpus.clips) * (1 if self.recipe.discriminant is None else 2)

    def features_key(self, corpus: Corpus) -> str:
        """Name what is read and described: recipes that differ in how they decide share it."""
        not_shaping = {"name", "description", "calibrated", "training", "max_silence_s"}
        own = self.recipe.model_dump(mode="json", exclude=not_shaping)
        own["discriminant"] = self.recipe.discriminant and self.recipe.discriminant.distorted_copies
        return f"encoder {sorted(own.items())!r}"

    def features(self, corpus: Corpus, work: Work) -> DescribedRecordings:
        """Return the recordings of ``corpus``, described by the encoder where a discriminant decides."""
        settings, pretrained = resolved(self.recipe)
        sources = [(corpus.root, clip) for clip in corpus.clips]
        recordings = make_recordings(
            sources, settings.features, self.recipe.speeds, work.cache_dir, work.advance, work.threads
        )
        if self.recipe.discriminant is None:
            return DescribedRecordings(recordings.folder, None)
        described = describe_recordings(recordings, self.recipe, pretrained, work)
        return DescribedRecordings(recordings.folder, described)

    def fit(self, features: DescribedRecordings, part: TrainingPart, work: Work) -> "FittedEncoder":
        """Fit the discriminant, or the network, to ``part``."""
        recipe, pretrained = resolved(self.recipe)
        if features.descriptions_file is not None:
            discriminant = decide(recipe, pretrained, features.descriptions_file, part.targets, part.rows, part.labels)
            return FittedEncoder(recipe, part.labels, voice_network(pretrained, discriminant), (), discriminant)
        curve: list[Epoch] = []

        def on_epoch(epoch: Epoch) -> None:
            curve.append(epoch)
            work.on_epoch(epoch)

        network = fine_tune(
            recipe,
            pretrained,
            open_recordings(features.folder),
            part.targets,
            part.rows,
            part.labels,
            part.seed,
            on_epoch,
        )
        return FittedEncoder(recipe, part.labels, network, tuple(curve))

    def quick(self, epochs: int) -> "EncoderExperiment":
        """Return the same with no more than ``epochs`` epochs."""
        training = self.recipe.training
        fewer = training.model_copy(update={"epochs": min(training.epochs, epochs)})
        return EncoderExperiment(self.recipe.model_copy(update={"training": fewer}))

    def only_to_predict(self) -> "EncoderExperiment":
        """Return the same without distorted copies, and at no more speeds than are scored."""
        discriminant, speeds = self.recipe.discriminant, self.recipe.speeds[:1]
        if discriminant is not None:
            speeds = self.recipe.speeds[: discriminant.scored_speeds]
            discriminant = discriminant.model_copy(update={"distorted_copies": 0})
        return EncoderExperiment(self.recipe.model_copy(update={"speeds": speeds, "discriminant": discriminant}))

    def check_exportable(self) -> None:
        """Check that graphs can be written."""
        check_exportable()

    def export(self, fitted: Fitted[DescribedRecordings]) -> Exportable:
        """Return front end, encoder and decision as one graph."""
        assert isinstance(fitted, FittedEncoder)
        return exportable(fitted.recipe, fitted.network, fitted.labels)


class FittedEncoder(Fitted[DescribedRecordings]):
    """A network of whole recordings, fine-tuned or decided by a discriminant."""

    def __init__(
        self,
        recipe: EncoderRecipe,
        labels: tuple[str, ...],
        network: EmotionNetwork | VoiceNetwork,
        curve: tuple[Epoch, ...],
        discriminant: Discriminant | None = None,
    ):
        self.recipe, self.labels, self.network = recipe, labels, network
        self.curve, self.discriminant = curve, discriminant
        self.parameters = sum(parameter.numel() for parameter in network.parameters())

    def predict(self, features: DescribedRecordings, rows: Rows) -> Scores:
        """Return probabilities: of described recordings by the discriminant alone, of others by hearing them."""
        if features.descriptions_file is not None and self.discriminant and self.recipe.discriminant:
            speeds = self.recipe.discriminant.scored_speeds
            logits = self.discriminant.logits(features.descriptions_file, rows, speeds)
        else:
            logits = hear(self.network, open_recordings(features.folder), rows, self.recipe.features).logits
        probabilities: NDArray[np.float64] = softmax(logits, axis=1)
        return Scores(probabilities)

    def embed(self, features: DescribedRecordings, rows: Rows) -> NDArray[np.float32]:
        """Return the encoder's embedding of each recording, shape ``(rows, E)``."""
        return hear(self.network, open_recordings(features.folder), rows, self.recipe.features).embeddings


def _check_discriminant(recipe: EncoderRecipe, pretrained: Pretrained | None) -> None:
    assert recipe.discriminant is not None
    try:
        descriptors = layout(pretrained)["embedding"][1]
        own = None if pretrained is None else pretrained.discriminant
        if recipe.discriminant.fitted_to == "pretraining" and (own is None or len(own.mean) != descriptors):
            raise RecipeError(
                "the encoder has no discriminant of its own that fits, and discriminant.fitted_to asks for it"
            )
    except ValueError as error:
        raise RecipeError(f"recipe {recipe.name} and its encoder do not go together: {error}") from None
