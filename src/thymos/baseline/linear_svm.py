"""Linear support vector machines on standardised vectors, for several C at once.

The weights that a few hundred recordings give lie in the span of these recordings, however many functionals there are.
So a machine is fitted to their coordinates in an orthonormal basis of that span: lengths and angles stay, and so does
the machine, but for rounding (1e-14 on AESDD), in a tenth of the time.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
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


Floats = NDArray[np.float64]
MAX_ITERATIONS = 20_000


@dataclass(frozen=True)
class FittedSVM:
    """A machine with the scaler and the basis that were fitted to its training part."""

    scaler: Any
    basis: Floats | None
    """Shape ``(functionals, coordinates)``; None where the machine takes scaled vectors as they are."""
    machine: Any
    parameters: int
    """How many weights and offsets it has on vectors."""
    converged: bool
    """Whether the solver ended before its last iteration."""

    def margins(self, vectors: Floats) -> Floats:
        """Return each class's decision value, shape ``(vectors, classes)``: the machine decides for the highest."""
        scaled = self.scaler.transform(vectors)
        inputs = scaled if self.basis is None else scaled @ self.basis
        values: Floats = np.asarray(self.machine.decision_function(inputs), np.float64)
        # Of two classes the library gives one value, positive for the second.
        return np.stack([-values, values], axis=1) if values.ndim == 1 else values


def fit_svms(
    scaling: Scaler, cs: Sequence[float], vectors: Floats, targets: NDArray[np.int64], seed: int
) -> list[FittedSVM]:
    """Fit a machine for each of ``cs``: one class against the rest, squared hinge loss, by LIBLINEAR (Fan et al. 2008).

    Args:
        scaling: which scaler is fitted to ``vectors`` first.
        cs: weights of errors against the margin.
        vectors: shape ``(recordings, functionals)``.
        targets: class of each, shape ``(recordings,)``; every class 0 … K − 1 must occur.
        seed: of the solver's order.
    """
    # To read a recipe or a study is no reason to load it.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.preprocessing import MinMaxScaler, StandardScaler
    from sklearn.svm import LinearSVC

    scaler = StandardScaler() if scaling == "standard" else MinMaxScaler()
    inputs: Floats = scaler.fit_transform(vectors)
    recordings, functionals = inputs.shape
    basis = None
    if functionals > recordings:
        basis, coordinates = np.linalg.qr(inputs.T)
        inputs = np.ascontiguousarray(coordinates.T)
    fitted = []
    for c in cs:
        machine = LinearSVC(C=c, dual=True, max_iter=MAX_ITERATIONS, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            machine.fit(inputs, targets)
        converged = int(np.max(machine.n_iter_)) < MAX_ITERATIONS
        fitted.append(FittedSVM(scaler, basis, machine, len(machine.intercept_) * (functionals + 1), converged))
    return fitted
