"""Recipes of kind functionals: a linear support vector machine on openSMILE's functionals, the classical peer."""

from typing import Literal

from pydantic import Field, PositiveFloat

from thymos.features.functionals import FunctionalsSettings
from thymos.settings import Settings


class SVMSettings(Settings):
    """A linear support vector machine, one class against the rest."""

    scaler: Literal["standard", "minmax"] = "standard"
    """Fitted to the training part, functional by functional: ``standard``: mean 0, variance 1; ``minmax``: 0 to 1."""
    c: tuple[PositiveFloat, ...] = Field((1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0), min_length=1)
    """What C, the weight of errors against the margin, is chosen from: the highest UAR on inner splits of the training
    part, the smallest of equals. One value alone is taken as it is. The default is the grid of the INTERSPEECH
    challenges' baselines."""
    inner_folds: int = Field(5, ge=1, le=5)
    """Inner splits, 80 to 20, that C is chosen on and the temperature of the probabilities fitted on."""


class FunctionalsRecipe(Settings):
    """From recordings to one vector each, and to a linear classifier of these."""

    kind: Literal["functionals"] = "functionals"
    name: str = Field(min_length=1)
    description: str = ""
    features: FunctionalsSettings = FunctionalsSettings()
    model: SVMSettings = SVMSettings()
    max_silence_s: PositiveFloat | None = None
    """Recordings with more seconds of silence than this are left out."""

    @property
    def transductive(self) -> bool:
        """Whether predictions for one recording hinge on other recordings that are tested: they never do."""
        return False
