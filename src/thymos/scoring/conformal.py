"""Split-conformal prediction: sets of emotions that hold the true one as often as promised, instead of one guess.

A threshold is found on inner validation rows that the network was not fitted on; then a row's set is every label whose
score does not exceed it. If validation and test rows are exchangeable, a test row's set holds its true label with a
chance of at least ``coverage``, on average over drawings of both parts, whatever the network is worth. Other speakers,
rooms or corpora than in validation are not exchangeable with it, and several segments of one recording are no
independent rows: then the promise is void, so coverage is measured as well, in total and by group.

Sources:
    Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World (the guarantee).
    Sadinle, Lei & Wasserman (2019), Least Ambiguous Set-Valued Classifiers with Bounded Error Levels, JASA 114:223–234.
    Romano, Sesia & Candès (2020), Classification with Valid and Adaptive Coverage, NeurIPS.
"""

from dataclasses import dataclass
from math import ceil, inf
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Sets = NDArray[np.bool_]
"""Which labels each row's set holds, shape ``(rows, labels)``."""
Method = Literal["lac", "aps"]
"""Scores: ``lac`` gives the smallest sets on average, ``aps`` adapts their size to how hard a row is."""

COVERAGE = 0.90


@dataclass(frozen=True)
class SetQuality:
    """What prediction sets were worth on some rows."""

    rows: int
    coverage: float
    """Share of sets that hold the true label."""
    mean_size: float
    """Labels in a set, on average."""
    singletons: float
    """Share of sets with one label."""


@dataclass(frozen=True)
class Conformal:
    """A threshold found on validation rows, ready to make sets."""

    method: Method
    coverage: float
    """What was asked for."""
    threshold: float
    """Largest score that a label in a set may have; infinite where there were too few validation rows to promise it."""
    rows: int
    """Validation rows it was found on."""

    def sets(self, probabilities: Floats, never_empty: bool = True) -> Sets:
        """Return each row's prediction set, shape ``(rows, labels)``.

        Args:
            probabilities: shape ``(rows, labels)``, tempered as those of the validation rows were.
            never_empty: put the most probable label into every set, whatever its score. This can only raise coverage.
                Without it a set is empty where no label conforms.
        """
        held: Sets = label_scores(probabilities, self.method) <= self.threshold
        if never_empty:
            held[np.arange(len(held)), probabilities.argmax(1)] = True
        return held


def label_scores(probabilities: Floats, method: Method) -> Floats:
    """Return how badly each label would conform, shape ``(rows, labels)``.

    ``lac``: 1 − the label's probability (Sadinle et al. 2019; also called THR). ``aps``: the probability of all labels
    from the most probable one down to and with this one (Romano et al. 2020, without its random part: coverage is the
    same, sets are larger); of equally probable labels the first comes first.
    """
    if method == "lac":
        return 1 - probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    scores = np.empty(probabilities.shape)
    np.put_along_axis(scores, order, np.take_along_axis(probabilities, order, 1).cumsum(1), 1)
    return scores


def fit_conformal(probabilities: Floats, truth: Ints, coverage: float = COVERAGE, method: Method = "lac") -> Conformal:
    """Return the threshold: the ⌈(n + 1) × coverage⌉-th smallest score of the n validation rows' true labels.

    Args:
        probabilities: of inner validation rows, one for each recording, shape ``(rows, labels)``.
        truth: index of the true label, shape ``(rows,)``.
        coverage: between 0 and 1.
        method: the score.

    Raises:
        ValueError: no rows, shapes that do not fit, probabilities that are none, or a coverage out of bounds.
    """
    _check(probabilities, truth)
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1, not at {coverage}")
    own = np.sort(label_scores(probabilities, method)[np.arange(len(truth)), truth])
    # Rounding in the product must not take a whole rank more: (99 + 1) × 0.55 is the 55th.
    rank = ceil(round((len(own) + 1) * coverage, 9))
    return Conformal(method, coverage, float(own[rank - 1]) if rank <= len(own) else inf, len(own))


def set_quality(sets: Sets, truth: Ints) -> SetQuality:
    """Return the empirical coverage and size of ``sets``.

    Raises:
        ValueError: no rows, or shapes that do not fit.
    """
    _check(sets, truth)
    sizes = sets.sum(1)
    covered = sets[np.arange(len(truth)), truth]
    return SetQuality(len(truth), float(covered.mean()), float(sizes.mean()), float((sizes == 1).mean()))


def set_quality_by_group(sets: Sets, truth: Ints, groups: NDArray[np.str_]) -> dict[str, SetQuality]:
    """Return ``set_quality`` for each group of rows, such as speakers or true emotions, in sorted order.

    Raises:
        ValueError: no rows, or shapes that do not fit.
    """
    _check(sets, truth)
    if groups.shape != truth.shape:
        raise ValueError(f"needs one group for each of {len(truth)} rows, not {groups.shape}")
    names = sorted({str(name) for name in groups}, key=lambda word: (len(word), word) if word.isdigit() else (0, word))
    return {name: set_quality(sets[groups == name], truth[groups == name]) for name in names}


def _check(rows: Floats | Sets, truth: Ints) -> None:
    if rows.ndim != 2 or truth.shape != rows.shape[:1] or not len(truth):
        raise ValueError(f"needs rows by labels and one truth for each row, not {rows.shape} and {truth.shape}")
    if truth.min() < 0 or truth.max() >= rows.shape[1]:
        raise ValueError(f"truth must be 0 to {rows.shape[1] - 1}")
    if not np.logical_and(rows >= 0, rows <= 1 + 1e-6).all():
        raise ValueError("probabilities must lie between 0 and 1")
