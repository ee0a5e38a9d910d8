"""The space of voices is fitted to what was made: emotions' places, voices' offsets, and a rest."""

import numpy as np
import pytest

from thymos.encoder.heads import _additive, fit_voice_space

WIDTH = 12


def make(
    random: np.random.Generator, voices: int = 9, clips: int = 24, skew: float = 0.6
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Three emotions that differ in the first two of twelve numbers; voices differ in the second and third."""
    places = np.zeros((3, WIDTH))
    places[:, :2] = [[4, 0], [-2, 3.5], [-2, -3.5]]
    offsets = np.zeros((voices, WIDTH))
    offsets[:, 1:3] = random.normal(0, 6, (voices, 2))
    voice = np.repeat(np.arange(voices), clips)
    # With skew, every voice is heard in one emotion most of the time: a mean of its recordings would mislead.
    targets = np.where(random.random(len(voice)) < skew, voice % 3, random.integers(0, 3, len(voice)))
    rows = places[targets] + offsets[voice] + random.normal(0, 1, (len(voice), WIDTH))
    return rows, targets, [f"v{number}" for number in voice]


def test_emotions_and_offsets_are_told_apart_exactly() -> None:
    """Two emotions 10 apart, voices at 1, 2 and −3, no rest; one voice is never heard in emotion 1."""
    emotion, voice = np.array([0, 1, 0, 1, 0]), np.array([0, 0, 1, 1, 2])
    rows = (np.array([0.0, 10.0])[emotion] + np.array([1.0, 2.0, -3.0])[voice])[:, None]
    emotions, offsets = _additive(rows, emotion, voice, np.full(5, 0.2))
    level = (2 * 1 + 2 * 2 - 3) / 5
    assert emotions[:, 0] == pytest.approx([level, 10 + level])
    assert offsets[:, 0] == pytest.approx(np.array([1.0, 2.0, -3.0]) - level)


def test_unheard_voices_are_understood_once_they_are_known() -> None:
    rows, targets, voices = make(np.random.default_rng(0))
    space = fit_voice_space(rows[None], targets, voices, np.ones(1), shrinkage=0.01)
    for skew, loss in ((0.0, 0.0), (0.6, 0.05)):
        new, truth, names = make(np.random.default_rng(1), skew=skew)
        plain, known = [], []
        for voice in sorted(set(names)):
            own = np.array(names) == voice
            coordinates, nowhere = space.coordinates(new[own]), np.zeros(len(space.origin))
            plain.append((space.logits(coordinates, nowhere).argmax(1) == truth[own]).mean())
            known.append((space.logits(coordinates, space.offset(coordinates).values).argmax(1) == truth[own]).mean())
        assert np.mean(known) >= np.mean(plain) - loss, skew
        assert np.mean(known) > 0.9, skew


def test_the_rest_of_a_voice_has_unit_spread() -> None:
    rows, targets, voices = make(np.random.default_rng(0), clips=400)
    space = fit_voice_space(rows[None], targets, voices, np.ones(1), shrinkage=0.0)
    own = (np.array(voices) == "v3") & (targets == 0)
    assert space.coordinates(rows[own]).std(0) == pytest.approx(np.ones(len(space.origin)), abs=0.2)


def test_versions_are_voices_of_their_own() -> None:
    rows, targets, voices = make(np.random.default_rng(0))
    moved = rows + np.eye(WIDTH)[5] * 50
    space = fit_voice_space(np.stack([rows, moved]), targets, voices, np.array([0.5, 0.5]))
    apart = space.coordinates(moved[0]) - space.coordinates(rows[0])
    direction = apart / np.linalg.norm(apart)
    # Voices of the two versions lie at plus and minus half of it, all of them.
    assert direction @ space.voices @ direction == pytest.approx(np.square(apart / 2).sum(), rel=0.05)


def test_one_voice_is_enough_to_fit() -> None:
    rows, targets, _ = make(np.random.default_rng(0))
    space = fit_voice_space(rows[None], targets, [""] * len(rows), np.ones(1))
    assert np.isfinite(space.offset(space.coordinates(rows[:4])).values).all()
