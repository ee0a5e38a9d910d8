"""What is fitted to descriptions of recordings: how emotions are told apart, and dimensions, and voices from emotions.

- Emotions: a linear discriminant, class means and one covariance, shrunk.
- Arousal, valence and dominance: ridge regression, each with a penalty of its own.
- The space in which voices are told from emotions: two covariances, within a voice and between voices. A description is
  modelled as its emotion's mean, plus the offset of its voice, plus a rest. Emotions' means and voices' offsets are
  fitted together, so that a voice heard mostly angry is not taken for an angry one. Distances are counted in the
  covariance of the rest. Kept are the directions in which emotions differ, and those in which voices differ most.

Sources: Fisher 1936, The use of multiple measurements in taxonomic problems; Friedman 1989, Regularized discriminant
analysis; Hoerl, Kennard 1970, Ridge regression: biased estimation for nonorthogonal problems, Technometrics 12:55–67;
Ioffe 2006, Probabilistic linear discriminant analysis.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from thymos.runtime.adaptation import VoiceSpace
from thymos.scoring.agreement import agreement

SHRINKAGE = 0.3
TOO_SURE = 10.0
"""How many times too large the logits of many descriptors are, by the temperature that corpora left out ask for."""
LEAST_SPREAD = 1e-6
"""Keeps what never varies from being divided by 0, and recordings of one a class from a singular covariance."""

Floats = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True)
class Discriminant:
    """A linear decision on standardised descriptions.

    Attributes:
        mean: of each descriptor over the training part: float64, shape ``(descriptors,)``.
        spread: its standard deviation.
        weights: shape ``(descriptors, classes)``.
        bias: shape ``(classes,)``.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, descriptions: Floats) -> NDArray[np.float64]:
        """Return the logits of ``descriptions`` (…, descriptors): shape ``(…, classes)``."""
        logits: NDArray[np.float64] = (descriptions - self.mean) / self.spread @ self.weights + self.bias
        return logits

    def among(self, classes: Sequence[int]) -> "Discriminant":
        """Return the decision among some of the classes alone, in their order."""
        return replace(self, weights=self.weights[:, list(classes)], bias=self.bias[list(classes)])

    def leaning(self, priors: Sequence[float]) -> "Discriminant":
        """Return the decision where each class is so many times as likely beforehand as others: shape ``(classes,)``.

        What is ``TOO_SURE`` of what it hears has to be as sure of what it knows.
        """
        return replace(self, bias=self.bias + TOO_SURE * np.log(priors))


def fit_discriminant(
    descriptions: Floats,
    targets: NDArray[np.int64],
    shares: NDArray[np.float64],
    shrinkage: float = SHRINKAGE,
    weights: NDArray[np.float64] | None = None,
) -> Discriminant:
    """Fit a linear discriminant with equal priors to recordings in several versions, each a recording of its own.

    The covariance is the mean over classes of how recordings lie about their class's mean, shrunk towards a multiple of
    the identity.

    Args:
        descriptions: shape ``(versions, recordings, descriptors)``.
        targets: class of each recording, shape ``(recordings,)``; every class from 0 to the last occurs.
        shares: how much each version counts, shape ``(versions,)``; their sum is 1.
        shrinkage: 0 to 1.
        weights: how much each recording counts, shape ``(recordings,)``; all alike if None.
    """
    counted = np.ones(len(targets)) if weights is None else np.asarray(weights, np.float64)
    mean, spread = standardising(descriptions, shares, counted)
    covariance = np.zeros((len(mean), len(mean)))
    means = []
    classes = range(int(targets.max()) + 1)
    for label in classes:
        of_class = targets == label
        own = counted[of_class] / counted[of_class].sum()
        standard = [(version[of_class] - mean) / spread for version in descriptions]
        means.append(sum(share * (own @ rows) for share, rows in zip(shares, standard, strict=True)))
        # All versions in one product: of few recordings, adding up the covariance is what takes long.
        spread_out = np.concatenate(
            [
                (rows - means[-1]) * np.sqrt(share * own / len(classes))[:, None]
                for share, rows in zip(shares, standard, strict=True)
            ]
        )
        covariance += spread_out.T @ spread_out
    centres = np.stack(means)
    level = shrinkage * np.trace(covariance) / len(mean) + LEAST_SPREAD
    directions = np.linalg.solve((1 - shrinkage) * covariance + level * np.eye(len(mean)), centres.T)
    return Discriminant(mean, spread, directions, -np.einsum("cd,dc->c", centres, directions) / 2)


