"""Calibration in the folds: inner splits give temperature and prediction sets, and the test part has no say in it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from thymos.corpora import Corpus
from thymos.corpora.protocols import protocol_named
from thymos.encoder.experiment import EncoderExperiment
from thymos.encoder.fit_recordings import fine_tune, score_recordings
from thymos.encoder.level_spectrograms import open_recordings
from thymos.encoder.recipe import EncoderRecipe
from thymos.engine.process import one_thread
from thymos.errors import ProtocolError
from thymos.evaluation.evaluate import evaluate
from thymos.evaluation.fitting import FoldTask, epochs_reported, fold_tasks
from thymos.experiment import Work
from thymos.scoring.calibration import fit_temperature
from thymos.scoring.comparison import FinishedRun

Recipe = Callable[..., EncoderRecipe]


@pytest.fixture(scope="module")
def recipe(encoder_recipe: Recipe) -> EncoderRecipe:
    return encoder_recipe(calibrated=True)


def first_speaker(corpus: Corpus, recipe: EncoderRecipe, cache: Path) -> FinishedRun:
    return evaluate(corpus, EncoderExperiment(recipe), "speaker", only_fold=0, threads=1, cache_dir=cache)


def tasks(corpus: Corpus, recipe: EncoderRecipe, cache: Path) -> list[FoldTask]:
    experiment, work = EncoderExperiment(recipe), Work(cache)
    protocol = protocol_named("speaker").split(corpus)
    return fold_tasks(corpus, experiment, protocol, experiment.features(corpus, work), 0, work)


@pytest.fixture(scope="module")
def run(tones: Corpus, recipe: EncoderRecipe, tones_cache: Path) -> FinishedRun:
    return first_speaker(tones, recipe, tones_cache)


def probabilities(run: FinishedRun) -> np.ndarray:
    return run.predictions[[name for name in run.predictions.columns if name.startswith("p_")]].to_numpy()


def fold_of(run: FinishedRun) -> dict[str, Any]:
    (fold,) = run.results["folds"]
    return fold


def test_it_gives_a_temperature_and_a_threshold(run: FinishedRun, recipe: EncoderRecipe, tones: Corpus) -> None:
    fold = fold_of(run)
    assert 0.05 <= fold["calibration"]["temperature"] <= 20
    sets = fold["calibration"]["conformal"]
    assert sets["rows"] == 27, "the whole training part: nine recordings by each of three speakers"
    assert 0 < sets["threshold"] < 1
    assert [at["epoch"] for at in fold["curve"]] == [1, 2], "of the model alone"
    assert epochs_reported(EncoderExperiment(recipe)) >= 8, "inner fits counted"


def test_probabilities_are_tempered_and_decisions_stay(
    tones: Corpus, tones_cache: Path, run: FinishedRun, encoder_recipe: Recipe
) -> None:
    plain, tempered = probabilities(first_speaker(tones, encoder_recipe(), tones_cache)), probabilities(run)
    temperature = fold_of(run)["calibration"]["temperature"]
    assert abs(temperature - 1) > 0.01
    np.testing.assert_allclose(tempered, softmax(np.log(plain) / temperature, axis=1), atol=1e-5)
    np.testing.assert_array_equal(tempered.argmax(1), plain.argmax(1))


def test_inner_splits_are_all_of_the_training_part_by_the_same_rule(
    tones: Corpus, tones_cache: Path, recipe: EncoderRecipe
) -> None:
    """Every speaker who is trained on is held out once: with the first split alone, it was always the same one."""
    made = tasks(tones, recipe, tones_cache)
    assert len({task.part.seed for task in made}) == len(made) == 4
    speakers = [clip.speaker for clip in tones.clips]
    for task in made:
        part = task.part
        assert set(part.rows) | set(task.test) == set(range(len(tones.clips)))
        held_out = []
        for split in part.inner:
            assert set(split.train.rows) | set(split.rows) == set(part.rows)
            sides = [{speakers[i] for i in side} for side in (split.train.rows, split.rows, task.test)]
            assert [len(side) for side in sides] == [2, 1, 1]
            assert len(set.union(*sides)) == 4
            held_out += split.rows
        assert sorted(held_out) == sorted(part.rows)


def test_the_temperature_is_that_of_networks_that_have_not_heard_the_inner_parts(
    tones: Corpus, tones_cache: Path, recipe: EncoderRecipe, run: FinishedRun
) -> None:
    task = tasks(tones, recipe, tones_cache)[0]
    recordings, logits = open_recordings(task.features.folder), []
    with one_thread():
        for split in task.part.inner:
            part = split.train
            network = fine_tune(recipe, None, recordings, part.targets, part.rows, part.labels, part.seed)
            logits.append(score_recordings(network, recordings, split.rows, recipe.features))
    truth = np.concatenate([split.targets for split in task.part.inner])
    found = fold_of(run)["calibration"]["temperature"]
    assert found == pytest.approx(fit_temperature(np.concatenate(logits), truth), rel=1e-6)
    of_one = fit_temperature(logits[0], task.part.inner[0].targets)
    assert found != pytest.approx(of_one, rel=1e-3), "more than one split has a say"


@pytest.mark.parametrize("other", [{"noisy": (1,)}, {"turned": (1,)}], ids=["sounds", "labels"])
def test_the_test_part_has_no_say(
    make_tones: Callable[..., Corpus],
    tones_cache: Path,
    recipe: EncoderRecipe,
    run: FinishedRun,
    tmp_path: Path,
    other: dict[str, Any],
) -> None:
    """Other sounds or other labels of the speaker that is tested leave all that is fitted as it was."""
    changed = first_speaker(make_tones(tmp_path / "corpus", **other), recipe, tones_cache)
    assert fold_of(changed)["calibration"] == fold_of(run)["calibration"]
    assert fold_of(changed)["curve"] == fold_of(run)["curve"]
    assert not changed.predictions.equals(run.predictions)


@pytest.mark.parametrize("noisy", [2, 4])
def test_all_of_the_training_part_has(
    make_tones: Callable[..., Corpus],
    tones_cache: Path,
    recipe: EncoderRecipe,
    run: FinishedRun,
    tmp_path: Path,
    noisy: int,
) -> None:
    changed = first_speaker(make_tones(tmp_path / "corpus", noisy=(noisy,)), recipe, tones_cache)
    assert fold_of(changed)["calibration"] != fold_of(run)["calibration"]


def test_too_few_recordings_for_a_threshold_are_no_error(
    make_tones: Callable[..., Corpus], encoder_recipe: Recipe, tmp_path: Path
) -> None:
    small = make_tones(tmp_path / "corpus", takes=1)
    two = replace(small, clips=tuple(clip for clip in small.clips if clip.speaker in ("1", "2", "3")))
    recipe = encoder_recipe(calibrated=True, training={"batch_size": 2})
    sets = fold_of(first_speaker(two, recipe, tmp_path / "cache"))["calibration"]["conformal"]
    assert (sets["rows"], sets["threshold"]) == (6, None)


def test_an_inner_training_part_that_lacks_an_emotion_is_refused(
    tones: Corpus, tones_cache: Path, recipe: EncoderRecipe
) -> None:
    gone = {("3", "fear"), ("4", "fear")}
    corpus = replace(tones, clips=tuple(clip for clip in tones.clips if (clip.speaker, clip.emotion) not in gone))
    with pytest.raises(ProtocolError, match="speaker 1, inner speaker 2 has no recording of fear to train on"):
        first_speaker(corpus, recipe, tones_cache)
