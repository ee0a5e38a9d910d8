"""Every score of ``results.json`` against an example worked out on paper.

Three emotions, two speakers, seven recordings, two repeats of two folds of unlike size. Each line tells recording,
speaker, and the label that each segment was given. ``a1`` was acted as anger, ``f1`` as fear, ``s1`` as sadness.

    repeat 1 fold 1:  a1 (2) A F    f1 (2) F    s1 (2) A      a2 (10) A
    repeat 1 fold 2:  a3 (2) A      f2 (10) S   s2 (10) S F
    repeat 2 fold 1:  a1 (2) A A    a3 (2) S    f2 (10) F
    repeat 2 fold 2:  a2 (10) F     f1 (2) A    s1 (2) S      s2 (10) S S

Where a recording's segments disagree, the means of their probabilities decide: a1 in repeat 1 is F, s2 is S.
"""

from dataclasses import replace
from fractions import Fraction as F
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thymos.corpora.folds import Fold
from thymos.corpora.protocols import RecordingFolds, Split
from thymos.corpora.table import Clip, Corpus, Exclusion, Measurements
from thymos.errors import RunError
from thymos.files import write_json
from thymos.scoring.predictions import FoldResult, predictions_frame
from thymos.scoring.results import Results, read_results, versions
from thymos.scoring.summary import make_results

LABELS = ("anger", "fear", "sadness")
SPEAKER = {"a1": "2", "a2": "10", "a3": "2", "f1": "2", "f2": "10", "s1": "2", "s2": "10"}
EMOTION = {"a": "anger", "f": "fear", "s": "sadness"}
A, F_, S = (0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)
TESTS: dict[tuple[int, int], list[tuple[str, tuple[float, float, float]]]] = {
    (0, 0): [("a1", (0.6, 0.3, 0.1)), ("a1", (0.2, 0.7, 0.1)), ("f1", F_), ("s1", A), ("a2", A)],
    (0, 1): [("a3", A), ("f2", S), ("s2", S), ("s2", (0.3, 0.4, 0.3))],
    (1, 0): [("a1", A), ("a1", (0.5, 0.3, 0.2)), ("a3", S), ("f2", F_)],
    (1, 1): [("a2", F_), ("f1", A), ("s1", S), ("s2", S), ("s2", S)],
}
"""Repeat and fold -> recording and probabilities of each segment."""


def corpus() -> Corpus:
    sound = Measurements(16_000, 1, 16_000, "WAV", 0.5, 0, 0.0, "0")
    clips = tuple(
        Clip(f"{name}.wav", EMOTION[name[0]], speaker, sound=replace(sound, sha256=name))
        for name, speaker in sorted(SPEAKER.items())
    )
    return Corpus("folder", Path("toy"), clips, (Exclusion("x.wav", "is empty"),))


def split() -> Split:
    names = [f"{name}.wav" for name in SPEAKER]
    folds = []
    for repeat, index in TESTS:
        test = tuple({f"{name}.wav": None for name, _ in TESTS[repeat, index]})
        train = tuple(name for name in names if name not in test)
        folds.append(Fold(repeat, index, f"repeat {repeat + 1} fold {index + 1}", train, test))
    return Split(RecordingFolds(2, repeats=2), tuple(folds))


def fold_results(tests: dict[Any, Any] = TESTS) -> list[FoldResult]:
    found = []
    for (repeat, index), rows in tests.items():
        names = [name for name, _ in rows]
        frame = predictions_frame(
            [f"{name}.wav" for name in names],
            np.array([[float(i), i + 1.0] for i in range(len(rows))]),
            (repeat, index),
            [SPEAKER[name] for name in names],
            [EMOTION[name[0]] for name in names],
            LABELS,
            np.array([shares for _, shares in rows]),
        )
        tested = len(set(names))
        facts = {
            "repeat": repeat, "fold": index, "name": f"repeat {repeat + 1} fold {index + 1}",
            "train_clips": 7 - tested, "test_clips": tested,
            "train_segments": 9 - len(rows), "test_segments": len(rows),
            "wall_s": 1.0, "parameters": 12, "curve": [{"epoch": 1, "loss": 1.1, "accuracy": 0.3, "extra": 4}],
        }  # fmt: skip
        found.append((facts, frame))
    return found


