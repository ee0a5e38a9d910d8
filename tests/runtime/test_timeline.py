"""Timelines against an example worked out by hand, and every format that writes them read back by others' readers."""

import csv
import itertools
import json

import numpy as np
import pysrt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid as praat

from thymos.runtime.formats import Columns, csv_lines, srt, table_head, table_lines, textgrid
from thymos.runtime.prediction import Prediction, Timeline
from thymos.runtime.timeline import likeliest_path, make_timeline
from thymos.runtime.vad import FRAME_S

LABELS = ("anger", "fear", "sadness")
DURATION_S = 12.4
# Seconds of speech, and what is heard in each moment of a second; in the fifth no window has speech.
MOMENTS = np.array([
    (0.8, 0.1, 0.1), (0.7, 0.2, 0.1), (0.1, 0.85, 0.05), (0.1, 0.85, 0.05), (0.2, 0.7, 0.1), (np.nan,) * 3,
    (0.05, 0.05, 0.9), (0.05, 0.05, 0.9), (0.3, 0.6, 0.1), (0.05, 0.05, 0.9), (0.1, 0.1, 0.8), (0.1, 0.1, 0.8),
    (0.1, 0.1, 0.8),
])  # fmt: skip
# Speech from 0.32 to 1.28, 1.60 to 4.48 and 6.016 to 12.4 s: the first pause, 0.32 s, is one between words.
SPANS = np.array([[10, 40], [50, 140], [188, 388]])
# First utterance: anger for two moments, then fear. A change at 2 s costs 1, as 2 s is less than half a moment from
# the pause. Fear throughout would save that, but lose ln(0.8 / 0.1) + ln(0.7 / 0.2) = 3.33; anger throughout would lose
# 2 ln 8.5 + ln 3.5 = 5.53; a change at 1 s, ln 3.5 = 1.25. The edge is put into the middle of the pause, at 1.44 s.
# Second: one moment of fear in sadness would win ln 6 = 1.79, and cost 8.
EXPECTED = (
    (0.0, 0.32, None, None),
    (0.32, 1.44, "anger", 0.75),
    (1.44, 4.48, "fear", (0.85 + 0.85 + 0.7) / 3),
    (4.48, 6.016, None, None),
    (6.016, 12.4, "sadness", (0.9 * 3 + 0.1 + 0.8 * 3) / 7),
)


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return make_timeline(MOMENTS, [], SPANS, LABELS, DURATION_S, moment_s=1.0)


@pytest.fixture(scope="module")
def row(timeline: Timeline) -> dict:
    """What ``predict --format jsonl --timeline`` prints of the example."""
    probabilities = dict(zip(LABELS, (0.3, 0.2, 0.5), strict=True))
    heard = Prediction(
        "sadness",
        probabilities,
        ("sadness", "anger"),
        10.512,
        DURATION_S,
        (),
        "toy 7",
        timeline,
        shares=timeline.shares,
    )
    return json.loads(json.dumps({"file": "call.wav", **heard.to_dict()}))


def test_frames_of_the_example_are_the_seconds_that_it_names():
    assert (SPANS * FRAME_S).round(6).tolist() == [[0.32, 1.28], [1.6, 4.48], [6.016, 12.416]]


def test_stretches_are_those_worked_out_by_hand(timeline):
    assert len(timeline.stretches) == len(EXPECTED)
    for found, (start_s, end_s, emotion, probability) in zip(timeline.stretches, EXPECTED, strict=True):
        assert (found.start_s, found.end_s) == (pytest.approx(start_s), pytest.approx(end_s))
        assert found.emotion == emotion
        assert found.probability == (None if probability is None else pytest.approx(probability))


@given(st.integers(1, 6), st.integers(2, 3), st.integers(0, 2**32 - 1))
def test_the_path_is_the_likeliest_of_all(steps, states, seed):
    random = np.random.default_rng(seed)
    evidence, costs = random.normal(0, 1, (steps, states)), random.uniform(0, 2, steps)

    def worth(path) -> float:
        changed = [costs[step] for step in range(1, steps) if path[step] != path[step - 1]]
        return sum(evidence[step, state] for step, state in enumerate(path)) - sum(changed)

    found = likeliest_path(evidence, costs)
    assert worth(found) == pytest.approx(max(map(worth, itertools.product(range(states), repeat=steps))))


