"""Regression of dimensions: against scikit-learn's, with values that are not told, and the choice of penalties."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge

from thymos.encoder.heads import PENALTIES, USUAL_PENALTY, choose_penalties, fit_ridge


def data(rows: int, descriptors: int, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Descriptions, and two values that are linear in them but for noise."""
    random = np.random.default_rng(rows)
    described = random.normal(3, 2, (rows, descriptors))
    true = random.normal(size=(descriptors, 2))
    return described, described @ true / descriptors**0.5 + noise * random.normal(size=(rows, 2))


@pytest.mark.parametrize(("rows", "descriptors"), [(40, 7), (12, 30)])
def test_it_is_scikit_learns_on_standardised_descriptors(rows: int, descriptors: int) -> None:
    """Its error is a sum over rows, ours a mean: so its penalty is ours times the rows."""
    described, values = data(rows, descriptors)
    found = fit_ridge(described[None], values, (10.0, 0.1), np.ones(1))
    standard = (described - described.mean(0)) / (described.std(0) + 1e-6)
    for at, penalty in enumerate((10.0, 0.1)):
        machine = SklearnRidge(alpha=penalty * rows).fit(standard, values[:, at])
        np.testing.assert_allclose(found.values(described)[:, at], machine.predict(standard), atol=1e-8)


def test_weights_and_versions_count_as_rows_that_occur_more_often() -> None:
    described, values = data(10, 4)
    twice = np.repeat(np.arange(10), [2, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    weighted = fit_ridge(described[None], values, (1.0, 1.0), np.ones(1), np.array([2, *[1] * 9]))
    repeated = fit_ridge(described[twice][None], values[twice], (1.0, 1.0), np.ones(1))
    np.testing.assert_allclose(weighted.values(described), repeated.values(described), atol=1e-8)
    versions = fit_ridge(np.stack([described, described + 0.5]), values, (1.0, 1.0), np.array([0.75, 0.25]))
    rows = np.concatenate([described] * 3 + [described + 0.5])
    as_rows = fit_ridge(rows[None], np.tile(values, (4, 1)), (1.0, 1.0), np.ones(1))
    np.testing.assert_allclose(versions.values(described), as_rows.values(described), atol=1e-8)


def test_what_is_not_told_does_not_count() -> None:
    described, values = data(20, 4)
    values[15:, 1] = np.nan
    found = fit_ridge(described[None], values, (0.1, 0.1), np.ones(1))
    other = values.copy()
    other[:15, 0] += 100
    np.testing.assert_allclose(
        fit_ridge(described[None], other, (0.1, 0.1), np.ones(1)).weights[:, 1], found.weights[:, 1]
    )
    assert np.corrcoef(found.values(described)[:15, 1], values[:15, 1])[0, 1] > 0.9
    nothing = fit_ridge(described[None], np.full((20, 1), np.nan), (0.1,), np.ones(1))
    assert np.isnan(nothing.values(described)).all(), "what was never told is not made up"


def test_the_penalty_is_chosen_on_what_is_held_out() -> None:
    """Of a value that is linear in the descriptions the weakest is best; of noise a strong one; each has its own."""
    described, values = data(60, 5, noise=0.0)
    noise = np.random.default_rng(9).normal(size=60)
    both = np.stack([values[:, 0], noise], axis=1)
    splits = [
        (described[:40], both[:40], described[40:], both[40:]),
        (described[20:], both[20:], described[:20], both[:20]),
    ]
    clean, noisy = choose_penalties(splits)
    assert clean == PENALTIES[-1]
    assert noisy > clean
    unknown = np.full((60, 1), np.nan)
    assert choose_penalties([(described, unknown, described, unknown)]) == (USUAL_PENALTY,)
