"""Models from a whole corpus: what is fitted, what calibrates it, and what their bundles say of them."""

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
from thymos.encoder.attentive import EmotionNetwork
from thymos.encoder.descriptions import fit_discriminant
from thymos.encoder.encoder_file import read_encoder
from thymos.encoder.experiment import DescribedRecordings, EncoderExperiment
from thymos.encoder.export import read_network
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.level_spectrograms import open_recordings
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.voice_statistics import VoiceNetwork
from thymos.errors import LeakageError, ProtocolError, RecipeError, RunError
from thymos.evaluation.train import TrainedModel, TrainWatcher, held_out_parts, train
from thymos.experiment import Experiment, Work
from thymos.runtime.bundle import read_bundle
from thymos.scoring.calibration import fit_conformal, fit_temperature

FULL = LevelMelSettings(n_bands=12)

Recipe = Callable[..., EncoderRecipe]
Fit = Callable[..., TrainedModel]


@pytest.fixture(scope="module")
def corpus(make_tones: Callable[..., Corpus], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Half of the speakers only make noise: so that a temperature is found, and no bound of the search."""
    return make_tones(tmp_path_factory.mktemp("tones"), noisy=(1, 2))


@pytest.fixture(scope="module")
def recipe(encoder_recipe: Recipe, toy_encoder: Path) -> Recipe:
    def make(**changes: Any) -> EncoderRecipe:
        own: dict[str, Any] = {"start_from": str(toy_encoder), "features": FULL.model_dump(), "training": {"epochs": 0}}
        discriminant = {"scored_speeds": 2, "shrinkage": 0.9}
        return encoder_recipe(**(own | {"speeds": [1.0, 0.9, 1.1], "discriminant": discriminant} | changes))

    return make


@pytest.fixture(scope="module")
def fit(corpus: Corpus, tones_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Fit:
    """``fit(recipe, corpus=…, out=a new folder, watcher=nobody) -> TrainedModel``."""

    def run(
        recipe: EncoderRecipe,
        corpus: Corpus = corpus,
        out: Path | None = None,
        cache_dir: Path = tones_cache,
        **more: Any,
    ) -> TrainedModel:
        folder = out or tmp_path_factory.mktemp("models") / "model"
        return train(corpus, EncoderExperiment(recipe), folder, cache_dir=cache_dir, threads=1, **more)

    return run


@pytest.fixture(scope="module")
def model(fit: Fit, recipe: Recipe) -> TrainedModel:
    return fit(recipe(calibrated=True))


@pytest.fixture(scope="module")
def network(model: TrainedModel) -> VoiceNetwork:
    network = read_network(model.folder).network
    assert isinstance(network, VoiceNetwork)
    return network


@pytest.fixture(scope="module")
def features(corpus: Corpus, recipe: Recipe, tones_cache: Path) -> DescribedRecordings:
    return EncoderExperiment(recipe()).features(corpus, Work(tones_cache))


def test_its_network_is_fitted_to_all_recordings(
    model: TrainedModel,
    network: VoiceNetwork,
    corpus: Corpus,
    recipe: Recipe,
    toy_encoder: Path,
    features: DescribedRecordings,
) -> None:
    every = range(len(corpus.clips))
    assert features.descriptions_file is not None
    fitted = fit_discriminant(recipe(), read_encoder(toy_encoder), features.descriptions_file, corpus.targets, every)
    np.testing.assert_allclose(network.linear.weight.detach(), fitted.weights.T, rtol=1e-6)
    np.testing.assert_allclose(network.linear.bias.detach(), fitted.bias, rtol=1e-6)
    np.testing.assert_allclose(network.mean, fitted.mean, rtol=1e-6)
    assert read_network(model.folder).labels == corpus.emotions
    assert model.recordings == len(corpus.clips)


def test_it_hears_at_the_speeds_that_are_scored(model: TrainedModel, fit: Fit, recipe: Recipe) -> None:
    assert read_bundle(model.folder).about.speeds == (1.0, 0.9)
    three = fit(recipe(discriminant={"scored_speeds": 3}))
    assert read_bundle(three.folder).about.speeds == (1.0, 0.9, 1.1)


def test_its_calibration_is_that_of_splits_by_speaker(
    model: TrainedModel, corpus: Corpus, recipe: Recipe, toy_encoder: Path, features: DescribedRecordings
) -> None:
    """Of all speakers: each is held out once."""
    file, targets = features.descriptions_file, corpus.targets
    assert file is not None
    pretrained = read_encoder(toy_encoder)
    place = {clip.path: i for i, clip in enumerate(corpus.clips)}
    logits, rows = [], []
    for fold in protocol_named("speaker").split(corpus).folds:
        train_rows, held_out = [place[path] for path in fold.train], [place[path] for path in fold.test]
        fitted = fit_discriminant(recipe(), pretrained, file, targets[train_rows], train_rows)
        logits.append(fitted.logits(file, held_out, 2))
        rows += held_out
    said, truth = np.concatenate(logits), targets[rows]
    temperature = fit_temperature(said, truth)
    assert temperature > 1, "a temperature matters"
    assert model.about["temperature"] == pytest.approx(temperature, rel=1e-3)
    conformal = fit_conformal(softmax(said / temperature, axis=1), truth)
    assert model.about["conformal"]["threshold"] == pytest.approx(conformal.threshold, abs=1e-3)
    assert model.about["conformal"]["rows"] == len(rows) == len(corpus.clips)
    (score,) = model.about["scores"]
    assert score["accuracy"] == pytest.approx((said.argmax(1) == truth).mean())
    assert 0.4 < score["accuracy"] < 1
    assert (score["protocol"], score["splits"], score["recordings"]) == ("speaker", 4, len(corpus.clips))


def test_it_knows_what_is_in_distribution(
    model: TrainedModel, network: VoiceNetwork, corpus: Corpus, features: DescribedRecordings
) -> None:
    bundle = read_bundle(model.folder)
    distribution, told = bundle.distribution, bundle.about.out_of_distribution
    assert distribution is not None and told is not None
    assert told.rows == len(corpus.clips)
    assert told.threshold == pytest.approx(distribution.threshold)
    assert distribution.threshold > 0
    recordings = open_recordings(features.folder)
    with torch.inference_mode():
        own = torch.cat([network.describer(recordings.levels(row)).embedding for row in range(9)]).numpy()
    assert distribution.contains(own).mean() > 0.8
    assert not distribution.contains(own + 100).any()


def test_it_says_what_it_comes_from(model: TrainedModel, corpus: Corpus, toy_encoder: Path) -> None:
    assert model.about["start_from"] == {"sha256": read_encoder(toy_encoder).about["sha256"]["encoder.safetensors"]}
    assert model.about["recipe"]["discriminant"]["scored_speeds"] == 2
    (trained_on,) = model.about["trained_on"]
    assert (trained_on["stage"], trained_on["clips"]) == ("training", len(corpus.clips))


def test_uncalibrated_it_is_the_same_network_and_promises_nothing(
    network: VoiceNetwork, corpus: Corpus, fit: Fit, recipe: Recipe
) -> None:
    told: list[None] = []
    plain = fit(recipe(), watcher=TrainWatcher(on_feature=lambda: told.append(None)))
    assert read_bundle(plain.folder).distribution is None
    assert not {"temperature", "conformal", "scores"} & plain.about.keys()
    own, other = read_network(plain.folder).network.state_dict(), network.state_dict()
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert len(told) == EncoderExperiment(recipe()).steps(corpus)


def test_without_a_discriminant_the_network_is_tuned_and_heard_as_recorded(fit: Fit, encoder_recipe: Recipe) -> None:
    fits: list[tuple[int, int]] = []
    told: list[int] = []
    watcher = TrainWatcher(on_fits=lambda *counts: fits.append(counts), on_epoch=lambda epoch: told.append(epoch.epoch))
    model = fit(encoder_recipe(calibrated=True), watcher=watcher)
    assert isinstance(read_network(model.folder).network, EmotionNetwork)
    assert read_bundle(model.folder).about.speeds == (1.0,)
    assert "start_from" not in model.about
    assert fits == [(5, 2)], "the model, and one for each speaker held out"
    assert told == [1, 2] * 5
    assert [epoch.epoch for epoch in model.curve] == [1, 2]


def test_an_encoder_that_has_heard_the_corpus_may_not_be_calibrated_on_it(
    corpus: Corpus, fit: Fit, recipe: Recipe, write_toy_encoder: Any
) -> None:
    heard, _ = write_toy_encoder("heard by a model", seen=corpus.clips[:2], features=FULL)
    with pytest.raises(LeakageError, match="pretrained on 2 of these recordings"):
        fit(recipe(start_from=str(heard), calibrated=True))
    assert "temperature" not in fit(recipe(start_from=str(heard))).about


def test_what_does_not_go_together_is_refused_whatever_was_heard(
    corpus: Corpus, fit: Fit, encoder_recipe: Recipe, write_toy_encoder: Any, tmp_path: Path
) -> None:
    heard, _ = write_toy_encoder("one channel, heard by a model", seen=corpus.clips[:2])
    discriminant = {"scored_speeds": 1}
    for start_from, words in ((str(heard), "do not go together"), ("scratch", "start_from cannot be scratch")):
        unfit = encoder_recipe(start_from=start_from, training={"epochs": 0}, discriminant=discriminant)
        with pytest.raises(RecipeError, match=words) as caught:
            fit(unfit, out=tmp_path / "model", cache_dir=tmp_path / "cache")
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [], "before any work"


def test_a_corpus_too_small_to_calibrate_on_is_refused(
    corpus: Corpus, fit: Fit, recipe: Recipe, tmp_path: Path
) -> None:
    small = replace(corpus, clips=corpus.clips[::3])
    with pytest.raises(ProtocolError, match="too few to calibrate on"):
        fit(recipe(calibrated=True), small, tmp_path / "model", tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


def test_where_nobody_knows_who_speaks_recordings_are_held_out(corpus: Corpus) -> None:
    nameless = replace(corpus, clips=tuple(replace(clip, speaker="") for clip in corpus.clips))
    parts = held_out_parts(nameless, 0)
    assert (parts.name, len(parts.folds)) == ("recording", 5)
    assert sorted(path for fold in parts.folds for path in fold.test) == [clip.path for clip in corpus.clips]


def test_the_folder_of_an_evaluation_is_not_written_into(fit: Fit, recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}")
    with pytest.raises(RunError, match="holds a run of `thymos evaluate` or `study`, not a model"):
        fit(recipe(), out=tmp_path / "run")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds mine\.txt, which is no part of a model"):
        fit(recipe(), out=tmp_path / "notes")


def test_what_cannot_be_exported_is_refused_before_any_work(corpus: Corpus, tmp_path: Path) -> None:
    class Nameless(Experiment[None]):
        name = "my-features"

        def features(self, corpus: Corpus, work: Work) -> None:
            raise AssertionError("no work was to be done")

        def fit(self, features: None, part: Any, work: Work) -> Any:
            raise AssertionError("no work was to be done")

    with pytest.raises(RecipeError, match="my-features cannot be trained into a model"):
        train(corpus, Nameless(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_many_speakers_are_held_out_several_at_a_time(tones: Corpus) -> None:
    many = replace(tones, clips=tuple(replace(clip, speaker=f"s{i % 12}") for i, clip in enumerate(tones.clips)))
    split = held_out_parts(many, 0)
    held_out = [{clip.speaker for clip in many.part(fold.test).clips} for fold in split.folds]
    assert len(split.folds) == 5
    assert sorted(speaker for part in held_out for speaker in part) == sorted(many.speakers)
    for fold, speakers in zip(split.folds, held_out, strict=True):
        assert not speakers & {clip.speaker for clip in many.part(fold.train).clips}
