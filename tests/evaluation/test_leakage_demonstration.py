"""What the guard against leakage prevents, and that the public interface leaves no way around it.

Segments of one recording overlap. Were they divided instead of recordings, parts of a test segment would be trained
on, and a network that only remembers would seem to recognise emotions. The labels here are shuffled: there is nothing
to be learned, so whatever is scored above chance is leaked.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thymos.cnn.experiment import FoldTask, fold_tasks, run_fold
from thymos.cnn.spectrograms import Spectrograms, make_spectrograms
from thymos.corpora import Corpus, open_corpus
from thymos.corpora.protocols import protocol_named, shuffle_labels
from thymos.engine.workers import torch_threads
from thymos.errors import LeakageError
from thymos.evaluation.evaluate import EvaluationPlan, evaluate
from thymos.recipes import Recipe, parse_recipe

RECIPE = {
    "name": "overlapping",
    "sound": {"rate_hz": 8000, "segments": "sliding", "window_s": 1.0, "hop_s": 0.1},
    "features": {"n_fft": 512, "hop": 256, "n_mels": 32},
    "model": {"family": "residual", "widths": [16, 32], "dropout": 0.0},
    "training": {"epochs": 14, "learning_rate": 0.003, "batch_size": 32, "precision": "fp32"},
}
CHANCE = 0.2


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return parse_recipe(RECIPE, "this test")


@pytest.fixture(scope="module")
def corpus(mini: Path) -> Corpus:
    """A third of the mini corpus, its emotions dealt out at random."""
    whole = open_corpus(mini)
    return shuffle_labels(replace(whole, clips=whole.clips[::3]), seed=0)


@pytest.fixture(scope="module")
def pictures(corpus: Corpus, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Spectrograms:
    return make_spectrograms(corpus, recipe.sound, recipe.features, tmp_path_factory.mktemp("cache"))


def segment_accuracy(task: FoldTask) -> float:
    with torch_threads(1):
        _, frame = run_fold(task, lambda message: None)
    said = frame[[f"p_{label}" for label in task.labels]].to_numpy().argmax(1)
    return float((np.array(task.labels)[said] == frame["truth"]).mean())


def divided_by_segments(task: FoldTask, corpus: Corpus, pictures: Spectrograms) -> FoldTask:
    """What no caller can ask for: a task whose segments are dealt out whichever recording they belong to."""
    order = np.random.default_rng(0).permutation(len(pictures.clip_index))
    cut = len(task.test_segments)
    test, train = np.sort(order[:cut]), np.sort(order[cut:])
    tested = [corpus.clips[i] for i in pictures.clip_index[test]]
    return replace(
        task,
        train_segments=tuple(train.tolist()),
        test_segments=tuple(test.tolist()),
        test_clips=tuple(clip.path for clip in tested),
        test_speakers=tuple(clip.speaker for clip in tested),
    )


def test_dividing_segments_would_inflate_the_score(corpus, recipe, pictures):
    fold = protocol_named("recording", 5).split(corpus).folds[0]
    (honest,) = fold_tasks(corpus, recipe, [fold], pictures, seed=0)
    leaking = divided_by_segments(honest, corpus, pictures)
    trained_on = {pictures.clip_index[i] for i in leaking.train_segments}
    assert trained_on & {pictures.clip_index[i] for i in leaking.test_segments}
    honest_score, inflated_score = segment_accuracy(honest), segment_accuracy(leaking)
    assert honest_score < CHANCE + 0.15
    assert inflated_score > 0.6
    assert inflated_score - honest_score > 0.35


@pytest.mark.parametrize("protocol", ["recording", "take", "sentence", "speaker"])
def test_segments_follow_their_recording(corpus, recipe, pictures, protocol):
    folds = protocol_named(protocol, 3).split(corpus).folds
    for fold, task in zip(folds, fold_tasks(corpus, recipe, folds, pictures, seed=0), strict=True):
        sides = [
            {corpus.clips[pictures.clip_index[i]].path for i in side}
            for side in (task.train_segments, task.test_segments)
        ]
        assert sides == [set(fold.train), set(fold.test)]
        assert len(task.train_segments) + len(task.test_segments) == len(pictures.clip_index)


def test_a_fold_with_a_recording_on_both_sides_is_refused(corpus, tmp_path):
    paths = tuple(clip.path for clip in corpus.clips)
    (tmp_path / "mine.csv").write_text(
        "file,fold,split\n" + "".join(f"{path},1,train\n" for path in paths) + f"{paths[-1]},1,test\n"
    )
    with pytest.raises(LeakageError, match="one recording is on both sides"):
        protocol_named(f"file:{tmp_path / 'mine.csv'}").split(corpus)


def test_folds_from_a_file_that_leak_are_refused_before_any_sound_is_cut(mini, recipe, tmp_path):
    whole = open_corpus(mini)
    lines = [f"{clip.path},1,{'test' if i % 5 == 0 else 'train'}" for i, clip in enumerate(whole.clips)]
    lines.append(f"{whole.clips[0].path},1,train")
    (tmp_path / "folds.csv").write_text("file,fold,split\n" + "\n".join(lines) + "\n")
    plan = EvaluationPlan(recipe, protocol=f"file:{tmp_path / 'folds.csv'}")
    with pytest.raises(LeakageError, match=whole.clips[0].path.replace("(", r"\(").replace(")", r"\)")):
        evaluate(whole, plan, tmp_path / "run", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "run").exists()