def without_classes(
    descriptions: Floats, shares: NDArray[np.float64], weights: NDArray[np.float64] | None = None
) -> Discriminant:
    """Return a decision among no classes, whose descriptions are standardised as those of ``fit_discriminant``."""
    recordings = descriptions.shape[1]
    counted = np.ones(recordings) if weights is None else np.asarray(weights, np.float64)
    mean, spread = standardising(descriptions, shares, counted)
    return Discriminant(mean, spread, np.zeros((len(mean), 0)), np.zeros(0))


def standardising(
    descriptions: Floats, shares: NDArray[np.float64], counted: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and spread of each descriptor over versions and recordings, each of shape ``(descriptors,)``.

    Args:
        descriptions: shape ``(versions, recordings, descriptors)``.
        shares: how much each version counts.
        counted: how much each recording counts.
    """
    mean = _weighted(descriptions, shares, counted)
    variance = _weighted(np.square(descriptions - mean.astype(descriptions.dtype)), shares, counted)
    return mean, np.sqrt(variance) + LEAST_SPREAD


def centred(descriptions: Floats, groups: Sequence[str]) -> Floats:
    """Return ``descriptions`` (versions, recordings, descriptors) less the mean of their group, in each version apart.

    A voice at another speed is another voice. What is fitted to descriptions that are centred on their speaker decides
    on descriptions that are.

    Args:
        descriptions: what is centred.
        groups: of each recording, such as its speaker.
    """
    names = np.array(groups)
    result = descriptions.copy()
    for name in set(groups):
        own = names == name
        result[:, own] -= descriptions[:, own].mean(1, dtype=np.float64, keepdims=True).astype(descriptions.dtype)
    return result


def _weighted(descriptions: Floats, shares: NDArray[np.float64], counted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over versions and recordings: shape ``(descriptors,)``."""
    mean: NDArray[np.float64] = shares @ np.stack([counted @ version for version in descriptions]) / counted.sum()
    return mean


PENALTIES = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01)
"""What a penalty is chosen among; of equals, the first. Beside the mean squared error of standardised descriptors."""
USUAL_PENALTY = 10.0
"""Where there is nothing to choose on."""
LEAST_KNOWN = 2
"""Values that a regression, or a choice among penalties, needs."""


