"""Evaluations of recipes of kind whole, from files to results, on tones that stand for emotions."""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from thymos.corpora import Corpus
from thymos.corpora.protocols import protocol_named
from thymos.encoder import experiment as whole_folds
from thymos.encoder.encoder_file import read_encoder, write_encoder
from thymos.encoder.fit_recordings import score_recordings
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.level_spectrograms import make_recordings
from thymos.encoder.recipe import WholeRecipe
from thymos.engine.threads import one_thread
from thymos.errors import LeakageError, ProtocolError, RecipeError, RunError
from thymos.evaluation.evaluate import EvaluationPlan, Watcher, evaluate


@pytest.fixture(scope="module")
def recipe(whole_recipe: Callable[..., WholeRecipe]) -> Callable[..., WholeRecipe]:
    return whole_recipe


@pytest.fixture(scope="module")
def corpus(tones: Corpus) -> Corpus:
    return tones


@pytest.fixture(scope="module")
def cache(tones_cache: Path) -> Path:
    return tones_cache


@pytest.fixture(scope="module")
def plan(whole_recipe: Callable[..., WholeRecipe]) -> EvaluationPlan:
    return EvaluationPlan(whole_recipe(), folds=3, threads=1)


@pytest.fixture(scope="module")
def run(corpus: Corpus, plan: EvaluationPlan, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    evaluate(corpus, plan, out, cache)
    return out


def probabilities(run: Path) -> np.ndarray:
    frame = pd.read_csv(run / "predictions.csv")
    return frame[[name for name in frame.columns if name.startswith("p_")]].to_numpy()


def results(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text())


def test_a_run_scores_every_recording_once_and_whole(run: Path, corpus: Corpus) -> None:
    frame = pd.read_csv(run / "predictions.csv")
    assert sorted(frame["clip"]) == [clip.path for clip in corpus.clips]
    durations_s = frame["clip"].map({clip.path: clip.sound.duration_s for clip in corpus.clips})
    assert frame.end_s.to_numpy() == pytest.approx(durations_s.to_numpy(), abs=1e-4)
    assert (frame.start_s == 0).all()
    assert frame.truth.tolist() == [name.split("-")[0] for name in frame["clip"]]
    assert probabilities(run).sum(1) == pytest.approx(1, abs=1e-5)
    found = results(run)
    assert found["summary"]["segment"] == found["summary"]["recording"]
    for fold in found["folds"]:
        assert fold["train_clips"] + fold["test_clips"] == len(corpus.clips)
        assert [at["epoch"] for at in fold["curve"]] == [1, 2]
        assert "calibration" not in fold
    assert found["recipe"]["kind"] == "whole"
    assert found["transductive"] is False


def test_it_learns_what_tones_mean(recipe, corpus, cache, tmp_path) -> None:
    learning = recipe(training={"epochs": 25, "mixup_alpha": 0, "averaging": 0.9})
    found = evaluate(corpus, EvaluationPlan(learning, "speaker", only_fold=0, threads=1), tmp_path / "run", cache)
    assert found["summary"]["recording"]["accuracy"]["mean"] > 0.8


def test_the_seed_decides(corpus: Corpus, plan: EvaluationPlan, cache: Path, run: Path, tmp_path: Path) -> None:
    evaluate(corpus, plan, tmp_path / "again", cache)
    assert (tmp_path / "again/predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()
    evaluate(corpus, replace(plan, seed=1), tmp_path / "other", cache)
    assert not np.array_equal(probabilities(tmp_path / "other"), probabilities(run))


def test_one_fold_alone_is_that_fold_of_the_whole(corpus, plan, cache, run, tmp_path) -> None:
    evaluate(corpus, replace(plan, only_fold=2), tmp_path / "one", cache)
    whole = pd.read_csv(run / "predictions.csv")
    one = pd.read_csv(tmp_path / "one/predictions.csv")
    pd.testing.assert_frame_equal(one, whole[whole.fold == 2].reset_index(drop=True))


def test_a_task_can_go_to_a_worker_and_says_all_it_needs(corpus, plan, cache, run) -> None:
    protocol = protocol_named("recording", 3).split(corpus)
    material = whole_folds.prepare(corpus, plan.recipe, cache, lambda: None, 1, 0)
    task = pickle.loads(pickle.dumps(whole_folds.tasks(corpus, plan.recipe, protocol, material, 0)))[1]
    told: list[Any] = []
    with one_thread():  # as the run had: another number adds in another order
        _, frame = whole_folds.run_whole_fold(task, told.append)
    kept = pd.read_csv(run / "folds/repeat-0_fold-1.csv")
    assert frame["clip"].tolist() == kept["clip"].tolist()
    np.testing.assert_allclose(frame.p_anger, kept.p_anger, rtol=1e-6)
    assert [(name, epoch.epoch) for name, epoch in told] == [("fold 2", 1), ("fold 2", 2)]


def test_cut_short_it_goes_on_and_ends_with_the_same_digits(corpus, plan, cache, run, tmp_path) -> None:
    told: list[str] = []

    def stop(message: tuple[str, Any]) -> None:
        told.append(message[0])
        if message[0] == "fold 2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(corpus, plan, tmp_path / "cut", cache, watcher=Watcher(on_report=stop))
    assert not (tmp_path / "cut/results.json").exists()
    told.clear()
    evaluate(corpus, plan, tmp_path / "cut", cache, watcher=Watcher(on_report=lambda m: told.append(m[0])))
    assert set(told) == {"fold 2", "fold 3"}
    assert (tmp_path / "cut/predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


def test_killed_it_goes_on_and_ends_with_the_same_digits(corpus, plan, cache, run, tmp_path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from thymos.corpora import open_corpus\n"
        "from thymos.evaluation.evaluate import EvaluationPlan, Watcher, evaluate\n"
        "from thymos.encoder.recipe import WholeRecipe\n"
        "plan = EvaluationPlan(WholeRecipe.model_validate_json(sys.argv[1]), folds=3, threads=1)\n"
        "def kill(message):\n"
        "    if (message[0], message[1].epoch) == ('fold 2', 2): os.kill(os.getpid(), signal.SIGKILL)\n"
        "corpus = open_corpus(sys.argv[2])\n"
        "evaluate(corpus, plan, Path(sys.argv[3]), Path(sys.argv[4]), watcher=Watcher(on_report=kill))\n"
    )
    words = [plan.recipe.model_dump_json(), str(corpus.root / "clips.csv"), str(tmp_path / "cut"), str(cache)]
    done = subprocess.run([sys.executable, "-c", code, *words], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "cut/folds").glob("*.json")] == ["repeat-0_fold-0.json"]
    assert evaluate(corpus, plan, tmp_path / "cut", cache)["resumed_folds"] == 1
    assert (tmp_path / "cut/predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


def test_shuffled_labels_run_and_say_so(corpus, plan, cache, run, tmp_path) -> None:
    found = evaluate(corpus, replace(plan, shuffled_labels=True), tmp_path / "run", cache)
    assert found["shuffled_labels"] is True
    assert not np.array_equal(probabilities(tmp_path / "run"), probabilities(run))


def test_an_encoder_that_has_heard_a_recording_is_refused_before_any_work(
    recipe, corpus: Corpus, plan: EvaluationPlan, write_toy_encoder, tmp_path: Path
) -> None:
    heard, _ = write_toy_encoder("heard", seen=corpus.clips[7:9])
    chosen = replace(plan, recipe=recipe(start_from=str(heard)))
    with pytest.raises(LeakageError) as caught:
        evaluate(corpus, chosen, tmp_path / "run", tmp_path / "cache")
    assert f"pretrained on 2 of these recordings: {corpus.clips[7].path}, {corpus.clips[8].path}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_what_it_has_heard_is_refused_under_any_name(
    recipe, corpus, plan, write_toy_encoder, tmp_path
) -> None:
    renamed = replace(corpus.clips[5], path="elsewhere.flac", speaker="9", emotion="calm")
    heard, _ = write_toy_encoder("heard again", seen=(renamed,))
    with pytest.raises(LeakageError, match=corpus.clips[5].path):
        evaluate(corpus, replace(plan, recipe=recipe(start_from=str(heard))), tmp_path / "run", tmp_path / "cache")


def test_without_epochs_it_is_the_encoder_as_it_is(recipe, corpus, cache, write_toy_encoder, tmp_path) -> None:
    start, network = write_toy_encoder("start")
    chosen = recipe(start_from=str(start), training={"epochs": 0})
    evaluate(corpus, EvaluationPlan(chosen, folds=3, threads=1), tmp_path / "run", cache)
    frame = pd.read_csv(tmp_path / "run/predictions.csv")
    place = {clip.path: i for i, clip in enumerate(corpus.clips)}
    encoder = read_encoder(start)
    pack = make_recordings([(corpus.root, clip) for clip in corpus.clips], encoder.features, chosen.speeds, cache)
    logits = score_recordings(network, pack, [place[path] for path in frame["clip"]], encoder.features)
    expected = softmax(logits, axis=1)[:, [encoder.labels.index(word) for word in corpus.emotions]]
    np.testing.assert_allclose(probabilities(tmp_path / "run"), expected, atol=1e-6)
    assert all(fold["curve"] == [] for fold in results(tmp_path / "run")["folds"])


def test_without_epochs_an_unknown_emotion_is_refused(recipe, corpus, cache, write_toy_encoder, tmp_path) -> None:
    start, _ = write_toy_encoder("narrow", labels=("anger", "fear"))
    untrained = recipe(start_from=str(start), training={"epochs": 0})
    with pytest.raises(RecipeError, match="the encoder does not know sadness"):
        evaluate(corpus, EvaluationPlan(untrained), tmp_path / "run", cache)
    assert not (tmp_path / "run").exists()
    trained = recipe(start_from=str(start))
    evaluate(corpus, EvaluationPlan(trained, only_fold=0, threads=1), tmp_path / "run", cache)


def test_another_encoder_under_the_same_name_is_another_run(recipe, corpus, cache, write_toy_encoder, tmp_path) -> None:
    start, network = write_toy_encoder("moved")
    chosen = EvaluationPlan(recipe(start_from=str(start), training={"epochs": 0}), folds=3, threads=1)
    found = evaluate(corpus, chosen, tmp_path / "run", cache)
    assert len(found["deciding"]["encoder"]) == 64
    with torch.no_grad():
        network.head.linear.bias.add_(1)
    before = read_encoder(start)
    write_encoder(start, network, before.labels, before.features, before.model, [], {})
    with pytest.raises(RunError, match=r"another deciding\.encoder"):
        evaluate(corpus, chosen, tmp_path / "run", cache)


def test_an_encoder_that_is_not_there_is_refused_before_any_work(recipe, corpus, plan, tmp_path) -> None:
    with pytest.raises(RecipeError, match="holds no pretrained encoder"):
        evaluate(corpus, replace(plan, recipe=recipe(start_from=str(tmp_path / "no"))), tmp_path / "run", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_members_reach_the_run(recipe, corpus, plan, cache, write_toy_encoder, tmp_path) -> None:
    start, _ = write_toy_encoder("members")
    several = recipe(start_from=str(start), members=2)
    found = evaluate(corpus, replace(plan, recipe=several, only_fold=0), tmp_path / "two", cache)
    assert [at["epoch"] for at in found["folds"][0]["curve"]] == [1, 2, 3, 4]
    assert whole_folds.epochs(several) == 4


def test_what_is_too_silent_is_left_out(recipe, corpus, plan, cache, tmp_path) -> None:
    mute = replace(corpus.clips[4], sound=replace(corpus.clips[4].sound, silence_s=0.12))
    clips = (*corpus.clips[:4], mute, *corpus.clips[5:])
    chosen = replace(plan, recipe=recipe(max_silence_s=0.1), only_fold=0)
    found = evaluate(replace(corpus, clips=clips), chosen, tmp_path / "run", cache)
    assert [row["clip"] for row in found["excluded"]] == [mute.path]
    (fold,) = found["folds"]
    assert fold["train_clips"] + fold["test_clips"] == len(clips) - 1


def without(corpus: Corpus, *gone: tuple[str, str]) -> Corpus:
    return replace(corpus, clips=tuple(c for c in corpus.clips if (c.speaker, c.emotion) not in gone))


def test_a_training_part_that_lacks_an_emotion_is_refused(recipe, corpus, cache, tmp_path) -> None:
    fear_by_one = without(corpus, ("2", "fear"), ("3", "fear"), ("4", "fear"))
    with pytest.raises(ProtocolError, match="speaker 1 has no recording of fear to train on"):
        evaluate(fear_by_one, EvaluationPlan(recipe(), "speaker", threads=1), tmp_path / "run", cache)


DISCRIMINANT: dict[str, Any] = {"discriminant": {"scored_speeds": 1}, "training": {"epochs": 0}}


@pytest.fixture
def decided(whole_recipe, write_toy_encoder) -> WholeRecipe:
    """A recipe whose discriminant decides, from an encoder that knows two emotions of three."""
    full = LevelMelSettings(n_bands=12)
    start, _ = write_toy_encoder("three channels", labels=("anger", "calm"), features=full)
    own = {"start_from": str(start), "features": full.model_dump()}
    return whole_recipe(**own, **DISCRIMINANT)


def test_a_discriminant_learns_what_its_encoder_does_not_know(decided, corpus, cache, tmp_path) -> None:
    plan = EvaluationPlan(decided, "speaker", only_fold=0, threads=1)
    found = evaluate(corpus, plan, tmp_path / "run", cache)
    assert found["summary"]["recording"]["accuracy"]["mean"] > 0.8
    fear_by_one = without(corpus, ("2", "fear"), ("3", "fear"), ("4", "fear"))
    with pytest.raises(ProtocolError, match="speaker 1 has no recording of fear to train on"):
        evaluate(fear_by_one, plan, tmp_path / "other", cache)


def test_a_discriminant_without_a_fitting_encoder_is_refused_before_any_work(
    recipe, corpus, write_toy_encoder, tmp_path
) -> None:
    one_channel, _ = write_toy_encoder("one channel")
    for start_from, words in (
        ("scratch", "a discriminant needs a pretrained encoder"),
        (str(one_channel), "do not go together: voice statistics need two mel channels and a log channel"),
    ):
        plan = EvaluationPlan(recipe(start_from=start_from, **DISCRIMINANT))
        with pytest.raises(RecipeError, match=words):
            evaluate(corpus, plan, tmp_path / "run", tmp_path / "cache")
        assert list(tmp_path.iterdir()) == []
