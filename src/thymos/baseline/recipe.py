"""Recipes of kind functionals: a linear support vector machine on openSMILE's functionals, the classical peer."""

from typing import Literal

from pydantic import Field, PositiveFloat

from thymos.baseline.functionals import FunctionalsSettings
from thymos.config import Settings

Scaler = Literal["standard", "minmax"]


class SVMSettings(Settings):
    """A linear support vector machine, one class against the rest.

    Scaler and C are chosen together: the highest UAR on inner splits of the training part, the first scaler and the
    smallest C of equals. One value alone is taken as it is.
    """

    scaler: tuple[Scaler, ...] = Field(("standard", "minmax"), min_length=1)
    """Fitted to the training part, functional by functional: ``standard``: mean 0, variance 1; ``minmax``: 0 to 1."""
    c: tuple[PositiveFloat, ...] = Field((1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0), min_length=1)
    """Weight of errors against the margin."""
    inner_folds: int = Field(5, ge=1, le=5)
    """Inner splits, 80 to 20, that scaler and C are chosen on, and the temperature of the probabilities fitted on."""


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
