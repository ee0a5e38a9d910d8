"""Evaluations of recipes whose discriminant decides, from files to results, on tones that stand for emotions."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, softmax

from thymos.corpora import Corpus
from thymos.corpora.protocols import protocol_named
from thymos.encoder.descriptions import describe_recordings, fit_discriminant
from thymos.encoder.encoder_file import read_encoder
from thymos.encoder.experiment import EncoderExperiment
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.level_spectrograms import make_recordings
from thymos.encoder.recipe import EncoderRecipe
from thymos.errors import LeakageError, RecipeError
from thymos.evaluation.evaluate import evaluate
from thymos.evaluation.fitting import FoldTask, epochs_reported, fold_tasks, run_fold
from thymos.experiment import Work
from thymos.scoring.calibration import calibration_summary, fit_conformal, fit_temperature, log_probabilities
from thymos.scoring.predictions import read_predictions

FULL = LevelMelSettings(n_bands=12)
DISCRIMINANT: dict[str, Any] = {"scored_speeds": 2, "shrinkage": 0.9}

Recipe = Callable[..., EncoderRecipe]


@pytest.fixture(scope="module")
def corpus(make_tones: Callable[..., Corpus], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Three emotions by four speakers, one of whom only makes noise: so that nobody can be sure of everything."""
    return make_tones(tmp_path_factory.mktemp("tones"), noisy=(2,))


@pytest.fixture(scope="module")
def recipe(encoder_recipe: Recipe, toy_encoder: Path) -> Recipe:
    def make(**changes: Any) -> EncoderRecipe:
        own: dict[str, Any] = {"start_from": str(toy_encoder), "features": FULL.model_dump(), "training": {"epochs": 0}}
        return encoder_recipe(**(own | {"speeds": [1.0, 0.9, 1.1], "discriminant": DISCRIMINANT} | changes))

    return make


@pytest.fixture(scope="module")
def calibrated(recipe: Recipe) -> EncoderRecipe:
    return recipe(calibrated=True)


def judged(corpus: Corpus, recipe: EncoderRecipe, out: Path, cache: Path, **more: Any) -> dict[str, Any]:
    run = evaluate(corpus, EncoderExperiment(recipe), "speaker", out=out, cache_dir=cache, threads=1, **more)
    return dict(run.results)


def tasks(corpus: Corpus, recipe: EncoderRecipe, cache: Path) -> list[FoldTask]:
    experiment, work = EncoderExperiment(recipe), Work(cache)
    protocol = protocol_named("speaker").split(corpus)
    return fold_tasks(corpus, experiment, protocol, experiment.features(corpus, work), 0, work)