@dataclass(frozen=True)
class Ridge:
    """A linear reading of standardised descriptions.

    Attributes:
        mean: of each descriptor over the training part: float64, shape ``(descriptors,)``.
        spread: its standard deviation.
        weights: shape ``(descriptors, dimensions)``.
        bias: shape ``(dimensions,)``; NaN of a dimension of which no value was known.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def values(self, descriptions: Floats) -> NDArray[np.float64]:
        """Return the values of ``descriptions`` (…, descriptors): shape ``(…, dimensions)``."""
        values: NDArray[np.float64] = (descriptions - self.mean) / self.spread @ self.weights + self.bias
        return values


def fit_ridge(
    descriptions: Floats,
    values: NDArray[np.float64],
    penalties: Sequence[float],
    shares: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
) -> Ridge:
    """Fit a regression to recordings in several versions, each a recording of its own; what is not told does not count.

    The weighted mean squared error of a dimension, plus its penalty times the squared length of its weights, is least.

    Args:
        descriptions: shape ``(versions, recordings, descriptors)``.
        values: shape ``(recordings, dimensions)``; NaN where a value is not known.
        penalties: of each dimension.
        shares: how much each version counts, shape ``(versions,)``; their sum is 1.
        weights: how much each recording counts, shape ``(recordings,)``; all alike if None.
    """
    counted = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    mean, spread = standardising(descriptions, shares, counted)
    found, bias = np.zeros((len(mean), values.shape[1])), np.full(values.shape[1], np.nan)
    for known, columns in _alike(values):
        if not known.any():
            continue
        own = counted[known] / counted[known].sum()
        rows = np.concatenate([(version[known] - mean) / spread for version in descriptions])
        truth = np.tile(values[known][:, columns], (len(descriptions), 1))
        each = np.concatenate([share * own for share in shares])
        middle, level = each @ rows, each @ truth
        scaled = (rows - middle) * np.sqrt(each)[:, None]
        found[:, columns] = _solved(scaled, (truth - level) * np.sqrt(each)[:, None], [penalties[at] for at in columns])
        bias[columns] = level - middle @ found[:, columns]
    return Ridge(mean, spread, found, bias)


def choose_penalties(
    splits: Sequence[tuple[Floats, NDArray[np.float64], Floats, NDArray[np.float64]]],
) -> tuple[float, ...]:
    """Return for each dimension the penalty of the best CCC, the mean over inner splits.

    Args:
        splits: of each, descriptions as recorded ``(recordings, descriptors)`` and values ``(recordings, dimensions)``
            of what is fitted to, and of what is held out. At least one.
    """
    dimensions = splits[0][1].shape[1]
    sums, counts = np.zeros((dimensions, len(PENALTIES))), np.zeros(dimensions)
    for fitted, values, held_out, truth in splits:
        every = np.repeat(values, len(PENALTIES), axis=1)
        ridge = fit_ridge(fitted[None], every, PENALTIES * dimensions, np.ones(1))
        said = ridge.values(held_out).reshape(len(held_out), dimensions, len(PENALTIES))
        for at in range(dimensions):
            known = np.isfinite(truth[:, at])
            if known.sum() < LEAST_KNOWN or np.isfinite(values[:, at]).sum() < LEAST_KNOWN:
                continue
            sums[at] += [agreement(truth[known, at], said[known, at, place])["ccc"] for place in range(len(PENALTIES))]
            counts[at] += 1
    best = [PENALTIES[int(own.argmax())] for own in sums]
    return tuple(penalty if count else USUAL_PENALTY for penalty, count in zip(best, counts, strict=True))


def _alike(values: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.bool_], list[int]]]:
    """Yield the rows that are known in some of the dimensions, and which dimensions these are."""
    known = np.isfinite(values)
    groups: dict[bytes, list[int]] = {}
    for at in range(values.shape[1]):
        groups.setdefault(known[:, at].tobytes(), []).append(at)
    for columns in groups.values():
        yield known[:, columns[0]], columns


def _solved(rows: NDArray[np.float64], truth: NDArray[np.float64], penalties: Sequence[float]) -> NDArray[np.float64]:
    """Return the weights, shape ``(descriptors, dimensions)``; in the smaller of both spaces, which is the same."""
    from scipy.linalg import solve

    fewer_rows = len(rows) < rows.shape[1]
    products = rows @ rows.T if fewer_rows else rows.T @ rows
    given = truth if fewer_rows else rows.T @ truth
    weights = np.zeros((rows.shape[1], truth.shape[1]))
    for penalty in dict.fromkeys(penalties):
        own = [at for at, other in enumerate(penalties) if other == penalty]
        found = solve(products + penalty * np.eye(len(products)), given[:, own], assume_a="pos")
        weights[:, own] = rows.T @ found if fewer_rows else found
    return weights


DIRECTIONS = 8
"""Of voices, beside those of emotions; more gave nothing."""


def fit_voice_space(
    descriptions: Floats,
    targets: NDArray[np.int64],
    voices: Sequence[str],
    shares: NDArray[np.float64],
    shrinkage: float = SHRINKAGE,
    weights: NDArray[np.float64] | None = None,
) -> VoiceSpace:
    """Fit the space to recordings in several versions; a voice at another speed is another voice.

    Args:
        descriptions: shape ``(versions, recordings, D)``.
        targets: class of each recording, shape ``(recordings,)``; every class from 0 to the last occurs.
        voices: of each recording; recordings of one name, however recorded, share an offset.
        shares: how much each version counts, shape ``(versions,)``; their sum is 1.
        shrinkage: of the covariance of the rest towards a multiple of the identity.
        weights: how much each recording counts, shape ``(recordings,)``; all alike if None.
    """
    versions, recordings, width = descriptions.shape
    counted = np.ones(recordings) if weights is None else np.asarray(weights, np.float64)
    each = np.outer(shares, counted / counted.sum()).ravel()
    rows = descriptions.reshape(-1, width)
    mean = each @ rows
    spread = np.sqrt(each @ np.square(rows - mean)) + LEAST_SPREAD
    standard = (rows - mean) / spread
    _, voice = np.unique(np.array(voices), return_inverse=True)
    of_version = np.arange(versions)[:, None] * (voice.max() + 1) + voice
    _, voice = np.unique(of_version.ravel(), return_inverse=True)
    emotion = np.tile(targets, versions)
    emotions, offsets = _additive(standard, emotion, voice, each)
    rest = standard - emotions[emotion] - offsets[voice]
    of_emotion = np.bincount(emotion, each)
    alike = each / of_emotion[emotion] / len(of_emotion)
    within = (rest * alike[:, None]).T @ rest
    level = shrinkage * np.trace(within) / width + LEAST_SPREAD
    factor = cholesky((1 - shrinkage) * within + level * np.eye(width), lower=True)
    whitened_emotions = solve_triangular(factor, emotions.T, lower=True).T
    of_voice = np.bincount(voice, each)
    whitened_offsets = solve_triangular(factor, offsets.T, lower=True).T * np.sqrt(of_voice)[:, None]
    basis = _basis(whitened_emotions, whitened_offsets)
    to_space = solve_triangular(factor, basis, lower=True, trans="T") / spread[:, None]
    inside = whitened_offsets @ basis
    return VoiceSpace(
        projection=to_space.astype(np.float32),
        origin=mean @ to_space.astype(np.float32).astype(np.float64),
        emotions=whitened_emotions @ basis,
        voices=inside.T @ inside,
    )


def _additive(
    rows: NDArray[np.float64], emotion: NDArray[np.int64], voice: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return emotions' means and voices' offsets, of mean 0, whose sums come nearest to ``rows`` (least squares)."""
    classes, others = int(emotion.max()) + 1, int(voice.max()) + 1
    products = np.zeros((classes + others, classes + others))
    np.add.at(products, (emotion, classes + voice), weights)
    products += products.T
    diagonal = np.concatenate([np.bincount(emotion, weights, classes), np.bincount(voice, weights, others)])
    products[np.diag_indices_from(products)] = diagonal
    sums = np.zeros((len(products), rows.shape[1]))
    weighted = rows * weights[:, None]
    np.add.at(sums, emotion, weighted)
    np.add.at(sums, classes + voice, weighted)
    found = np.linalg.lstsq(products, sums, rcond=1e-10)[0]
    level = diagonal[classes:] @ found[classes:] / diagonal[classes:].sum()
    return found[:classes] + level, found[classes:] - level


def _basis(emotions: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return orthonormal directions, shape ``(D, Q)``: all in which emotions differ, then voices' largest."""
    _, lengths, directions = np.linalg.svd(emotions - emotions.mean(0), full_matrices=False)
    kept = directions[lengths > 1e-6 * lengths[0]]
    beside = offsets - offsets @ kept.T @ kept
    _, lengths, others = np.linalg.svd(beside, full_matrices=False)
    others = others[:DIRECTIONS][lengths[:DIRECTIONS] > 1e-6 * max(lengths[0], 1e-12)]
    return np.concatenate([kept, others]).T