def made(tests: dict[Any, Any] = TESTS) -> dict[str, Any]:
    facts = {"command": "thymos evaluate toy", "finished": "2026-11-27T05:00:00+00:00", "wall_s": 4.0, "threads": 1}
    return make_results(corpus(), {"name": "by hand", "depth": 3}, False, split(), fold_results(tests), 7, facts)


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return made()


def scores(accuracy: F, uar: F, macro_f1: F) -> dict[str, Any]:
    return {"accuracy": float(accuracy), "uar": float(uar), "macro_f1": float(macro_f1)}


def assert_scores(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_confusions_are_truth_by_prediction(results):
    assert results["confusion"]["recording"] == [[3, 2, 1], [1, 2, 1], [1, 0, 3]]
    assert results["confusion"]["segment"] == [[5, 2, 1], [1, 2, 1], [1, 1, 4]]
    assert results["labels"] == list(LABELS)


BY_FOLD = {
    "recording": [
        (F(2, 4), F(1, 2), F(7, 18)),  # recalls 1/2, 1, 0; F1 1/2, 2/3, 0
        (F(2, 3), F(2, 3), F(5, 9)),  # 1, 0, 1; 1, 0, 2/3
        (F(2, 3), F(3, 4), F(5, 6)),  # 1/2, 1, no sadness; 2/3, 1
        (F(2, 4), F(1, 3), F(1, 3)),  # 0, 0, 1; 0, 0, 1
    ],
    "segment": [
        (F(3, 5), F(5, 9), F(4, 9)),  # 2/3, 1, 0; 2/3, 2/3, 0
        (F(2, 4), F(1, 2), F(1, 2)),  # 1, 0, 1/2; 1, 0, 1/2
        (F(3, 4), F(5, 6), F(9, 10)),  # 2/3, 1; 4/5, 1
        (F(3, 5), F(1, 3), F(1, 3)),  # 0, 0, 1; 0, 0, 1
    ],
}


@pytest.mark.parametrize("level", ["recording", "segment"])
def test_folds(results, level):
    for fold, expected in zip(results["folds"], BY_FOLD[level], strict=True):
        assert_scores(fold[level], scores(*expected))
    assert results["folds"][0]["confusion"]["recording"] == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert results["folds"][0]["confusion"]["segment"] == [[2, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_mean_and_sd_over_folds(results):
    recording, segment = results["summary"]["recording"], results["summary"]["segment"]
    # Deviations of the folds' accuracies from 7/12 are ±1/12: variance 4/144 over 3.
    assert_scores(recording["accuracy"], {"mean": 7 / 12, "sd": (1 / 108) ** 0.5})
    assert recording["uar"]["mean"] == pytest.approx(9 / 16)
    assert recording["macro_f1"]["mean"] == pytest.approx(19 / 36)
    assert segment["accuracy"]["mean"] == pytest.approx(0.6125)


def test_pooled(results):
    # Recordings: recalls 1/2, 1/2, 3/4; F1 6/11, 4/8, 6/9. Segments: recalls 5/8, 1/2, 4/6; F1 10/15, 4/9, 8/12.
    pooled = scores(F(8, 14), F(7, 12), (F(6, 11) + F(1, 2) + F(2, 3)) / 3)
    assert_scores(results["summary"]["recording"]["pooled"], pooled)
    assert_scores(results["summary"]["segment"]["pooled"], scores(F(11, 18), F(43, 72), F(16, 27)))


def test_each_speaker_has_their_own_scores(results):
    two, ten = results["per_speaker"]
    assert [(row["speaker"], row["clips"]) for row in (two, ten)] == [("2", 4), ("10", 3)]
    # Speaker 2: rows 2 1 1, 1 1 0, 1 0 1. Speaker 10: rows 1 1 0, 0 1 1, 0 0 2.
    assert_scores(two["recording"], scores(F(1, 2), F(1, 2), F(1, 2)))
    assert_scores(ten["recording"], scores(F(2, 3), F(2, 3), F(59, 90)))
    # Segments of speaker 2: 4 1 1, 1 1 0, 1 0 1. Of speaker 10: 1 1 0, 0 1 1, 0 1 3.
    assert_scores(two["segment"], {"accuracy": 6 / 10, "uar": 5 / 9})
    assert_scores(ten["segment"], {"accuracy": 5 / 8, "uar": 7 / 12})
    assert two["recording"]["accuracy_ci95"] != ten["recording"]["accuracy_ci95"]


def test_each_emotion_has_its_own_scores(results):
    expected = {
        "anger": ((6, F(3, 6), F(3, 5), F(6, 11)), (8, F(5, 8), F(5, 7), F(10, 15))),
        "fear": ((4, F(2, 4), F(2, 4), F(4, 8)), (4, F(2, 4), F(2, 5), F(4, 9))),
        "sadness": ((4, F(3, 4), F(3, 5), F(6, 9)), (6, F(4, 6), F(4, 6), F(8, 12))),
    }
    assert [row["emotion"] for row in results["per_emotion"]] == list(expected)
    for row in results["per_emotion"]:
        for level, numbers in zip(("recording", "segment"), expected[row["emotion"]], strict=True):
            names = ("support", "recall", "precision", "f1")
            assert_scores(row[level], dict(zip(names, map(float, numbers), strict=True)))


def resampled(frame: pd.DataFrame, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Pooled accuracy and mean over folds of each draw: each recording's rows are repeated as often as it is drawn."""
    random, names = np.random.default_rng(0), sorted(set(frame["clip"]))
    right = frame[[f"p_{word}" for word in LABELS]].to_numpy().argmax(1) == [LABELS.index(w) for w in frame["truth"]]
    folds = [*zip(frame["repeat"], frame["fold"], strict=True)]
    pooled, means = [], []
    for _ in range(draws):
        often = dict(zip(names, random.multinomial(len(names), [1 / len(names)] * len(names)), strict=True))
        by_fold: dict[Any, list[bool]] = {}
        for clip, fold, hit in zip(frame["clip"], folds, right, strict=True):
            by_fold.setdefault(fold, []).extend([hit] * often[clip])
        pooled.append(np.mean([hit for hits in by_fold.values() for hit in hits]))
        means.append(np.mean([np.mean(hits) for hits in by_fold.values() if hits]))
    return np.array(pooled), np.array(means)


def test_each_interval_belongs_to_its_score(results):
    frame = pd.concat([own for _, own in fold_results()])
    pooled, means = resampled(frame, 2000)
    found = results["summary"]["segment"]["accuracy"]
    assert found["ci95"] == pytest.approx(np.percentile(pooled, [2.5, 97.5]))
    assert found["mean_ci95"] == pytest.approx(np.percentile(means, [2.5, 97.5]))


def test_the_mean_lies_in_its_interval_where_it_is_far_from_the_pooled_score():
    """Fold 1 tests two recordings and gets both right; fold 2 tests sixty and gets half of them right."""
    clips = [Clip(f"{i}.wav", LABELS[i % 2], sound=Measurements(1, 1, 1, "WAV", 0, 0, 0, str(i))) for i in range(62)]
    results = []
    for index, members in enumerate((clips[:2], clips[2:])):
        right = [index == 0 or i < 30 for i in range(len(members))]
        truth = [LABELS.index(clip.emotion) for clip in members]
        said = np.eye(2)[[t if hit else 1 - t for t, hit in zip(truth, right, strict=True)]]
        frame = predictions_frame(
            [clip.path for clip in members], np.zeros((len(members), 2)), (0, index), [""] * len(members),
            [clip.emotion for clip in members], LABELS[:2], said,
        )  # fmt: skip
        facts = {"train_clips": 0, "test_clips": 0, "train_segments": 0, "test_segments": 0, "wall_s": 0.0}
        results.append(({"repeat": 0, "fold": index, "name": str(index), **facts}, frame))
    folds = tuple(Fold(0, index, str(index), (), ()) for index in range(2))
    facts = {"command": "", "finished": "2026-11-27T05:00:00+00:00", "wall_s": 0.0}
    toy = Corpus("folder", Path("toy"), tuple(clips))
    found = make_results(
        toy,
        {"name": "toy"},
        False,
        Split(RecordingFolds(2), folds),
        results,
        0,
        facts,
    )
    for metric in ("accuracy", "uar"):
        score = found["summary"]["recording"][metric]
        assert score["mean"] == pytest.approx(0.75)
        assert score["ci95"][1] < 0.75, "the interval of the pooled score does not hold the mean"
        assert score["mean_ci95"][0] < 0.75 < score["mean_ci95"][1]


def test_levels_tell_whether_recordings_are_in_segments(results):
    assert results["levels"] == ["segment", "recording"]
    once = {key: list({name: (name, shares) for name, shares in rows}.values()) for key, rows in TESTS.items()}
    whole = made(once)
    assert whole["levels"] == ["recording"]
    assert whole["summary"]["segment"] == whole["summary"]["recording"]


def test_what_was_evaluated_and_how(results):
    assert results["corpus"] == {
        "kind": "folder", "name": "toy", "synthetic": False, "clips": 7, "duration_s": 7.0,
        "emotions": {"anger": 3, "fear": 2, "sadness": 2}, "speakers": {"2": 4, "10": 3},
        "files": {"found": 8, "used": 7, "left_out": 0, "errors": 1},
    }  # fmt: skip
    assert list(results["corpus"]["speakers"]) == ["2", "10"], "2 comes before 10"
    assert results["protocol"] == {
        "name": "recording", "folds": 4, "repeats": 2, "must_not_cross": ["recording"], "absent": [], "notes": [],
    }  # fmt: skip
    assert (results["format"], results["seed"], results["recipe"]) == (1, 7, {"name": "by hand", "depth": 3})
    assert results["transductive"] is False
    assert results["excluded"] == [{"clip": "x.wav", "reason": "is empty", "readable": False}]
    assert (results["command"], results["threads"]) == ("thymos evaluate toy", 1)
    assert results["finished"] == "2026-11-27T05:00:00+00:00"
    fold = results["folds"][1]
    assert (fold["train_clips"], fold["test_clips"], fold["parameters"]) == (4, 3, 12)
    assert fold["curve"] == [{"epoch": 1, "loss": 1.1, "accuracy": 0.3, "extra": 4}]
    assert "calibration" not in results


def test_what_is_written_is_what_is_read(results, tmp_path):
    write_json(tmp_path / "results.json", results)
    read = read_results(tmp_path)
    assert read.as_json() == results
    assert read.per_speaker[1].speaker == "10"
    write_json(tmp_path / "results.json", results | {"per_emotion": [{"emotion": "fear"}]})
    with pytest.raises(RunError, match=r"damaged: per_emotion\.0\.segment"):
        read_results(tmp_path)


def test_what_the_schema_does_not_allow_is_not_written():
    results = made()
    results["folds"][0]["wall_s"] = "long"
    with pytest.raises(ValueError, match=r"folds\.0\.wall_s"):
        Results.model_validate(results)


def test_a_library_that_is_not_installed_has_no_version(monkeypatch):
    known = metadata.version

    def version(name: str) -> str:
        if name in ("torch", "scikit-learn"):
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "version", version)
    found = versions()
    assert "torch" not in found
    assert "scikit-learn" not in found
    assert found["numpy"] == np.__version__
