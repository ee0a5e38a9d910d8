"""Moments of a window that was heard once: what the states around each say, as of a recording of their own."""

import numpy as np
import pytest

from thymos.runtime.hearing import MOMENT_S, POOLED_S, Moments, descriptions_of, means_of, moments_in
from thymos.runtime.recognizer import load


def test_parts_are_evenly_spread_and_as_long_at_the_edges():
    assert Moments(4, 0.5).parts_of(8).tolist() == [[0, 4], [1, 5], [3, 7], [4, 8]]
    assert Moments(1, 1.0).parts_of(5).tolist() == [[0, 5]]
    assert Moments(3, 0.1).parts_of(1).tolist() == [[0, 1]] * 3, "fewer frames than moments"


def test_a_window_has_moments_on_the_grid():
    assert moments_in(3.5) == Moments(round(3.5 / MOMENT_S), POOLED_S / 3.5)
    assert moments_in(0.05) == Moments(1, 1.0)


def test_a_part_is_described_as_its_states_alone_would_be():
    random = np.random.default_rng(0)
    states = random.normal(3, 1, (40, 2 * 5)).astype(np.float32)  # two layers of five
    parts = Moments(6, 0.3).parts_of(40)
    expected = []
    for first, last in parts:
        own = states[first:last].astype(np.float64)
        expected.append(np.concatenate([own[:, :5].mean(0), own[:, :5].std(0), own[:, 5:].mean(0), own[:, 5:].std(0)]))
    np.testing.assert_allclose(descriptions_of(states, 2, parts), expected, atol=1e-6)
    np.testing.assert_allclose(means_of(states, parts)[2], states[slice(*parts[2])].mean(0), atol=1e-6)


def test_one_moment_of_all_says_what_the_window_does(recognizer, long_speech):
    samples = long_speech[0][: 3 * 16_000]
    for own in (recognizer, load("thymos")):
        heard = own.bundle.hear(samples, moments=Moments(1, 1.0))
        np.testing.assert_allclose(heard.moment_logits[0], heard.logits, atol=0.02 * np.abs(heard.logits).max())
        assert own.bundle.hear(samples).moment_logits is None


@pytest.mark.parametrize("length", [1, 400, 30_000])
def test_moments_of_short_and_odd_windows_are_numbers(recognizer, length):
    samples = np.random.default_rng(1).normal(0, 0.1, length).astype(np.float32)
    told = recognizer.bundle.hear(samples, moments=moments_in(length / 16_000)).moment_logits
    assert told.shape[1] == len(recognizer.labels) and np.isfinite(told).all()
