"""Fit the space in which voices are told from emotions: two covariances, within a voice and between voices.

A description is modelled as its emotion's mean, plus the offset of its voice, plus a rest. Emotions' means and voices'
offsets are fitted together, so that a voice heard mostly angry is not taken for an angry one. Distances are counted in
the covariance of the rest. Kept are the directions in which emotions differ, and those in which voices differ most.

Source: Ioffe 2006, Probabilistic linear discriminant analysis.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from thymos.encoder.discriminant import LEAST_SPREAD, SHRINKAGE, Floats
from thymos.runtime.adaptation import VoiceSpace

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
