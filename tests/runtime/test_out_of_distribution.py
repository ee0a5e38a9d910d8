"""Distances of embeddings: about 1 inside, larger outside, in listed directions and in others."""

import numpy as np
import pytest

from thymos.evaluation.train import ACCEPTANCE, fit_distribution
from thymos.runtime.out_of_distribution import EmbeddingDistribution, fit_gaussian

LENGTH = 24


def cloud(rows: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    spreads = np.concatenate([[9.0, 5.0, 3.0], np.full(LENGTH - 3, 0.5)])
    turn = np.linalg.qr(np.random.default_rng(99).normal(size=(LENGTH, LENGTH)))[0]
    return (random.normal(size=(rows, LENGTH)) * spreads @ turn + 7).astype(np.float32)


def test_distance_is_mahalanobis_under_the_shrunk_covariance():
    rows = cloud(500, 0)
    table = fit_gaussian(rows, 3)
    covariance = np.cov(rows.T.astype(np.float64))
    values, directions = np.linalg.eigh(covariance)
    shrunk = np.concatenate([np.full(LENGTH - 3, values[:-3].mean()), values[-3:]])
    inverse = directions / shrunk @ directions.T
    others = cloud(20, 1) * 1.7
    apart = others - rows.mean(0)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", apart, inverse, apart) / LENGTH)
    np.testing.assert_allclose(EmbeddingDistribution(table, 1).distances(others), expected, rtol=1e-3)


def test_own_kind_is_about_one_and_others_are_far():
    distribution = EmbeddingDistribution(fit_gaussian(cloud(400, 0), 3), 1.6)
    assert distribution.distances(cloud(400, 1)).mean() == pytest.approx(1, abs=0.1)
    assert distribution.contains(cloud(400, 1)).mean() > 0.95
    elsewhere = cloud(50, 2) + 4  # far in directions that hardly vary
    assert not distribution.contains(elsewhere).any()


def test_threshold_lets_as_many_held_out_recordings_pass_as_promised():
    splits = [cloud(60, seed) for seed in range(5)]
    held_out = [cloud(40, 10 + seed) for seed in range(5)]
    distribution = fit_distribution(splits, held_out, cloud(60, 77))
    passed = [
        EmbeddingDistribution(fit_gaussian(own, 32), distribution.threshold).contains(others)
        for own, others in zip(splits, held_out, strict=True)
    ]
    assert np.mean(passed) == pytest.approx(ACCEPTANCE, abs=0.01)
    assert distribution.contains(cloud(1_000, 5)).mean() == pytest.approx(ACCEPTANCE, abs=0.05)


def test_more_directions_than_recordings_carry_are_left_out():
    assert fit_gaussian(cloud(20, 0), 32).shape == (2 + 5, LENGTH)
    alike = np.ones((8, LENGTH), np.float32)
    assert np.isfinite(EmbeddingDistribution(fit_gaussian(alike, 4), 1).distances(alike + 1)).all()
    for bad in (cloud(3, 0), np.full((9, LENGTH), np.nan, np.float32)):
        with pytest.raises(ValueError, match="finite embeddings"):
            fit_gaussian(bad, 4)
