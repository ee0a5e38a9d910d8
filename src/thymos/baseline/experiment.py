"""The experiment of recipes of kind functionals: a linear support vector machine on vectors of whole recordings.

Scaler and C are chosen on inner splits of the training part, divided by the protocol's own rule. The temperature
that turns decision values into probabilities (Guo et al. 2017) is fitted to the values that machines of the inner
training parts give to the inner validation parts. One temperature for all classes moves no decision: the most probable
class is the one that the machine decides for, which Platt's method, with a curve for each class, would not hold to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.baseline.functionals import check_opensmile, make_functionals, opensmile_version, read_functionals
from thymos.baseline.linear_svm import FittedSVM, FunctionalsRecipe, Scaler, fit_svms
from thymos.corpora.table import Corpus
from thymos.experiment import Calibration, Experiment, Fitted, Rows, Scores, TrainingPart, Work
from thymos.scoring.calibration import apply_temperature, fit_conformal, fit_temperature
from thymos.scoring.metrics import confusion, scores

Files = tuple[Path, ...]
"""Functionals of every recording of the corpus."""


@dataclass(frozen=True)
class ChosenSVM:
    """What the inner splits decided."""

    scaler: Scaler
    c: float
    inner_uar: dict[str, dict[str, float]]
    """UAR over the inner validation parts, by scaler and C."""
    margins: NDArray[np.float64]
    """Decision values of the inner validation parts with these, shape ``(rows, classes)``."""
    truth: NDArray[np.int64]


class FunctionalsExperiment(Experiment[Files]):
    """openSMILE's functionals and a linear support vector machine."""

    def __init__(self, recipe: FunctionalsRecipe):
        self.recipe = recipe
        self.name = recipe.name
        self.max_silence_s = recipe.max_silence_s
        self.inner_splits = recipe.model.inner_folds

    def settings(self) -> dict[str, Any]:
        """Return the recipe."""
        return self.recipe.model_dump(mode="json")

    def versions(self) -> dict[str, Any]:
        """Return the versions of the libraries that functionals and machine come from."""
        return {"opensmile": opensmile_version(), "scikit-learn": metadata.version("scikit-learn")}

    def check(self, corpus: Corpus) -> None:
        """Check that openSMILE is installed; see ``check_opensmile``."""
        check_opensmile()

    def features_key(self, corpus: Corpus) -> str:
        """Name the functionals."""
        return f"functionals {self.recipe.features!r}"

    def features(self, corpus: Corpus, work: Work) -> Files:
        """Return the files of the functionals of ``corpus``, in the order of its clips; see ``make_functionals``."""
        return tuple(make_functionals(corpus, self.recipe.features, work.cache_dir, work.advance, work.threads))

    def fit(self, features: Files, part: TrainingPart, work: Work) -> "FittedFunctionals":
        """Choose on the inner splits, then fit to all of ``part``."""
        vectors = read_functionals(list(features))
        chosen = self.choose(vectors, part)
        temperature = fit_temperature(chosen.margins, chosen.truth)
        sets = fit_conformal(apply_temperature(chosen.margins, temperature), chosen.truth)
        (machine,) = fit_svms(chosen.scaler, [chosen.c], vectors[list(part.rows)], part.targets, part.seed)
        return FittedFunctionals(machine, chosen, Calibration(temperature, sets))

    def choose(self, vectors: NDArray[np.float64], part: TrainingPart) -> ChosenSVM:
        """Score every scaler with every C on the inner splits and return the best, with its decision values.

        Args:
            vectors: of every recording of the corpus, shape ``(recordings, functionals)``.
            part: whose inner splits.
        """
        settings = self.recipe.model
        truth = np.concatenate([split.targets for split in part.inner])
        candidates: list[tuple[float, Scaler, float, NDArray[np.float64]]] = []
        for scaler in settings.scaler:
            parts: dict[float, list[NDArray[np.float64]]] = {c: [] for c in sorted(settings.c)}
            for split in part.inner:
                train = vectors[list(split.train.rows)]
                machines = fit_svms(scaler, list(parts), train, split.train.targets, part.seed)
                columns = [part.labels.index(label) for label in split.train.labels]
                for own, machine in zip(parts.values(), machines, strict=True):
                    said = machine.margins(vectors[list(split.rows)])
                    # What a part has no recording of is as unlikely as what is least likely there.
                    margins = np.full((len(said), len(part.labels)), said.min())
                    margins[:, columns] = said
                    own.append(margins)
            for c, own in parts.items():
                margins = np.concatenate(own)
                uar = scores(confusion(truth, margins.argmax(1), len(part.labels)))["uar"]
                candidates.append((uar, scaler, c, margins))
        _, scaler, c, margins = max(candidates, key=lambda candidate: candidate[0])  # the first of equals
        inner_uar: dict[str, dict[str, float]] = {}
        for uar, tried_scaler, tried_c, _ in candidates:
            inner_uar.setdefault(tried_scaler, {})[f"{tried_c:g}"] = uar
        return ChosenSVM(scaler, c, inner_uar, margins, truth)


class FittedFunctionals(Fitted[Files]):
    """A machine, and how it was chosen."""

    def __init__(self, machine: FittedSVM, chosen: ChosenSVM, calibration: Calibration):
        self.machine, self.chosen, self.calibration = machine, chosen, calibration
        self.temperature = calibration.temperature
        self.parameters = machine.parameters

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was chosen, on which evidence, and whether the solver converged."""
        return {
            "scaler": self.chosen.scaler,
            "c": self.chosen.c,
            "inner_uar": self.chosen.inner_uar,
            "converged": self.machine.converged,
        }

    def predict(self, features: Files, rows: Rows) -> Scores:
        """Return the machine's decision values as probabilities, at the temperature of the inner splits."""
        vectors = read_functionals([features[row] for row in rows])
        return Scores(apply_temperature(self.machine.margins(vectors), self.temperature))
