"""Which recordings come together, and how they lie in a batch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from thymos.encoder.fit_recordings import length_batches, load_batch
from thymos.encoder.level_spectrograms import Recordings

SILENCE_DB = -500.0
LENGTHS = np.random.default_rng(1).integers(5, 500, 100)


def numbered() -> Recordings:
    """Each frame of each recording holds a number of its own, the second speed's negative."""
    lengths = [3, 20, 50, 9]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    frames = np.arange(1, starts[-1] + 1, dtype=np.float16)[:, None, None].repeat(2, 1).repeat(3, 2)
    return Recordings(Path(), (frames, -frames), (starts, starts))


def test_batches_hold_everything_once_and_are_of_similar_lengths() -> None:
    drawn = np.random.default_rng(0).permutation(100)
    batches = length_batches(drawn, LENGTHS, 8, np.random.default_rng(0))
    assert sorted(np.concatenate(batches)) == list(range(100))
    assert max(map(len, batches)) == 8
    spread = np.mean([np.ptp(LENGTHS[batch]) for batch in batches])
    by_chance = np.mean([np.ptp(LENGTHS[drawn[i : i + 8]]) for i in range(0, 96, 8)])
    assert spread < by_chance / 3
    means = [LENGTHS[batch].mean() for batch in batches]
    assert means != sorted(means), "short ones do not come first"


def test_a_recording_that_is_drawn_twice_comes_twice() -> None:
    batches = length_batches(np.array([4, 4, 7, 4]), LENGTHS, 2, np.random.default_rng(0))
    assert sorted(np.concatenate(batches)) == [4, 4, 4, 7]


def test_the_generator_and_the_draw_decide() -> None:
    def batches(seed: int, draw: int) -> list[list[int]]:
        drawn = np.random.default_rng(draw).permutation(100)
        return [batch.tolist() for batch in length_batches(drawn, LENGTHS, 8, np.random.default_rng(seed))]

    assert batches(0, 0) == batches(0, 0)
    assert batches(0, 0) != batches(1, 0)
    assert {tuple(batch) for batch in batches(0, 0)} == {tuple(batch) for batch in batches(1, 0)}
    assert {tuple(batch) for batch in batches(0, 0)} != {tuple(batch) for batch in batches(0, 1)}


@pytest.mark.parametrize(("count", "sizes"), [(1, []), (2, [2]), (8, [8]), (9, [8]), (10, [2, 8]), (65, [8] * 8)])
def test_one_recording_alone_is_no_batch(count: int, sizes: list[int]) -> None:
    batches = length_batches(np.arange(count), LENGTHS, 8, np.random.default_rng(0))
    assert sorted(map(len, batches)) == sizes


def test_each_recording_lies_whole_and_in_order_in_silence() -> None:
    recordings = numbered()
    random = np.random.default_rng(0)
    places = set()
    for _ in range(40):
        levels = load_batch(recordings, [0, 1, 3], 30, SILENCE_DB, random)
        assert levels.dtype == torch.float32
        assert levels.shape == (3, 2, 3, 24), "as wide as the longest, up to the next multiple of 8"
        for picture, recording in zip(levels, (0, 1, 3), strict=True):
            assert torch.equal(picture, picture[:1, :1].expand_as(picture))
            row = picture[0, 0]
            here = np.flatnonzero(row.numpy() != SILENCE_DB)
            start, stop = recordings.starts[0][recording : recording + 2]
            assert here.tolist() == list(range(here[0], here[0] + stop - start))
            assert row[here].abs().tolist() == list(range(start + 1, stop + 1))
            places.add((recording, int(here[0]), bool(row[here[0]] < 0)))
    assert {place for recording, place, _ in places if recording == 1} == set(range(5))
    assert {slow for recording, _, slow in places if recording == 1} == {True, False}, "every speed is drawn"


def test_long_recordings_are_cut_anywhere_and_short_ones_are_not() -> None:
    recordings = numbered()
    random = np.random.default_rng(0)
    firsts = set()
    for _ in range(300):
        levels = load_batch(recordings, [2, 0], 10, SILENCE_DB, random)
        assert levels.shape[-1] == 16
        cut, short = (row[row != SILENCE_DB].abs() for row in levels[:, 0, 0])
        assert len(cut) == 10
        assert cut.diff().tolist() == [1] * 9
        assert short.tolist() == [1, 2, 3]
        firsts.add(int(cut[0]))
    assert firsts == set(range(24, 65)), "any of the 41 places"


def test_the_same_generator_loads_the_same_batch(toy_recordings: Callable[..., Recordings]) -> None:
    recordings = toy_recordings([0, 1, 2, 0])

    def load(seed: int) -> torch.Tensor:
        return load_batch(recordings, [3, 1, 0], 12, SILENCE_DB, np.random.default_rng(seed))

    assert torch.equal(load(0), load(0))
    assert not torch.equal(load(0), load(1))
