"""A corpus that tells arousal and valence and no emotions, as MSP-Podcast's users have it: from table to answers."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from toys import HZ

import thymos
from thymos.audio import read_waveform
from thymos.corpora import Corpus, open_corpus
from thymos.corpora.opening import joined
from thymos.corpora.protocols import protocol_named
from thymos.encoder.experiment import EncoderExperiment
from thymos.errors import ArgumentError
from thymos.evaluation.evaluate import evaluate
from thymos.evaluation.robustness import robustness
from thymos.evaluation.train import train
from thymos.recipes import load_experiment
from thymos.reports.audit_report import audit
from thymos.reports.method import describe_run
from thymos.reports.run_report import fold_notes, write_report
from thymos.runtime.formats import IN_TIME
from thymos.runtime.recognizer import Recognizer
from thymos.scoring.results import read_results

Recipe = Callable[..., Any]


def arousal_of(corpus: Corpus, place: int) -> float:
    clip = corpus.clips[place]
    return (HZ[clip.emotion] + 30 * int(clip.speaker) + 11 * int(clip.path.removesuffix(".wav")[-1])) / 1000


@pytest.fixture(scope="module")
def alone(tone_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in MSP-Podcast's words: activation goes by pitch, valence does not; one clip has no value at all."""
    path = tmp_path_factory.mktemp("alone") / "labels.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["FileName", "EmoAct", "EmoVal", "SpkrID"])
        for place, clip in enumerate(tone_corpus.clips):
            told = ["", ""] if place == 5 else [f"{arousal_of(tone_corpus, place):.4f}", f"{place * 7 % 10}"]
            table.writerow([tone_corpus.root / clip.path, *told, clip.speaker])
    return path


@pytest.fixture(scope="module")
def experiment(toy_recipe: Recipe) -> EncoderExperiment:
    return EncoderExperiment(toy_recipe(speeds=[1.0]))


@pytest.fixture(scope="module")
def run(alone: Path, experiment: EncoderExperiment, tones_cache: Path, tmp_path_factory: Any) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    evaluate(alone, experiment, "speaker", out=out, cache_dir=tones_cache, threads=1)
    return out


