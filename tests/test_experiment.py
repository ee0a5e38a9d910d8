"""An experiment of one's own, as somebody outside would write it: features by numpy, a model by scikit-learn."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import thymos
from thymos.corpora import protocol_named
from thymos.reports.run_report import write_report

Vectors = NDArray[np.float64]
BANDS = 16


_described: dict[str, Vectors] = {}
"""By digest of the waveform, so that these tests decode each recording once."""


def described(corpus: thymos.Corpus, clip: thymos.Clip, work: thymos.Work) -> Vectors:
    work.advance()
    if clip.sound.sha256 not in _described:
        power = np.abs(np.fft.rfft(corpus.waveform(clip).samples)) ** 2
        bands = [10 * np.log10(band.mean() + 1e-9) for band in np.array_split(power, BANDS)]
        _described[clip.sound.sha256] = np.array(bands)
    return _described[clip.sound.sha256]


class BandEnergies(thymos.Experiment[Vectors]):
    """The mean energy of each of 16 bands, in dB, and a logistic regression."""

    name = "band-energies"

    def features(self, corpus: thymos.Corpus, work: thymos.Work) -> Vectors:
        return np.stack([described(corpus, clip, work) for clip in corpus.clips])

    def fit(self, features: Vectors, part: thymos.TrainingPart, work: thymos.Work) -> "Regression":
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        machine = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        return Regression(machine.fit(features[list(part.rows)], part.targets))


class Regression(thymos.Fitted[Vectors]):
    def __init__(self, machine: object):
        self.machine = machine

    def predict(self, features: Vectors, rows: tuple[int, ...]) -> thymos.Scores:
        return thymos.Scores(self.machine.predict_proba(features[list(rows)]))


@pytest.fixture(scope="module")
def corpus(mini: Path) -> thymos.Corpus:
    """Two sentences of everyone."""
    whole = thymos.open_corpus(mini)
    return whole.excluding(lambda clip: None if clip.sentence in ("01", "02") else "not needed")


@pytest.fixture(scope="module")
def run(corpus: thymos.Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("own") / "run"
    thymos.evaluate(corpus, BandEnergies(), protocol="speaker", out=out, device="cpu")
    return out


@pytest.mark.slow
def test_it_is_judged_like_any_recipe(run, corpus):
    results = json.loads((run / "results.json").read_text())
    assert results["recipe"] == {"name": "band-energies", "kind": "BandEnergies"}
    assert [fold["name"] for fold in results["folds"]] == [f"speaker {number}" for number in range(1, 7)]
    assert sum(fold["test_clips"] for fold in results["folds"]) == len(corpus.clips)
    assert results["summary"]["recording"]["accuracy"]["mean"] > 1.5 / 5
    assert results["device"] == "cpu"


@pytest.mark.slow
def test_it_gets_a_report_like_any_recipe(run):
    from thymos.reports.run_report import write_report

    assert "band-energies" in write_report(run).read_text()


@pytest.mark.slow
def test_its_classes_are_found_by_worker_processes_and_its_digits_stay(run, corpus, tmp_path):
    thymos.evaluate(corpus, BandEnergies(), protocol="speaker", out=tmp_path / "two", workers=2, device="cpu")
    assert (tmp_path / "two/predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_cut_short_it_goes_on_and_ends_with_the_same_bytes(run, corpus, tmp_path):
    from thymos.evaluation.evaluate import Watcher

    def stop(fold: object) -> None:
        raise KeyboardInterrupt

    call = {"protocol": "speaker", "out": tmp_path / "cut", "device": "cpu"}
    with pytest.raises(KeyboardInterrupt):
        thymos.evaluate(corpus, BandEnergies(), **call, watcher=Watcher(on_fold=stop))
    assert len(list((tmp_path / "cut/folds").glob("*.json"))) == 1
    assert thymos.evaluate(corpus, BandEnergies(), **call).results["resumed_folds"] == 1
    assert (tmp_path / "cut/predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_another_experiment_of_the_same_name_is_refused_its_folder(run, corpus):
    with pytest.raises(thymos.RunError, match=r"another recipe\.kind"):
        thymos.evaluate(corpus, Noting(), protocol="speaker", out=run, device="cpu")


# --- what it is told, and what it may say ---


class Noting(thymos.Experiment[Vectors]):
    """Notes what it is told; its features are lengths alone, which take no time."""

    name = "band-energies"

    def __init__(self, say: Callable[[tuple[int, ...]], thymos.Scores] | None = None):
        self.parts: list[thymos.TrainingPart] = []
        self.asked: list[tuple[int, ...]] = []
        self.say = say or (lambda rows: thymos.Scores(np.full((len(rows), 5), 0.2)))

    def features(self, corpus: thymos.Corpus, work: thymos.Work) -> Vectors:
        return np.array([clip.sound.duration_s for clip in corpus.clips])

    def fit(self, features: Vectors, part: thymos.TrainingPart, work: thymos.Work) -> "Saying":
        self.parts.append(part)
        return Saying(self)


class Saying(thymos.Fitted[Vectors]):
    def __init__(self, experiment: Noting):
        self.experiment = experiment

    def predict(self, features: Vectors, rows: tuple[int, ...]) -> thymos.Scores:
        self.experiment.asked.append(rows)
        return self.experiment.say(rows)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["recording", "take", "sentence", "speaker"])
def test_a_fit_gets_the_training_part_and_nothing_of_the_test_part(corpus, protocol):
    experiment = Noting()
    thymos.evaluate(corpus, experiment, protocol, folds=2, device="cpu")
    folds = protocol_named(protocol, 2).split(corpus).folds
    for fold, part, asked in zip(folds, experiment.parts, experiment.asked, strict=True):
        assert {corpus.clips[row].path for row in part.rows} == set(fold.train)
        assert {corpus.clips[row].path for row in asked} == set(fold.test)
        assert part.labels == corpus.emotions
        assert part.targets.tolist() == [corpus.emotions.index(corpus.clips[row].emotion) for row in part.rows]
        assert (part.inner, part.watched) == ((), None)


@pytest.mark.slow
def test_other_labels_of_what_is_tested_change_nothing_that_is_said(corpus):
    """The strongest form of the same: labels of the first speaker's recordings are turned, all others stay."""
    emotions = corpus.emotions
    turned = tuple(
        replace(clip, emotion=emotions[emotions.index(clip.emotion) - 1]) if clip.speaker == "1" else clip
        for clip in corpus.clips
    )
    runs = [
        thymos.evaluate(each, BandEnergies(), "speaker", only_fold=0, device="cpu").predictions
        for each in (corpus, replace(corpus, clips=turned))
    ]
    columns = [f"p_{emotion}" for emotion in emotions]
    assert runs[0][columns].equals(runs[1][columns])
    assert not (runs[0]["truth"] == runs[1]["truth"]).any()


