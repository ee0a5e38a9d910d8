"""Calibration of recipes of kind whole: an inner split gives a temperature, and the test part has no say in it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from thymos.corpora import Corpus
from thymos.corpora.protocols import protocol_named
from thymos.encoder import experiment as whole_folds
from thymos.encoder.fine_tune import fine_tune
from thymos.encoder.fit_recordings import score_recordings
from thymos.encoder.recipe import WholeRecipe
from thymos.engine.threads import one_thread
from thymos.errors import ProtocolError
from thymos.evaluation.evaluate import EvaluationPlan, evaluate
from thymos.scoring.calibration import fit_temperature

Recipe = Callable[..., WholeRecipe]


@pytest.fixture(scope="module")
def plan(whole_recipe: Recipe) -> EvaluationPlan:
    return EvaluationPlan(whole_recipe(calibration_splits=2), "speaker", only_fold=0, threads=1)


@pytest.fixture(scope="module")
def run(tones: Corpus, plan: EvaluationPlan, tones_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    evaluate(tones, plan, out, tones_cache)
    return out


def predictions(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "predictions.csv")


def probabilities(run: Path) -> np.ndarray:
    frame = predictions(run)
    return frame[[name for name in frame.columns if name.startswith("p_")]].to_numpy()


def fold_of(run: Path) -> dict[str, Any]:
    (fold,) = json.loads((run / "results.json").read_text())["folds"]
    return fold


def test_it_gives_a_temperature_and_a_threshold(run: Path, plan: EvaluationPlan) -> None:
    fold = fold_of(run)
    assert 0.05 <= fold["calibration"]["temperature"] <= 20
    sets = fold["calibration"]["conformal"]
    assert sets["rows"] == 18, "both inner validation parts, of nine recordings each"
    assert 0 < sets["threshold"] < 1
    assert len(fold["curve"]) == whole_folds.epochs(plan.recipe) == 6


def test_probabilities_are_tempered_and_decisions_stay(
    tones: Corpus, tones_cache: Path, plan: EvaluationPlan, run: Path, whole_recipe: Recipe, tmp_path: Path
) -> None:
    evaluate(tones, replace(plan, recipe=whole_recipe()), tmp_path / "plain", tones_cache)
    plain, tempered = probabilities(tmp_path / "plain"), probabilities(run)
    temperature = fold_of(run)["calibration"]["temperature"]
    assert abs(temperature - 1) > 0.01
    np.testing.assert_allclose(tempered, softmax(np.log(plain) / temperature, axis=1), atol=1e-5)
    np.testing.assert_array_equal(tempered.argmax(1), plain.argmax(1))


def test_inner_parts_divide_the_training_part_by_the_same_rule(
    tones: Corpus, tones_cache: Path, plan: EvaluationPlan
) -> None:
    protocol = protocol_named("speaker").split(tones)
    material = whole_folds.prepare(tones, plan.recipe, tones_cache, lambda: None, 1, 0)
    made = whole_folds.tasks(tones, plan.recipe, protocol, material, 0)
    assert len({task.seed for task in made}) == len(made) == 4
    for task in made:
        assert set(task.train) | set(task.test) == set(range(len(tones.clips)))
        assert len(task.inner) == 2
        for train, validation in task.inner:
            assert set(train) | set(validation) == set(task.train)
            sides = [{tones.clips[i].speaker for i in side} for side in (train, validation, task.test)]
            assert [len(side) for side in sides] == [2, 1, 1]
            assert len(set.union(*sides)) == 4


def test_the_temperature_is_that_of_networks_that_have_not_heard_the_inner_parts(
    tones: Corpus, tones_cache: Path, plan: EvaluationPlan, run: Path
) -> None:
    protocol = protocol_named("speaker").split(tones)
    material = whole_folds.prepare(tones, plan.recipe, tones_cache, lambda: None, 1, 0)
    task = whole_folds.tasks(tones, plan.recipe, protocol, material, 0)[0]
    recordings, targets, logits = material.recordings, np.array(task.targets), []
    with one_thread():
        for train, validation in task.inner:
            network = fine_tune(plan.recipe, None, recordings, targets, train, task.labels, task.seed)
            logits.append(score_recordings(network, recordings, validation, plan.recipe.features))
    truth = targets[np.concatenate([validation for _, validation in task.inner])]
    expected = fit_temperature(np.concatenate(logits), truth)
    assert fold_of(run)["calibration"]["temperature"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("other", [{"noisy": (1,)}, {"turned": (1,)}], ids=["sounds", "labels"])
def test_the_test_part_has_no_say(
    make_tones: Callable[..., Corpus], tones_cache: Path, plan: EvaluationPlan, run: Path, tmp_path: Path, other: Any
) -> None:
    """Other sounds or other labels of the speaker that is tested leave all that is fitted as it was."""
    evaluate(make_tones(tmp_path / "corpus", **other), plan, tmp_path / "run", tones_cache)
    before, after = fold_of(run), fold_of(tmp_path / "run")
    assert after["calibration"] == before["calibration"]
    assert after["curve"] == before["curve"]
    assert not predictions(tmp_path / "run").equals(predictions(run))


def test_the_training_part_has(
    make_tones: Callable[..., Corpus], tones_cache: Path, plan: EvaluationPlan, run: Path, tmp_path: Path
) -> None:
    evaluate(make_tones(tmp_path / "corpus", noisy=(2,)), plan, tmp_path / "run", tones_cache)
    assert fold_of(tmp_path / "run")["calibration"] != fold_of(run)["calibration"]


def test_too_few_recordings_for_a_threshold_are_no_error(
    make_tones: Callable[..., Corpus], plan: EvaluationPlan, whole_recipe: Recipe, tmp_path: Path
) -> None:
    small = make_tones(tmp_path / "corpus", takes=1)
    recipe = whole_recipe(calibration_splits=1, training={"batch_size": 2})
    evaluate(small, replace(plan, recipe=recipe), tmp_path / "run", tmp_path / "cache")
    sets = fold_of(tmp_path / "run")["calibration"]["conformal"]
    assert (sets["rows"], sets["threshold"]) == (3, None)


def test_an_inner_training_part_that_lacks_an_emotion_is_refused(
    tones: Corpus, tones_cache: Path, whole_recipe: Recipe, tmp_path: Path
) -> None:
    gone = {("3", "fear"), ("4", "fear")}
    corpus = replace(tones, clips=tuple(clip for clip in tones.clips if (clip.speaker, clip.emotion) not in gone))
    plan = EvaluationPlan(whole_recipe(calibration_splits=3), "speaker", threads=1)
    with pytest.raises(ProtocolError, match="speaker 1, inner speaker 2 has no recording of fear to train on"):
        evaluate(corpus, plan, tmp_path / "run", tones_cache)