def test_a_pause_between_utterances_has_no_emotion_and_one_between_words_has():
    apart = make_timeline(MOMENTS, [], np.array([[10, 40], [60, 90]]), LABELS, DURATION_S, 1.0)  # 0.64 s between them
    assert [(s.start_s, s.end_s, s.emotion) for s in apart.stretches][:3] == [
        (0.0, pytest.approx(0.32), None), (pytest.approx(0.32), pytest.approx(1.28), "anger"),
        (pytest.approx(1.28), pytest.approx(1.92), None),
    ]  # fmt: skip
    assert apart.stretches[-1].emotion is None and apart.stretches[-1].end_s == DURATION_S


def test_where_no_window_holds_speech_there_is_one_stretch_without_emotion():
    (only,) = make_timeline(np.full_like(MOMENTS, np.nan), [], SPANS, LABELS, DURATION_S, 1.0).stretches
    assert (only.start_s, only.end_s, only.emotion, only.probability) == (0.0, DURATION_S, None, None)


def test_as_text_and_as_a_table(timeline, row):
    said = str(timeline).splitlines()
    assert said[0].split() == ["0.00", "–", "0.32", "s", "none", "heard"]
    assert said[1].split() == ["0.32", "–", "1.44", "s", "anger", "0.75"]
    assert said[4].split() == ["6.02", "–", "12.40", "s", "sadness", "0.74"]
    lines = table_lines(row, LABELS)
    assert lines[0].split() == ["sadness", "0.50", "10.5s", "call.wav", "(or", "anger)"]
    assert lines[1].split()[:4] == ["sadness", "61%,", "fear", "29%,"], "a summary"
    assert [line.split() for line in lines[2:]] == [line.split() for line in said]
    frame = timeline.to_frame()
    assert frame.index.get_level_values("start").total_seconds().tolist() == [0, 0.32, 1.44, 4.48, 6.016]
    assert frame.index.get_level_values("end").total_seconds().tolist()[-1] == DURATION_S
    assert frame["emotion"].tolist()[1:3] == ["anger", "fear"] and frame["probability"].tolist()[2] == 0.8


def test_json_lines_and_csv(row):
    assert [list(at.values()) for at in row["timeline"]] == [
        [0.0, 0.32, None, None], [0.32, 1.44, "anger", 0.75], [1.44, 4.48, "fear", 0.8], [4.48, 6.016, None, None],
        [6.016, 12.4, "sadness", 0.7429],
    ]  # fmt: skip
    assert list(row["timeline"][0]) == ["start_s", "end_s", "emotion", "probability"]
    read = csv.DictReader(csv_lines([row], Columns(LABELS, timeline=True)).splitlines())
    columns = ("file", "start_s", "end_s", "emotion", "probability")
    assert [tuple(at[name] for name in columns) for at in read] == [
        ("call.wav", "0.0", "0.32", "", ""), ("call.wav", "0.32", "1.44", "anger", "0.75"),
        ("call.wav", "1.44", "4.48", "fear", "0.8"), ("call.wav", "4.48", "6.016", "", ""),
        ("call.wav", "6.016", "12.4", "sadness", "0.7429"),
    ]  # fmt: skip
    (whole,) = csv.DictReader(csv_lines([row], Columns(LABELS)).splitlines())
    assert whole == {
        "file": "call.wav", "emotion": "sadness", "p_anger": "0.3", "p_fear": "0.2", "p_sadness": "0.5",
        "prediction_set": "sadness anger", "speech_s": "10.512", "duration_s": "12.4", "flags": "", "model": "toy 7",
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
        (0.0, 0.32, ""), (0.32, 1.44, "anger"), (1.44, 4.48, "fear"), (4.48, 6.016, ""), (6.016, 12.4, "sadness"),
    ]  # fmt: skip
    assert read.validate(reportingMode="silence")


