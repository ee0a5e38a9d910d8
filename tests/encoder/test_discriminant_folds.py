"""Evaluations of recipes whose discriminant decides, from files to results, on tones that stand for emotions."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, softmax

from thymos.corpora import Corpus
from thymos.corpora.protocols import protocol_named
from thymos.encoder import experiment as whole_folds
from thymos.encoder.descriptions import describe_recordings, fit_discriminant
from thymos.encoder.encoder_file import read_encoder
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.level_spectrograms import make_recordings
from thymos.encoder.recipe import WholeRecipe
from thymos.errors import LeakageError, RecipeError
from thymos.evaluation.evaluate import EvaluationPlan, evaluate
from thymos.scoring.calibration import calibration_summary, fit_conformal, fit_temperature, log_probabilities
from thymos.scoring.predictions import read_predictions

FULL = LevelMelSettings(n_bands=12)
DISCRIMINANT: dict[str, Any] = {"scored_speeds": 2, "shrinkage": 0.9}

Recipe = Callable[..., WholeRecipe]


@pytest.fixture(scope="module")
def corpus(make_tones: Callable[..., Corpus], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Three emotions by four speakers, one of whom only makes noise: so that nobody can be sure of everything."""
    return make_tones(tmp_path_factory.mktemp("tones"), noisy=(2,))


@pytest.fixture(scope="module")
def encoder(write_toy_encoder) -> Path:
    """It knows none of the emotions but one, and has random weights."""
    folder, _ = write_toy_encoder("for a discriminant", labels=("anger", "calm"), features=FULL)
    return folder


@pytest.fixture(scope="module")
def recipe(whole_recipe: Recipe, encoder: Path) -> Recipe:
    def make(**changes: Any) -> WholeRecipe:
        own = {"start_from": str(encoder), "features": FULL.model_dump(), "training": {"epochs": 0}}
        return whole_recipe(**(own | {"speeds": [1.0, 0.9, 1.1], "discriminant": DISCRIMINANT} | changes))

    return make


@pytest.fixture(scope="module")
def plan(recipe: Recipe) -> EvaluationPlan:
    return EvaluationPlan(recipe(calibration_splits=2), "speaker", threads=1)


