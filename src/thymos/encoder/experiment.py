"""The experiment of recipes of kind encoder: an encoder describes whole recordings, and a linear head decides."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from thymos.corpora.table import Corpus, clip_names
from thymos.encoder.described import DescribedCorpus, Descriptions, describe_corpus
from thymos.encoder.discriminant import Discriminant, fit_discriminant
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.start import start_of
from thymos.errors import LeakageError, ProtocolError
from thymos.experiment import Experiment, Fitted, Rows, Scores, TrainingPart, Work


class EncoderExperiment(Experiment[DescribedCorpus]):
    """Descriptions by an encoder, and a discriminant fitted to them."""

    def __init__(self, recipe: EncoderRecipe):
        self.recipe = recipe
        self.name = recipe.name
        self.max_silence_s = recipe.max_silence_s
        self.transductive = recipe.centring != "none"
        self.calibrated = recipe.calibrated

    def settings(self) -> dict[str, Any]:
        """Return the recipe."""
        return self.recipe.model_dump(mode="json")

    def versions(self) -> dict[str, Any]:
        """Return the digest of the encoder."""
        return {"encoder": start_of(self.recipe).digest}

    def check(self, corpus: Corpus) -> None:
        """Check that there is such an encoder, and that it has not heard what is going to be tested.

        Raises:
            RecipeError: there is none that can be used.
            ProtocolError: descriptions are to be centred on speakers, and the corpus does not tell who speaks.
            LeakageError: it has heard recordings of ``corpus``; the message names them.
        """
        start = start_of(self.recipe)
        unknown = [clip.path for clip in corpus.clips if not clip.speaker]
        if self.recipe.centring == "speaker" and unknown:
            raise ProtocolError(f"centring on speakers needs every clip's speaker, unknown for {clip_names(unknown)}")
        heard = [clip.path for clip in corpus.clips if start.has_heard(clip)]
        if heard:
            raise LeakageError(f"the encoder was fitted to {len(heard)} of these recordings: {clip_names(heard)}")

    def features_key(self, corpus: Corpus) -> str:
        """Name the descriptions."""
        recipe = self.recipe
        return f"{recipe.start_from} {recipe.layers} {recipe.speeds} {recipe.distorted_copies} {recipe.half}"

    def features(self, corpus: Corpus, work: Work) -> DescribedCorpus:
        """Describe the recordings of ``corpus``; see ``describe_corpus``."""
        return describe_corpus(corpus, self.recipe, start_of(self.recipe), work)

    def fit(self, features: DescribedCorpus, part: TrainingPart, work: Work) -> "FittedHead":
        """Fit the discriminant to ``part``."""
        recipe = self.recipe
        descriptions = features.read(part.rows)
        descriptions -= _centres(features, recipe, part.rows, len(descriptions))
        shares = np.array(recipe.shares())
        return FittedHead(recipe, fit_discriminant(descriptions, part.targets, shares, recipe.shrinkage))


class FittedHead(Fitted[DescribedCorpus]):
    """A discriminant of descriptions."""

    def __init__(self, recipe: EncoderRecipe, discriminant: Discriminant):
        self.recipe, self.discriminant = recipe, discriminant
        self.parameters = discriminant.weights.size + discriminant.bias.size

    def predict(self, features: DescribedCorpus, rows: Rows) -> Scores:
        """Return the head's probabilities of recordings as they are."""
        described = features.read(rows, 1)
        described -= _centres(features, self.recipe, rows, 1)
        probabilities: NDArray[np.float64] = softmax(self.discriminant.logits(described[0]), axis=1)
        return Scores(probabilities)


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
