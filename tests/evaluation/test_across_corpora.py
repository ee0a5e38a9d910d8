"""Whole evaluations across corpora and by published divisions, on toys: from commands to files."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import thymos
from thymos.audio import Samples
from thymos.cli import app
from thymos.corpora import Corpus, open_corpus
from thymos.corpora.opening import joined
from thymos.errors import CorpusError, LeakageError
from thymos.evaluation.evaluate import evaluate
from thymos.evaluation.study import study
from thymos.evaluation.study_plan import load_study
from thymos.recipes import load_experiment

WriteSound = Callable[..., Path]
MakeTone = Callable[..., Samples]

HZ = {"anger": 2000.0, "happiness": 1200.0, "neutral": 500.0, "sadness": 250.0, "calm": 800.0, "excited": 1300.0}
SMALL = (
    "training.epochs=2",
    "model.conv_channels=[4]",
    "model.dense_units=[8]",
    "sound.rate_hz=16000",
    "features.n_mels=16",
)
# Named as EMO-DB, EMOVO and SAVEE name theirs: speaker by speaker, for each emotion the letters of it.
NAMES: dict[str, tuple[list[str], Mapping[str, str], Callable[[str, str], str]]] = {
    "emo-db": (
        ["03", "08", "09", "10", "11", "12", "13", "14", "15", "16"],
        {"anger": "W", "happiness": "F", "neutral": "N", "sadness": "T"},
        lambda speaker, letter: f"wav/{speaker}a01{letter}a",
    ),
    "emovo": (
        ["f1", "f2", "f3", "m1", "m2", "m3"],
        {"anger": "rab", "happiness": "gio", "neutral": "neu", "sadness": "tri", "calm": "sor"},
        lambda speaker, letters: f"{speaker}/{letters}-{speaker}-b1",
    ),
    "savee": (
        ["DC", "JE", "JK", "KL"],
        {"anger": "a", "happiness": "h", "neutral": "n", "sadness": "sa"},
        lambda speaker, letters: f"{speaker}/{letters}01",
    ),
}


class Pitch(thymos.Experiment[np.ndarray]):
    """A toy: the loudest frequency, and the nearest mean of it."""

    name = "pitch"

    def __init__(self, heard: frozenset[str] = frozenset()) -> None:
        self.heard = heard

    def has_heard(self, clip: thymos.Clip) -> bool:
        return clip.path in self.heard

    def check(self, corpus: Corpus) -> None:
        if heard := [clip.path for clip in corpus.clips if self.has_heard(clip)]:
            raise LeakageError(f"heard {heard[0]}")

    def features(self, corpus: Corpus, work: thymos.Work) -> np.ndarray:
        spectra = [np.abs(np.fft.rfft(corpus.waveform(clip).samples, 16_000)) for clip in corpus.clips]
        return np.array([float(spectrum.argmax()) for spectrum in spectra])

    def fit(self, features: np.ndarray, part: thymos.TrainingPart, work: thymos.Work) -> "Means":
        own = features[list(part.rows)]
        return Means(np.array([own[part.targets == target].mean() for target in range(len(part.labels))]))


class Means(thymos.Fitted[np.ndarray]):
    def __init__(self, means: np.ndarray) -> None:
        self.means = means

    def predict(self, features: np.ndarray, rows: tuple[int, ...]) -> thymos.Scores:
        far = -np.abs(features[list(rows), None] - self.means[None]) / 100
        likely = np.exp(far - far.max(axis=1, keepdims=True))
        return thymos.Scores(likely / likely.sum(axis=1, keepdims=True))


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory, write_sound: WriteSound, make_tone: MakeTone) -> Path:
    """Small corpora, each named as a published one, with a pitch for each emotion."""
    root = tmp_path_factory.mktemp("toys")
    for number, (kind, (speakers, letters, name)) in enumerate(NAMES.items()):
        for place, speaker in enumerate(speakers):
            for emotion, code in letters.items():
                hz = HZ[emotion] + 3 * place + 17 * number
                write_sound(root / kind / f"{name(speaker, code)}.wav", make_tone(0.15, hz=hz))
    return root


def opened(toys: Path, *kinds: str, **labels: str) -> Corpus:
    return joined([open_corpus(toys / kind, labels=labels) for kind in kinds])


@pytest.mark.slow
def test_a_corpus_is_left_out_in_each_fold(toys: Path) -> None:
    run = evaluate(opened(toys, "emo-db", "emovo", "savee"), Pitch(), "corpus", device="cpu")
    assert [fold["name"] for fold in run.results["folds"]] == ["corpus emo-db", "corpus emovo", "corpus savee"]
    assert run.results["summary"]["recording"]["pooled"]["accuracy"] == 1.0
    assert run.results["corpus"]["name"] == "emo-db + emovo + savee"
    assert run.results["protocol"]["notes"] == [
        "corpus emo-db: labels that one side alone has are left out: surprise (6 in training)",
        "corpus emovo: labels that one side alone has are left out: surprise (6 in the test part)",
        "corpus savee: labels that one side alone has are left out: surprise (6 in training)",
    ]
    tested = run.predictions.groupby("fold")["clip"].nunique()
    assert tested.to_dict() == {0: 40, 1: 24, 2: 16}


@pytest.mark.slow
def test_other_corpora_are_tested_by_what_was_fitted_to_the_first(toys: Path) -> None:
    trained = open_corpus(toys / "emo-db")
    run = evaluate(trained, Pitch(), test=[toys / "savee", open_corpus(toys / "emovo")], device="cpu")
    assert [(fold["name"], fold["train_clips"], fold["test_clips"]) for fold in run.results["folds"]] == [
        ("test on savee", 40, 16),
        ("test on emovo", 40, 24),
    ]
    assert run.results["protocol"]["name"] == "test"
    assert run.results["protocol"]["must_not_cross"] == ["recording", "corpus"]


@pytest.mark.slow
def test_what_an_encoder_has_heard_may_be_trained_on_and_not_tested(toys: Path) -> None:
    trained, tested = open_corpus(toys / "emo-db"), open_corpus(toys / "savee")
    heard = Pitch(frozenset({"emo-db/wav/03a01Wa.wav"}))
    assert evaluate(trained, heard, test=[tested], device="cpu").results["folds"][0]["test_clips"] == 16
    with pytest.raises(LeakageError, match="heard emo-db/wav/03a01Wa.wav".replace(".", r"\.")):
        evaluate(tested, heard, test=[trained], device="cpu")


def test_a_corpus_cannot_be_trained_on_and_tested(toys: Path) -> None:
    corpus = open_corpus(toys / "emovo")
    with pytest.raises(CorpusError, match="two of the corpora hold"):
        evaluate(corpus, Pitch(), test=[corpus])
    half = corpus.part([clip.path for clip in corpus.clips if clip.speaker.startswith("f")])
    rest = corpus.part([clip.path for clip in corpus.clips if clip.speaker.startswith("m")])
    with pytest.raises(CorpusError, match="emovo would be trained on and tested"):
        evaluate(half, Pitch(), test=[rest])


# --- from the command line ---


def thymos_command(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def settings() -> list[str]:
    return [
        "--recipe",
        "model1",
        "--device",
        "cpu",
        "--threads",
        "1",
        *(f"--set={change}" for change in SMALL),
        "--quiet",
    ]


@pytest.mark.slow
def test_the_command_leaves_labels_out_and_says_so(toys: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["evaluate", toys / "emo-db", "--test", toys / "emovo", "--out", out, *settings()]
    result = thymos_command(*words)
    assert result.exit_code == 0, result.output
    said = "test on emovo: labels that one side alone has are left out: surprise (6 in the test part)"
    assert said in result.output
    results = json.loads((out / "results.json").read_text())
    assert results["protocol"]["notes"] == [said]
    assert "surprise" not in results["labels"] and len(results["labels"]) == 4
    assert results["chance"] == 0.25 and "chance 0.250" in result.output
    assert {fold["name"]: fold["test_clips"] for fold in results["folds"]} == {"test on emovo": 24}
    assert said in (out / "report.html").read_text()


def test_a_protocol_and_a_test_corpus_contradict_each_other(toys: Path, tmp_path: Path) -> None:
    words = ["evaluate", toys / "emo-db", "--test", toys / "emovo", "--protocol", "speaker", "--out", tmp_path / "x"]
    result = thymos_command(*words)
    assert "--test says what is tested, and --protocol speaker too" in str(result.exception)


# --- studies that are shipped ---


def small(plan_name: str, *rows: str) -> object:
    """A shipped study's rows with a network small enough for a test in each place."""
    plan = load_study(plan_name).only(rows)
    experiment = load_experiment("model1", SMALL)
    return replace(plan, rows=tuple(replace(row, experiment=experiment) for row in plan.rows))


