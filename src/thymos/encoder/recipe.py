"""Recipes for networks of whole recordings: how they are pretrained on several corpora, and fitted to one."""

from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from pydantic_core import PydanticCustomError

from thymos.config import Settings
from thymos.encoder.attentive import AttentiveSettings
from thymos.encoder.distortions import DistortionSettings
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.voice_statistics import has_voice_channels

SHIPPED, SCRATCH = "shipped", "scratch"


class OptimiserSettings(Settings):
    """How a network of whole recordings is fitted."""

    epochs: NonNegativeInt = 30
    """0: the network is used as it comes from pretraining."""
    batch_size: PositiveInt = Field(32, ge=2)
    learning_rate: PositiveFloat = 1e-3
    """Of AdamW, at its highest; it rises over the first steps and falls along a cosine."""
    warmup_steps: NonNegativeInt = 40
    weight_decay: NonNegativeFloat = 0.05
    crop_s: PositiveFloat = 5.0
    """Longer recordings are trained on in random cuts of this length; they are scored whole."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    mixup_alpha: NonNegativeFloat = 0.3
    """Half of the batches are mixed with themselves in another order by a share from Beta(α, α); 0: none is."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Before the logits."""
    averaging: float = Field(0.99, ge=0, lt=1)
    """The network that is kept is an exponential moving average of the weights, with this decay."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """``bf16``: convolutions in bfloat16, weights, sums and recurrences in float32."""


class DiscriminantSettings(Settings):
    """A linear discriminant of what statistics of the voice and an encoder that stays as it is say of recordings."""

    fitted_to: Literal["corpus", "pretraining"] = "corpus"
    """``pretraining``: the encoder's own discriminant decides, fitted to the corpora that it was pretrained on."""
    shrinkage: float = Field(0.4, ge=0, le=1)
    """How far the covariance within emotions is shrunk towards a multiple of the identity (Ledoit, Wolf 2004, A
    well-conditioned estimator for large-dimensional covariance matrices)."""
    recorded_share: float | None = Field(None, gt=0, lt=1)
    """How much recordings at the first speed count where the discriminant is fitted. What is not said of is shared
    alike by the other versions."""
    distorted_share: float | None = Field(None, gt=0, lt=1)
    """How much all distorted copies count together."""
    parts: tuple[Literal["statistics", "embedding"], ...] = Field(("statistics", "embedding"), min_length=1)
    """What of a recording's description is decided on: statistics of the voice, and the encoder's embedding."""
    distorted_copies: NonNegativeInt = 0
    """Every recording is also trained on so many times varied as the recipe's ``distortions`` say, but not masked, each
    time at one of its speeds: what noise, rooms and lines do to a description then counts less."""
    scored_speeds: PositiveInt = 3
    """A recording's logits are the mean over the first so many of the recipe's speeds."""


class EncoderRecipe(Settings):
    """From recordings of any length to a fitted network that starts from a pretrained encoder."""

    kind: Literal["encoder"] = "encoder"
    name: str = Field(min_length=1)
    description: str = ""
    start_from: str = SHIPPED
    """``shipped``: the encoder that comes with Thymos; ``scratch``: random weights; else an encoder's folder, made by
    ``thymos pretrain``. A pretrained encoder decides ``features`` and ``model``: then neither is to be set."""
    features: LevelMelSettings = LevelMelSettings()
    model: AttentiveSettings = AttentiveSettings()
    speeds: tuple[PositiveFloat, ...] = Field((1.0, 0.9, 1.1), min_length=1)
    """Tempo and pitch of the versions that are trained on; the first is what is scored; of a
    discriminant, the first ``discriminant.scored_speeds``."""
    training: OptimiserSettings = OptimiserSettings()
    distortions: DistortionSettings = DistortionSettings()
    discriminant: DiscriminantSettings | None = None
    """None: the network's own head decides, and ``training`` fits all of it."""
    calibrated: bool = False
    """Whether the recipe is fitted once more on each inner split of the training part, for a temperature and for
    prediction sets; else probabilities stay as they are."""
    max_silence_s: PositiveFloat | None = None
    """Recordings with more seconds of silence than this are left out."""

    @model_validator(mode="after")
    def _discriminant_is_all_that_is_fitted(self) -> "EncoderRecipe":
        if self.discriminant is None:
            return self
        if self.training.epochs:
            raise PydanticCustomError(
                "fitted_twice", "a discriminant leaves the encoder as it is: training.epochs must be 0"
            )
        if (self.discriminant.recorded_share or 0) + (self.discriminant.distorted_share or 0) >= 1:
            raise PydanticCustomError(
                "no_rest", "discriminant.recorded_share and distorted_share should leave a rest for the other speeds"
            )
        if self.discriminant.scored_speeds > len(self.speeds):
            raise PydanticCustomError("too_few_speeds", "discriminant.scored_speeds are more than there are speeds")
        return self

    @property
    def learns(self) -> bool:
        """Whether anything is fitted to the corpus: the network, or a discriminant."""
        fitted = self.discriminant is not None and self.discriminant.fitted_to == "corpus"
        return self.training.epochs > 0 or fitted


class PretrainingRecipe(Settings):
    """From several corpora to an encoder, and a head that knows every emotion word."""

    kind: Literal["pretraining"] = "pretraining"
    name: str = Field(min_length=1)
    description: str = ""
    features: LevelMelSettings = LevelMelSettings()
    model: AttentiveSettings = AttentiveSettings()
    speeds: tuple[PositiveFloat, ...] = Field((1.0, 0.9, 1.1), min_length=1)
    training: OptimiserSettings = OptimiserSettings(
        epochs=24, batch_size=48, learning_rate=2e-3, warmup_steps=400, averaging=0.998
    )
    distortions: DistortionSettings = DistortionSettings()
    balance: float = Field(0.5, ge=0, le=1)
    """A corpus of n recordings is drawn from in proportion to n to the power of this: 1 as they come, 0 all alike."""
    weights: dict[str, PositiveFloat] = Field(default_factory=dict)
    """Multiplies a corpus's share, by its name; 1 where it is not named."""
    shrinkage: float | None = Field(None, ge=0, le=1)
    """Of a linear discriminant that is fitted in the end to descriptions of all recordings that were trained on, and
    kept with the encoder; None: there is none."""
    validation_speakers: tuple[str, ...] = ()
    """Speakers whose recordings are never trained on, and scored at the end."""

    @model_validator(mode="after")
    def _discriminant_has_its_channels(self) -> "PretrainingRecipe":
        """Said before hours of training, at whose end the discriminant is fitted."""
        if self.shrinkage is not None and not has_voice_channels(self.features):
            raise PydanticCustomError(
                "no_statistics", "a discriminant needs two mel channels and a log channel: shrinkage must be null"
            )
        return self
