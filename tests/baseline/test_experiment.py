"""Recipes of kind functionals: what the folds do with vectors, and, where openSMILE is installed, from sound on."""

import importlib.util
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from thymos.baseline.experiment import FunctionalsExperiment
from thymos.baseline.functionals import read_functionals
from thymos.baseline.linear_svm import fit_svms
from thymos.corpora import Corpus, open_corpus
from thymos.corpora.protocols import protocol_named
from thymos.errors import MissingExtraError, ProtocolError
from thymos.evaluation.evaluate import Watcher, evaluate
from thymos.evaluation.fitting import FoldTask, fold_tasks, run_fold
from thymos.experiment import Work
from thymos.recipes import load_recipe
from thymos.reports.run_report import write_report

INSTALLED = importlib.util.find_spec("opensmile") is not None
needs_opensmile = pytest.mark.skipif(
    not INSTALLED, reason="needs the extra thymos[functionals]: openSMILE, whose licence is for research only"
)
RECIPE = load_recipe("functionals-svm", ["model.c=[1e-4, 1e-3, 1e-2]", "max_silence_s=null"])
N_FUNCTIONALS = 300


@pytest.fixture(scope="module")
def corpus(mini: Path) -> Corpus:
    return open_corpus(mini)


@pytest.fixture(scope="module")
def files(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Vectors that tell the emotions apart, but not too well."""
    folder = tmp_path_factory.mktemp("vectors")
    random = np.random.default_rng(0)
    centres = random.normal(0, 0.12, (len(corpus.emotions), N_FUNCTIONALS))
    made = []
    for i, clip in enumerate(corpus.clips):
        vector = centres[corpus.emotions.index(clip.emotion)] + random.normal(size=N_FUNCTIONALS)
        np.save(folder / f"{i}.npy", vector.astype(np.float32))
        made.append(folder / f"{i}.npy")
    return made


def tasks_of(corpus: Corpus, files: list[Path], protocol: str = "recording", folds: int = 3) -> list[FoldTask]:
    divided = protocol_named(protocol, folds).split(corpus)
    return fold_tasks(corpus, FunctionalsExperiment(RECIPE), divided, tuple(files), 0, Work())


def run(task: FoldTask) -> tuple[dict, pd.DataFrame]:
    return run_fold(pickle.loads(pickle.dumps(task)), lambda message: None)


@pytest.mark.slow
def test_one_row_a_recording_with_probabilities_and_facts(corpus, files):
    task = tasks_of(corpus, files)[0]
    facts, frame = run(task)
    assert sorted(frame["clip"]) == sorted(task.fold.test)
    durations = {clip.path: clip.sound.duration_s for clip in corpus.clips}
    assert frame["start_s"].eq(0).all()
    assert frame["end_s"].to_numpy() == pytest.approx([durations[path] for path in frame["clip"]], abs=1e-4)
    probabilities = frame[[f"p_{word}" for word in corpus.emotions]].to_numpy()
    assert probabilities.sum(1) == pytest.approx(1)
    right = [corpus.emotions[i] for i in probabilities.argmax(1)] == frame["truth"]
    assert 0.4 < right.mean() < 1
    assert facts["c"] in RECIPE.model.c
    tried = facts["inner_uar"]
    assert {scaler: list(uar) for scaler, uar in tried.items()} == {
        scaler: ["0.0001", "0.001", "0.01"] for scaler in ("standard", "minmax")
    }
    assert tried[facts["scaler"]][f"{facts['c']:g}"] == max(max(uar.values()) for uar in tried.values())
    assert facts["parameters"] == len(corpus.emotions) * (N_FUNCTIONALS + 1)
    json.dumps(facts, allow_nan=False)


@pytest.mark.slow
def test_the_most_probable_emotion_is_the_one_that_the_machine_decides_for(corpus, files):
    for task in tasks_of(corpus, files):
        facts, frame = run(task)
        vectors, part = read_functionals(files), task.part
        (machine,) = fit_svms(facts["scaler"], [facts["c"]], vectors[list(part.rows)], part.targets, part.seed)
        decided = machine.margins(vectors[list(task.test)]).argmax(1)
        assert (frame[[f"p_{word}" for word in part.labels]].to_numpy().argmax(1) == decided).all()


@pytest.mark.slow
def test_a_test_part_chooses_nothing(corpus, files, tmp_path):
    """Scaler, C, temperature and machine stay when the sound and labels of other tested recordings change."""
    task = tasks_of(corpus, files)[0]
    facts, frame = run(task)
    kept, *changed = task.test
    random = np.random.default_rng(1)
    other_files, clips = list(task.features), list(corpus.clips)
    for i in changed:
        other_files[i] = tmp_path / f"{i}.npy"
        np.save(other_files[i], random.normal(3, 100, N_FUNCTIONALS).astype(np.float32))
        place = corpus.emotions.index(clips[i].emotion)
        clips[i] = replace(clips[i], emotion=corpus.emotions[(place + 1) % len(corpus.emotions)])
    turned = replace(corpus, clips=tuple(clips))
    protocol = protocol_named("recording", 3).split(corpus)
    other = fold_tasks(turned, FunctionalsExperiment(RECIPE), protocol, tuple(other_files), 0, Work())[0]
    assert other.test_emotions != task.test_emotions
    other_facts, other_frame = run(other)
    for key in ("scaler", "c", "inner_uar", "calibration"):
        assert other_facts[key] == facts[key]
    assert kept == task.test[0]
    pd.testing.assert_series_equal(other_frame.iloc[0], frame.iloc[0])
    assert not other_frame.iloc[1:].equals(frame.iloc[1:])


def test_inner_splits_obey_the_protocols_rule(corpus, files):
    speakers = [clip.speaker for clip in corpus.clips]
    for task in tasks_of(corpus, files, "speaker"):
        assert task.part.inner
        for split in task.part.inner:
            train, validation = split.train.rows, split.rows
            assert not {speakers[i] for i in train} & {speakers[i] for i in validation}
            assert not (set(train) | set(validation)) & set(task.test)


def test_of_equal_candidates_the_smallest_is_taken(corpus, files):
    task = tasks_of(corpus, files)[0]
    tied = RECIPE.model_copy(
        update={"model": RECIPE.model.model_copy(update={"c": (100.0, 50.0, 200.0), "scaler": ("standard",)})}
    )
    chosen = FunctionalsExperiment(tied).choose(read_functionals(files), task.part)
    assert len(set(chosen.inner_uar["standard"].values())) == 1  # far beyond the margin's hardness they are one machine
    assert chosen.c == 50


def test_a_training_part_that_lacks_an_emotion_tells_the_others_apart(corpus, files):
    """Of sadness it has one recording, so one of its inner splits lacks that, too."""
    protocol = protocol_named("recording", 3).split(corpus)
    first = protocol.folds[0]
    sad = [path for path in first.train if path.startswith("sadness")]
    left = tuple(path for path in first.train if not path.startswith("anger") and path not in sad[1:])
    folds = (replace(first, train=left),)
    experiment = FunctionalsExperiment(RECIPE)
    (task,) = fold_tasks(corpus, experiment, replace(protocol, folds=folds), tuple(files), 0, Work())
    assert task.part.labels == tuple(word for word in corpus.emotions if word != "anger")
    without = [split.train.labels for split in task.part.inner if "sadness" not in split.train.labels]
    assert without == [tuple(word for word in task.part.labels if word != "sadness")]
    margins = experiment.choose(read_functionals(files), task.part).margins
    assert margins.shape == (sum(len(split.rows) for split in task.part.inner), len(task.part.labels))
    only = replace(first, train=tuple(path for path in first.train if path.startswith("anger")))
    with pytest.raises(ProtocolError, match="fold 1 has no recording but of anger to train on; two emotions"):
        fold_tasks(corpus, experiment, replace(protocol, folds=(only,)), tuple(files), 0, Work())


@pytest.mark.skipif(INSTALLED, reason="openSMILE is installed")
def test_without_opensmile_it_is_refused_before_any_work(corpus, tmp_path):
    with pytest.raises(MissingExtraError, match="research only"):
        evaluate(corpus, FunctionalsExperiment(RECIPE), folds=2, out=tmp_path / "run", cache_dir=tmp_path / "cache")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@needs_opensmile
def test_a_whole_evaluation_from_sound_on(corpus, tmp_path):
    kept = [clip for emotion in corpus.emotions for clip in corpus.clips if clip.emotion == emotion][::2]
    small = replace(corpus, clips=tuple(sorted(kept, key=lambda clip: clip.path)))
    recipe = load_recipe("functionals-svm", ["features.feature_set=eGeMAPSv02", "model.inner_folds=2"])
    asked = {"folds": 2, "threads": 1, "cache_dir": tmp_path / "cache"}
    steps: list[None] = []
    told: list[object] = []
    watcher = Watcher(
        on_features=told.append,
        on_feature=lambda: steps.append(None),
        on_folds=lambda *counts: told.append(counts),
        on_fold=lambda fold: told.append(fold.name),
    )
    results = evaluate(small, FunctionalsExperiment(recipe), out=tmp_path / "run", watcher=watcher, **asked).results
    assert told == [len(kept), (2, 0), "fold 1", "fold 2"]
    assert len(steps) == len(kept)
    assert results["recipe"]["kind"] == "functionals"
    assert results["deciding"].keys() == {"opensmile", "scikit-learn"}
    assert results["summary"]["segment"]["accuracy"] == results["summary"]["recording"]["accuracy"]
    assert "functionals-svm" in write_report(tmp_path / "run").read_text(encoding="utf-8")
    evaluate(small, FunctionalsExperiment(recipe), out=tmp_path / "again", workers=2, **asked)
    assert (tmp_path / "again/predictions.csv").read_bytes() == (tmp_path / "run/predictions.csv").read_bytes()
