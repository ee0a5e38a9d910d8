"""Evaluations of recipes of kind encoder, from files to results, on tones that stand for emotions."""

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
from thymos.encoder.encoder_file import read_encoder, write_encoder
from thymos.encoder.experiment import EncoderExperiment
from thymos.encoder.fit_recordings import score_recordings
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.level_spectrograms import make_recordings
from thymos.encoder.recipe import EncoderRecipe
from thymos.engine.process import one_thread
from thymos.errors import LeakageError, ProtocolError, RecipeError, RunError
from thymos.evaluation.evaluate import Watcher, evaluate
from thymos.evaluation.fitting import fold_tasks, run_fold
from thymos.experiment import Work

Evaluate = Callable[..., dict[str, Any]]
Recipe = Callable[..., EncoderRecipe]


@pytest.fixture(scope="module")
def recipe(encoder_recipe: Recipe) -> Recipe:
    return encoder_recipe


@pytest.fixture(scope="module")
def corpus(tones: Corpus) -> Corpus:
    return tones


@pytest.fixture(scope="module")
def cache(tones_cache: Path) -> Path:
    return tones_cache


@pytest.fixture(scope="module")
def judged(corpus: Corpus, cache: Path, recipe: Recipe) -> Evaluate:
    """``judged(out, recipe, protocol, corpus=…, **more)``: three folds on one core, and the content of results.json."""

    def run(
        out: Path,
        asked: EncoderRecipe | None = None,
        protocol: str = "recording",
        corpus: Corpus = corpus,
        cache_dir: Path = cache,
        **more: Any,
    ) -> dict[str, Any]:
        given: dict[str, Any] = {"folds": 3, "threads": 1} | more
        run = evaluate(corpus, EncoderExperiment(asked or recipe()), protocol, out=out, cache_dir=cache_dir, **given)
        return dict(run.results)

    return run


