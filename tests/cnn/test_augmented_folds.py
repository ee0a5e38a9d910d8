"""Augmentation, normalisation by speaker and stretched segments in a whole evaluation on a few recordings."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thymos.cnn import experiment as spectrogram_folds
from thymos.cnn.experiment import FoldTask, fold_tasks, run_fold
from thymos.cnn.spectrograms import Spectrograms, make_spectrograms
from thymos.corpora import Corpus, open_corpus
from thymos.corpora.protocols import apply_protocol
from thymos.errors import ProtocolError
from thymos.evaluation.evaluate import EvaluationPlan, Watcher, evaluate
from thymos.recipes import Recipe, load_recipe
from thymos.reports.run_report import write_report

SMALL = ("training.epochs=2", "model.conv_channels=[4, 8]", "model.dense_units=[8]", "features.n_mels=32")
SMALLER = (*SMALL, "sound.rate_hz=16000", "features.n_fft=512", "features.hop=256")
COPIES = "augmentation.copies=[{pitch_semitones: 4}, {pitch_semitones: -4}]"


@pytest.fixture(scope="module")
def corpus(mini: Path) -> Corpus:
    """Two sentences of everyone."""
    whole = open_corpus(mini)
    return whole.excluding(lambda clip: None if clip.sentence in ("01", "02", "1", "2") else "not needed")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def spectrograms_of(corpus: Corpus, recipe: Recipe, cache: Path) -> Spectrograms:
    return make_spectrograms(corpus, recipe.sound, recipe.features, cache, copies=recipe.augmentation.copies)


def first_task(corpus: Corpus, recipe: Recipe, cache: Path, watched: bool = False) -> FoldTask:
    folds = apply_protocol(corpus, "recording", 2).folds
    return fold_tasks(corpus, recipe, folds[:1], spectrograms_of(corpus, recipe, cache), 0, watched)[0]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is fitted on and what is tested on, in the next fold that is run."""
    noted: dict[str, Any] = {}
    fit, predict = spectrogram_folds.fit, spectrogram_folds.predict_probabilities

    def noting_fit(recipe, spectrograms, targets, *others, **more):
        noted.update(train=spectrograms, targets=targets)
        return fit(recipe, spectrograms, targets, *others, **more)

    def noting_predict(model, spectrograms, settings):
        noted.update(test=spectrograms)
        return predict(model, spectrograms, settings)

    monkeypatch.setattr(spectrogram_folds, "fit", noting_fit)
    monkeypatch.setattr(spectrogram_folds, "predict_probabilities", noting_predict)
    return noted


def test_training_is_augmented_and_testing_is_not(corpus: Corpus, cache: Path, seen: dict[str, Any]) -> None:
    recipe = load_recipe("model1", [*SMALLER, COPIES, "augmentation.time_shift_s=1"])
    task = first_task(corpus, recipe, cache)
    facts, frame = run_fold(task, lambda message: None)
    spectrograms = spectrograms_of(corpus, recipe, cache)
    train, test = list(task.train_segments), list(task.test_segments)
    expected = [each.values[train] for each in (spectrograms, *spectrograms.copies)]
    np.testing.assert_array_equal(seen["train"], np.concatenate(expected))
    assert seen["targets"].tolist() == [task.segment_labels[i] for i in train] * 3
    np.testing.assert_array_equal(seen["test"], spectrograms.values[test])
    assert len(frame) == len(test)
    assert facts["train_segments"] == len(train)


def test_spectrograms_without_the_recipes_copies_are_refused(corpus: Corpus, cache: Path) -> None:
    """The study's cross-validation left its augmentation out unnoticed."""
    recipe = load_recipe("model1", [*SMALLER, COPIES])
    plain = make_spectrograms(corpus, recipe.sound, recipe.features, cache)
    with pytest.raises(ValueError, match="without the recipe's"):
        fold_tasks(corpus, recipe, apply_protocol(corpus, "recording", 2).folds, plain, 0)


def test_only_a_watched_test_part_is_in_the_curve(corpus: Corpus, cache: Path) -> None:
    recipe = load_recipe("model1", SMALLER)
    plain = run_fold(first_task(corpus, recipe, cache), lambda message: None)
    watched = run_fold(first_task(corpus, recipe, cache, watched=True), lambda message: None)
    assert plain[0]["curve"][0].keys() == {"epoch", "loss", "accuracy"}
    assert watched[0]["curve"][0].keys() == {*plain[0]["curve"][0], "validation_loss", "validation_accuracy"}
    assert plain[1].equals(watched[1])


def test_normalisation_covers_both_sides_of_a_fold(corpus: Corpus, cache: Path, seen: dict[str, Any]) -> None:
    recipe = load_recipe("model1", [*SMALLER, "features.normalise=speaker"])
    task = first_task(corpus, recipe, cache)
    run_fold(task, lambda message: None)
    spectrograms = spectrograms_of(corpus, recipe, cache)
    order = [*task.train_segments, *task.test_segments]
    speakers = np.array([corpus.clips[i].speaker for i in spectrograms.clip_index[order]])
    values = np.concatenate([seen["train"], seen["test"]])
    assert len(values) == len(spectrograms.values)
    for speaker in set(speakers):
        own = values[speakers == speaker].astype(np.float64)
        np.testing.assert_allclose(own.mean(axis=(0, 3)), 0, atol=1e-3)
        np.testing.assert_allclose(own.std(axis=(0, 3)), 1, atol=1e-3)


def test_normalisation_needs_speakers(corpus: Corpus, cache: Path) -> None:
    recipe = load_recipe("model1", [*SMALLER, "features.normalise=speaker"])
    nobody = replace(corpus, clips=tuple(replace(clip, speaker="") for clip in corpus.clips))
    with pytest.raises(ProtocolError, match="needs to know who speaks"):
        first_task(nobody, recipe, cache)


def test_a_whole_evaluation_with_everything(corpus: Corpus, cache: Path, tmp_path: Path) -> None:
    changes = [
        *SMALLER,
        COPIES,
        "sound.segments=stretch",
        "features.normalise=speaker",
        "augmentation.spec_augment={freq_masks: 1, freq_width: 4, time_masks: 1, time_width: 10}",
        "augmentation.mixup_alpha=0.2",
    ]
    plan = EvaluationPlan(load_recipe("model1", changes), folds=2, threads=1)
    steps: list[None] = []
    totals: list[int] = []
    watcher = Watcher(on_spectrograms=totals.append, on_spectrogram=lambda: steps.append(None))
    evaluate(corpus, plan, tmp_path / "one", cache, watcher=watcher)
    evaluate(corpus, plan, tmp_path / "two", cache, workers=2)
    assert [len(steps)] == totals == [3 * len(corpus.clips)]
    predictions = (tmp_path / "one/predictions.csv").read_bytes()
    assert predictions == (tmp_path / "two/predictions.csv").read_bytes()
    assert len(predictions.splitlines()) == 1 + len(corpus.clips)
    results = json.loads((tmp_path / "one/results.json").read_text())
    assert results["transductive"] is True
    assert results["recipe"]["augmentation"]["copies"][1]["pitch_semitones"] == -4
    assert "Transductive:" in write_report(tmp_path / "one").read_text()
