"""Prediction sets: coverage holds where rows are exchangeable, whatever the network is worth, and breaks where not."""

from math import ceil, inf

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import betabinom

from thymos.scoring.calibration import (
    Conformal,
    fit_conformal,
    set_quality,
    set_quality_by_group,
)


def rows(n: int, seed: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and labels drawn from logits ``1 / sharpness`` times as large: above 1 is overconfident."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (n, 5))
    truth = (softmax(logits, axis=1).cumsum(1) > random.random((n, 1))).argmax(1)
    return softmax(sharpness * logits, axis=1), truth


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_coverage_holds_on_average_whatever_the_network_is_worth(coverage, sharpness):
    n = 99
    covered = []
    for seed in range(300):
        probabilities, truth = rows(n + 200, seed, sharpness)
        fitted = fit_conformal(probabilities[:n], truth[:n], coverage)
        sets = fitted.sets(probabilities[n:], never_empty=False)
        covered.append(set_quality(sets, truth[n:]).coverage)
    # Between coverage and coverage + 1 / (n + 1), with the mean of 300 × 200 rows; ties only add.
    error = np.std(covered) / np.sqrt(len(covered))
    assert np.mean(covered) > coverage - 3 * error
    if sharpness < 4:
        assert np.mean(covered) < coverage + 1 / (n + 1) + 3 * error


def test_coverage_of_one_drawing_spreads_as_theory_says():
    """Given the validation rows, coverage is Beta(k, n + 1 − k); on m rows, covered ones are beta-binomial."""
    n, m, coverage = 49, 100, 0.9
    k = ceil((n + 1) * coverage)
    covered = []
    for seed in range(400):
        probabilities, truth = rows(n + m, seed)
        fitted = fit_conformal(probabilities[:n], truth[:n], coverage)
        covered.append(m * set_quality(fitted.sets(probabilities[n:], never_empty=False), truth[n:]).coverage)
    theory = betabinom(m, k, n + 1 - k)
    assert np.mean(covered) == pytest.approx(theory.mean(), abs=4 * theory.std() / 20)
    assert np.std(covered) == pytest.approx(theory.std(), rel=0.15)


def test_coverage_breaks_where_test_rows_are_harder_than_validation():
    fitted = fit_conformal(*rows(2_000, 1, sharpness=1.0), 0.9)
    harder, truth = rows(2_000, 2, sharpness=4.0)
    assert set_quality(fitted.sets(harder), truth).coverage < 0.8


def test_coverage_breaks_where_labels_shift():
    """Total coverage hides it; by group it shows: one emotion is misheard, and falls short."""
    probabilities, truth = rows(6_000, 3)
    misheard = (truth == 4) & (np.random.default_rng(0).random(6_000) < 0.7)
    probabilities[misheard] = np.roll(probabilities[misheard], 1, axis=1)
    fitted = fit_conformal(probabilities[:3_000], truth[:3_000], 0.9)
    sets = fitted.sets(probabilities[3_000:])
    assert set_quality(sets, truth[3_000:]).coverage == pytest.approx(0.9, abs=0.02)
    by_emotion = set_quality_by_group(sets, truth[3_000:], np.array(list("adfhs"))[truth[3_000:]])
    assert by_emotion["s"].coverage < 0.8 < by_emotion["a"].coverage
    only_misheard = truth[3_000:] == 4
    assert set_quality(sets[only_misheard], truth[3_000:][only_misheard]) == by_emotion["s"]


def test_threshold_is_the_finite_sample_quantile():
    probabilities = np.column_stack([1 - np.arange(1, 10) / 10, np.arange(1, 10) / 10])
    truth = np.zeros(9, int)  # scores 0.1, 0.2, ..., 0.9
    assert fit_conformal(probabilities, truth, 0.9).threshold == pytest.approx(0.9)
    assert fit_conformal(probabilities, truth, 0.8).threshold == pytest.approx(0.8)
    assert fit_conformal(probabilities, truth, 0.5).threshold == pytest.approx(0.5)
    assert fit_conformal(probabilities, truth, 0.51).threshold == pytest.approx(0.6)


def test_too_few_rows_promise_by_naming_every_label():
    probabilities, truth = rows(8, 0)
    fitted = fit_conformal(probabilities, truth, 0.9)
    assert fitted.threshold == inf
    assert fitted.sets(rows(50, 1)[0]).all()


@given(st.integers(1, 300), st.sampled_from([0.5, 0.55, 0.8, 0.9, 0.95, 0.99]))
@example(99, 0.55)  # 100 × 0.55 is a little above 55 in floating point
def test_rank_is_that_of_exact_arithmetic(n, coverage):
    probabilities, truth = rows(n, n)
    threshold = fit_conformal(probabilities, truth, coverage).threshold
    at_or_below = (1 - probabilities[np.arange(n), truth] <= threshold).sum()
    rank = -(-(n + 1) * round(100 * coverage) // 100)
    assert at_or_below == rank if rank <= n else threshold == inf


@given(st.integers(0, 1_000), st.floats(0, 1))
def test_sets_hold_the_most_probable_labels(seed, threshold):
    probabilities, _ = rows(30, seed, 2.0)
    sets = Conformal("lac", 0.9, threshold, 100).sets(probabilities)
    inside = np.where(sets, probabilities, np.inf).min(1)
    outside = np.where(sets, -np.inf, probabilities).max(1)
    assert (inside >= outside).all()
    assert sets.any(1).all()


def test_empty_sets_get_the_top_label_and_nothing_else_changes():
    fitted = fit_conformal(*rows(1_000, 0), 0.3)
    probabilities, truth = rows(1_000, 1)
    bare, filled = fitted.sets(probabilities, never_empty=False), fitted.sets(probabilities)
    empty = ~bare.any(1)
    assert empty.any()
    np.testing.assert_array_equal(filled[~empty], bare[~empty])
    np.testing.assert_array_equal(filled[empty].sum(1), 1)
    np.testing.assert_array_equal(filled[empty].argmax(1), probabilities[empty].argmax(1))
    assert set_quality(filled, truth).coverage >= set_quality(bare, truth).coverage


def test_more_coverage_takes_larger_sets():
    validation, (probabilities, truth) = rows(3_000, 0), rows(3_000, 1)
    fitted = [fit_conformal(*validation, coverage) for coverage in (0.8, 0.9, 0.95)]
    small, middle, large = (set_quality(each.sets(probabilities), truth).mean_size for each in fitted)
    assert small < middle < large


def test_quality_of_a_worked_example():
    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]], bool)
    truth = np.array([0, 2, 2, 1])
    total = set_quality(sets, truth)
    assert (total.rows, total.coverage, total.mean_size, total.singletons) == (4, 0.75, 1.75, 0.5)
    by_speaker = set_quality_by_group(sets, truth, np.array(["10", "10", "9", "9"]))
    assert list(by_speaker) == ["9", "10"]
    assert by_speaker["10"].coverage == 0.5 and by_speaker["9"].coverage == 1.0
    assert by_speaker["9"].mean_size == 2.0


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1, float("nan")])
def test_coverage_that_means_nothing_is_refused(coverage):
    with pytest.raises(ValueError, match="coverage must lie"):
        fit_conformal(*rows(10, 0), coverage)


def test_what_does_not_fit_is_refused():
    probabilities, truth = rows(10, 0)
    for bad in ((probabilities[:0], truth[:0]), (probabilities, truth[:9]), (probabilities, truth + 5)):
        with pytest.raises(ValueError):
            fit_conformal(*bad)
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit_conformal(np.log(probabilities), truth)
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit_conformal(np.full_like(probabilities, np.nan), truth)
    with pytest.raises(ValueError, match="one group"):
        set_quality_by_group(probabilities > 0.5, truth, np.array(["a"]))
