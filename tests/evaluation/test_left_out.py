"""Left-out corpora: nobody who hears one has met it, and the tables say what worked examples say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thymos.corpora import Corpus
from thymos.encoder.experiment import EncoderExperiment
from thymos.encoder.heads import fit_discriminant
from thymos.encoder.recipe import EncoderRecipe
from thymos.errors import LeakageError
from thymos.evaluation.enrolment import Unheard
from thymos.evaluation.left_out import LeftOut, calibrations, flagged, leave_corpora_out, neutral_recall, table
from thymos.experiment import Work
from thymos.runtime.adaptation import VoiceSpace

Recipe = Callable[..., EncoderRecipe]


@pytest.fixture(scope="module")
def two_corpora(tone_corpus: Corpus) -> Corpus:
    """Speakers 1 and 2 are one corpus, 3 and 4 another."""
    clips = [replace(clip, corpus="one" if clip.speaker in "12" else "two") for clip in tone_corpus.clips]
    return replace(tone_corpus, clips=tuple(clips))


@pytest.mark.slow
def test_each_corpus_is_heard_by_an_encoder_and_a_head_that_have_not_met_it(
    two_corpora: Corpus, toy_recipe: Recipe, write_toy_encoder: Callable[..., Path], tones_cache: Path
) -> None:
    heard_one = tuple(clip for clip in two_corpora.clips if clip.corpus == "one")[:1]
    knows = EncoderExperiment(toy_recipe(start_from=str(write_toy_encoder("knows-one", heard_one))))
    deaf = EncoderExperiment(toy_recipe())
    with pytest.raises(LeakageError, match=r"every encoder has heard recordings of one; .*--leave-out one"):
        leave_corpora_out(two_corpora, [knows], Work(tones_cache))
    one, two = leave_corpora_out(two_corpora, [knows, deaf], Work(tones_cache))
    assert (one.corpus, two.corpus) == ("one", "two")
    assert (one.encoder, two.encoder) == (deaf.versions()["encoder"], knows.versions()["encoder"])
    every = deaf.features(two_corpora, Work(tones_cache)).read(range(36))
    own = np.array([clip.corpus == "one" for clip in two_corpora.clips])
    targets, shares = two_corpora.targets, np.array([0.3, 0.7])
    head = fit_discriminant(every[:, ~own], targets[~own], shares, 0.3)
    np.testing.assert_allclose(one.unheard.plain, head.logits(every[0, own]), rtol=1e-6)
    assert set(one.unheard.voices.tolist()) == {"1", "2"}
    assert one.has == (0, 1, 2)


def left_out(corpus: str, plain: list[list[float]], targets: list[int], voices: list[str] | None = None) -> LeftOut:
    """A corpus of recordings that lie at the place of their emotion, less 3 along a line that says nothing."""
    space = VoiceSpace(np.eye(2, dtype=np.float32), np.zeros(2), np.array([[9.0, 0], [-9, 0], [0, 9]]), np.eye(2))
    truth = np.array(targets)
    unheard = Unheard(
        np.array(plain), space, space.emotions[truth] - [0, 3], truth, np.array(voices or ["v"] * len(truth)), (0, 1, 2)
    )
    nothing = np.zeros((len(truth), 4), np.float32)
    return LeftOut(corpus, ("anger", "neutral", "sadness"), "x", unheard, nothing, nothing, tuple(sorted(set(targets))))


def test_a_corpus_is_asked_for_what_it_has() -> None:
    """Its sad recording is taken out where only anger and neutral count, and sadness is never said."""
    plain = [[5, 0, 9], [0, 1, 9], [3, 1, 9], [0, 0, 1]]
    two = left_out("two", plain, [0, 1, 1, 2])
    no_sadness = left_out("without", plain[:3], [0, 1, 1])
    (row,) = (row for row in table([two, no_sadness], ("anger", "neutral"), clips=()) if row["way"] == "plain")
    # anger 1 of 1, neutral 1 of 2, in both.
    assert row["of"] == {"two": pytest.approx(0.75), "without": pytest.approx(0.75)}
    (among_all,) = (
        row for row in table([two, no_sadness], ("anger", "neutral", "sadness"), clips=()) if row["way"] == "plain"
    )
    assert among_all["of"] == {"two": pytest.approx(1 / 3), "without": pytest.approx(0.75)}
    assert among_all["uar"] == pytest.approx((1 / 3 + 0.75) / 2)


def test_neutral_recordings_that_are_called_neutral() -> None:
    plain = [[0, 5, 1], [0, 5, 9], [5, 0, 0], [0, 9, 0]]
    recalls = neutral_recall([left_out("a", plain, [1, 1, 0, 1]), left_out("b", plain[:1], [0])])
    assert recalls == {"a": {"plain": pytest.approx(2 / 3), "batch": 1.0, "each voice": 1.0}}


@pytest.mark.slow
def test_calibration_is_measured_on_corpora_that_it_was_not_fitted_to() -> None:
    """Two corpora whose logits are true at temperature 1, and one whose logits are ten times as sure."""
    random = np.random.default_rng(0)

    def drawn(name: str, scale: float) -> LeftOut:
        logits = random.normal(0, 1, (3000, 3))
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        truth = (random.random((3000, 1)) > shares.cumsum(1)).sum(1)
        return left_out(name, (logits * scale).tolist(), truth.tolist(), [f"{i % 30}" for i in range(3000)])

    told = calibrations([drawn("a", 1), drawn("b", 1), drawn("loud", 10)])["plain"]
    corpora = told["corpora"]
    assert corpora["loud"]["temperature"] == pytest.approx(1, abs=0.05)
    assert corpora["loud"]["ece"] > 0.2
    assert corpora["a"]["temperature"] > 1.2, "it rests on the loud one, too"
    assert corpora["loud"]["recordings"] == 3000
    sure = corpora["a"]["at_coverage"]
    assert sure["1"] == pytest.approx(corpora["a"]["accuracy"])
    assert sure["1"] < sure["0.8"] < sure["0.6"] < sure["0.4"]
    assert told["calibration"]["conformal"]["rows"] == 9000
    together = told["together"]
    assert together["recordings"] == 9000, "each by the calibration of the others"
    for key in ("accuracy", "coverage", "set_size"):
        assert together[key] == pytest.approx(np.mean([own[key] for own in corpora.values()]))
    assert together["ece"] < max(own["ece"] for own in corpora.values())


def test_flags_are_worth_what_is_right_among_the_flagged_and_the_others() -> None:
    """Of four recordings the last is misunderstood; two embeddings of `far` lie beyond all known ones, its too."""
    plain = [[90.0, 0, 0], [0, 90.0, 0], [0, 90.0, 0], [0.2, 0.1, 0.0]]
    near, far = (left_out(name, plain, [0, 1, 1, 2]) for name in ("near", "far"))
    known = np.random.default_rng(0).normal(0, 1, (400, 4)).astype(np.float32)
    near = replace(near, known=known, embeddings=np.zeros((4, 4), np.float32))
    far = replace(far, known=known, embeddings=np.float32([[0] * 4, [0] * 4, [99] * 4, [99] * 4]))
    told = flagged([near, far])
    assert told["near"]["unfamiliar"] == {"share": 0.0, "flagged": None, "others": 0.75}
    assert told["far"]["unfamiliar"] == {"share": 0.5, "flagged": 0.5, "others": 1.0}
    # Three labels: a best probability below 0.3 cannot be.
    assert told["far"]["unsure"] == {"share": 0.0, "flagged": None, "others": 0.75}
