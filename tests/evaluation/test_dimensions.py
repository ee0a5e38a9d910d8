"""Arousal, valence and dominance from end to end: evaluated, trained, heard.

No real corpus that tells them is at hand, so these are tones: arousal is their pitch, valence is nothing that can be
heard, dominance never varies.
"""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toys import HZ

import thymos
from thymos.corpora import Corpus, open_corpus
from thymos.encoder.experiment import EncoderExperiment
from thymos.evaluation.evaluate import evaluate
from thymos.evaluation.train import train, whole_part
from thymos.experiment import Work
from thymos.reports.run_report import write_report
from thymos.scoring.agreement import agreement
from thymos.scoring.results import read_results

Recipe = Callable[..., Any]


@pytest.fixture(scope="module")
def told(tone_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of the tones: arousal is 0.1 a hundred Hz, and one clip does not tell it."""
    path = tmp_path_factory.mktemp("told") / "clips.csv"
    random = np.random.default_rng(4)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "emotion", "speaker", "arousal", "valence", "dominance"])
        for number, clip in enumerate(tone_corpus.clips):
            take = int(clip.path.removesuffix(".wav")[-1])
            hz = HZ[clip.emotion] + 30 * int(clip.speaker) + 11 * take
            arousal = "" if number == 5 else f"{hz / 1000:.4f}"
            row = [tone_corpus.root / clip.path, clip.emotion, clip.speaker, arousal, f"{random.normal():.3f}", 4]
            table.writerow(row)
    return path


@pytest.fixture(scope="module")
def experiment(toy_recipe: Recipe) -> EncoderExperiment:
    return EncoderExperiment(toy_recipe(speeds=[1.0]))


@pytest.fixture(scope="module")
def run(told: Path, experiment: EncoderExperiment, tones_cache: Path, tmp_path_factory: Any) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    evaluate(told, experiment, folds=3, out=out, cache_dir=tones_cache, threads=1)
    return out


@pytest.mark.slow
def test_what_can_be_heard_is_learnt_and_what_cannot_is_not(run: Path) -> None:
    results = read_results(run)
    arousal, valence = results.per_dimension
    assert (arousal.dimension, arousal.recordings) == ("arousal", 35), "one recording does not tell it"
    assert (valence.dimension, valence.recordings) == ("valence", 36)
    assert arousal.pooled.ccc > 0.9
    assert abs(valence.pooled.ccc) < 0.5
    low, high = arousal.ccc.mean_ci95 or (0, 0)
    assert 0.7 < low <= arousal.ccc.mean <= high <= 1
    assert [fold.recordings for fold in arousal.folds] != [fold.recordings for fold in valence.folds]
    assert all(set(fold.model_extra["penalties"]) == {"arousal", "valence"} for fold in results.folds)


def test_predictions_have_a_column_for_truth_and_one_for_what_was_said(run: Path) -> None:
    frame = pd.read_csv(run / "predictions.csv")
    assert list(frame.columns[-4:]) == ["true_arousal", "predicted_arousal", "true_valence", "predicted_valence"]
    known = frame[frame.true_arousal.notna()]
    assert (len(frame), len(known)) == (36, 35)
    found = agreement(known.true_arousal.to_numpy(), known.predicted_arousal.to_numpy())
    assert read_results(run).per_dimension[0].pooled.mae == pytest.approx(found["mae"], rel=1e-5)


def test_a_finished_run_is_known_again_and_other_values_are_another_run(
    run: Path, told: Path, experiment: EncoderExperiment, tones_cache: Path
) -> None:
    before = (run / "results.json").read_bytes()
    evaluate(told, experiment, folds=3, out=run, cache_dir=tones_cache, threads=1)
    assert (run / "results.json").read_bytes() == before
    corpus = open_corpus(told)
    other = replace(corpus, clips=(replace(corpus.clips[0], arousal=9.0), *corpus.clips[1:]))
    with pytest.raises(thymos.RunError, match="another corpus"):
        evaluate(other, experiment, folds=3, out=run, cache_dir=tones_cache, threads=1)


@pytest.mark.slow
def test_report_and_tables_show_dimensions(run: Path) -> None:
    page = write_report(run).read_text()
    assert '<section id="dimensions">' in page
    table = (run / "tables" / "dimensions.md").read_text()
    assert "| arousal | 35 | 0.9" in table
    (row, _) = csv.DictReader((run / "tables" / "dimensions.csv").open())
    assert float(row["ccc_mean"]) == pytest.approx(read_results(run).per_dimension[0].ccc.mean, abs=1e-5)


@pytest.mark.slow
def test_a_fold_that_is_told_nothing_to_learn_says_so(
    told: Path, experiment: EncoderExperiment, tones_cache: Path
) -> None:
    """Speaker 1 alone tells arousal, so where this voice is tested, nothing could be learnt of it."""
    corpus = open_corpus(told)
    clips = tuple(clip if clip.speaker == "1" else replace(clip, arousal=None) for clip in corpus.clips)
    run = evaluate(replace(corpus, clips=clips), experiment, "speaker", cache_dir=tones_cache, threads=1)
    assert run.results["folds"][0]["penalties"]["arousal"] is None
    assert [row["dimension"] for row in run.results["per_dimension"]] == ["valence"]


@pytest.mark.slow
def test_a_corpus_without_dimensions_is_as_before(
    tone_corpus: Corpus, experiment: EncoderExperiment, tones_cache: Path
) -> None:
    run = evaluate(tone_corpus, experiment, folds=3, cache_dir=tones_cache, threads=1)
    assert "per_dimension" not in run.results
    assert list(run.predictions.columns[-3:]) == ["p_anger", "p_fear", "p_sadness"]
    assert all("penalties" not in fold for fold in run.results["folds"])


@pytest.mark.slow
def test_a_model_reads_them_in_what_it_hears(
    told: Path,
    tone_corpus: Corpus,
    experiment: EncoderExperiment,
    tones_cache: Path,
    tmp_path: Path,
    thymos_here: Any,
    spoken: list[Path],
) -> None:
    """Of sound long enough to be heard; the head as it is shipped is the one that was fitted."""
    made = train(told, experiment, tmp_path / "model", cache_dir=tones_cache, threads=1)
    about = json.loads((made.folder / "model.json").read_text())
    assert about["dimensions"] == ["arousal", "valence"]
    recognizer = thymos.load(made.folder)
    corpus = open_corpus(told)
    features = experiment.features(corpus, Work(tones_cache))
    fitted = experiment.fit(features, whole_part(corpus, experiment, None, 0), Work(tones_cache))
    said = fitted.predict(features, (0, 20)).values
    assert said is not None
    for row, place in zip((0, 20), range(2), strict=True):
        heard = recognizer._listener.hear(tone_corpus.waveform(tone_corpus.clips[row]).samples)[0].values
        np.testing.assert_allclose(heard, said[place], atol=0.02)
    for format in ("jsonl", "csv"):
        done = thymos_here("predict", spoken[0], "--model", made.folder, "--format", format)
        assert done.returncode == 0, done.stderr
        if format == "jsonl":
            values = json.loads(done.stdout)["dimensions"]
            assert set(values) == {"arousal", "valence"}
        else:
            (row,) = csv.DictReader(done.stdout.splitlines())
            assert "dominance" not in row
            assert {name: float(row[name]) for name in values} == values
    assert f"arousal {values['arousal']:.2f}" in str(recognizer.predict(spoken[0])).replace("−", "-")
