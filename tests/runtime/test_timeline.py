"""Timelines against an example worked out by hand, and every format that writes them read back by others' readers."""

import csv
import dataclasses
import json

import numpy as np
import pysrt
import pytest
from praatio import textgrid as praat

from thymos.runtime.annotations import srt, textgrid
from thymos.runtime.formats import Columns, csv_lines, table_head, table_lines
from thymos.runtime.prediction import Prediction, Timeline, Window
from thymos.runtime.timeline import make_timeline
from thymos.runtime.vad import FRAME_S

LABELS = ("anger", "fear", "sadness")
DURATION_S = 6.4
# Windows of 2 s every second: start, end, seconds of speech, and what is heard; nobody speaks in the fourth.
WINDOWS = (
    (0.0, 2.0, 1.0, (0.8, 0.1, 0.1)),
    (1.0, 3.0, 2.0, (0.5, 0.4, 0.1)),
    (2.0, 4.0, 1.0, (0.2, 0.7, 0.1)),
    (3.0, 5.0, 0.1, None),
    (4.0, 6.0, 2.0, (0.1, 0.1, 0.8)),
    (5.0, 6.4, 1.0, (0.4, 0.0, 0.6)),
)
# Speech from 0.32 to 1.28, 1.60 to 2.88 and 3.488 to 6.40 s: the first pause, 0.32 s, is one between words.
SPANS = np.array([[10, 40], [50, 90], [109, 200]])
# Each second is the mean of its windows, weighted by their speech. Second 0: anger 0.8. Second 1, of windows 0 and 1:
# anger (0.8 + 2 × 0.5) / 3 = 0.6. Second 2: fear (2 × 0.4 + 0.7) / 3 = 0.5, anger (2 × 0.5 + 0.2) / 3 = 0.4.
# Second 3: fear 0.7. Second 4: sadness 0.8. Second 5: sadness (2 × 0.8 + 0.6) / 3 = 0.7333. Second 6: sadness 0.6.
EXPECTED = (
    (0.0, 0.32, None, None),
    (0.32, 2.0, "anger", 0.7),
    (2.0, 2.88, "fear", 0.5),
    (2.88, 3.488, None, None),
    (3.488, 4.0, "fear", 0.7),
    (4.0, 6.4, "sadness", (0.8 + 2.2 / 3 + 0.6) / 3),
)


def windows() -> list[Window]:
    return [
        Window(start_s, end_s, speech_s, None if said is None else dict(zip(LABELS, said, strict=True)))
        for start_s, end_s, speech_s, said in WINDOWS
    ]


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return make_timeline(windows(), SPANS, LABELS, 1.0, DURATION_S)


@pytest.fixture(scope="module")
def row(timeline: Timeline) -> dict:
    """What ``predict --format jsonl --timeline`` prints of the example."""
    probabilities = dict(zip(LABELS, (0.3, 0.2, 0.5), strict=True))
    heard = Prediction("sadness", probabilities, ("sadness", "anger"), 5.44, DURATION_S, (), "toy 7", timeline)
    return json.loads(json.dumps({"file": "call.wav", **heard.to_dict()}))


def test_frames_of_the_example_are_the_seconds_that_it_names():
    assert (SPANS * FRAME_S).round(6).tolist() == [[0.32, 1.28], [1.6, 2.88], [3.488, 6.4]]


def test_stretches_are_those_worked_out_by_hand(timeline):
    assert len(timeline.stretches) == len(EXPECTED)
    for found, (start_s, end_s, emotion, probability) in zip(timeline.stretches, EXPECTED, strict=True):
        assert (found.start_s, found.end_s) == (pytest.approx(start_s), pytest.approx(end_s))
        assert found.emotion == emotion
        assert found.probability == (None if probability is None else pytest.approx(probability))
    assert timeline.windows == tuple(windows()) and timeline.duration_s == DURATION_S


def test_a_pause_between_utterances_has_no_emotion_and_one_between_words_has(timeline):
    apart = make_timeline(windows(), np.array([[10, 40], [60, 90]]), LABELS, 1.0, DURATION_S)  # 0.64 s between them
    assert [(s.start_s, s.end_s, s.emotion) for s in apart.stretches][:3] == [
        (0.0, pytest.approx(0.32), None), (pytest.approx(0.32), pytest.approx(1.28), "anger"),
        (pytest.approx(1.28), pytest.approx(1.92), None),
    ]  # fmt: skip
    assert apart.stretches[-1].emotion is None and apart.stretches[-1].end_s == DURATION_S


def test_where_no_window_holds_speech_there_is_one_stretch_without_emotion():
    silent = [dataclasses.replace(window, probabilities=None) for window in windows()]
    (only,) = make_timeline(silent, SPANS, LABELS, 1.0, DURATION_S).stretches
    assert (only.start_s, only.end_s, only.emotion, only.probability) == (0.0, DURATION_S, None, None)


