"""Voices: kept in files that are checked, taken out of decisions, for files, groups, streams and explanations."""

import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import thymos
from thymos.cache import write_sealed
from thymos.errors import AudioError, BundleError, ThymosError
from thymos.files import write_json
from thymos.runtime.adaptation import FEW, ONE_SIDED, Offset, Voice, find_voice, read_voice, voice_path
from thymos.runtime.bundle import AdaptationAbout, ConformalAbout
from thymos.runtime.decision import Decider, RunningOffset
from thymos.runtime.explain import ExplainedPart, frame_evidence
from thymos.runtime.listening import Impression, Recording
from thymos.runtime.prediction import Failure, Prediction
from thymos.runtime.recognizer import Recognizer, load
from thymos.runtime.rewriting import digest


@pytest.fixture(scope="module")
def maria(recognizer: Recognizer, spoken: list[Path]) -> Voice:
    return recognizer.enrol(spoken, "maria")


@pytest.fixture(scope="module")
def voiceless(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy, whose head does not know voices."""
    folder = tmp_path_factory.mktemp("voiceless") / "toy"
    shutil.copytree(bundle, folder)
    with np.load(folder / "head.npz") as arrays:
        kept = {name: arrays[name] for name in ("weights", "bias")}
    np.savez(folder / "head.npz", **kept)
    about = json.loads((folder / "model.json").read_text())
    about["sha256"]["head.npz"] = digest(folder / "head.npz")
    write_json(folder / "model.json", about)
    return folder


def test_a_voice_is_the_same_out_of_its_file(recognizer: Recognizer, maria: Voice, tmp_path: Path) -> None:
    path = voice_path("maria", tmp_path / "voices")
    maria.save(path)
    again = find_voice("maria", tmp_path / "voices")
    assert (again.name, again.model, again.head) == ("maria", "toy 7", maria.head)
    np.testing.assert_allclose(again.coordinates, maria.coordinates, atol=5.1e-5)
    assert read_voice(path).speech_s == pytest.approx(maria.speech_s, abs=1e-3)
    assert path.stat().st_size < 8_000 and isinstance(again, thymos.Voice)
    assert find_voice(str(path)).name == "maria"
    both = again.with_more(maria)
    assert len(both.coordinates) == 2 * len(maria.coordinates) and both.name == "maria"
    assert both.speech_s == pytest.approx(2 * maria.speech_s, abs=1e-3)
    with pytest.raises(BundleError, match="enrolled with another head"):
        maria.with_more(replace(maria, head="other"))


GOOD = {"format": 2, "name": "a", "model": "m 1", "head": "h", "coordinates": [[0.5, 1.0]], "speech_s": 1.0}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 100_000,
        "\xff\x00",
        "{}",
        "[]",
        json.dumps(GOOD).replace("0.5", "NaN"),
        json.dumps(GOOD).replace("0.5", "1e999"),
        GOOD | {"coordinates": [[1.0], [1.0, 2.0]]},
        GOOD | {"coordinates": []},
        GOOD | {"coordinates": [[1e300, 0.0]]},
        GOOD | {"format": 1},
        GOOD | {"name": "\x1b[31m"},
        GOOD | {"name": "../a"},
        GOOD | {"model": "m\n2"},
        GOOD | {"speech_s": -1},
    ],
)
def test_a_file_that_is_no_voice_is_one_sentence(tmp_path: Path, content: str | dict[str, Any]) -> None:
    path = tmp_path / "a.json"
    write_sealed(path, GOOD, name="voice")
    assert read_voice(path).coordinates.tolist() == [[0.5, 1.0]], "the file that all others differ from"
    if isinstance(content, dict):
        write_sealed(path, content, name="voice")
    else:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(BundleError, match=r"a\.json is (no voice's file|damaged)"):
        read_voice(path)


def test_a_voice_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_sealed(path, GOOD, name="voice")
    path.write_text(path.read_text().replace("0.5", "0.6"))
    with pytest.raises(BundleError, match="changed since it was written"):
        read_voice(path)


@pytest.mark.parametrize("name", ["", " ", ".hidden", "a/b", "..", "a\x1b", "a.json", "a\udcff", "c:d"])
def test_names_that_no_file_should_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="cannot name a voice"):
        voice_path(name, tmp_path)


def test_a_voice_that_is_not_there_names_those_that_are(maria: Voice, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no voice is called ben; none is known yet"):
        find_voice("ben", tmp_path)
    maria.save(voice_path("maria", tmp_path))
    with pytest.raises(BundleError, match="no voice is called ben; known are maria:"):
        find_voice("ben", tmp_path)
    with pytest.raises(BundleError, match=r"gone\.json cannot be read"):
        find_voice(str(tmp_path / "gone.json"))


def test_a_voice_of_another_model_or_space_is_refused(recognizer: Recognizer, maria: Voice) -> None:
    with pytest.raises(BundleError, match=r"another head \(toy 7\) than that of toy 7: enrol it anew"):
        recognizer.for_voice(replace(maria, head="0"))
    with pytest.raises(BundleError, match="another space"):
        recognizer.for_voice(replace(maria, coordinates=np.zeros((3, 1))))


def test_a_model_that_knows_no_voices_says_so(voiceless: Path, maria: Voice, spoken: list[Path]) -> None:
    model = load(voiceless)
    assert not model.can_adapt and model.predict(spoken[0]).emotion is not None
    asked: list[Callable[[], object]] = [
        lambda: model.enrol(["absent.wav"]),
        lambda: model.for_voice(maria),
        lambda: model.predict_adapted(["absent.wav"]),
        lambda: model.offsets([]),
        lambda: model.stream(16_000, adapt=True),
    ]
    for ask in asked:
        with pytest.raises(BundleError, match=r"^toy 7 does not tell voices from emotions, so it cannot be adapted"):
            ask()


def test_enrolment_refuses_what_it_cannot_hear(recognizer: Recognizer, spoken: list[Path]) -> None:
    with pytest.raises(AudioError, match=r"absent\.wav "):
        recognizer.enrol([spoken[0], "absent.wav"])
    with pytest.raises(AudioError, match="nobody speaks"):
        recognizer.enrol([(np.zeros(16_000), 16_000)])


def test_doubts_are_of_few_recordings_and_of_one_emotion() -> None:
    values = np.zeros(2)
    assert Offset(values, 2, 2.0).doubts == [FEW]
    assert Offset(values, 3, 1.4).doubts == [ONE_SIDED]
    assert Offset(values, 3, 1.5).doubts == []


def test_a_voice_is_taken_out_of_the_decision(recognizer: Recognizer, maria: Voice, spoken: list[Path]) -> None:
    """Worked by hand: coordinates less the offset, by the emotions' places, at the temperature."""
    space = recognizer.space
    offset = maria.offset(space).values
    (impression,) = next(recognizer.listen_many(spoken[3:4])).impressions  # type: ignore[union-attr]
    logits = (impression.coordinates - offset) @ space.emotions.T - (space.emotions**2).sum(1) / 2
    shares = np.exp((logits - logits.max()) / recognizer.bundle.about.temperature)
    heard = recognizer.for_voice(maria).predict(spoken[3])
    assert heard.probabilities is not None
    np.testing.assert_allclose(list(heard.probabilities.values()), shares / shares.sum(), atol=1e-9)
    assert heard.probabilities != recognizer.predict(spoken[3]).probabilities
    assert recognizer.for_voice(maria).for_voice(None).predict(spoken[3]) == recognizer.predict(spoken[3])


def test_temperature_and_sets_are_those_of_known_voices(recognizer: Recognizer) -> None:
    conformal = ConformalAbout(coverage=0.9, threshold=0.5, rows=9)
    about = recognizer.bundle.about.model_copy(
        update={"temperature": 1.0, "adaptation": AdaptationAbout(temperature=2.0, conformal=conformal)}
    )
    count = len(about.labels)
    logits = np.log(np.arange(1.0, count + 1))
    plain = Decider(about, recognizer.space, range(count))
    known = Decider(about, recognizer.space, range(count), np.zeros(len(recognizer.space.origin)))
    roots = np.sqrt(np.arange(1, count + 1))
    assert plain.shares(logits) == pytest.approx(np.arange(1, count + 1) / (count * (count + 1) / 2))
    assert known.shares(logits) == pytest.approx(roots / roots.sum())
    assert (
        known._calibration.conformal is conformal and plain._calibration.conformal is recognizer.bundle.about.conformal
    )


def test_labels_and_voices_go_together_in_either_order(
    recognizer: Recognizer, maria: Voice, spoken: list[Path]
) -> None:
    words = ["anger", "sadness"]
    one = recognizer.for_voice(maria).predict(spoken[2], labels=words)
    assert one == recognizer.among(words).for_voice(maria).predict(spoken[2])
    assert one.probabilities is not None and {*one.probabilities} == {*words}
    chosen = [recognizer.labels.index(word) for word in words]
    offset = maria.offset(recognizer.space, chosen).values
    assert np.abs(offset - maria.offset(recognizer.space).values).max() > 0.01, "other emotions cannot have occurred"
    assert recognizer.for_voice(maria).among(words)._decider.offset == pytest.approx(offset)


@pytest.mark.slow
def test_groups_are_adapted_apart_and_failures_stay_in_their_places(recognizer: Recognizer, spoken: list[Path]) -> None:
    sources: list[Path | str] = [*spoken[:4], "absent.wav", *spoken[4:8]]
    groups = ["a", "b"] * 4 + ["a"]
    answers = list(recognizer.predict_adapted(sources, groups))
    assert isinstance(answers[4], Failure) and sum(isinstance(each, Prediction) for each in answers) == 8
    own = [i for i, group in enumerate(groups) if group == "b"]
    voice = recognizer.enrol([sources[i] for i in own], "b")
    assert [answers[i] for i in own] == [recognizer.for_voice(voice).predict(sources[i]) for i in own]
    together = list(recognizer.predict_adapted(sources, labels=["anger", "fear"]))
    assert {*together[0].probabilities} == {"anger", "fear"}  # type: ignore[union-attr, misc]
    with pytest.raises(ThymosError, match="each recording needs a group, and 1 are named for 2"):
        list(recognizer.predict_adapted(spoken[:2], ["a"]))


def test_a_group_in_which_nobody_speaks_is_answered_too(recognizer: Recognizer, spoken: list[Path]) -> None:
    silence = (np.zeros(16_000), 16_000)
    quiet, heard = recognizer.predict_adapted([silence, spoken[0]], ["nobody", "a"], timeline=True)
    assert isinstance(quiet, Prediction) and quiet.emotion is None and "no_speech" in quiet.flags
    assert isinstance(heard, Prediction) and heard.timeline is not None
    assert list(recognizer.predict_adapted([])) == []


@pytest.mark.slow
def test_a_long_recording_counts_by_its_windows_and_is_kept_to_the_last_digit(
    recognizer: Recognizer, long_speech: tuple[np.ndarray, int]
) -> None:
    (heard,) = recognizer.listen_many([long_speech], True)
    assert isinstance(heard, Recording) and heard.in_windows
    (offset,) = recognizer.offsets([heard]).values()
    assert offset.clips == sum(window.impression is not None for window in heard.windows) > 3
    (answer,) = recognizer.predict_adapted([long_speech], timeline=True)
    kept = Recording.from_dict(json.loads(json.dumps(heard.to_dict())))
    assert kept.to_dict() == heard.to_dict()
    assert recognizer.for_voice(offset).decide(kept, True) == answer
    assert answer != recognizer.predict(long_speech, True)


@pytest.mark.slow
def test_a_stream_adapts_to_all_windows_so_far(recognizer: Recognizer, long_speech: tuple[np.ndarray, int]) -> None:
    samples, rate_hz = long_speech
    samples = samples[: 18 * rate_hz]
    with recognizer.stream(rate_hz, adapt=True) as stream:
        windows = stream.feed(samples)
    (heard,) = recognizer.listen_many([(samples, rate_hz)], True)
    assert isinstance(heard, Recording)
    places = []
    for window, known in zip(windows, heard.windows, strict=False):
        assert known.impression is not None and known.impression.coordinates is not None
        places.append(known.impression.coordinates)
        expected = recognizer.for_voice(recognizer.space.offset(np.array(places)))._decider.window(known)
        assert window == expected
    assert len(places) > 3
    with pytest.raises(ThymosError, match="not both"):
        recognizer.for_voice(recognizer.space.offset(np.array(places))).stream(16_000, adapt=True)


def test_a_stream_forgets_what_is_long_ago(recognizer: Recognizer) -> None:
    running = RunningOffset(recognizer.space)
    places = np.random.default_rng(0).normal(size=(RunningOffset.MOST + 5, len(recognizer.space.origin)))
    for place in places:
        last = running.add(place)
    assert last == pytest.approx(recognizer.space.offset(places[5:]).values)


@pytest.mark.slow
def test_explanations_are_of_the_voice(recognizer: Recognizer, maria: Voice, spoken: list[Path]) -> None:
    own = recognizer.for_voice(maria)
    heard, why = own.predict(spoken[4]), own.explain(spoken[4])
    assert heard.probabilities is not None
    assert why.emotion == heard.emotion
    assert why.probability == pytest.approx(heard.probabilities[why.emotion], abs=1e-9)
    part = ExplainedPart(why.samples, why.rate_hz)
    frames = own.bundle.hear(part.samples, True, own._decider.offset)
    impression, _ = own._listener.hear(part.samples)
    assert isinstance(impression, Impression) and impression.coordinates is not None
    assert own._decider.offset is not None and frames.frame_logits is not None
    expected = own.space.logits(impression.coordinates, own._decider.offset)
    np.testing.assert_allclose(frames.frame_logits.mean(0), expected, atol=2e-2)
    plain = frame_evidence(own.bundle, part, recognizer._decider)
    assert np.abs(plain.probabilities - why.evidence.probabilities).max() > 1e-3


def test_sources_of_every_kind_can_be_enrolled(recognizer: Recognizer, maria: Voice, spoken: Sequence[Path]) -> None:
    again = recognizer.enrol([io.BytesIO(path.read_bytes()) for path in spoken], "maria")
    np.testing.assert_allclose(again.coordinates, maria.coordinates)
