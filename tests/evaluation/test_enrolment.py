"""Enrolment: heads and voices are centred as they are said to be, and what is enrolled is not scored."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thymos.corpora import Corpus
from thymos.encoder.discriminant import centred, fit_discriminant
from thymos.encoder.experiment import EncoderExperiment
from thymos.encoder.recipe import EncoderRecipe
from thymos.evaluation.enrolment import _draws, enrolment
from thymos.experiment import Work

Recipe = Callable[..., EncoderRecipe]


@pytest.fixture(scope="module")
def rows(tone_corpus: Corpus, toy_recipe: Recipe, tones_cache: Path) -> dict[tuple[str, int], dict[str, Any]]:
    experiment = EncoderExperiment(toy_recipe())
    found = enrolment(tone_corpus, experiment, clips=(2, 5), draws=3, prior=1.0, cache_dir=tones_cache)
    return {(row["way"], row["clips"]): row for row in found}


def test_every_way_has_its_row(rows: dict[tuple[str, int], dict[str, Any]]) -> None:
    draws = {key: row["draws"] for key, row in rows.items()}
    assert draws == {
        ("plain", 0): 1,
        ("no clip", 0): 1,
        ("all", 0): 1,
        ("random", 2): 3,
        ("one emotion", 2): 3,
        ("random", 5): 3,
    }, "nobody has more than five recordings of one emotion"
    assert rows["plain", 0]["sd_of_draws"] == 0


def test_a_voice_is_centred_on_itself(
    rows: dict[tuple[str, int], dict[str, Any]], tone_corpus: Corpus, toy_recipe: Recipe, tones_cache: Path
) -> None:
    every = EncoderExperiment(toy_recipe()).features(tone_corpus, Work(tones_cache)).read(range(36))
    speakers, targets = np.array([clip.speaker for clip in tone_corpus.clips]), tone_corpus.targets
    shares, uars = np.array([0.3, 0.7]), {"plain": [], "all": []}
    for speaker in "1234":
        train, own = speakers != speaker, every[0, speakers == speaker]
        plain = fit_discriminant(every[:, train], targets[train], shares, 0.3)
        head = fit_discriminant(centred(every[:, train], speakers[train].tolist()), targets[train], shares, 0.3)
        truth = targets[speakers == speaker]
        for way, said in (("plain", plain.logits(own)), ("all", head.logits(own - own.mean(0)))):
            right = said.argmax(1) == truth
            uars[way].append(np.mean([right[truth == label].mean() for label in range(3)]))
    for way, each in uars.items():
        assert rows[way, 0]["uar"] == pytest.approx(np.mean(each))


def test_draws_are_of_what_they_say() -> None:
    targets = np.array([0] * 4 + [1] * 3)
    drawn = list(_draws(targets, (3,), 2, np.random.default_rng(0)))
    assert [(way, draw) for way, draw, _ in drawn] == [("random", 0), ("random", 1), ("one emotion", 0)]
    assert all(len(set(some.tolist())) == 3 for _, _, some in drawn)
    assert set(targets[drawn[2][2]]) == {0}
