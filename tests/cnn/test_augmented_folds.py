"""Augmentation, normalisation by speaker and stretched segments in a whole evaluation on a few recordings."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thymos.cnn import experiment as module
from thymos.cnn.experiment import CnnExperiment
from thymos.corpora import Corpus, open_corpus, protocol_named
from thymos.errors import ProtocolError
from thymos.evaluation.evaluate import Watcher, evaluate
from thymos.evaluation.fitting import FoldTask, fold_tasks, run_fold
from thymos.experiment import Work
from thymos.recipes import load_experiment
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


def small(*changes: str) -> CnnExperiment:
    return load_experiment("model1", [*SMALLER, *changes])


@pytest.fixture
def first_task(corpus: Corpus, cache: Path) -> Callable[..., FoldTask]:
    """``first_task(experiment, corpus=the module's, watched=False) -> FoldTask``: the first of two folds."""

    def make(experiment: CnnExperiment, corpus: Corpus = corpus, watched: bool = False) -> FoldTask:
        split = protocol_named("recording", 2).split(corpus)
        features = experiment.features(corpus, Work(cache))
        return fold_tasks(corpus, experiment, split, features, 0, Work(cache), watched)[0]

    return make


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is fitted on and what is tested on, in the next fold that is run."""
    noted: dict[str, Any] = {}
    fit, predict = module.fit, module.predict_probabilities

    def noting_fit(recipe, spectrograms, targets, *others, **more):
        noted.update(train=spectrograms, targets=targets)
        return fit(recipe, spectrograms, targets, *others, **more)

    def noting_predict(model, spectrograms, *others):
        noted.update(test=spectrograms)
        return predict(model, spectrograms, *others)

    monkeypatch.setattr(module, "fit", noting_fit)
    monkeypatch.setattr(module, "predict_probabilities", noting_predict)
    return noted


@pytest.mark.slow
def test_training_is_augmented_and_testing_is_not(first_task, corpus: Corpus, seen: dict[str, Any]) -> None:
    """The study's cross-validation left its augmentation out unnoticed."""
    task = first_task(small(COPIES, "augmentation.time_shift_s=1"))
    facts, frame = run_fold(task, lambda message: None)
    spectrograms = task.features.open()
    train, test = (np.flatnonzero(np.isin(spectrograms.clip_index, rows)) for rows in (task.part.rows, task.test))
    expected = [each.values[train] for each in (spectrograms, *spectrograms.copies)]
    assert len(expected) == 3
    np.testing.assert_array_equal(seen["train"], np.concatenate(expected))
    assert seen["targets"].tolist() == corpus.targets[spectrograms.clip_index[train]].tolist() * 3
    np.testing.assert_array_equal(seen["test"], spectrograms.values[test])
    assert len(frame) == len(test)
    assert facts["train_segments"] == len(train)


@pytest.mark.slow
def test_only_a_watched_test_part_is_in_the_curve(first_task) -> None:
    plain = run_fold(first_task(small()), lambda message: None)
    watched = run_fold(first_task(small(), watched=True), lambda message: None)
    assert plain[0]["curve"][0].keys() == {"epoch", "loss", "accuracy"}
    assert watched[0]["curve"][0].keys() == {*plain[0]["curve"][0], "validation_loss", "validation_accuracy"}
    assert plain[1].equals(watched[1])


@pytest.mark.slow
def test_normalisation_covers_both_sides_of_a_fold(first_task, corpus: Corpus, seen: dict[str, Any]) -> None:
    task = first_task(small("features.normalise=speaker"))
    run_fold(task, lambda message: None)
    index = task.features.open().clip_index
    order = np.concatenate([index[np.isin(index, rows)] for rows in (task.part.rows, task.test)])
    speakers = np.array([corpus.clips[place].speaker for place in order])
    values = np.concatenate([seen["train"], seen["test"]])
    assert len(values) == len(index)
    for speaker in set(speakers):
        own = values[speakers == speaker].astype(np.float64)
        np.testing.assert_allclose(own.mean(axis=(0, 3)), 0, atol=1e-3)
        np.testing.assert_allclose(own.std(axis=(0, 3)), 1, atol=1e-3)


def test_normalisation_needs_speakers(first_task, corpus: Corpus) -> None:
    nobody = replace(corpus, clips=tuple(replace(clip, speaker="") for clip in corpus.clips))
    with pytest.raises(ProtocolError, match="needs to know who speaks"):
        first_task(small("features.normalise=speaker"), nobody)


@pytest.mark.slow
def test_a_whole_evaluation_with_everything(corpus: Corpus, cache: Path, tmp_path: Path) -> None:
    experiment = small(
        COPIES,
        "sound.segments=stretch",
        "features.normalise=speaker",
        "augmentation.spec_augment={freq_masks: 1, freq_width: 4, time_masks: 1, time_width: 10}",
        "augmentation.mixup_alpha=0.2",
    )
    steps: list[None] = []
    totals: list[int] = []
    watcher = Watcher(on_features=totals.append, on_feature=lambda: steps.append(None))
    asked: dict[str, Any] = {"folds": 2, "cache_dir": cache, "device": "cpu"}
    evaluate(corpus, experiment, **asked, out=tmp_path / "one", threads=1, watcher=watcher)
    evaluate(corpus, experiment, **asked, out=tmp_path / "two", threads=2, workers=2)
    assert [len(steps)] == totals == [3 * len(corpus.clips)]
    predictions = (tmp_path / "one/predictions.csv").read_bytes()
    assert predictions == (tmp_path / "two/predictions.csv").read_bytes()
    assert len(predictions.splitlines()) == 1 + len(corpus.clips)
    results = json.loads((tmp_path / "one/results.json").read_text())
    assert results["transductive"] is True
    assert results["recipe"]["augmentation"]["copies"][1]["pitch_semitones"] == -4
    assert "Transductive:" in write_report(tmp_path / "one").read_text()