def test_players_read_the_subtitles(row, tmp_path):
    path = tmp_path / "call.srt"
    path.write_text(srt(row), encoding="utf-8")
    read = pysrt.open(str(path), error_handling=pysrt.ERROR_RAISE)
    assert [(at.index, at.start.ordinal, at.end.ordinal, at.text) for at in read] == [
        (1, 320, 1_440, "anger 0.75"), (2, 1_440, 4_480, "fear 0.80"), (3, 6_016, 12_400, "sadness 0.74")
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
    assert heard[2:] == ["neutral calm", "", "Ärger"]
    assert next(at.text for at in pysrt.from_string(srt(other))) == 'one of a "kind" 0.75'
    (whole,) = csv.DictReader(csv_lines([other], Columns(labels)).splitlines())
    assert (whole['p_one of a "kind"'], whole["p_neutral calm"]) == ("0.3", "0.2")
    assert whole["prediction_set"] == 'Ärger "one of a ""kind"""'
    head, line = table_head(labels), table_lines(other, labels)[0]
    assert head.index("speech") + len("speech") == line.index("10.5s") + len("10.5s"), "columns are as wide as labels"


def stretches_of(moments: list[tuple[float, ...]], spans: list[list[int]], end_s: float, moment_s: float):
    found = make_timeline(np.array(moments), [], np.array(spans), LABELS, end_s, moment_s)
    return [(round(at.start_s, 3), round(at.end_s, 3), at.emotion, at.probability) for at in found.stretches]


SURE = [(1 - 2e-9, 1e-9, 1e-9), (1e-9, 1 - 2e-9, 1e-9), (1e-9, 1e-9, 1 - 2e-9)]
"""Each worth 20.7 a second more than any other."""


def test_what_is_shorter_than_half_a_second_goes_to_the_likelier_neighbour():
    """An utterance from 0.64 to 3.2 s: anger until 1, sadness until 2, anger until 3, fear for the last 0.2 s."""
    anger, fear, sadness = SURE
    assert [at[:3] for at in stretches_of([anger, sadness, anger, fear], [[20, 100]], 3.2, 1.0)] == [
        (0.0, 0.64, None), (0.64, 2.0, "sadness"), (2.0, 3.2, "anger")
    ]  # fmt: skip


def test_a_short_stretch_between_two_alike_leaves_one():
    """Moments of 0.4 s, an utterance of 1.984 s: anger, one moment of fear, anger again."""
    anger, fear, _ = SURE
    (only, rest) = stretches_of([(0.999, 0.001, 0.0), (0.999, 0.001, 0.0), fear, anger, anger], [[0, 62]], 2.0, 0.4)
    assert only[:3] == (0.0, 1.984, "anger") and rest[2] is None
    assert only[3] == pytest.approx((0.999 + 0.999 + 1 + 1) / 4), "not what was given away"


def test_an_utterance_that_is_short_as_a_whole_is_told_as_long_as_half_a_second_where_there_is_room():
    said = [at[:3] for at in stretches_of([(0.6, 0.1, 0.3)] * 4, [[62, 70]], 4.0, 1.0)]
    assert said == [(0.0, 1.862, None), (1.862, 2.362, "anger"), (2.362, 4.0, None)], "0.256 s from 1.984"
    assert [at[:3] for at in stretches_of([(0.6, 0.1, 0.3)], [[0, 8]], 0.3, 1.0)] == [(0.0, 0.3, "anger")]


def test_shares_are_of_the_time_in_which_an_emotion_is_heard(timeline, row):
    """Anger 1.12 s, fear 3.04, sadness 6.384: of 10.544 s."""
    expected = {"sadness": 6.384 / 10.544, "fear": 3.04 / 10.544, "anger": 1.12 / 10.544}
    assert list(timeline.shares) == list(expected) and timeline.shares == pytest.approx(expected)
    heard = Prediction(
        "anger", {"anger": 0.4, "fear": 0.35, "sadness": 0.25}, ("anger", "fear"), 5.44, 90.0, (), "toy 7",
        shares=timeline.shares, long=True,
    )  # fmt: skip
    assert str(heard).startswith("sadness 61%, fear 29%, anger 11%; 5.4 s of speech in 90.0 s")
    (line,) = table_lines({"file": "call.wav", **heard.to_dict()}, LABELS)
    assert line.split(maxsplit=4) == ["sadness", "61%", "5.4s", "call.wav", "(then fear 29%, anger 11%)"]
    assert heard.to_dict()["shares"] == {"sadness": 0.6055, "fear": 0.2883, "anger": 0.1062}


def test_subtitles_stay_long_enough_to_be_read():
    at = [
        {"start_s": 1.0, "end_s": 1.5, "emotion": "anger", "probability": 0.5},
        {"start_s": 1.8, "end_s": 2.4, "emotion": "fear", "probability": 0.5},
        {"start_s": 9.5, "end_s": 9.7, "emotion": "anger", "probability": 0.5},
    ]
    read = pysrt.from_string(srt({"timeline": at, "duration_s": 10.0}))
    assert [(each.start.ordinal, each.end.ordinal) for each in read] == [(1000, 2000), (2000, 3000), (9500, 10_500)]
