"""Recognisers from a whole corpus: what is fitted, what calibrates it, and what their bundles say of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from thymos.corpora import Corpus
from thymos.corpora.protocols import protocol_named
from thymos.encoder import experiment as whole_folds
from thymos.encoder.attentive import EmotionNetwork
from thymos.encoder.descriptions import fit_discriminant
from thymos.encoder.encoder_file import read_encoder
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.recipe import WholeRecipe
from thymos.encoder.voice_network import VoiceNetwork
from thymos.errors import LeakageError, ProtocolError, RecipeError
from thymos.evaluation.train import Made, make_recogniser
from thymos.scoring.calibration import fit_conformal, fit_temperature

FULL = LevelMelSettings(n_bands=12)
SPLITS = 3

Recipe = Callable[..., WholeRecipe]


@pytest.fixture(scope="module")
def corpus(make_tones: Callable[..., Corpus], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Half of the speakers only make noise: so that a temperature is found, and no bound of the search."""
    return make_tones(tmp_path_factory.mktemp("tones"), noisy=(1, 2))


@pytest.fixture(scope="module")
def encoder(write_toy_encoder) -> Path:
    folder, _ = write_toy_encoder("for a recogniser", labels=("anger", "calm"), features=FULL)
    return folder


@pytest.fixture(scope="module")
def recipe(whole_recipe: Recipe, encoder: Path) -> Recipe:
    def make(**changes: Any) -> WholeRecipe:
        own: dict[str, Any] = {"start_from": str(encoder), "features": FULL.model_dump(), "training": {"epochs": 0}}
        discriminant = {"scored_speeds": 2, "shrinkage": 0.9}
        return whole_recipe(**(own | {"speeds": [1.0, 0.9, 1.1], "discriminant": discriminant} | changes))

    return make


@pytest.fixture(scope="module")
def made(corpus: Corpus, recipe: Recipe, tones_cache: Path) -> Made:
    return make_recogniser(corpus, recipe(calibration_splits=SPLITS), tones_cache, 0, threads=1)


def descriptions(corpus: Corpus, recipe: WholeRecipe, cache: Path) -> Path:
    file = whole_folds.prepare(corpus, recipe, cache, lambda: None, 1, 0).descriptions_file
    assert file is not None
    return file


def targets_of(corpus: Corpus) -> np.ndarray:
    return np.array([corpus.emotions.index(clip.emotion) for clip in corpus.clips])


def test_its_network_is_fitted_to_all_recordings(
    made: Made, corpus: Corpus, recipe: Recipe, encoder: Path, tones_cache: Path
) -> None:
    network = made.recogniser.network
    assert isinstance(network, VoiceNetwork)
    every = range(len(corpus.clips))
    file = descriptions(corpus, recipe(), tones_cache)
    fitted = fit_discriminant(recipe(), read_encoder(encoder), file, targets_of(corpus), every)
    np.testing.assert_allclose(network.linear.weight.detach(), fitted.weights.T, rtol=1e-6)
    np.testing.assert_allclose(network.linear.bias.detach(), fitted.bias, rtol=1e-6)
    np.testing.assert_allclose(network.mean, fitted.mean, rtol=1e-6)
    assert made.recogniser.labels == corpus.emotions


def test_it_hears_at_the_speeds_that_are_scored(made: Made, corpus: Corpus, recipe: Recipe, tones_cache: Path) -> None:
    assert made.recogniser.speeds == (1.0, 0.9)
    three = recipe(discriminant={"scored_speeds": 3})
    assert make_recogniser(corpus, three, tones_cache, 0, threads=1).recogniser.speeds == (1.0, 0.9, 1.1)


def test_its_calibration_is_that_of_splits_by_speaker(
    made: Made, corpus: Corpus, recipe: Recipe, encoder: Path, tones_cache: Path
) -> None:
    file, targets = descriptions(corpus, recipe(), tones_cache), targets_of(corpus)
    pretrained = read_encoder(encoder)
    place = {clip.path: i for i, clip in enumerate(corpus.clips)}
    logits, rows = [], []
    for fold in protocol_named("speaker").split(corpus).folds[:SPLITS]:
        train, held_out = [place[path] for path in fold.train], [place[path] for path in fold.test]
        logits.append(fit_discriminant(recipe(), pretrained, file, targets, train).logits(file, held_out, 2))
        rows += held_out
    said, truth = np.concatenate(logits), targets[rows]
    temperature = fit_temperature(said, truth)
    assert temperature > 1, "a temperature matters"
    assert made.about["temperature"] == pytest.approx(temperature, rel=1e-3)
    conformal = fit_conformal(softmax(said / temperature, axis=1), truth)
    assert made.about["conformal"]["threshold"] == pytest.approx(conformal.threshold, abs=1e-3)
    assert made.about["conformal"]["rows"] == len(rows) == 27
    (score,) = made.about["scores"]
    assert score["accuracy"] == pytest.approx((said.argmax(1) == truth).mean())
    assert 0.5 < score["accuracy"] < 1
    assert (score["protocol"], score["splits"], score["recordings"]) == ("speaker", SPLITS, 27)