@pytest.fixture(scope="module")
def run(corpus: Corpus, calibrated: EncoderRecipe, tones_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    judged(corpus, calibrated, out, tones_cache)
    return out


def results(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())


def said(run: Path) -> np.ndarray:
    """Logarithms of probabilities: tones are told apart so surely that these themselves are nearly all 0 or 1."""
    frame = pd.read_csv(run / "predictions.csv")
    return log_probabilities(frame[[name for name in frame.columns if name.startswith("p_")]].to_numpy(float))


def test_predictions_are_those_of_a_discriminant_of_the_training_part(
    corpus: Corpus, tones_cache: Path, calibrated: EncoderRecipe, run: Path, toy_encoder: Path
) -> None:
    """Fitted here anew, fold by fold, with the temperature and the threshold that inner splits give."""
    pretrained = read_encoder(toy_encoder)
    sources = [(corpus.root, clip) for clip in corpus.clips]
    pack = make_recordings(sources, FULL, calibrated.speeds, tones_cache)
    file = describe_recordings(pack, calibrated, pretrained, Work(tones_cache))
    place = {clip.path: i for i, clip in enumerate(corpus.clips)}
    kept = pd.read_csv(run / "predictions.csv")

    def logits_of(train: list[int], scored: list[int]) -> np.ndarray:
        targets = corpus.targets[train]
        return fit_discriminant(calibrated, pretrained, file, targets, train).logits(file, scored, 2)

    made = tasks(corpus, calibrated, tones_cache)
    temperatures = []
    for task, told in zip(made, results(run)["folds"], strict=True):
        splits = task.part.inner
        inner = np.concatenate([logits_of(list(split.train.rows), list(split.rows)) for split in splits])
        truth = corpus.targets[[row for split in splits for row in split.rows]]
        temperature = fit_temperature(inner, truth)
        conformal = fit_conformal(softmax(inner / temperature, axis=1), truth)
        assert told["calibration"]["temperature"] == pytest.approx(temperature, rel=1e-6)
        assert told["calibration"]["conformal"]["threshold"] == pytest.approx(conformal.threshold, rel=1e-6)
        assert told["calibration"]["conformal"]["rows"] == 27, "the whole training part"
        temperatures.append(temperature)
        own = kept[kept.fold == task.fold.index]
        assert sorted(own["clip"]) == sorted(task.fold.test)
        logits = logits_of([place[path] for path in task.fold.train], [place[path] for path in own["clip"]])
        found = log_probabilities(own[[f"p_{word}" for word in corpus.emotions]].to_numpy(float))
        np.testing.assert_allclose(found, log_softmax(logits / temperature, axis=1), rtol=1e-5, atol=1e-6)
    assert len(set(temperatures)) == 4


def test_results_tell_what_was_fitted_and_what_calibration_was_worth(
    corpus: Corpus, calibrated: EncoderRecipe, run: Path, toy_encoder: Path
) -> None:
    found = results(run)
    assert found["summary"]["recording"]["accuracy"]["mean"] > 0.8
    assert found["recipe"]["discriminant"]["shrinkage"] == 0.9
    assert found["deciding"] == {"encoder": read_encoder(toy_encoder).about["sha256"]["encoder.safetensors"]}
    for fold in found["folds"]:
        assert fold["curve"] == []
        assert fold["parameters"] > 3 * 400, "the linear layer's are among them"
    assert epochs_reported(EncoderExperiment(calibrated)) == 0
    folds = [
        (json.loads(path.read_text()), read_predictions(path.with_suffix(".csv")))
        for path in sorted((run / "folds").glob("*.json"))
    ]
    expected = json.loads(json.dumps(calibration_summary(folds, corpus.emotions)))
    assert found["calibration"] == expected
    assert list(expected["sets_by_speaker"]) == ["1", "2", "3", "4"]
    assert len(expected["temperatures"]) == 4


def test_a_task_can_go_to_a_worker_and_says_all_it_needs(
    corpus: Corpus, calibrated: EncoderRecipe, tones_cache: Path, run: Path
) -> None:
    told: list[Any] = []
    facts, frame = run_fold(pickle.loads(pickle.dumps(tasks(corpus, calibrated, tones_cache)))[3], told.append)
    assert told == [], "there are no epochs to tell of"
    kept = pd.read_csv(run / "folds/repeat-0_fold-3.csv")
    np.testing.assert_allclose(frame.p_fear, kept.p_fear, rtol=1e-6)
    assert facts["train_clips"] == 27


@pytest.mark.parametrize("other", [{"noisy": (1, 2)}, {"noisy": (2,), "turned": (1,)}], ids=["sounds", "labels"])
def test_the_test_part_has_no_say(
    make_tones: Callable[..., Corpus],
    tones_cache: Path,
    calibrated: EncoderRecipe,
    run: Path,
    tmp_path: Path,
    other: dict[str, Any],
) -> None:
    found = judged(make_tones(tmp_path / "c", **other), calibrated, tmp_path / "run", tones_cache, only_fold=0)
    assert found["folds"][0]["calibration"] == results(run)["folds"][0]["calibration"]
    before, after = pd.read_csv(run / "predictions.csv"), pd.read_csv(tmp_path / "run/predictions.csv")
    assert not after.equals(before[before.fold == 0].reset_index(drop=True))


def test_the_training_part_has(
    make_tones: Callable[..., Corpus], tones_cache: Path, calibrated: EncoderRecipe, run: Path, tmp_path: Path
) -> None:
    other = make_tones(tmp_path / "c", noisy=(2, 3))
    found = judged(other, calibrated, tmp_path / "run", tones_cache, only_fold=0)
    assert found["folds"][0]["calibration"] != results(run)["folds"][0]["calibration"]


@pytest.fixture(scope="module")
def plain(corpus: Corpus, recipe: Recipe, tones_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, not calibrated."""
    out = tmp_path_factory.mktemp("plain") / "run"
    judged(corpus, recipe(), out, tones_cache)
    return out


def test_uncalibrated_it_promises_nothing_and_decisions_stay(run: Path, plain: Path) -> None:
    found = results(plain)
    assert "calibration" not in found
    assert all("calibration" not in fold for fold in found["folds"])
    np.testing.assert_array_equal(said(plain).argmax(1), said(run).argmax(1))
    assert np.abs(said(plain) - said(run)).max() > 0.1


def test_shuffled_labels_run_on_the_same_descriptions(
    corpus: Corpus, calibrated: EncoderRecipe, run: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    judged(corpus, calibrated, tmp_path / "run", cache, only_fold=0)
    found = judged(corpus, calibrated, tmp_path / "shuffled", cache, shuffle=True)
    assert found["shuffled_labels"] is True
    assert found["summary"]["recording"]["accuracy"]["mean"] < 0.7
    assert "calibration" in found
    assert len(list((cache / "descriptions").iterdir())) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"discriminant": DISCRIMINANT | {"scored_speeds": 1}},
        {"discriminant": DISCRIMINANT | {"shrinkage": 0.2}},
        {"discriminant": DISCRIMINANT | {"parts": ["statistics"]}},
        {"speeds": [1.0, 0.9]},
    ],
    ids=["scored speeds", "shrinkage", "parts", "speeds"],
)
def test_every_setting_matters(
    corpus: Corpus, recipe: Recipe, tones_cache: Path, plain: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    judged(corpus, recipe(**changes), tmp_path / "run", tones_cache, only_fold=0)
    assert np.abs(said(tmp_path / "run") - said(plain)[:9]).max() > 0.1


def test_steps_are_recordings_read_and_then_described(corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    experiment = EncoderExperiment(recipe())
    for time in ("read", "found in the cache"):
        told: list[None] = []
        experiment.features(corpus, Work(tmp_path, advance=lambda told=told: told.append(None)))
        assert len(told) == experiment.steps(corpus) == 2 * len(corpus.clips), time


def test_what_does_not_go_together_is_told_before_what_leaks(
    corpus: Corpus, recipe: Recipe, write_toy_encoder: Any, encoder_recipe: Recipe
) -> None:
    """Since a model that is not calibrated may start from an encoder that has heard its recordings."""
    heard, _ = write_toy_encoder("one channel, heard", seen=corpus.clips[:1])
    unfit = encoder_recipe(start_from=str(heard), training={"epochs": 0}, discriminant=DISCRIMINANT)
    with pytest.raises(RecipeError, match="do not go together"):
        EncoderExperiment(unfit).check(corpus)
    narrow, _ = write_toy_encoder("narrow, heard", seen=corpus.clips[:1], labels=("anger", "calm"))
    with pytest.raises(RecipeError, match="does not know fear, sadness"):
        EncoderExperiment(encoder_recipe(start_from=str(narrow), training={"epochs": 0})).check(corpus)
    full, _ = write_toy_encoder("heard by a discriminant", seen=corpus.clips[:1], features=FULL)
    with pytest.raises(LeakageError, match="pretrained on 1 of these recordings"):
        EncoderExperiment(recipe(start_from=str(full))).check(corpus)
