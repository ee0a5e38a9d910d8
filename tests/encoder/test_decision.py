"""A linear discriminant of several corpora, by hand."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from thymos.encoder.decision import Discriminant, fit_across_corpora, fit_to_versions

CORPORA = ("greek",) * 40 + ("dutch",) * 12
TARGETS = np.array([0, 1, 2, 3] * 10 + [0, 1] * 6)
DESCRIPTORS = 5


@pytest.fixture
def descriptions() -> NDArray[np.float32]:
    """Two versions; emotions move the first descriptors, corpora the last, by much more."""
    random = np.random.default_rng(0)
    made = random.normal(size=(2, len(TARGETS), DESCRIPTORS)) * [1, 2, 3, 1, 0.1]
    made[..., :4] += 3 * np.eye(4)[TARGETS]
    made[..., 4] += 5.0 * (np.array(CORPORA) == "dutch")
    return made.astype(np.float32)


def test_it_is_the_discriminant_of_the_mean_over_corpora(descriptions: NDArray[np.float32]) -> None:
    found = fit_across_corpora(descriptions, TARGETS, CORPORA, 0.3)
    rows = {name: np.concatenate(descriptions[:, np.array(CORPORA) == name].swapaxes(0, 1)) for name in set(CORPORA)}
    truth = {name: np.repeat(TARGETS[np.array(CORPORA) == name], 2) for name in rows}
    mean = sum(own.mean(0) for own in rows.values()) / 2
    spread = np.sqrt(sum(((own - mean) ** 2).mean(0) for own in rows.values()) / 2)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(found.spread, spread, rtol=1e-4)
    standard = {name: 2 * np.tanh((own - mean) / spread / 2) for name, own in rows.items()}
    means = []
    for label in range(4):
        own = [standard[name][truth[name] == label].mean(0) for name in rows if (truth[name] == label).any()]
        means.append(sum(own) / len(own))
    scatters = [
        (standard[name][truth[name] == label] - means[label]) for name in rows for label in set(truth[name].tolist())
    ]
    covariance = sum(cell.T @ cell / len(cell) for cell in scatters) / len(scatters)
    shrunk = 0.7 * covariance + 0.3 * np.trace(covariance) / DESCRIPTORS * np.eye(DESCRIPTORS)
    weights = np.linalg.inv(shrunk) @ np.array(means).T
    np.testing.assert_allclose(found.weights, weights, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.bias, [-0.5 * m @ np.linalg.inv(shrunk) @ m for m in means], rtol=1e-3)


def test_a_corpus_counts_the_same_however_many_recordings_it_has(descriptions: NDArray[np.float32]) -> None:
    once = fit_across_corpora(descriptions, TARGETS, CORPORA, 0.3)
    twice = [*range(40), *range(40), *range(40, 52)]
    again = fit_across_corpora(descriptions[:, twice], TARGETS[twice], [CORPORA[i] for i in twice], 0.3)
    np.testing.assert_allclose(again.weights, once.weights, rtol=1e-6, atol=1e-9)


def test_among_some_classes_it_decides_as_before(descriptions: NDArray[np.float32], tmp_path: Path) -> None:
    np.save(tmp_path / "descriptions.npy", descriptions)
    found = fit_across_corpora(descriptions, TARGETS, CORPORA, 0.3)
    every = found.logits(tmp_path / "descriptions.npy", range(8), 2)
    some = found.among([3, 0]).logits(tmp_path / "descriptions.npy", range(8), 2)
    np.testing.assert_array_equal(some, every[:, [3, 0]])
    assert (every.argmax(1) == TARGETS[:8]).mean() > 0.7


def test_standard_values_are_bounded() -> None:
    shape = Discriminant(np.array([3.0, -1.0]), np.array([0.5, 4.0]), np.empty(0), np.empty(0))
    found = shape.standardise(np.array([[3.05, -1.0], [1e9, -1e9]], np.float32))
    np.testing.assert_allclose(found, [[0.1, 0], [2, -2]], atol=1e-3)


def test_a_version_with_twice_the_share_counts_as_if_it_were_there_twice(descriptions: NDArray[np.float32]) -> None:
    found = fit_to_versions(descriptions, TARGETS, np.array([2 / 3, 1 / 3]), 0.3)
    twice = fit_to_versions(descriptions[[0, 0, 1]], TARGETS, np.full(3, 1 / 3), 0.3)
    for name in ("mean", "spread", "weights", "bias"):
        np.testing.assert_allclose(getattr(found, name), getattr(twice, name), rtol=1e-6, atol=1e-9)
    alike = fit_to_versions(descriptions, TARGETS, np.full(2, 1 / 2), 0.3)
    assert not np.allclose(found.weights, alike.weights, atol=1e-2)
