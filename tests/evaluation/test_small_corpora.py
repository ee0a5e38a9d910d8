"""Too little to divide: told before any work, in words of the user's own options, with what is possible."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thymos
from thymos.corpora import Clip, Corpus, Measurements
from thymos.corpora.protocols import possible_protocols, protocol_named
from thymos.corpora.table import ClipEntry
from thymos.errors import ProtocolError, RunError, ThymosError

HALVES = "this corpus can be divided by recording with 2 folds"
NO_EMOTION = "need an emotion with as many recordings; none has"
PROTOCOLS = ("recording", "take", "sentence", "speaker", "serab")


class NeverWorks(thymos.Experiment[Any]):
    """Whatever asks it for features has begun to work."""

    name = "never"

    def features(self, corpus: thymos.Corpus, work: thymos.Work) -> Any:
        raise AssertionError("work was begun")

    def fit(self, features: Any, part: thymos.TrainingPart, work: thymos.Work) -> Any:
        raise AssertionError("work was begun")


def corpus_of(*rows: tuple[str, str, str]) -> Corpus:
    """Emotion, speaker and sentence of each recording; nobody can decode one."""
    sound = Measurements(16_000, 1, 16_000, "WAV PCM_16", 0.5, 0, 0.0, "")
    clips = [
        Clip(**vars(ClipEntry(f"{i}.wav", emotion, speaker, sentence)), sound=replace(sound, sha256=f"{i:064}"))
        for i, (emotion, speaker, sentence) in enumerate(rows)
    ]
    return Corpus("csv", Path("small"), tuple(clips))


TWO_OF_EACH = corpus_of(*(("anger", "", ""),) * 2, *(("fear", "", ""),) * 2)
ONE_OF_EACH = corpus_of(("anger", "", ""), ("fear", "", ""))
ONE_SPEAKER = corpus_of(*((emotion, "ann", f"{i:02}") for emotion in ("anger", "fear") for i in range(8)))
ONE_EMOTION_EACH = corpus_of(*(("anger", "ann", "01"),) * 4, *(("fear", "bob", "01"),) * 4)
ONE_SENTENCE = corpus_of(
    *((emotion, who, "01") for emotion in ("anger", "fear") for who in ("ann", "bob") for _ in "12")
)


@pytest.mark.parametrize(
    ("corpus", "protocol", "folds", "words"),
    [
        (TWO_OF_EACH, "recording", 5, f"5 folds need as many groups of recording; there are 4; {HALVES}"),
        (TWO_OF_EACH, "recording", 3, f"3 folds {NO_EMOTION}; {HALVES}"),
        (TWO_OF_EACH, "take", 2, f"needs every clip's speaker, unknown for 0.wav, 1.wav, 2.wav, 3.wav; {HALVES}"),
        (TWO_OF_EACH, "sentence", 2, f"needs every clip's sentence, unknown for .*; {HALVES}"),
        (TWO_OF_EACH, "speaker", 5, f"needs every clip's speaker, unknown for .*; {HALVES}"),
        (TWO_OF_EACH, "serab", 5, f"needs every clip's speaker, unknown for .*; {HALVES}"),
        (ONE_OF_EACH, "recording", 2, f"2 folds {NO_EMOTION}; no protocol divides this corpus: it needs two"),
        (
            ONE_SPEAKER,
            "speaker",
            5,
            "at least two speakers; .* recording with 2 to 8 folds, take with 2 to 8 folds, sent",
        ),
        (ONE_SPEAKER, "recording", 9, f"9 folds {NO_EMOTION}; .* recording with 2 to 8 folds"),
        (ONE_EMOTION_EACH, "speaker", 5, "speaker ann has no recording but of fear to train on; two emotions are"),
        (ONE_SENTENCE, "sentence", 5, "there are 1; .* recording with 2 to 4 folds, take with 2 to 4 folds, speaker"),
    ],
)
def test_evaluate_says_so_before_any_work(
    tmp_path: Path, corpus: Corpus, protocol: str, folds: int, words: str
) -> None:
    with pytest.raises(ProtocolError, match=words):
        thymos.evaluate(corpus, NeverWorks(), protocol, folds=folds, out=tmp_path / "run")
    assert not (tmp_path / "run").exists(), "what cannot be run leaves no folder behind"


@pytest.mark.parametrize("corpus", [TWO_OF_EACH, ONE_SPEAKER, ONE_EMOTION_EACH, ONE_SENTENCE])
def test_what_is_said_to_be_possible_is_possible(corpus: Corpus) -> None:
    """And no more folds than that."""
    for part in possible_protocols(corpus).removeprefix("this corpus can be divided by ").split(", "):
        name, _, folds = part.partition(" with ")
        most = int(folds.removesuffix(" folds").rpartition(" ")[2]) if folds else 5
        assert protocol_named(name, most).split(corpus).folds
        if folds:
            with pytest.raises(ProtocolError):
                protocol_named(name, most + 1).split(corpus)


def test_one_emotion_is_refused_whatever_is_asked_for(tmp_path: Path) -> None:
    corpus = corpus_of(*(("anger", "ann", "01"),) * 8)
    for protocol in PROTOCOLS:
        with pytest.raises(ThymosError, match="has recordings of 1 emotion"):
            thymos.evaluate(corpus, NeverWorks(), protocol, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"protocol": "recordings"}, "there is no protocol 'recordings'"),
        ({"protocol": "file:absent.csv"}, "absent.csv does not exist"),
        ({"experiment": "modle3"}, "there is no recipe 'modle3'; did you mean 'model3'"),
        ({"device": "cuda9"}, "cuda9"),
        ({"out": "taken"}, "taken exists and is not a run folder; choose another --out"),
    ],
)
def test_a_wrong_option_is_found_before_the_corpus_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: dict[str, str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").touch()
    call: dict[str, Any] = {"experiment": NeverWorks(), "out": "run"} | option
    with pytest.raises(ThymosError, match=words):
        thymos.evaluate("no such corpus", **call)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["evaluate", "absent", "--out", "run", "--protocol", "speekers"], "there is no protocol 'speekers'"),
        (["evaluate", "absent", "--out", "run", "--recipe", "modle3"], "did you mean 'model3'"),
        (["evaluate", "absent", "--out", "run", "--set", "training.epoch=1"], "did you mean 'epochs'"),
        (["evaluate", "absent", "--out", "run", "--figures", "gif"], "not as gif"),
        (["evaluate", "absent", "--out", "run", "--label-map", "angry"], "is no rule for a label"),
        (["evaluate", "absent", "--out", "taken"], "taken exists and is not a run folder"),
        (["study", "study", "--corpus", "absent", "--out", "taken"], "taken exists and is not a run folder"),
        (["study", "studdy", "--corpus", "absent", "--out", "run"], "there is no study 'studdy'"),
        (["train", "absent", "--out", "taken"], "letter.txt, which is no part of a model"),
        (["train", "absent", "--out", "run", "--recipe", "modle3"], "did you mean 'model3'"),
        (["audit", "absent", "--out", "taken"], "letter.txt, which is no part of an audit"),
        (["audit", "absent", "--out", "letter"], "letter exists and is no folder"),
        (["audit", "absent", "--figures", "gif"], "not as gif"),
    ],
)
def test_every_command_finds_a_wrong_option_before_a_file_is_read(
    tmp_path: Path, thymos_here: Callable[..., Any], command: list[str], words: str
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").touch()
    (tmp_path / "letter").touch()
    done = thymos_here(*command)
    assert done.returncode == 2
    assert words in done.stderr and "absent does not exist" not in done.stderr


def test_a_study_tells_what_its_rows_cannot_do_before_any_work(tmp_path: Path) -> None:
    from thymos.evaluation.study import study

    (tmp_path / "study.yaml").write_text(
        "name: small\nbase: {recipe: model1, protocol: speaker}\nrows:\n"
        "  - {name: by speaker}\n  - {name: by list, protocol: sentence}\n"
    )
    content = study(TWO_OF_EACH, tmp_path / "study.yaml", tmp_path / "out", cache_dir=tmp_path / "cache")
    reasons = {row["row"]: row["failed"] for row in content["rows"]}
    assert all("this corpus can be divided by recording with 2 folds" in reason for reason in reasons.values())
    assert not (tmp_path / "cache").exists(), "no features were made"


def test_two_voices_are_enough_for_a_study(tmp_path: Path, write_sound: Callable[..., Path]) -> None:
    """The curve that a study shows beside needs a voice more, and decides nothing."""
    from thymos.evaluation.study_cells import row_cells
    from thymos.evaluation.study_plan import load_study

    (tmp_path / "study.yaml").write_text(
        "name: small\nbase: {recipe: model1, protocol: speaker}\nrows:\n  - {name: plain}\n"
    )
    two = corpus_of(*((emotion, speaker, "01") for emotion in ("anger", "fear") for speaker in ("ann", "bob")))
    cells = row_cells(two, load_study(tmp_path / "study.yaml").rows[0])
    assert len(cells.outer) == 2 and cells.curve is None


def test_training_needs_no_folds(
    tmp_path: Path, write_sound: Callable[..., Path], toy_recipe: Callable[..., Any]
) -> None:
    """One recording of each emotion is fitted to, and what that lacks is said."""
    random = np.random.default_rng(0)
    for emotion in ("anger", "fear"):
        write_sound(tmp_path / "corpus" / emotion / "1.wav", random.normal(0, 0.1, 16_000).astype(np.float32))
    recipe = tmp_path / "toy.yaml"
    recipe.write_text(toy_recipe(name="small", speeds=[1.0], calibrated=True).model_dump_json())
    model = thymos.train(tmp_path / "corpus", str(recipe), tmp_path / "model", cache_dir=tmp_path / "cache", threads=1)
    assert model.recordings == 2
    assert any(note.startswith("one recording only of anger, fear") for note in model.notes)
    assert any(note.startswith("not calibrated: too few recordings to hold some out") for note in model.notes)
    assert json.loads((tmp_path / "model/model.json").read_text())["labels"] == ["anger", "fear"]


def test_a_run_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    from thymos.evaluation.run import RunFolder

    RunFolder(tmp_path / "new").check()
    (tmp_path / "ours").mkdir()
    RunFolder(tmp_path / "ours").check()
    (tmp_path / "ours" / "run.json").write_text("{}")
    RunFolder(tmp_path / "ours").check()
    (tmp_path / "file").touch()
    with pytest.raises(RunError):
        RunFolder(tmp_path / "file").check()