@pytest.fixture(scope="module")
def recognizer(
    alone: Path, experiment: EncoderExperiment, tones_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Recognizer:
    folder = tmp_path_factory.mktemp("model") / "model"
    made = train(alone, experiment, folder, cache_dir=tones_cache, threads=1)
    assert made.notes == ()
    return thymos.load(made.folder)


def test_it_is_read_with_its_values_and_says_what_it_lacks(alone: Path) -> None:
    corpus = open_corpus(alone)
    assert (len(corpus.clips), corpus.emotions, corpus.dimensions) == (35, (), ("arousal", "valence"))
    assert [(each.clip, each.reason) for each in corpus.excluded] == [
        (corpus.excluded[0].clip, "has no value of a dimension")
    ]
    assert any("no emotions" in note for note in corpus.notes)
    assert corpus.tally.found == 36


def test_a_heading_that_is_nearly_emotion_is_what_is_meant(tone_corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text(
        f"file,emotoin,arousal\n{tone_corpus.root / tone_corpus.clips[0].path},anger,0.4\n"
    )
    with pytest.raises(thymos.CorpusError, match=r"no column emotion.*did you mean 'emotoin'"):
        open_corpus(tmp_path / "clips.csv")


def test_it_stands_beside_no_corpus_of_emotions(alone: Path, tone_corpus: Corpus) -> None:
    with pytest.raises(thymos.CorpusError, match="tells dimensions and no emotions, and the others tell emotions"):
        joined([open_corpus(alone), tone_corpus])


def test_protocols_divide_it_as_any_corpus(alone: Path) -> None:
    clips = tuple(
        replace(
            clip, corpus="one" if clip.speaker in "12" else "two", sentence=f"{at % 4}", split=("train", "test")[at % 2]
        )
        for at, clip in enumerate(open_corpus(alone).clips)
    )
    corpus = replace(open_corpus(alone), clips=clips)
    for name, folds in (("corpus", 2), ("speaker", 4), ("sentence", 2), ("own", 1), ("recording", 2), ("serab", 1)):
        split = protocol_named(name, 2).split(corpus)
        assert len(split.folds) == folds, name
        assert {*split.folds[0].train, *split.folds[0].validation, *split.folds[0].test} == {
            clip.path for clip in clips
        }


def test_an_audit_says_from_which_value_to_which(alone: Path, tmp_path: Path, thymos_here: Any) -> None:
    told = audit(alone, tmp_path / "audit")
    valence = [place * 7 % 10 for place in range(36) if place != 5]
    done = thymos_here("audit", alone)
    assert f"valence: 0 to 9, mean {sum(valence) / 35:.3g}, of 35" in done.stdout
    assert (tmp_path / "audit" / "audit.html").read_text().count("valence") >= 1
    again = open_corpus(tmp_path / "audit" / "clips.csv")
    assert [clip.arousal for clip in again.clips] == [clip.arousal for clip in told.corpus.clips]


@pytest.mark.slow
def test_by_speaker_each_dimension_has_its_ccc_and_emotions_have_no_score(run: Path) -> None:
    results = read_results(run)
    arousal, valence = results.per_dimension
    assert (arousal.dimension, arousal.recordings, len(arousal.folds)) == ("arousal", 35, 4)
    assert arousal.pooled.ccc > 0.9 > 0.5 > abs(valence.pooled.ccc)
    assert (results.labels, results.summary, results.per_emotion, results.confusion) == ([], None, [], None)
    frame = pd.read_csv(run / "predictions.csv")
    assert [name for name in frame if name.startswith("p_")] == []
    assert frame["true_arousal"].notna().all()


def test_a_finished_run_is_known_again(
    run: Path, alone: Path, experiment: EncoderExperiment, tones_cache: Path
) -> None:
    before = (run / "results.json").read_bytes()
    evaluate(alone, experiment, "speaker", out=run, cache_dir=tones_cache, threads=1)
    assert (run / "results.json").read_bytes() == before


def test_its_report_has_dimensions_and_no_empty_part_for_emotions(run: Path) -> None:
    page = write_report(run).read_text()
    assert '<section id="dimensions">' in page
    assert all(f'id="{part}"' not in page for part in ("emotions", "confusion", "scores"))
    assert "accuracy" not in (run / "tables" / "folds.csv").read_text()
    assert not (run / "tables" / "confusion.csv").exists()
    said = describe_run(read_results(run), "text")
    assert "rated for arousal, valence, not for emotions" in said
    assert "chance among" not in said
    folds = json.loads((run / "results.json").read_text("utf-8"))["folds"]
    assert folds and fold_notes(folds) == [], "no emotion was there to be learnt"


def test_folds_that_cannot_be_scored_are_refused_in_a_sentence(
    alone: Path, experiment: EncoderExperiment, tones_cache: Path
) -> None:
    """Speaker 1 alone tells values: where others are tested there is no truth, and where it is, nothing to learn."""
    corpus = open_corpus(alone)
    clips = tuple(clip if clip.speaker == "1" else replace(clip, arousal=None, valence=None) for clip in corpus.clips)
    with pytest.raises(thymos.ProtocolError, match="both to learn from and to test"):
        evaluate(replace(corpus, clips=clips), experiment, "speaker", cache_dir=tones_cache, threads=1)


@pytest.mark.slow
def test_what_learns_emotions_alone_says_so_before_any_work(
    alone: Path, experiment: EncoderExperiment, tones_cache: Path
) -> None:
    with pytest.raises(thymos.CorpusError, match="learns emotions alone; recipes of kind encoder"):
        evaluate(alone, "model3", cache_dir=tones_cache, threads=1)
    with pytest.raises(thymos.CorpusError, match="robustness goes by how well emotions are told"):
        robustness(alone, experiment, cache_dir=tones_cache)
    with pytest.raises(thymos.RecipeError, match="fine-tunes the encoder to emotions"):
        evaluate(alone, load_experiment("thymos", ["finetune=fold"]), cache_dir=tones_cache, threads=1)
    constant = open_corpus(alone)
    clips = tuple(replace(clip, arousal=1.0, valence=2.0) for clip in constant.clips)
    with pytest.raises(thymos.CorpusError, match="no dimension of it varies"):
        evaluate(replace(constant, clips=clips), experiment, cache_dir=tones_cache, threads=1)


def test_a_model_of_it_tells_values_and_no_emotion(recognizer: Recognizer, spoken: list[Path]) -> None:
    assert (recognizer.labels, recognizer.dimensions) == ((), ("arousal", "valence"))
    heard = recognizer.predict(spoken[0])
    assert (heard.emotion, heard.probabilities, heard.prediction_set, heard.shares) == (None, {}, (), None)
    assert heard.dimensions is not None
    assert str(heard).startswith("arousal ")
    assert "none heard" not in str(heard)
    assert "none heard" not in heard._repr_html_()
    assert heard.to_frame().reset_index()["arousal"][0] == pytest.approx(heard.dimensions["arousal"], abs=1e-4)
    assert recognizer.embed(spoken[0]).ndim == 1
    with pytest.raises(ArgumentError, match=r"timeline needs a model that tells emotions.*arousal and valence"):
        recognizer.predict(spoken[0], timeline=True)
    with pytest.raises(ArgumentError, match="explanation needs a model that tells emotions"):
        recognizer.explain(spoken[0])
    with pytest.raises(ArgumentError, match="choice of labels needs a model that tells emotions"):
        recognizer.among(["anger", "fear"])


def test_a_stream_and_long_sound_have_values_too(recognizer: Recognizer, spoken: list[Path]) -> None:
    waveform = read_waveform(spoken[0])
    samples = waveform.samples.repeat(1)
    long = pd.concat([pd.Series(samples)] * (1 + int(35 * waveform.rate_hz / len(samples)))).to_numpy()
    heard = recognizer.predict((long, waveform.rate_hz))
    assert heard.dimensions is not None
    assert heard.shares is None
    with recognizer.stream(waveform.rate_hz) as stream:
        windows = [window for window in stream.feed(long[: 6 * waveform.rate_hz]) if window.probabilities is not None]
    assert windows
    assert all(window.emotion is None and window.dimensions for window in windows)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["jsonl", "json", "csv", "tsv", "table", "parquet", "audformat"])
def test_formats_that_say_what_is_heard_have_values(
    recognizer: Recognizer, spoken: list[Path], format: str, thymos_here: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = thymos_here("predict", *spoken[:2], "--model", recognizer.bundle.folder, "--format", format, "--out", out)
    assert done.returncode == 0, done.stderr
    expected = [recognizer.predict(path).dimensions for path in spoken[:2]]
    arousal = [round(values["arousal"], 4) for values in expected if values]
    if format in ("jsonl", "json"):
        text = out.read_text()
        rows = json.loads(text) if format == "json" else [json.loads(line) for line in text.splitlines()]
        assert [row["dimensions"]["arousal"] for row in rows] == arousal
        assert all(row["emotion"] is None and row["probabilities"] == {} for row in rows)
    elif format == "table":
        assert "none heard" not in out.read_text()
        assert f"arousal {arousal[0]:.2f}" in out.read_text().replace("−", "-")
    else:
        frame = pd.read_parquet(out) if format == "parquet" else pd.read_csv(out, sep="\t" if format == "tsv" else ",")
        assert frame["arousal"].tolist() == pytest.approx(arousal)
        assert frame["emotion"].isna().all()
        assert [name for name in frame if name.startswith("p_")] == []


@pytest.mark.parametrize("format", sorted(IN_TIME))
def test_formats_that_say_which_emotion_when_are_refused(
    recognizer: Recognizer, spoken: list[Path], format: str, thymos_here: Any
) -> None:
    done = thymos_here("predict", spoken[0], "--model", recognizer.bundle.folder, "--format", format)
    assert done.returncode == 2
    assert "needs a model that tells emotions" in done.stderr


@pytest.mark.slow
def test_other_commands_take_such_a_model_or_say_why_not(
    recognizer: Recognizer, spoken: list[Path], thymos_here: Any, tmp_path: Path
) -> None:
    folder = recognizer.bundle.folder
    shown = thymos_here("models", folder)
    assert "arousal, valence" in shown.stdout
    assert "none" in shown.stdout
    for words, said in (
        (("serve", "--model", folder), "tells no emotions, which the server is for"),
        (("predict", spoken[0], "--model", folder, "--timeline"), "needs a model that tells emotions"),
        (("predict", spoken[0], "--model", folder, "--adapt"), "does not tell voices from emotions"),
        (("listen", "-", "--model", folder), "listening needs a model that tells emotions"),
    ):
        done = thymos_here(*words)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
    assert thymos_here("export", folder, "--hub", tmp_path / "hub").returncode == 0
    assert "tells arousal, valence." in (tmp_path / "hub" / "README.md").read_text()
