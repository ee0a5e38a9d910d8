"""Models from a whole corpus: what is fitted, what calibrates it, and what their bundles say of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from thymos.audio import read_waveform
from thymos.corpora import Corpus
from thymos.corpora.opening import joined
from thymos.corpora.protocols import protocol_named
from thymos.encoder.described import DescribedCorpus
from thymos.encoder.experiment import EncoderExperiment
from thymos.encoder.heads import Discriminant, fit_discriminant
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.weights import WEIGHTS, read_encoder
from thymos.errors import CorpusError, LeakageError, RecipeError, RunError
from thymos.evaluation.train import TrainedModel, TrainWatcher, held_out_parts, train
from thymos.experiment import Experiment, Work
from thymos.runtime.bundle import read_bundle
from thymos.runtime.recognizer import load
from thymos.scoring.calibration import fit_conformal, fit_temperature

Recipe = Callable[..., EncoderRecipe]
Fit = Callable[..., TrainedModel]


@pytest.fixture(scope="module")
def corpus(make_tones: Callable[..., Corpus], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Half of the speakers only make noise: so that a temperature is found, and no bound of the search."""
    return make_tones(tmp_path_factory.mktemp("tones"), noisy=(1, 2))


@pytest.fixture(scope="module")
def recipe(toy_recipe: Recipe) -> Recipe:
    return lambda **changes: toy_recipe(**({"shrinkage": 0.9} | changes))


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
def features(corpus: Corpus, recipe: Recipe, tones_cache: Path) -> DescribedCorpus:
    return EncoderExperiment(recipe()).features(corpus, Work(tones_cache))


def head(features: DescribedCorpus, targets: np.ndarray, rows: list[int]) -> Discriminant:
    return fit_discriminant(features.read(rows), targets[rows], np.array([0.3, 0.7]), 0.9)


@pytest.mark.slow
def test_its_head_is_fitted_to_all_recordings(model: TrainedModel, corpus: Corpus, features: DescribedCorpus) -> None:
    every = list(range(len(corpus.clips)))
    expected = head(features, corpus.targets, every)
    bundle = read_bundle(model.folder)
    for row in (0, 20):
        samples = read_waveform(corpus.root / corpus.clips[row].path).samples
        logits, embedding, *_ = bundle.hear(samples)
        said = expected.logits(features.read([row], 1)[0, 0])
        np.testing.assert_allclose(softmax(logits), softmax(said), atol=1e-3)
        np.testing.assert_allclose(embedding, features.embeddings([row])[0], atol=1e-3)
    assert bundle.about.labels == corpus.emotions
    assert bundle.about.speeds == (1.0,)
    assert model.recordings == len(corpus.clips)


@pytest.mark.slow
def test_its_calibration_is_that_of_splits_by_speaker(
    model: TrainedModel, corpus: Corpus, features: DescribedCorpus
) -> None:
    """Of all speakers: each is held out once."""
    logits, rows = [], []
    for fold in protocol_named("speaker").split(corpus).folds:
        train_rows, held_out = corpus.rows(fold.train).tolist(), corpus.rows(fold.test).tolist()
        fitted = head(features, corpus.targets, train_rows)
        logits.append(fitted.logits(features.read(held_out, 1)[0]))
        rows += held_out
    said, truth = np.concatenate(logits), corpus.targets[rows]
    temperature = fit_temperature(said, truth)
    assert model.about["temperature"] == pytest.approx(temperature, rel=1e-3)
    conformal = fit_conformal(softmax(said / temperature, axis=1), truth)
    assert model.about["conformal"]["threshold"] == pytest.approx(conformal.threshold, abs=1e-3)
    assert model.about["conformal"]["rows"] == len(rows) == len(corpus.clips)
    (score,) = model.about["scores"]
    assert score["accuracy"] == pytest.approx((said.argmax(1) == truth).mean())
    assert 0.4 < score["accuracy"] < 1
    assert (score["protocol"], score["splits"], score["recordings"]) == ("speaker", 4, len(corpus.clips))


def test_it_knows_what_is_in_distribution(model: TrainedModel, corpus: Corpus, features: DescribedCorpus) -> None:
    bundle = read_bundle(model.folder)
    distribution, told = bundle.distribution, bundle.about.out_of_distribution
    assert distribution is not None and told is not None
    assert told.rows == len(corpus.clips)
    assert told.threshold == pytest.approx(distribution.threshold)
    own = features.embeddings(range(9))
    assert distribution.contains(own).mean() > 0.8
    assert not distribution.contains(own + 100).any()


def test_it_says_what_it_comes_from(model: TrainedModel, corpus: Corpus, toy_encoder: Path) -> None:
    started = model.about["start_from"]
    assert started["sha256"] == read_encoder(toy_encoder).about["sha256"][WEIGHTS]
    assert started["layers_of"]["licence"] == "MIT (OpenAI)"
    training, heard = model.about["trained_on"]
    assert (training["stage"], training["clips"]) == ("training", len(corpus.clips))
    assert heard == {"name": "heard", "clips": 2, "stage": "pretraining"}


def test_uncalibrated_it_is_the_same_graph_and_promises_nothing(
    model: TrainedModel, corpus: Corpus, fit: Fit, recipe: Recipe
) -> None:
    told: list[None] = []
    plain = fit(recipe(), watcher=TrainWatcher(on_feature=lambda: told.append(None)))
    assert read_bundle(plain.folder).distribution is None
    assert not {"temperature", "conformal", "scores"} & plain.about.keys()
    assert read_bundle(plain.folder).digest == read_bundle(model.folder).digest
    assert len(told) == len(corpus.clips)