def even(rows: int, labels: int = 5) -> Vectors:
    return np.full((rows, labels), 1 / labels)


@pytest.mark.parametrize(
    ("say", "words"),
    [
        (lambda rows: thymos.Scores(even(len(rows) - 1)), "of shape (9, 5), not (10, 5): a row a recording"),
        (lambda rows: thymos.Scores(even(len(rows), 4)), "of shape (10, 4), not (10, 5): a row a recording, a column"),
        (lambda rows: thymos.Scores(2 * even(len(rows))), "negative or do not sum to 1, such as 2"),
        (lambda rows: thymos.Scores(even(len(rows)) * [6, 1, 1, 1, -4]), "negative or do not sum to 1"),
        (lambda rows: thymos.Scores(even(len(rows)) * np.nan), "that are not numbers"),
        (lambda rows: thymos.Scores(even(3), np.array(rows[:3])), "left out recording "),
        (lambda rows: thymos.Scores(even(11), np.array([*rows, 59])), "was not asked for recording 59"),
        (lambda rows: thymos.Scores(even(4), np.array(rows)), "of shape (4, 5), not (10, 5): a row a segment"),
        (lambda rows: thymos.Scores(even(10), None, np.zeros((10, 3))), "times of shape (10, 3), not (10, 2)"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(corpus, tmp_path, say, words):
    with pytest.raises(thymos.ThymosError) as caught:
        thymos.evaluate(corpus, Noting(say), "speaker", out=tmp_path / "run", device="cpu")
    assert str(caught.value).startswith("band-energies, speaker 1: predict ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run/results.json").exists()


def test_segments_are_scored_with_their_recordings(corpus):
    """Two segments of each recording: the mean decides, and their times are kept."""

    def say(rows: tuple[int, ...]) -> thymos.Scores:
        twice = np.repeat(np.array(rows), 2)
        probabilities = np.tile([[0.6, 0.4, 0, 0, 0], [0.0, 0.9, 0.1, 0, 0]], (len(rows), 1))
        return thymos.Scores(probabilities, twice, np.tile([[0.0, 1.0], [1.0, 2.0]], (len(rows), 1)))

    run = thymos.evaluate(corpus, Noting(say), "speaker", only_fold=0, device="cpu")
    assert run.predictions["start_s"].tolist() == [0.0, 1.0] * 10
    confusion = run.results["confusion"]["recording"]
    assert [row[1] for row in confusion] == [sum(row) for row in confusion]


def test_a_model_of_segments_is_calibrated_on_its_recordings(corpus):
    """Twice as many segments as recordings on every inner split, which hold as many classes as recordings."""

    def say(rows: tuple[int, ...]) -> thymos.Scores:
        return thymos.Scores(even(2 * len(rows)), np.repeat(np.array(rows), 2))

    experiment = Noting(say)
    experiment.calibrated = True
    run = thymos.evaluate(corpus, experiment, "recording", folds=2, only_fold=0, device="cpu")
    (fold,) = run.results["folds"]
    assert fold["calibration"]["temperature"] > 0
    lengths_s = run.predictions.set_index("clip")["end_s"]  # no times were told: each is of the whole recording
    own_s = {clip.path: clip.sound.duration_s for clip in corpus.clips if clip.path in lengths_s.index}
    assert lengths_s.to_dict() == pytest.approx(own_s, abs=1e-3)
    part = experiment.parts[0]
    assert len(part.inner) == 5
    assert sorted(row for split in part.inner for row in split.rows) == sorted(part.rows)
    for split, inner in zip(part.inner, experiment.parts[1:], strict=True):
        assert inner.rows == split.train.rows
        assert not set(inner.rows) & set(split.rows)


@pytest.mark.slow
def test_an_emotion_that_a_fold_cannot_learn_counts_as_wrong_and_is_named(
    corpus: thymos.Corpus, tmp_path: Path
) -> None:
    """One speaker alone has recordings of $so so$: where she is tested, nobody knows it."""
    words = {"anger": "Bored", "fear": "$so so$"}
    renamed = corpus.relabelled(lambda word: words.get(word, word))
    first = renamed.speakers[0]
    clips = tuple(clip for clip in renamed.clips if clip.emotion != "$so so$" or clip.speaker == first)
    rare = [clip.path for clip in clips if clip.emotion == "$so so$"]
    run = thymos.evaluate(
        replace(renamed, clips=clips), BandEnergies(), "speaker", out=tmp_path, cache_dir=tmp_path / "c", threads=1
    )
    labels = ["disgust", "happiness", "sadness", "$so so$", "Bored"]
    assert run.results["labels"] == labels
    assert [fold.get("untrained") for fold in run.results["folds"]] == [{"$so so$": len(rare)}, *[None] * 5]
    of_rare = run.predictions[run.predictions["clip"].isin(rare)]
    assert len(of_rare) == len(rare) > 0 and (of_rare["p_$so so$"] == 0).all()
    assert of_rare[[f"p_{word}" for word in labels]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    heard_of_others = run.predictions[run.predictions["speaker"] != first]
    assert (heard_of_others["p_$so so$"] > 0).all(), "where she is in the training part, it is learnt"
    assert sum(run.results["confusion"]["recording"][3]) == len(rare)
    (row,) = (row for row in run.results["per_emotion"] if row["emotion"] == "$so so$")
    assert row["recording"]["recall"] == 0
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert f"speaker {first}: no recording of $so so$ to train on, so its {len(rare)} tested count as wrong." in page
