"""Enrolment: voices are known as rows say they are, and what is enrolled is not scored."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thymos.corpora import Corpus
from thymos.encoder.experiment import EncoderExperiment
from thymos.encoder.heads import fit_discriminant, fit_voice_space
from thymos.encoder.recipe import EncoderRecipe
from thymos.evaluation import enrolment as module
from thymos.evaluation.enrolment import Unheard, _draws, enrolment, mean_rows, ways
from thymos.experiment import Work
from thymos.runtime.adaptation import VoiceSpace

Recipe = Callable[..., EncoderRecipe]


@pytest.fixture(scope="module")
def rows(tone_corpus: Corpus, toy_recipe: Recipe, tones_cache: Path) -> dict[tuple[str, int], dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEWEST", 1)
        found = enrolment(tone_corpus, EncoderExperiment(toy_recipe()), clips=(2, 5), draws=3, cache_dir=tones_cache)
    return {(row["way"], row["clips"]): row for row in found}


def test_every_way_has_its_row(rows: dict[tuple[str, int], dict[str, Any]]) -> None:
    assert {key: row["draws"] for key, row in rows.items()} == {
        ("plain", 0): 1,
        ("each voice", 0): 1,
        ("random", 2): 3,
        ("mean of random", 2): 3,
        ("one emotion", 2): 3,
        ("mean of one emotion", 2): 3,
        ("random", 5): 3,
        ("mean of random", 5): 3,
    }, "nobody has five recordings of one emotion"
    assert all(set(row["of"]) == set("1234") for row in rows.values())


def test_rows_are_what_heads_of_other_speakers_say(
    rows: dict[tuple[str, int], dict[str, Any]], tone_corpus: Corpus, toy_recipe: Recipe, tones_cache: Path
) -> None:
    every = EncoderExperiment(toy_recipe()).features(tone_corpus, Work(tones_cache)).read(range(36))
    speakers, targets = np.array([clip.speaker for clip in tone_corpus.clips]), tone_corpus.targets
    shares = np.array([0.3, 0.7])
    for speaker in "1234":
        train, own = speakers != speaker, every[0, speakers == speaker]
        plain = fit_discriminant(every[:, train], targets[train], shares, 0.3).logits(own)
        space = fit_voice_space(every[:, train], targets[train], speakers[train].tolist(), shares, 0.3)
        coordinates = space.coordinates(own)
        known = space.logits(coordinates, space.offset(coordinates).values)
        truth = targets[speakers == speaker]
        for way, said in (("plain", plain), ("each voice", known)):
            right = said.argmax(1) == truth
            uar = np.mean([right[truth == label].mean() for label in range(3)])
            assert rows[way, 0]["of"][speaker] == pytest.approx(uar)
    for row in rows.values():
        assert row["uar"] == pytest.approx(np.mean(list(row["of"].values())))


def test_what_is_enrolled_is_not_scored() -> None:
    space = VoiceSpace(np.eye(2, dtype=np.float32), np.zeros(2), np.array([[5.0, 0], [-5, 0]]), np.eye(2))
    targets, voices = np.array([0, 1] * 20), np.array(["a", "b"] * 10 + ["b", "a"] * 10)
    coordinates = space.emotions[targets] + np.random.default_rng(0).normal(size=(40, 2))
    unheard = Unheard(coordinates @ space.emotions.T, space, coordinates, targets, voices, (0, 1))
    for heard in ways(unheard, clips=(3,), draws=2):
        of_voices = set(voices[heard.rows].tolist())
        if heard.clips:
            assert len(of_voices) == 1
            assert len(heard.rows) == 20 - heard.clips
        else:
            assert len(heard.rows) == (20 if heard.way == "each voice" else 40)


def test_only_what_is_asked_is_said() -> None:
    space = VoiceSpace(np.eye(2, dtype=np.float32), np.zeros(2), np.array([[5.0, 0], [-5, 0], [0, 5]]), np.eye(2))
    logits = np.array([[1.0, 9.0, 2.0], [3.0, 0.0, 2.0]])
    unheard = Unheard(logits, space, np.zeros((2, 2)), np.array([2, 0]), np.array(["a", "a"]), (0, 2))
    assert unheard.said(logits).tolist() == [2, 0]


def test_draws_are_of_what_they_say() -> None:
    targets = np.array([0] * 12 + [1] * 3)
    drawn = list(_draws(targets, (3, 8), 2, np.random.default_rng(0)))
    assert [(way, count, draw) for way, count, draw, _ in drawn] == [
        ("random", 3, 0),
        ("random", 3, 1),
        ("one emotion", 3, 0),
        ("one emotion", 3, 1),
    ], "of fifteen, eight enrolled leave fewer than are to be scored"
    assert all(len(set(some.tolist())) == 3 for *_, some in drawn)
    assert set(targets[drawn[3][3]]) == {1}


def test_means_count_units_alike() -> None:
    """A worked example: a voice with three draws counts as much as one with one."""
    told = [
        {"way": "random", "clips": 3, "draw": draw, "voice": voice, "uar": uar, "accuracy": uar / 2}
        for draw, voice, uar in [(0, "a", 0.3), (1, "a", 0.6), (2, "a", 0.9), (0, "b", 1.0)]
    ]
    (row,) = mean_rows(told, "voice")
    assert row["of"] == {"a": pytest.approx(0.6), "b": 1.0}
    assert row["uar"] == pytest.approx(0.8)
    assert row["accuracy"] == pytest.approx(0.4)
    assert row["sd_of_draws"] == pytest.approx(np.std([0.65, 0.6, 0.9]))
