"""Folds of recipes of kind functionals: fit a linear support vector machine to vectors of whole recordings.

Scaler and C are chosen on inner splits of the training part, divided by the protocol's own rule. The temperature
that turns decision values into probabilities (Guo et al. 2017) is fitted to the values that machines of the inner
training parts give to the inner validation parts. One temperature for all classes moves no decision: the most probable
class is the one that the machine decides for, which Platt's method, with a curve for each class, would not hold to.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.baseline.functionals import check_opensmile, make_functionals, opensmile_version, read_functionals
from thymos.baseline.linear_svm import fit_svms
from thymos.baseline.recipe import FunctionalsRecipe, Scaler
from thymos.corpora.protocols import Split
from thymos.corpora.table import Corpus
from thymos.engine.workers import Report
from thymos.evaluation.recording_folds import RecordingTask, recording_parts, recording_result
from thymos.evaluation.run import FoldResult
from thymos.scoring.calibration import apply_temperature, fit_temperature
from thymos.scoring.conformal import fit_conformal
from thymos.scoring.metrics import confusion, scores


@dataclass(frozen=True, kw_only=True)
class FunctionalsTask(RecordingTask):
    """All that a worker process needs to fit and score one fold."""

    recipe: FunctionalsRecipe
    files: tuple[Path, ...]
    """Functionals of every recording of the corpus."""


@dataclass(frozen=True)
class Chosen:
    """What the inner splits decided."""

    scaler: Scaler
    c: float
    inner_uar: dict[str, dict[str, float]]
    """UAR over the inner validation parts, by scaler and C."""
    margins: NDArray[np.float64]
    """Decision values of the inner validation parts with these, shape ``(rows, classes)``."""
    truth: NDArray[np.int64]


def check(corpus: Corpus, recipe: FunctionalsRecipe) -> None:
    """Check that openSMILE is installed; see ``check_opensmile``."""
    check_opensmile()


def steps(corpus: Corpus, recipe: FunctionalsRecipe) -> int:
    """Return how many recordings ``prepare`` takes functionals of."""
    return len(corpus.clips)


def prepare(
    corpus: Corpus, recipe: FunctionalsRecipe, cache_dir: Path, advance: Callable[[], None], threads: int, seed: int
) -> list[Path]:
    """Return the files of the functionals of ``corpus``, in the order of its clips; see ``make_functionals``.

    Nothing is drawn, so ``seed`` changes nothing.
    """
    return make_functionals(corpus, recipe.features, cache_dir, advance, threads)


def tasks(
    corpus: Corpus, recipe: FunctionalsRecipe, split: Split, files: list[Path], seed: int
) -> list[FunctionalsTask]:
    """Turn the folds of ``split`` into tasks; each fold's seed is drawn from ``seed`` and the fold's number.

    Raises:
        ProtocolError: the training part of a fold or of an inner split lacks an emotion of the corpus, or a training
            part cannot be divided further.
    """
    inner = recipe.model.inner_folds
    return [
        FunctionalsTask(**parts, recipe=recipe, files=tuple(files))
        for parts in recording_parts(corpus, split, inner, seed)
    ]


def epochs(recipe: FunctionalsRecipe) -> int:
    """Return 0: a machine is fitted in one go."""
    return 0


def deciding(recipe: FunctionalsRecipe) -> dict[str, Any]:
    """Return the versions of the libraries that functionals and machine come from."""
    return {"opensmile": opensmile_version(), "scikit-learn": metadata.version("scikit-learn")}


def run_functionals_fold(task: FunctionalsTask, report: Report) -> FoldResult:
    """Choose on the inner splits, fit all of the training part, score the test part. It reports no epochs."""
    started = time.perf_counter()
    vectors = read_functionals(list(task.files))
    targets = np.array(task.targets, np.int64)
    chosen = choose(task, vectors, targets)
    temperature = fit_temperature(chosen.margins, chosen.truth)
    train, test = list(task.train), list(task.test)
    (machine,) = fit_svms(chosen.scaler, [chosen.c], vectors[train], targets[train], task.seed)
    probabilities = apply_temperature(machine.margins(vectors[test]), temperature)
    sets = fit_conformal(apply_temperature(chosen.margins, temperature), chosen.truth)
    facts = {
        "parameters": machine.parameters,
        "curve": [],
        "scaler": chosen.scaler,
        "c": chosen.c,
        "inner_uar": chosen.inner_uar,
        "converged": machine.converged,
        "calibration": {"temperature": temperature, "conformal": asdict(sets)},
    }
    return recording_result(task, probabilities, started, facts)


def choose(task: FunctionalsTask, vectors: NDArray[np.float64], targets: NDArray[np.int64]) -> Chosen:
    """Score every scaler with every C on the inner splits and return the best, with its decision values.

    Args:
        task: whose training part.
        vectors: of every recording of the corpus, shape ``(recordings, functionals)``.
        targets: class of every recording, shape ``(recordings,)``.
    """
    settings = task.recipe.model
    truth = targets[np.concatenate([validation for _, validation in task.inner])]
    candidates: list[tuple[float, Scaler, float, NDArray[np.float64]]] = []
    for scaler in settings.scaler:
        parts: dict[float, list[NDArray[np.float64]]] = {c: [] for c in sorted(settings.c)}
        for train, validation in task.inner:
            machines = fit_svms(scaler, list(parts), vectors[list(train)], targets[list(train)], task.seed)
            for own, machine in zip(parts.values(), machines, strict=True):
                own.append(machine.margins(vectors[list(validation)]))
        for c, own in parts.items():
            margins = np.concatenate(own)
            uar = scores(confusion(truth, margins.argmax(1), len(task.labels)))["uar"]
            candidates.append((uar, scaler, c, margins))
    _, scaler, c, margins = max(candidates, key=lambda candidate: candidate[0])  # the first of equals
    inner_uar: dict[str, dict[str, float]] = {}
    for uar, tried_scaler, tried_c, _ in candidates:
        inner_uar.setdefault(tried_scaler, {})[f"{tried_c:g}"] = uar
    return Chosen(scaler, c, inner_uar, margins, truth)
