"""Calibration: a known temperature is found again, ECE is what its definition says, intervals hold the truth."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from thymos.scoring.calibration import (
    TEMPERATURES,
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    log_probabilities,
    mean_nll,
)


def speech_like(n: int, temperature: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are ``temperature`` times too small, and labels drawn from what they should have said."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (n, 5))
    truth = (softmax(logits, axis=1).cumsum(1) > random.random((n, 1))).argmax(1)
    return logits * temperature, truth


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
def test_a_known_temperature_is_found_again(temperature):
    logits, truth = speech_like(20_000, temperature)
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.04)


def test_the_minimum_is_that_of_a_grid_and_of_torch():
    logits, truth = speech_like(300, 3.0)
    fitted = fit_temperature(logits, truth)
    lowest = mean_nll(apply_temperature(logits, fitted), truth)
    grid = [mean_nll(apply_temperature(logits, t), truth) for t in np.geomspace(0.1, 10, 1_001)]
    assert lowest <= min(grid) + 1e-12
    loss = torch.nn.functional.cross_entropy(torch.tensor(logits / fitted), torch.tensor(truth))
    assert lowest == pytest.approx(float(loss))


def test_log_probabilities_serve_as_logits():
    logits, truth = speech_like(300, 2.0)
    from_probabilities = log_probabilities(softmax(logits, axis=1))
    assert fit_temperature(from_probabilities, truth) == pytest.approx(fit_temperature(logits, truth), rel=1e-4)
    np.testing.assert_allclose(apply_temperature(from_probabilities, 1.0), softmax(logits, axis=1), atol=1e-12)


@given(st.integers(0, 10_000), st.floats(0.05, 20))
def test_no_decision_moves(seed, temperature):
    logits, _ = speech_like(20, seed=seed)
    scaled = apply_temperature(logits, temperature)
    np.testing.assert_array_equal(scaled.argmax(1), logits.argmax(1))
    np.testing.assert_allclose(scaled.sum(1), 1)


def test_temperature_of_perfect_validation_stays_in_bounds():
    logits = 3 * np.eye(5)
    assert TEMPERATURES[0] <= fit_temperature(logits, np.arange(5)) < 0.1
    assert fit_temperature(logits, (np.arange(5) + 1) % 5) == pytest.approx(TEMPERATURES[1], rel=1e-3)


def test_a_certain_miss_costs_much_but_not_infinitely():
    probabilities = np.array([[1.0, 0.0], [0.4, 0.6]])
    assert np.isfinite(mean_nll(probabilities, np.array([1, 1])))
    assert np.isfinite(fit_temperature(log_probabilities(probabilities), np.array([1, 1])))


@pytest.mark.slow
def test_temperature_lowers_nll_and_ece_on_other_data():
    validation, test = speech_like(500, 4.0, seed=1), speech_like(2_000, 4.0, seed=2)
    temperature = fit_temperature(*validation)
    before, after = softmax(test[0], axis=1), apply_temperature(test[0], temperature)
    assert mean_nll(after, test[1]) < 0.6 * mean_nll(before, test[1])
    eces = [expected_calibration_error(p, test[1]) for p in (before, after)]
    assert eces[0].value > 0.2 and eces[0].ci95[0] > 2 * eces[0].if_calibrated
    assert eces[1].value < 0.05 and eces[1].ci95[0] < eces[1].if_calibrated


def test_ece_of_a_worked_example():
    probabilities = np.array([[0.9, 0.1], [0.88, 0.12], [0.3, 0.7], [0.55, 0.45]])
    truth = np.array([0, 1, 1, 1])
    # 0.9 and 0.88 share the bin (13/15, 14/15]: one of two is right. 0.7 is right, 0.55 is wrong.
    expected = (2 * abs(0.5 - 0.89) + abs(1 - 0.7) + abs(0 - 0.55)) / 4
    assert expected_calibration_error(probabilities, truth).value == pytest.approx(expected)


def test_edges_belong_to_the_bin_below():
    probabilities = np.array([[0.6, 0.4], [0.5, 0.5], [1.0, 0.0]])
    # Of five bins, the third holds 0.6 (right) and 0.5 (wrong); the last holds 1, which is right.
    found = expected_calibration_error(probabilities, np.array([0, 1, 0]), bins=5)
    assert found.value == pytest.approx((2 * abs(0.5 - 0.55) + 0) / 3)


@pytest.mark.slow
def test_interval_holds_the_true_error():
    """Labels are drawn from known probabilities, so the true ECE is known from very many rows."""
    logits, truth = speech_like(100_000, 2.5, seed=9)
    true = expected_calibration_error(softmax(logits, axis=1), truth, np.arange(100_000) % 50)
    held = []
    for part in range(60):
        rows = slice(300 * part, 300 * part + 300)
        low, high = expected_calibration_error(softmax(logits[rows], axis=1), truth[rows], seed=part).ci95
        held.append(low <= true.value <= high)
    assert np.mean(held) >= 0.88


def test_interval_of_calibrated_rows_reaches_zero():
    logits, truth = speech_like(600)
    found = expected_calibration_error(softmax(logits, axis=1), truth)
    assert found.ci95[0] < 0.02
    assert found.value == pytest.approx(found.if_calibrated, abs=0.02)
    assert found.if_calibrated > 0.03


def test_copies_of_a_recordings_rows_tell_nothing_new():
    logits, truth = speech_like(200, 3.0)
    probabilities, clips = softmax(logits, axis=1), np.arange(200).astype(str)
    once = expected_calibration_error(probabilities, truth, clips)
    thrice = expected_calibration_error(np.tile(probabilities, (3, 1)), np.tile(truth, 3), np.tile(clips, 3))
    assert thrice.value == pytest.approx(once.value)
    assert np.ptp(thrice.ci95) == pytest.approx(np.ptp(once.ci95), rel=0.1)
    assert np.ptp(expected_calibration_error(np.tile(probabilities, (3, 1)), np.tile(truth, 3)).ci95) < 0.8 * np.ptp(
        once.ci95
    )


@pytest.mark.parametrize(
    ("rows", "truth"),
    [
        (np.zeros((0, 5)), np.zeros(0, int)),
        (np.zeros((3, 5)), np.zeros(2, int)),
        (np.zeros(3), np.zeros(3, int)),
        (np.full((1, 5), np.nan), np.zeros(1, int)),
        (np.full((1, 5), -np.inf), np.zeros(1, int)),
        (np.zeros((1, 5)), np.array([5])),
        (np.zeros((1, 5)), np.array([-1])),
    ],
)
def test_what_cannot_be_fitted_is_refused(rows, truth):
    for function in (fit_temperature, mean_nll, expected_calibration_error):
        with pytest.raises(ValueError):
            function(rows, truth)


def test_temperature_must_be_positive():
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="must be positive"):
            apply_temperature(np.zeros((1, 5)), temperature)
