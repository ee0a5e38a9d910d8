"""The offset of a voice, from recordings whose emotions nobody names."""

import numpy as np
import pytest

from thymos.runtime.adaptation import CLIPS_A_VOICE, PRIOR_FLOOR, PRIOR_SCALE, VoiceSpace, offsets_of_groups

EMOTIONS = np.array([[12.0, 0, 0], [-6, 10.4, 0], [-6, -10.4, 0]])


@pytest.fixture
def space() -> VoiceSpace:
    """Three emotions on a plane, and voices that lie apart along a line beside it that leans into it."""
    line = np.array([6.0, 2.0, 8.0])
    return VoiceSpace(np.eye(3, dtype=np.float32), np.zeros(3), EMOTIONS, np.outer(line, line))


def heard(space: VoiceSpace, emotions: list[int], offset: list[float]) -> np.ndarray:
    rest = np.random.default_rng(3).normal(0, 1, (len(emotions), 3))
    return space.emotions[emotions] + np.array(offset) + rest


def test_a_worked_example_of_one_recording() -> None:
    """One direction, one emotion far from all others: gain = prior / (prior + CLIPS_A_VOICE)."""
    space = VoiceSpace(np.eye(1, dtype=np.float32), np.zeros(1), np.array([[-500.0], [500.0]]), np.array([[2.0]]))
    prior = PRIOR_SCALE * 2 + PRIOR_FLOOR
    gain = prior / (prior + CLIPS_A_VOICE)
    found = space.offset(np.array([[504.0]]))
    assert found.values == pytest.approx([4 * gain])
    assert (found.clips, found.variety) == (1, 1)
    # With eight recordings, four of each emotion and all 4 above: prior / (prior + CLIPS_A_VOICE / 8).
    many = space.offset(np.array([[504.0], [-496.0]] * 4))
    assert many.values == pytest.approx([4 * prior / (prior + CLIPS_A_VOICE / 8)])
    assert many.variety == pytest.approx(2)


def test_logits_are_those_of_a_gaussian_at_the_place_less_the_offset(space: VoiceSpace) -> None:
    place, offset = np.array([3.0, 1.0, 2.0]), np.array([1.0, -1.0, 4.0])
    distances = np.square(place - offset - EMOTIONS).sum(1) / 2
    logits = space.logits(place, offset)
    assert logits - logits[0] == pytest.approx(distances[0] - distances)


def test_the_offset_of_a_varied_voice_is_found(space: VoiceSpace) -> None:
    true = [6.0, 2.0, 8.0]
    found = space.offset(heard(space, [0, 1, 2] * 5, true))
    assert found.values == pytest.approx(true, abs=1.0)
    assert found.variety > 2.9


@pytest.mark.parametrize("emotion", [0, 1, 2])
def test_a_voice_of_one_emotion_is_not_taken_for_that_emotion(space: VoiceSpace, emotion: int) -> None:
    """Their mean subtracted, its recordings would lie nowhere; here they stay what they are."""
    own = heard(space, [emotion] * 10, [3.0, 1.0, 4.0])
    found = space.offset(own)
    assert (space.logits(own, found.values).argmax(1) == emotion).all()
    assert found.variety == 1
    others = heard(space, [0, 1, 2] * 4, [3.0, 1.0, 4.0])
    assert (space.logits(others, found.values).argmax(1) == [0, 1, 2] * 4).mean() > 0.9


def test_scatter_tells_a_varied_voice_whatever_is_guessed(space: VoiceSpace) -> None:
    """Emotions at ±6, heard at 0 and 12, an offset of 6: guessed alone, both are nearer to the upper than to the lower;
    12 apart is as far as both emotions alike lie apart, so the middle is taken for the offset."""
    space = VoiceSpace(np.eye(1, dtype=np.float32), np.zeros(1), np.array([[-6.0], [6.0]]), np.array([[100.0]]))
    own = np.array([[0.0], [12.0]] * 10)
    prior = PRIOR_SCALE * 100 + PRIOR_FLOOR
    gain = prior / (prior + CLIPS_A_VOICE / 20)
    assert space.offset(own).values == pytest.approx([6 * gain])
    # Scatter within one emotion: 1 in each direction. What is guessed counts alone.
    one = np.array([[11.0], [13.0]] * 10)
    assert space.offset(one).values[0] < 9


def test_only_emotions_that_can_occur_are_guessed(space: VoiceSpace) -> None:
    own = heard(space, [1, 2] * 10, [0.0, 0.0, 0.0])
    two, three = space.offset(own, [1, 2]).values, space.offset(own).values
    assert np.abs(two).max() < 0.6
    assert three[0] < -2, "the third emotion is taken to have been there, too"


def test_order_and_copies_of_recordings_say_the_same(space: VoiceSpace) -> None:
    own = heard(space, [0, 1, 2, 2, 1], [3.0, 1.0, 4.0])
    assert space.offset(own[::-1]).values == pytest.approx(space.offset(own).values)
    assert np.abs(space.offset(np.repeat(own, 50, axis=0)).values - [3.0, 1.0, 4.0]).max() < 2


def test_each_group_has_its_own_offset(space: VoiceSpace) -> None:
    own = heard(space, [0, 1, 2, 0, 1, 2], [0.0, 0.0, 0.0]) + np.repeat([[6.0, 2, 8], [-6.0, -2, -8]], 3, axis=0)
    found = offsets_of_groups(space, own, ["b", "b", "b", "a", "a", "a"])
    assert list(found) == ["b", "a"]
    assert found["b"].values == pytest.approx(space.offset(own[:3]).values)
    assert found["a"].values == pytest.approx(space.offset(own[3:]).values)


def test_a_moved_space_takes_an_offset_out(space: VoiceSpace) -> None:
    descriptions = heard(space, [0, 1, 2], [1.0, 2.0, 3.0])
    moved = space.moved(np.array([1.0, 2.0, 3.0]))
    assert moved.coordinates(descriptions) == pytest.approx(space.coordinates(descriptions) - [1, 2, 3])
