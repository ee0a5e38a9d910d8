"""What the guard against leakage prevents, and that the public interface leaves no way around it.

Segments of one recording overlap. Were they divided instead of recordings, parts of a test segment would be trained
on, and a network that only remembers would seem to recognise emotions. The labels here are shuffled: there is nothing
to be learned, so whatever is scored above chance is leaked.
"""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from thymos.corpora import Corpus, open_corpus
from thymos.corpora.protocols import protocol_named, shuffle_labels
from thymos.engine.process import one_thread
from thymos.errors import LeakageError
from thymos.evaluation.evaluate import evaluate
from thymos.evaluation.fitting import fold_tasks, run_fold
from thymos.experiment import Experiment, Work
from thymos.recipes import experiment_of, parse_recipe

if TYPE_CHECKING:
    from thymos.cnn.experiment import SpectrogramFiles

RECIPE = {
    "name": "overlapping",
    "sound": {"rate_hz": 8000, "segments": "sliding", "window_s": 1.0, "hop_s": 0.1},
    "features": {"n_fft": 512, "hop": 256, "n_mels": 32},
    "model": {"family": "residual", "widths": [16, 32], "dropout": 0.0},
    "training": {"epochs": 14, "learning_rate": 0.003, "batch_size": 32, "precision": "fp32"},
}
CHANCE = 0.2


@pytest.fixture(scope="module")
def experiment() -> "Experiment[SpectrogramFiles]":
    return experiment_of(parse_recipe(RECIPE, "this test"))


@pytest.fixture(scope="module")
def corpus(mini: Path) -> Corpus:
    """A third of the mini corpus, its emotions dealt out at random."""
    whole = open_corpus(mini)
    return shuffle_labels(replace(whole, clips=whole.clips[::3]), seed=0)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return Work(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def features(corpus: Corpus, experiment: "Experiment[SpectrogramFiles]", work: Work) -> "SpectrogramFiles":
    return experiment.features(corpus, work)


@pytest.mark.slow
def test_dividing_segments_would_inflate_the_score(corpus, experiment, features, work):
    from thymos.cnn.fit import fit, predict_probabilities

    split = protocol_named("recording", 5).split(corpus)
    first = replace(split, folds=split.folds[:1])
    (task,) = fold_tasks(corpus, experiment, first, features, 0, work)
    with one_thread():
        _, frame = run_fold(task, lambda message: None)
    said = frame[[f"p_{emotion}" for emotion in corpus.emotions]].to_numpy().argmax(1)
    honest_score = float((np.array(corpus.emotions)[said] == frame["truth"]).mean())

    # What no caller can ask for: segments are dealt out whichever recording they belong to.
    spectrograms = features.open()
    order = np.random.default_rng(0).permutation(len(spectrograms.clip_index))
    test, train = np.sort(order[: len(frame)]), np.sort(order[len(frame) :])
    assert set(spectrograms.clip_index[train]) & set(spectrograms.clip_index[test])
    targets = corpus.targets[spectrograms.clip_index]
    fitted = fit(experiment.recipe, spectrograms.values[train], targets[train], len(corpus.emotions), task.part.seed)
    probabilities = predict_probabilities(fitted.model, spectrograms.values[test], experiment.recipe.training)
    inflated_score = float((probabilities.argmax(1) == targets[test]).mean())
    assert honest_score < CHANCE + 0.15
    assert inflated_score > 0.6
    assert inflated_score - honest_score > 0.35


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["recording", "take", "sentence", "speaker"])
def test_segments_follow_their_recording(corpus, experiment, features, work, protocol, monkeypatch):
    """What is fitted to, and what is scored: all segments of the fold's recordings, and no other."""
    from thymos.cnn import experiment as module

    fitted_to = []

    def note(recipe, values, *others, **more):
        fitted_to.append(values)
        return SimpleNamespace(model=SimpleNamespace(parameters=lambda: ()), curve=())

    monkeypatch.setattr(module, "fit", note)
    monkeypatch.setattr(module, "predict_probabilities", lambda model, values, *others: np.full((len(values), 5), 0.2))
    spectrograms = features.open()
    paths = np.array([corpus.clips[place].path for place in spectrograms.clip_index])
    split = protocol_named(protocol, 3).split(corpus)
    for fold, task in zip(split.folds, fold_tasks(corpus, experiment, split, features, 0, work), strict=True):
        facts, frame = run_fold(task, lambda message: None)
        inside = np.isin(paths, fold.train)
        np.testing.assert_array_equal(fitted_to.pop(), spectrograms.values[inside])
        assert frame["clip"].tolist() == paths[np.isin(paths, fold.test)].tolist()
        assert facts["train_segments"] + facts["test_segments"] == len(paths)


def test_a_fold_with_a_recording_on_both_sides_is_refused(corpus, tmp_path):
    paths = tuple(clip.path for clip in corpus.clips)
    (tmp_path / "mine.csv").write_text(
        "file,fold,split\n" + "".join(f"{path},1,train\n" for path in paths) + f"{paths[-1]},1,test\n"
    )
    with pytest.raises(LeakageError, match="one recording is on both sides"):
        protocol_named(f"file:{tmp_path / 'mine.csv'}").split(corpus)


def test_folds_from_a_file_that_leak_are_refused_before_any_sound_is_cut(mini, experiment, tmp_path):
    whole = open_corpus(mini)
    lines = [f"{clip.path},1,{'test' if i % 5 == 0 else 'train'}" for i, clip in enumerate(whole.clips)]
    lines.append(f"{whole.clips[0].path},1,train")
    (tmp_path / "folds.csv").write_text("file,fold,split\n" + "\n".join(lines) + "\n")
    protocol = f"file:{tmp_path / 'folds.csv'}"
    with pytest.raises(LeakageError, match=whole.clips[0].path.replace("(", r"\(").replace(")", r"\)")):
        evaluate(whole, experiment, protocol, out=tmp_path / "run", cache_dir=tmp_path / "cache", device="cpu")
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "run").exists()
