from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thymos.audio import cut, sliding_spans, study_spans

RATE_HZ = 44_100
WINDOW = 3 * RATE_HZ
lengths = st.integers(1, 60 * RATE_HZ)


@given(lengths)
def test_there_are_duration_over_three_segments_rounded_up(n_samples: int) -> None:
    count = len(study_spans(n_samples, WINDOW))
    assert (count - 1) * WINDOW < n_samples <= count * WINDOW


@given(lengths, st.integers(10_000, 200_000))
def test_segments_have_one_length_and_are_flush_with_both_ends(n_samples: int, window: int) -> None:
    spans = study_spans(n_samples, window)
    assert {stop - start for start, stop in spans} == {window}
    assert spans[0][0] == 0
    assert spans[-1][1] == max(n_samples, window)


@given(st.integers(WINDOW + 1, 60 * RATE_HZ))
def test_segments_are_evenly_spread_and_leave_nothing_out(n_samples: int) -> None:
    starts = [start for start, _ in study_spans(n_samples, WINDOW)]
    steps = [after - before for before, after in pairwise(starts)]
    exact = np.linspace(0, n_samples - WINDOW, len(starts))
    np.testing.assert_allclose(starts, exact, atol=0.5 + 1e-6, rtol=0)
    assert 0 < max(steps) <= WINDOW


@given(st.integers(2 * WINDOW + 1, 3 * WINDOW))
def test_the_middle_one_of_three_is_centred(n_samples: int) -> None:
    _, (start, stop), _ = study_spans(n_samples, WINDOW)
    assert abs(start - (n_samples - stop)) <= 1


@pytest.mark.parametrize(
    ("seconds", "starts_s"),
    [
        (0.5, [0]),
        (3, [0]),
        (4, [0, 1]),
        (6, [0, 3]),
        (7, [0, 2, 4]),
        (10.5, [0, 2.5, 5, 7.5]),
        (15, [0, 3, 6, 9, 12]),
        (13, [0, 2.5, 5, 7.5, 10]),
    ],
)
def test_the_studys_rule_by_example(seconds: float, starts_s: list[float]) -> None:
    spans = study_spans(round(seconds * RATE_HZ), WINDOW)
    assert [start / RATE_HZ for start, _ in spans] == starts_s


@given(st.integers(1, 5000), st.integers(1, 700), st.integers(1, 700))
def test_sliding_windows_follow_the_hop_and_reach_the_end(n_samples: int, window: int, hop: int) -> None:
    spans = sliding_spans(n_samples, window, hop)
    assert spans == [(i * hop, i * hop + window) for i in range(len(spans))]
    assert all(start < n_samples for start, _ in spans)
    assert all(stop < n_samples for _, stop in spans[:-1])
    assert spans[-1][1] >= n_samples or spans[-1][0] + hop >= n_samples
    if hop <= window:
        assert spans[-1][1] >= n_samples


@pytest.mark.parametrize("bad", [0, -1])
def test_lengths_must_be_positive(bad: int) -> None:
    for call in (
        lambda: study_spans(bad, 3),
        lambda: study_spans(3, bad),
        lambda: sliding_spans(bad, 3, 1),
        lambda: sliding_spans(3, bad, 1),
        lambda: sliding_spans(3, 3, bad),
    ):
        with pytest.raises(ValueError, match="must be positive"):
            call()


@given(st.integers(1, 300), st.integers(1, 100))
def test_segments_hold_the_samples_of_their_spans(n_samples: int, window: int) -> None:
    samples = np.arange(1, n_samples + 1, dtype=np.float32)
    spans = study_spans(n_samples, window)
    segments = cut(samples, spans)
    assert segments.shape == (len(spans), window)
    for segment, (start, _) in zip(segments, spans, strict=True):
        expected = np.arange(start + 1, start + window + 1)
        np.testing.assert_array_equal(segment, np.where(expected <= n_samples, expected, 0))


def test_a_short_recording_is_padded_with_zeros_at_its_end() -> None:
    segments = cut(np.ones(3, np.float32), study_spans(3, 5))
    assert segments.tolist() == [[1, 1, 1, 0, 0]]
    assert segments.dtype == np.float32