def test_as_text_and_as_a_table(timeline, row):
    said = str(timeline).splitlines()
    assert said[0].split() == ["0.00", "–", "0.32", "s", "none", "heard"]
    assert said[1].split() == ["0.32", "–", "2.00", "s", "anger", "0.70"]
    assert said[5].split() == ["4.00", "–", "6.40", "s", "sadness", "0.71"]
    lines = table_lines(row, LABELS)
    assert lines[0].split() == ["sadness", "0.50", "5.4s", "call.wav", "(or", "anger)"]
    assert [line.split() for line in lines[1:]] == [line.split() for line in said]
    frame = timeline.to_frame()
    assert frame.index.get_level_values("start").total_seconds().tolist() == [0, 0.32, 2, 2.88, 3.488, 4]
    assert frame.index.get_level_values("end").total_seconds().tolist()[-1] == DURATION_S
    assert frame["emotion"].tolist()[1:3] == ["anger", "fear"] and frame["probability"].tolist()[2] == 0.5


def test_json_lines_and_csv(row):
    assert [list(at.values()) for at in row["timeline"]] == [
        [0.0, 0.32, None, None], [0.32, 2.0, "anger", 0.7], [2.0, 2.88, "fear", 0.5], [2.88, 3.488, None, None],
        [3.488, 4.0, "fear", 0.7], [4.0, 6.4, "sadness", 0.7111],
    ]  # fmt: skip
    assert list(row["timeline"][0]) == ["start_s", "end_s", "emotion", "probability"]
    read = csv.DictReader(csv_lines([row], Columns(LABELS, timeline=True)).splitlines())
    columns = ("file", "start_s", "end_s", "emotion", "probability")
    assert [tuple(at[name] for name in columns) for at in read] == [
        ("call.wav", "0.0", "0.32", "", ""), ("call.wav", "0.32", "2.0", "anger", "0.7"),
        ("call.wav", "2.0", "2.88", "fear", "0.5"), ("call.wav", "2.88", "3.488", "", ""),
        ("call.wav", "3.488", "4.0", "fear", "0.7"), ("call.wav", "4.0", "6.4", "sadness", "0.7111"),
    ]  # fmt: skip
    (whole,) = csv.DictReader(csv_lines([row], Columns(LABELS)).splitlines())
    assert whole == {
        "file": "call.wav", "emotion": "sadness", "p_anger": "0.3", "p_fear": "0.2", "p_sadness": "0.5",
        "prediction_set": "sadness anger", "speech_s": "5.44", "duration_s": "6.4", "flags": "", "model": "toy 7",
        "error": "",
    }  # fmt: skip


def test_praat_reads_the_textgrid(row, tmp_path):
    path = tmp_path / "call.TextGrid"
    path.write_text(textgrid(row), encoding="utf-8")
    read = praat.openTextgrid(str(path), includeEmptyIntervals=True)
    assert (read.minTimestamp, read.maxTimestamp, read.tierNames) == (0, DURATION_S, ("emotion",))
    tier = read.getTier("emotion")
    assert (tier.minTimestamp, tier.maxTimestamp) == (0, DURATION_S)
    assert [tuple(interval) for interval in tier.entries] == [
        (0.0, 0.32, ""), (0.32, 2.0, "anger"), (2.0, 2.88, "fear"), (2.88, 3.488, ""), (3.488, 4.0, "fear"),
        (4.0, 6.4, "sadness"),
    ]  # fmt: skip
    assert read.validate(reportingMode="silence")


def test_players_read_the_subtitles(row, tmp_path):
    path = tmp_path / "call.srt"
    path.write_text(srt(row), encoding="utf-8")
    read = pysrt.open(str(path), error_handling=pysrt.ERROR_RAISE)
    assert [(at.index, at.start.ordinal, at.end.ordinal, at.text) for at in read] == [
        (1, 320, 2_000, "anger 0.70"), (2, 2_000, 3_000, "fear 0.50"), (3, 3_488, 4_488, "fear 0.70"),
        (4, 4_488, 6_400, "sadness 0.71"),
    ]  # fmt: skip


def test_subtitles_tell_hours(row):
    late = row | {"timeline": [{"start_s": 3_725.5, "end_s": 36_000.0, "emotion": "fear", "probability": 1.0}]}
    (read,) = pysrt.from_string(srt(late), error_handling=pysrt.ERROR_RAISE)
    assert str(read.start) == "01:02:05,500" and str(read.end) == "10:00:00,000"