@pytest.fixture(scope="module")
def run(judged: Evaluate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    judged(out)
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
    assert found["recipe"]["kind"] == "encoder"
    assert found["transductive"] is False


def test_it_learns_what_tones_mean(judged: Evaluate, recipe: Recipe, tmp_path: Path) -> None:
    learning = recipe(training={"epochs": 25, "mixup_alpha": 0, "averaging": 0.9})
    found = judged(tmp_path / "run", learning, "speaker", only_fold=0)
    assert found["summary"]["recording"]["accuracy"]["mean"] > 0.8


def test_the_seed_decides(judged: Evaluate, run: Path, tmp_path: Path) -> None:
    judged(tmp_path / "again")
    assert (tmp_path / "again/predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()
    judged(tmp_path / "other", seed=1)
    assert not np.array_equal(probabilities(tmp_path / "other"), probabilities(run))


def test_one_fold_alone_is_that_fold_of_the_whole(judged: Evaluate, run: Path, tmp_path: Path) -> None:
    judged(tmp_path / "one", only_fold=2)
    whole = pd.read_csv(run / "predictions.csv")
    one = pd.read_csv(tmp_path / "one/predictions.csv")
    pd.testing.assert_frame_equal(one, whole[whole.fold == 2].reset_index(drop=True))


def test_a_task_can_go_to_a_worker_and_says_all_it_needs(
    recipe: Recipe, corpus: Corpus, cache: Path, run: Path
) -> None:
    experiment, work = EncoderExperiment(recipe()), Work(cache)
    features = experiment.features(corpus, work)
    tasks = fold_tasks(corpus, experiment, protocol_named("recording", 3).split(corpus), features, 0, work)
    told: list[Any] = []
    _, frame = run_fold(pickle.loads(pickle.dumps(tasks))[1], told.append)
    kept = pd.read_csv(run / "folds/repeat-0_fold-1.csv")
    assert frame["clip"].tolist() == kept["clip"].tolist()
    np.testing.assert_allclose(frame.p_anger, kept.p_anger, rtol=1e-6)
    assert told == [("fold 2", 1), ("fold 2", 2)]


def test_cut_short_it_goes_on_and_ends_with_the_same_digits(judged: Evaluate, run: Path, tmp_path: Path) -> None:
    told: list[str] = []

    def stop(message: tuple[str, Any]) -> None:
        told.append(message[0])
        if message[0] == "fold 2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(tmp_path / "cut", watcher=Watcher(on_report=stop))
    assert not (tmp_path / "cut/results.json").exists()
    told.clear()
    judged(tmp_path / "cut", watcher=Watcher(on_report=lambda message: told.append(message[0])))
    assert set(told) == {"fold 2", "fold 3"}
    assert (tmp_path / "cut/predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


KILLED = """
import os, signal, sys
from thymos.encoder.experiment import EncoderExperiment
from thymos.encoder.recipe import EncoderRecipe
from thymos.evaluation.evaluate import Watcher, evaluate

def kill(message):
    if message == ("fold 2", 2):
        os.kill(os.getpid(), signal.SIGKILL)

experiment = EncoderExperiment(EncoderRecipe.model_validate_json(sys.argv[1]))
watcher = Watcher(on_report=kill)
evaluate(sys.argv[2], experiment, folds=3, threads=1, out=sys.argv[3], cache_dir=sys.argv[4], watcher=watcher)
"""


def test_killed_it_goes_on_and_ends_with_the_same_digits(
    judged: Evaluate, recipe: Recipe, corpus: Corpus, cache: Path, run: Path, tmp_path: Path
) -> None:
    words = [recipe().model_dump_json(), str(corpus.root / "clips.csv"), str(tmp_path / "cut"), str(cache)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", KILLED, *words], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "cut/folds").glob("*.json")] == ["repeat-0_fold-0.json"]
    assert judged(tmp_path / "cut")["resumed_folds"] == 1
    assert (tmp_path / "cut/predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


def test_shuffled_labels_run_and_say_so(judged: Evaluate, run: Path, tmp_path: Path) -> None:
    assert judged(tmp_path / "run", shuffle=True)["shuffled_labels"] is True
    assert not np.array_equal(probabilities(tmp_path / "run"), probabilities(run))


def test_an_encoder_that_has_heard_a_recording_is_refused_before_any_work(
    judged: Evaluate, recipe: Recipe, corpus: Corpus, write_toy_encoder: Any, tmp_path: Path
) -> None:
    heard, _ = write_toy_encoder("heard", seen=corpus.clips[7:9])
    with pytest.raises(LeakageError) as caught:
        judged(tmp_path / "run", recipe(start_from=str(heard)), cache_dir=tmp_path / "cache")
    assert f"pretrained on 2 of these recordings: {corpus.clips[7].path}, {corpus.clips[8].path}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_what_it_has_heard_is_refused_under_any_name(
    judged: Evaluate, recipe: Recipe, corpus: Corpus, write_toy_encoder: Any, tmp_path: Path
) -> None:
    renamed = replace(corpus.clips[5], path="elsewhere.flac", speaker="9", emotion="calm")
    heard, _ = write_toy_encoder("heard again", seen=(renamed,))
    with pytest.raises(LeakageError, match=corpus.clips[5].path):
        judged(tmp_path / "run", recipe(start_from=str(heard)))


def test_without_epochs_it_is_the_encoder_as_it_is(
    judged: Evaluate, recipe: Recipe, corpus: Corpus, cache: Path, write_toy_encoder: Any, tmp_path: Path
) -> None:
    start, network = write_toy_encoder("start")
    chosen = recipe(start_from=str(start), training={"epochs": 0})
    found = judged(tmp_path / "run", chosen)
    frame = pd.read_csv(tmp_path / "run/predictions.csv")
    place = {clip.path: i for i, clip in enumerate(corpus.clips)}
    encoder = read_encoder(start)
    pack = make_recordings([(corpus.root, clip) for clip in corpus.clips], encoder.features, chosen.speeds, cache)
    with one_thread():
        logits = score_recordings(network, pack, [place[path] for path in frame["clip"]], encoder.features)
    expected = softmax(logits, axis=1)[:, [encoder.labels.index(word) for word in corpus.emotions]]
    np.testing.assert_allclose(probabilities(tmp_path / "run"), expected, atol=1e-6)
    assert all(fold["curve"] == [] for fold in found["folds"])


def test_without_epochs_an_unknown_emotion_is_refused(
    judged: Evaluate, recipe: Recipe, write_toy_encoder: Any, tmp_path: Path
) -> None:
    start, _ = write_toy_encoder("narrow", labels=("anger", "fear"))
    with pytest.raises(RecipeError, match="the encoder does not know sadness"):
        judged(tmp_path / "run", recipe(start_from=str(start), training={"epochs": 0}))
    assert not (tmp_path / "run").exists()
    judged(tmp_path / "run", recipe(start_from=str(start)), only_fold=0)


def test_another_encoder_under_the_same_name_is_another_run(
    judged: Evaluate, recipe: Recipe, write_toy_encoder: Any, tmp_path: Path
) -> None:
    start, network = write_toy_encoder("moved")
    chosen = recipe(start_from=str(start), training={"epochs": 0})
    assert len(judged(tmp_path / "run", chosen)["deciding"]["encoder"]) == 64
    with torch.no_grad():
        network.head.linear.bias.add_(1)
    before = read_encoder(start)
    write_encoder(start, network, before.labels, before.features, before.model, [], {})
    with pytest.raises(RunError, match=r"another deciding\.encoder"):
        judged(tmp_path / "run", chosen)


def test_an_encoder_that_is_not_there_is_refused_before_any_work(
    judged: Evaluate, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="holds no pretrained encoder"):
        judged(tmp_path / "run", recipe(start_from=str(tmp_path / "no")), cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_silent_is_left_out(judged: Evaluate, recipe: Recipe, corpus: Corpus, tmp_path: Path) -> None:
    mute = replace(corpus.clips[4], sound=replace(corpus.clips[4].sound, silence_s=0.12))
    clips = (*corpus.clips[:4], mute, *corpus.clips[5:])
    limited = recipe(max_silence_s=0.1)
    found = judged(tmp_path / "run", limited, corpus=replace(corpus, clips=clips), only_fold=0)
    assert [row["clip"] for row in found["excluded"]] == [mute.path]
    (fold,) = found["folds"]
    assert fold["train_clips"] + fold["test_clips"] == len(clips) - 1


def without(corpus: Corpus, *gone: tuple[str, str]) -> Corpus:
    return replace(corpus, clips=tuple(c for c in corpus.clips if (c.speaker, c.emotion) not in gone))


def test_a_training_part_that_lacks_an_emotion_is_refused(judged: Evaluate, corpus: Corpus, tmp_path: Path) -> None:
    fear_by_one = without(corpus, ("2", "fear"), ("3", "fear"), ("4", "fear"))
    with pytest.raises(ProtocolError, match="speaker 1 has no recording of fear to train on"):
        judged(tmp_path / "run", None, "speaker", fear_by_one)


DISCRIMINANT: dict[str, Any] = {"discriminant": {"scored_speeds": 1}, "training": {"epochs": 0}}


def test_a_discriminant_learns_what_its_encoder_does_not_know(
    judged: Evaluate, recipe: Recipe, toy_encoder: Path, corpus: Corpus, tmp_path: Path
) -> None:
    full = LevelMelSettings(n_bands=12)
    decided = recipe(start_from=str(toy_encoder), features=full.model_dump(), **DISCRIMINANT)
    found = judged(tmp_path / "run", decided, "speaker", only_fold=0)
    assert found["summary"]["recording"]["accuracy"]["mean"] > 0.8
    fear_by_one = without(corpus, ("2", "fear"), ("3", "fear"), ("4", "fear"))
    with pytest.raises(ProtocolError, match="speaker 1 has no recording of fear to train on"):
        judged(tmp_path / "other", decided, "speaker", fear_by_one, only_fold=0)


def test_a_discriminant_without_a_fitting_encoder_is_refused_before_any_work(
    judged: Evaluate, recipe: Recipe, write_toy_encoder: Any, tmp_path: Path
) -> None:
    one_channel, _ = write_toy_encoder("one channel")
    for start_from, words in (
        ("scratch", "a discriminant needs a pretrained encoder"),
        (str(one_channel), "do not go together: voice statistics need two mel channels and a log channel"),
    ):
        with pytest.raises(RecipeError, match=words):
            judged(tmp_path / "run", recipe(start_from=start_from, **DISCRIMINANT), cache_dir=tmp_path / "cache")
        assert list(tmp_path.iterdir()) == []