@pytest.mark.slow
def test_emoboxs_cross_corpus_study_runs_on_pairs_of_four_labels(
    toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = tmp_path / "track2"
    choices.mkdir()
    line = json.dumps({"wav_filename": "DC/a01.wav", "label": "angry", "speaker": "DC"})
    other = json.dumps({"wav_filename": "KL/n01.wav", "label": "neutral", "speaker": "KL"})
    (choices / "SAVEE_selected_balenced.jsonl").write_text(f"{line}\n{other}\n")
    monkeypatch.setenv("EMOBOX_TRACK2", str(choices))
    plan = small("emobox-cross-corpus", "functionals-svm", "functionals-svm, EmoBox's test sets")
    assert dict(plan.labels)["excited"] == "happiness" and plan.labels["*"] == ""  # type: ignore[attr-defined]
    corpora = [open_corpus(toys / kind, labels=plan.labels) for kind in ("emovo", "savee")]  # type: ignore[attr-defined]
    content = study(joined(corpora), plan, tmp_path / "out", workers=1, device="cpu")  # type: ignore[arg-type]
    assert [row["failed"] for row in content["rows"]] == [None, None]
    rows = tmp_path / "out" / "rows"
    chosen = json.loads((rows / "functionals-svm-emobox-s-test-sets" / "results.json").read_text())
    assert [(fold["name"], fold["test_clips"]) for fold in chosen["folds"]] == [
        ("emovo to savee", 2),
        ("savee to emovo", 24),
    ]
    results = json.loads((rows / "functionals-svm" / "results.json").read_text())
    assert results["labels"] == ["anger", "happiness", "sadness", "neutral"]
    assert [(fold["name"], fold["test_clips"]) for fold in results["folds"]] == [
        ("emovo to savee", 16),
        ("savee to emovo", 24),
    ]


@pytest.mark.slow
def test_serabs_study_runs_on_a_corpus_of_its(toys: Path, tmp_path: Path) -> None:
    plan = small("serab", "functionals-svm")
    content = study(open_corpus(toys / "emovo"), plan, tmp_path, workers=1, device="cpu")  # type: ignore[arg-type]
    assert [row["failed"] for row in content["rows"]] == [None]
    results = json.loads((tmp_path / "rows" / "functionals-svm" / "results.json").read_text())
    assert results["protocol"]["name"] == "serab"
    assert {row["speaker"] for row in results["per_speaker"]} == {"f1", "m2"}