@pytest.fixture(scope="module")
def run(corpus: Corpus, plan: EvaluationPlan, tones_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    evaluate(corpus, plan, out, tones_cache)
    return out


def results(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())


def said(run: Path) -> np.ndarray:
    """Logarithms of probabilities: tones are told apart so surely that these themselves are nearly all 0 or 1."""
    frame = pd.read_csv(run / "predictions.csv")
    return log_probabilities(frame[[name for name in frame.columns if name.startswith("p_")]].to_numpy(float))


def test_predictions_are_those_of_a_discriminant_of_the_training_part(
    corpus: Corpus, tones_cache: Path, plan: EvaluationPlan, run: Path, encoder: Path
) -> None:
    """Fitted here anew, fold by fold, with the temperature and the threshold that inner splits give."""
    pretrained = read_encoder(encoder)
    sources = [(corpus.root, clip) for clip in corpus.clips]
    pack = make_recordings(sources, FULL, plan.recipe.speeds, tones_cache)
    file = describe_recordings(pack, plan.recipe, pretrained, tones_cache)
    targets = np.array([corpus.emotions.index(clip.emotion) for clip in corpus.clips])
    place = {clip.path: i for i, clip in enumerate(corpus.clips)}
    kept = pd.read_csv(run / "predictions.csv")

    def logits_of(train: list[int], scored: list[int]) -> np.ndarray:
        return fit_discriminant(plan.recipe, pretrained, file, targets, train).logits(file, scored, 2)

    protocol = protocol_named("speaker").split(corpus)
    material = whole_folds.prepare(corpus, plan.recipe, tones_cache, lambda: None, 1, 0)
    made = whole_folds.tasks(corpus, plan.recipe, protocol, material, 0)
    temperatures = []
    for fold, task, told in zip(protocol.folds, made, results(run)["folds"], strict=True):
        inner = np.concatenate([logits_of(list(train), list(held_out)) for train, held_out in task.inner])
        truth = targets[np.concatenate([held_out for _, held_out in task.inner])]
        temperature = fit_temperature(inner, truth)
        conformal = fit_conformal(softmax(inner / temperature, axis=1), truth)
        assert told["calibration"]["temperature"] == pytest.approx(temperature, rel=1e-6)
        assert told["calibration"]["conformal"]["threshold"] == pytest.approx(conformal.threshold, rel=1e-6)
        assert told["calibration"]["conformal"]["rows"] == 18
        temperatures.append(temperature)
        own = kept[kept.fold == fold.index]
        assert sorted(own["clip"]) == sorted(fold.test)
        logits = logits_of([place[path] for path in fold.train], [place[path] for path in own["clip"]])
        found = log_probabilities(own[[f"p_{word}" for word in corpus.emotions]].to_numpy(float))
        np.testing.assert_allclose(found, log_softmax(logits / temperature, axis=1), rtol=1e-5, atol=1e-6)
    assert len(set(temperatures)) == 4


def test_results_tell_what_was_fitted_and_what_calibration_was_worth(
    corpus: Corpus, plan: EvaluationPlan, run: Path, encoder: Path
) -> None:
    found = results(run)
    assert found["summary"]["recording"]["accuracy"]["mean"] > 0.8
    assert found["recipe"]["discriminant"]["shrinkage"] == 0.9
    assert found["deciding"] == {"encoder": read_encoder(encoder).about["sha256"]["encoder.safetensors"]}
    for fold in found["folds"]:
        assert fold["curve"] == []
        assert fold["parameters"] > 3 * 400, "the linear layer's are among them"
    assert whole_folds.epochs(plan.recipe) == 0
    folds = [
        (json.loads(path.read_text()), read_predictions(path.with_suffix(".csv")))
        for path in sorted((run / "folds").glob("*.json"))
    ]
    expected = json.loads(json.dumps(calibration_summary(folds, corpus.emotions)))
    assert found["calibration"] == expected
    assert list(expected["sets_by_speaker"]) == ["1", "2", "3", "4"]
    assert len(expected["temperatures"]) == 4


def test_a_task_can_go_to_a_worker_and_says_all_it_needs(
    corpus: Corpus, plan: EvaluationPlan, tones_cache: Path, run: Path
) -> None:
    material = whole_folds.prepare(corpus, plan.recipe, tones_cache, lambda: None, 1, 0)
    made = whole_folds.tasks(corpus, plan.recipe, protocol_named("speaker").split(corpus), material, 0)
    told: list[Any] = []
    facts, frame = whole_folds.run_whole_fold(pickle.loads(pickle.dumps(made))[3], told.append)
    assert told == [], "there are no epochs to tell of"
    kept = pd.read_csv(run / "folds/repeat-0_fold-3.csv")
    np.testing.assert_allclose(frame.p_fear, kept.p_fear, rtol=1e-6)
    assert facts["train_clips"] == 27


@pytest.mark.parametrize("other", [{"noisy": (1, 2)}, {"noisy": (2,), "turned": (1,)}], ids=["sounds", "labels"])
def test_the_test_part_has_no_say(
    make_tones: Callable[..., Corpus], tones_cache: Path, plan: EvaluationPlan, run: Path, tmp_path: Path, other: Any
) -> None:
    found = evaluate(make_tones(tmp_path / "c", **other), replace(plan, only_fold=0), tmp_path / "run", tones_cache)
    assert found["folds"][0]["calibration"] == results(run)["folds"][0]["calibration"]
    before, after = pd.read_csv(run / "predictions.csv"), pd.read_csv(tmp_path / "run/predictions.csv")
    assert not after.equals(before[before.fold == 0].reset_index(drop=True))


def test_the_training_part_has(
    make_tones: Callable[..., Corpus], tones_cache: Path, plan: EvaluationPlan, run: Path, tmp_path: Path
) -> None:
    other = make_tones(tmp_path / "c", noisy=(2, 3))
    found = evaluate(other, replace(plan, only_fold=0), tmp_path / "run", tones_cache)
    assert found["folds"][0]["calibration"] != results(run)["folds"][0]["calibration"]


@pytest.fixture(scope="module")
def plain(
    corpus: Corpus, plan: EvaluationPlan, recipe: Recipe, tones_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same run, not calibrated."""
    out = tmp_path_factory.mktemp("plain") / "run"
    evaluate(corpus, replace(plan, recipe=recipe()), out, tones_cache)
    return out


def test_without_inner_splits_nothing_is_calibrated_and_decisions_stay(run: Path, plain: Path) -> None:
    found = results(plain)
    assert "calibration" not in found
    assert all("calibration" not in fold for fold in found["folds"])
    np.testing.assert_array_equal(said(plain).argmax(1), said(run).argmax(1))
    assert np.abs(said(plain) - said(run)).max() > 0.1


def test_shuffled_labels_run_on_the_same_descriptions(
    corpus: Corpus, plan: EvaluationPlan, run: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    evaluate(corpus, replace(plan, only_fold=0), tmp_path / "run", cache)
    found = evaluate(corpus, replace(plan, shuffled_labels=True), tmp_path / "shuffled", cache)
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
    other = EvaluationPlan(recipe(**changes), "speaker", only_fold=0, threads=1)
    evaluate(corpus, other, tmp_path / "run", tones_cache)
    assert np.abs(said(tmp_path / "run") - said(plain)[:9]).max() > 0.1


def test_steps_are_recordings_read_and_then_described(corpus: Corpus, recipe: Recipe, tmp_path: Path) -> None:
    for time in ("read", "found in the cache"):
        told: list[None] = []
        whole_folds.prepare(corpus, recipe(), tmp_path, lambda told=told: told.append(None), 1, 0)
        assert len(told) == whole_folds.steps(corpus, recipe()) == 2 * len(corpus.clips), time


def test_what_does_not_go_together_is_told_before_what_leaks(
    corpus: Corpus, recipe: Recipe, write_toy_encoder, whole_recipe: Recipe
) -> None:
    """Since a recogniser that is not calibrated may start from an encoder that has heard its recordings."""
    heard, _ = write_toy_encoder("one channel, heard", seen=corpus.clips[:1])
    unfit = whole_recipe(start_from=str(heard), training={"epochs": 0}, discriminant=DISCRIMINANT)
    with pytest.raises(RecipeError, match="do not go together"):
        whole_folds.check(corpus, unfit)
    narrow, _ = write_toy_encoder("narrow, heard", seen=corpus.clips[:1], labels=("anger", "calm"))
    with pytest.raises(RecipeError, match="does not know fear, sadness"):
        whole_folds.check(corpus, whole_recipe(start_from=str(narrow), training={"epochs": 0}))
    full, _ = write_toy_encoder("heard by a discriminant", seen=corpus.clips[:1], features=FULL)
    with pytest.raises(LeakageError, match="pretrained on 1 of these recordings"):
        whole_folds.check(corpus, recipe(start_from=str(full)))
