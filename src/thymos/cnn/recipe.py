"""Recipes of kind cnn: everything that decides which network is trained on which spectrograms, and how."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from thymos.cnn.networks import ModelSettings, StudyCNNSettings
from thymos.cnn.settings import AugmentationSettings, FeatureSettings, SoundSettings
from thymos.config import Settings


class TrainingSettings(Settings):
    """How a network is fitted; the defaults are the study's."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-3
    """Of Adam."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """``bf16``: convolutions in bfloat16, weights and sums in float32; faster, same accuracy (see benchmarks)."""


class CnnRecipe(Settings):
    """Kind cnn, which a file that names no kind is of: from files to a network of spectrograms of one size."""

    name: str = Field(min_length=1)
    description: str = ""
    sound: SoundSettings = SoundSettings()
    features: FeatureSettings = FeatureSettings()
    model: ModelSettings = StudyCNNSettings()
    training: TrainingSettings = TrainingSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    """How training segments are varied."""
    kind: Literal["cnn"] = "cnn"

    @property
    def max_silence_s(self) -> float | None:
        """Recordings with more seconds of silence than this are left out; None: none are."""
        return self.sound.max_silence_s

    @property
    def transductive(self) -> bool:
        """Whether spectrograms of one recording hinge on other recordings that are tested."""
        return self.features.normalise == "speaker"

    @field_validator("augmentation")
    @classmethod
    def _goes_with_the_spectrograms(
        cls, augmentation: AugmentationSettings, info: ValidationInfo
    ) -> AugmentationSettings:
        sound, features = info.data.get("sound"), info.data.get("features")
        complaint = augmentation.complaint(sound, features) if sound and features else None
        if complaint:
            raise PydanticCustomError("does_not_go", "{complaint}", {"complaint": complaint})
        return augmentation