def test_labels_of_any_words_come_out_as_they_are(row, tmp_path):
    words = {"anger": 'one of a "kind"', "fear": "neutral calm", "sadness": "Ärger"}
    labels = tuple(words.values())
    other = row | {
        "emotion": words[row["emotion"]],
        "prediction_set": [words[word] for word in row["prediction_set"]],
        "probabilities": {words[word]: value for word, value in row["probabilities"].items()},
        "timeline": [at | {"emotion": words.get(at["emotion"])} for at in row["timeline"]],
    }
    path = tmp_path / "call.TextGrid"
    path.write_text(textgrid(other), encoding="utf-8")
    assert 'text = "one of a ""kind"""' in path.read_text(encoding="utf-8")
    heard = [entry.label for entry in praat.openTextgrid(str(path), True).getTier("emotion").entries]
    assert heard[3:] == ["", "neutral calm", "Ärger"]
    assert next(at.text for at in pysrt.from_string(srt(other))) == 'one of a "kind" 0.70'
    (whole,) = csv.DictReader(csv_lines([other], Columns(labels)).splitlines())
    assert (whole['p_one of a "kind"'], whole["p_neutral calm"]) == ("0.3", "0.2")
    assert whole["prediction_set"] == 'Ärger "one of a ""kind"""'
    head, line = table_head(labels), table_lines(other, labels)[0]
    assert head.index("speech") + len("speech") == line.index("5.4s") + len("5.4s"), "columns are as wide as labels"


def stretches_of(said: list[tuple[float, float, tuple[float, float, float]]], spans: list[list[int]], end_s: float):
    parts = [Window(a, b, b - a, dict(zip(LABELS, p, strict=True))) for a, b, p in said]
    found = make_timeline(parts, np.array(spans), LABELS, 1.0, end_s)
    return [(round(at.start_s, 2), round(at.end_s, 2), at.emotion, at.probability) for at in found.stretches]


def test_what_is_shorter_than_half_a_second_goes_to_the_likelier_neighbour():
    """An utterance from 0.64 to 3.2 s: anger until 1, sadness until 2, anger until 3, fear for the last 0.2 s."""
    said = [
        (0.0, 1.0, (0.6, 0.1, 0.3)), (1.0, 2.0, (0.1, 0.2, 0.7)),
        (2.0, 3.0, (0.8, 0.1, 0.1)), (3.0, 3.2, (0.2, 0.5, 0.3)),
    ]  # fmt: skip
    assert stretches_of(said, [[20, 100]], 3.2) == [
        (0.0, 0.64, None, None), (0.64, 2.0, "sadness", 0.7), (2.0, 3.2, "anger", 0.8)
    ]  # fmt: skip


def test_a_short_stretch_between_two_alike_leaves_one():
    """Slots of 0.4 s, an utterance of 1.984 s: anger, one slot of fear, anger again."""
    said = [(0.0, 0.8, (0.9, 0.1, 0.0)), (0.8, 1.2, (0.2, 0.8, 0.0)), (1.2, 2.0, (0.7, 0.3, 0.0))]
    parts = [Window(a, b, b - a, dict(zip(LABELS, p, strict=True))) for a, b, p in said]
    (only, rest) = make_timeline(parts, np.array([[0, 62]]), LABELS, 0.4, 2.0).stretches
    assert (only.start_s, round(only.end_s, 2), only.emotion) == (0.0, 1.98, "anger")
    assert only.probability == pytest.approx(0.8) and rest.emotion is None, "0.9 and 0.7: not what was given away"


def test_an_utterance_that_is_short_as_a_whole_is_told():
    assert [at[2] for at in stretches_of([(0.0, 1.0, (0.6, 0.1, 0.3))], [[0, 10]], 1.0)] == ["anger", None]


def test_shares_are_of_the_time_in_which_an_emotion_is_heard(timeline, row):
    """Anger 1.68 s, fear 0.88 and 0.512, sadness 2.4: of 5.472 s."""
    expected = {"sadness": 2.4 / 5.472, "anger": 1.68 / 5.472, "fear": 1.392 / 5.472}
    assert list(timeline.shares) == list(expected) and timeline.shares == pytest.approx(expected)
    heard = Prediction(
        "anger", {"anger": 0.4, "fear": 0.35, "sadness": 0.25}, ("anger", "fear"), 5.44, 90.0, (), "toy 7",
        shares=timeline.shares, long=True,
    )  # fmt: skip
    assert str(heard).startswith("sadness 44%, anger 31%, fear 25%; 5.4 s of speech in 90.0 s")
    (line,) = table_lines({"file": "call.wav", **heard.to_dict()}, LABELS)
    assert line.split(maxsplit=4) == ["sadness", "44%", "5.4s", "call.wav", "(then anger 31%, fear 25%)"]
    assert heard.to_dict()["shares"] == {"sadness": 0.4386, "anger": 0.307, "fear": 0.2544}


def test_subtitles_stay_long_enough_to_be_read():
    at = [
        {"start_s": 1.0, "end_s": 1.5, "emotion": "anger", "probability": 0.5},
        {"start_s": 1.8, "end_s": 2.4, "emotion": "fear", "probability": 0.5},
        {"start_s": 9.5, "end_s": 9.7, "emotion": "anger", "probability": 0.5},
    ]
    read = pysrt.from_string(srt({"timeline": at, "duration_s": 10.0}))
    assert [(each.start.ordinal, each.end.ordinal) for each in read] == [(1000, 2000), (2000, 3000), (9500, 10_500)]