@pytest.mark.slow
def test_what_the_encoder_has_heard_is_fitted_to_and_never_held_out(
    corpus: Corpus, fit: Fit, recipe: Recipe, write_toy_encoder: Any
) -> None:
    seen = tuple(clip for clip in corpus.clips if clip.speaker == "1")
    start = str(write_toy_encoder("heard one speaker", heard=seen))
    model = fit(recipe(start_from=start, calibrated=True))
    assert model.recordings == len(corpus.clips)
    (score,) = model.about["scores"]
    assert (score["splits"], score["recordings"]) == (3, len(corpus.clips) - len(seen))
    most = tuple(clip for clip in corpus.clips if clip.speaker != "4")
    start = str(write_toy_encoder("heard three speakers", heard=most))
    with pytest.raises(LeakageError, match="fitted to 27 of 36 recordings, and calibrating on them would promise too"):
        fit(recipe(start_from=start, calibrated=True))
    assert "temperature" not in fit(recipe(start_from=start)).about


def test_several_corpora_are_one(corpus: Corpus, make_tones: Callable[..., Corpus], fit: Fit, recipe: Recipe) -> None:
    other = make_tones(corpus.root.parent / "others", takes=1)
    both = joined([corpus, other])
    assert [both.waveform(clip).samples.size for clip in both.clips[:3]]
    model = fit(recipe(), both)
    assert [(row["name"], row["clips"]) for row in model.about["trained_on"][:2]] == [
        ("others", 12),
        (corpus.root.name, 36),
    ]
    assert len({clip.speaker for clip in both.clips}) == 8, "one speaker's name in two corpora is two people's"
    with pytest.raises(CorpusError, match="two of the corpora hold"):
        joined([corpus, corpus])


def test_a_small_corpus_is_calibrated_on_what_it_has(corpus: Corpus, fit: Fit, recipe: Recipe) -> None:
    model = fit(recipe(calibrated=True), replace(corpus, clips=corpus.clips[::3]))
    (note,) = model.notes
    assert note.startswith("calibrated on 12 recordings, and 20 are needed: probabilities are rough")
    assert model.about["notes"] == [note]
    bundle = read_bundle(model.folder)
    assert bundle.distribution is None, "a 95th percentile of a dozen is none"
    assert bundle.about.temperature >= 1
    assert bundle.about.conformal is not None and bundle.about.conformal.rows == 12


def test_any_words_and_emotions_of_one_recording_make_a_model(
    corpus: Corpus, fit: Fit, recipe: Recipe, tmp_path: Path
) -> None:
    """The one recording is fitted to; where it is held out, nothing knows its emotion, and it counts as wrong."""
    words = {"anger": "Bored", "fear": "so so", "sadness": "sadness"}
    renamed = corpus.relabelled(words.__getitem__)
    rare = next(clip.path for clip in renamed.clips if clip.emotion == "so so")
    kept = tuple(clip for clip in renamed.clips if clip.emotion != "so so" or clip.path == rare)
    model = fit(recipe(calibrated=True), replace(renamed, clips=kept))
    bundle = read_bundle(model.folder)
    assert bundle.about.labels == ("sadness", "Bored", "so so")
    assert model.notes[0].startswith("one recording only of so so: it was fitted to")
    (score,) = model.about["scores"]
    assert (score["recordings"], model.about["conformal"]["rows"]) == (25, 24)
    heard = load(model.folder).predict(corpus.root / rare)
    assert heard.probabilities is None or list(heard.probabilities) == ["sadness", "Bored", "so so"]


def test_two_recordings_of_two_emotions_make_a_model_that_promises_nothing(
    corpus: Corpus, fit: Fit, recipe: Recipe
) -> None:
    two = replace(corpus, clips=(corpus.clips[0], corpus.clips[-1]))
    model = fit(recipe(calibrated=True), two)
    assert model.notes[-1].startswith("not calibrated: ")
    assert not {"temperature", "conformal", "scores"} & model.about.keys()
    assert load(model.folder).labels == ("anger", "sadness")


def test_where_nobody_knows_who_speaks_that_is_noted(corpus: Corpus, fit: Fit, recipe: Recipe) -> None:
    nameless = replace(corpus, clips=tuple(replace(clip, speaker="") for clip in corpus.clips))
    (note,) = fit(recipe(calibrated=True), nameless).notes
    assert note.startswith("calibrated on other recordings of the same voices, since 3 speakers")


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


def test_many_speakers_are_held_out_several_at_a_time(tone_corpus: Corpus) -> None:
    clips = tone_corpus.clips
    many = replace(tone_corpus, clips=tuple(replace(clip, speaker=f"s{i % 12}") for i, clip in enumerate(clips)))
    split = held_out_parts(many, 0)
    held_out = [{clip.speaker for clip in many.part(fold.test).clips} for fold in split.folds]
    assert len(split.folds) == 5
    assert sorted(speaker for part in held_out for speaker in part) == sorted(many.speakers)
    for fold, speakers in zip(split.folds, held_out, strict=True):
        assert not speakers & {clip.speaker for clip in many.part(fold.train).clips}