def test_it_knows_what_is_familiar(made: Made, corpus: Corpus, recipe: Recipe, tones_cache: Path) -> None:
    assert made.recogniser.familiarity is not None
    familiarity, about = made.recogniser.familiarity
    assert about.rows == 27
    assert about.threshold == familiarity.threshold > 0
    recordings = whole_folds.prepare(corpus, recipe(), tones_cache, lambda: None, 1, 0).recordings
    network = made.recogniser.network
    assert isinstance(network, VoiceNetwork)
    with torch.inference_mode():
        own = torch.cat([network.describer(recordings.levels(row)).embedding for row in range(9)]).numpy()
    assert familiarity.knows(own).mean() > 0.8
    assert not familiarity.knows(own + 100).any()


def test_it_says_what_it_comes_from(made: Made, corpus: Corpus, encoder: Path) -> None:
    assert made.about["start_from"] == {"sha256": read_encoder(encoder).about["sha256"]["encoder.safetensors"]}
    assert made.about["recipe"]["discriminant"]["scored_speeds"] == 2
    (trained_on,) = made.about["trained_on"]
    assert (trained_on["stage"], trained_on["clips"]) == ("training", len(corpus.clips))


def test_without_splits_it_is_the_same_network_and_promises_nothing(
    made: Made, corpus: Corpus, recipe: Recipe, tones_cache: Path
) -> None:
    told: list[None] = []
    plain = make_recogniser(corpus, recipe(), tones_cache, 0, lambda: told.append(None), threads=1)
    assert plain.recogniser.familiarity is None
    assert not {"temperature", "conformal", "scores"} & plain.about.keys()
    own, other = plain.recogniser.network.state_dict(), made.recogniser.network.state_dict()
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert len(told) == whole_folds.steps(corpus, recipe())


def test_without_a_discriminant_the_network_is_tuned_and_heard_as_recorded(
    corpus: Corpus, whole_recipe: Recipe, tones_cache: Path
) -> None:
    told: list[int] = []
    tuned = whole_recipe(calibration_splits=3)
    made = make_recogniser(corpus, tuned, tones_cache, 0, on_epoch=lambda epoch: told.append(epoch.epoch), threads=1)
    assert isinstance(made.recogniser.network, EmotionNetwork)
    assert made.recogniser.speeds == (1.0,)
    assert "start_from" not in made.about
    assert told == list(range(1, whole_folds.epochs(tuned) + 1))


def test_an_encoder_that_has_heard_the_corpus_may_not_be_calibrated_on_it(
    corpus: Corpus, recipe: Recipe, write_toy_encoder, tones_cache: Path
) -> None:
    heard, _ = write_toy_encoder("heard by a recogniser", seen=corpus.clips[:2], features=FULL)
    with pytest.raises(LeakageError, match="pretrained on 2 of these recordings"):
        make_recogniser(corpus, recipe(start_from=str(heard), calibration_splits=1), tones_cache, 0)
    plain = make_recogniser(corpus, recipe(start_from=str(heard)), tones_cache, 0, threads=1)
    assert "temperature" not in plain.about


def test_what_does_not_go_together_is_refused_whatever_was_heard(
    corpus: Corpus, whole_recipe: Recipe, write_toy_encoder, tmp_path: Path
) -> None:
    heard, _ = write_toy_encoder("one channel, heard by a recogniser", seen=corpus.clips[:2])
    discriminant = {"scored_speeds": 1}
    for start_from, words in ((str(heard), "do not go together"), ("scratch", "start_from cannot be scratch")):
        unfit = whole_recipe(start_from=start_from, training={"epochs": 0}, discriminant=discriminant)
        with pytest.raises(RecipeError, match=words) as caught:
            make_recogniser(corpus, unfit, tmp_path / "cache", 0)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists(), "before any work"


def test_a_corpus_too_small_to_calibrate_on_is_refused(corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    small = replace(corpus, clips=corpus.clips[::3])
    with pytest.raises(ProtocolError, match="too few to calibrate on"):
        make_recogniser(small, recipe(calibration_splits=1), tmp_path / "cache", 0)
    assert not (tmp_path / "cache").exists()
