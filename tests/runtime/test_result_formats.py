"""Each format that results are written in, read back by a library of others' against an example worked out by hand."""

import csv
import io
import json

import audformat.utils
import pandas as pd
import pympi
import pysrt
import pytest
import webvtt
from praatio import textgrid as praat

from thymos.runtime.formats import OF_NAMES, PER_FILE, SUFFIX, Columns, rendered
from thymos.runtime.prediction import Prediction, Stretch, Timeline

LABELS = ("anger", "fear & <awe>")
# Silence, anger, a short fear at once after it, silence, anger: the fear is shown for less than can be read.
STRETCHES = (
    (0.0, 0.32, None, None),
    (0.32, 2.0, "anger", 0.7),
    (2.0, 2.6, "fear & <awe>", 0.5),
    (2.6, 4.0, None, None),
    (4.0, 6.4, "anger", 0.8125),
)
CALL = {
    "file": "calls/a b.wav",
    "emotion": "anger",
    "probabilities": {"anger": 0.6, "fear & <awe>": 0.4},
    "prediction_set": ["anger", "fear & <awe>"],
    "speech_s": 4.68,
    "duration_s": 6.4,
    "flags": ["unfamiliar"],
    "model": "toy 7",
    "timeline": [dict(zip(("start_s", "end_s", "emotion", "probability"), at, strict=True)) for at in STRETCHES],
}
SILENT = CALL | {
    "file": "silent.wav", "emotion": None, "probabilities": None, "prediction_set": [], "speech_s": 0.0,
    "duration_s": 2.0, "flags": ["no_speech"],
    "timeline": [{"start_s": 0.0, "end_s": 2.0, "emotion": None, "probability": None}],
}  # fmt: skip
BAD = {"file": "=bad.wav", "error": "is empty (0 bytes)"}
WHOLE, IN_TIME = Columns(LABELS), Columns(LABELS, timeline=True)
SPOKEN = [at for at in STRETCHES if at[2]]


def text(format, rows=(CALL,), columns=IN_TIME, **kept) -> str:
    return rendered(list(rows), format, columns, **kept).decode()


def test_every_format_has_a_suffix_that_means_it():
    assert {format for formats in OF_NAMES.values() for format in formats} | {"table", "audacity"} == SUFFIX.keys()
    for format, suffix in SUFFIX.items():
        assert format in OF_NAMES.get(suffix.lower(), (format,))


def test_praat(tmp_path):
    (tmp_path / "a.TextGrid").write_text(text("textgrid"))
    tier = praat.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=True).getTier("emotion")
    assert [tuple(entry) for entry in tier.entries] == [(start, end, word or "") for start, end, word, _ in STRETCHES]


def test_subtitles_last_a_second_and_none_is_over_another():
    expected = [
        (320, 2_000, "anger 0.70"), (2_000, 3_000, "fear & <awe> 0.50"), (4_000, 6_400, "anger 0.81")
    ]  # fmt: skip
    read = pysrt.from_string(text("srt"), error_handling=pysrt.ERROR_RAISE)
    assert [(at.start.ordinal, at.end.ordinal, at.text) for at in read] == expected
    captions = webvtt.from_string(text("vtt"))
    assert [(at.start, at.end) for at in captions] == [
        ("00:00:00.320", "00:00:02.000"), ("00:00:02.000", "00:00:03.000"), ("00:00:04.000", "00:00:06.400")
    ]  # fmt: skip
    assert [at.raw_text for at in captions] == ["anger 0.70", "fear &amp; &lt;awe&gt; 0.50", "anger 0.81"]


def test_short_captions_push_the_next_ones_on():
    stretches = [(0.0, 0.5, "anger", 0.5), (0.5, 1.0, "fear & <awe>", 0.5), (1.0, 5.0, "anger", 0.5)]
    row = CALL | {"timeline": [dict(zip(CALL["timeline"][0], at, strict=True)) for at in stretches]}
    read = pysrt.from_string(text("srt", [row]), error_handling=pysrt.ERROR_RAISE)
    assert [(at.start.ordinal, at.end.ordinal) for at in read] == [(0, 1_000), (1_000, 2_000), (2_000, 5_000)]


def test_audacity():
    read = pd.read_csv(io.StringIO(text("audacity")), sep="\t", header=None)
    assert read.values.tolist() == [[start, end, word] for start, end, word, _ in SPOKEN]


def test_elan(tmp_path):
    sound = tmp_path / "a b#1.wav"
    sound.touch()
    written = text("eaf", [CALL | {"file": str(sound)}])
    assert written == text("eaf", [CALL | {"file": str(sound)}]), "the same at any time"
    (tmp_path / "a.eaf").write_text(written)
    read = pympi.Eaf(str(tmp_path / "a.eaf"))
    assert list(read.get_tier_names()) == ["emotion"]
    assert sorted(at[:3] for at in read.get_annotation_data_for_tier("emotion")) == [
        (round(1000 * start), round(1000 * end), word) for start, end, word, _ in SPOKEN
    ]
    (linked,) = read.get_linked_files()
    assert linked["MEDIA_URL"] == sound.as_uri() and linked["MIME_TYPE"] == "audio/x-wav"
    assert "%23" in linked["RELATIVE_MEDIA_URL"], "a name is no address"


def test_rttm_of_several_recordings():
    read = pd.read_csv(io.StringIO(text("rttm", (CALL, BAD, SILENT, CALL | {"file": "b.wav"}))), sep=" ", header=None)
    assert set(read[0]) == {"SPEAKER"} and read.shape == (6, 10)
    assert read[1].tolist() == ["calls/a_b.wav"] * 3 + ["b.wav"] * 3
    assert (read[3] + read[4]).round(3).tolist()[:3] == [end for _, end, _, _ in SPOKEN]
    assert read[7].tolist()[:3] == ["anger", "fear_&_<awe>", "anger"]


@pytest.mark.parametrize(("format", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_tables_with_delimiters(format, delimiter):
    rows = list(csv.DictReader(io.StringIO(text(format, (CALL, BAD, SILENT), WHOLE)), delimiter=delimiter))
    assert [row["file"] for row in rows] == ["calls/a b.wav", "'=bad.wav", "silent.wav"], "no cell is a formula"
    assert rows[0]["p_fear & <awe>"] == "0.4" and rows[1]["error"] == "is empty (0 bytes)"
    assert (rows[2]["emotion"], rows[2]["p_anger"], rows[2]["flags"]) == ("", "", "no_speech"), "none heard"
    assert text(format, (CALL, BAD), WHOLE) == text(format, (CALL,), WHOLE) + text(format, (BAD,), WHOLE, head=False)
    in_time = list(csv.DictReader(io.StringIO(text(format, (SILENT,))), delimiter=delimiter))
    assert [(at["end_s"], at["emotion"], at["probability"]) for at in in_time] == [("2.0", "", "")]


def test_json_and_lines_of_it():
    rows = [CALL, BAD, SILENT]
    assert json.loads(text("json", rows)) == [json.loads(line) for line in text("jsonl", rows).splitlines()] == rows
    assert json.loads(text("json", [])) == []


def test_audformat_reads_its_table(tmp_path):
    (tmp_path / "in_time.csv").write_text(text("audformat", (CALL, SILENT)))
    read = audformat.utils.read_csv(str(tmp_path / "in_time.csv"))
    assert audformat.utils.index_has_overlap(read.index) is False
    assert [(file, start.total_seconds(), end.total_seconds()) for file, start, end in read.index] == [
        *(("calls/a b.wav", start, end) for start, end, _, _ in STRETCHES), ("silent.wav", 0.0, 2.0),
    ]  # fmt: skip
    emotions = read["emotion"]
    assert emotions.isna().tolist() == [True, False, False, True, False, True]
    assert emotions.dropna().tolist() == ["anger", "fear & <awe>", "anger"]
    (tmp_path / "whole.csv").write_text(text("audformat", (CALL, BAD), WHOLE))
    whole = audformat.utils.read_csv(str(tmp_path / "whole.csv"))
    assert whole["p_anger"].tolist()[0] == 0.6 and whole["error"].tolist()[1] == "is empty (0 bytes)"
    ends = whole.index.get_level_values("end")
    assert ends[0].total_seconds() == 6.4 and ends.isna().tolist() == [False, True]


def test_pandas_reads_parquet():
    content = rendered([CALL, BAD, SILENT], "parquet", WHOLE)
    read = pd.read_parquet(io.BytesIO(content))
    assert read.index.names == ["file", "start", "end"]
    assert read["emotion"].tolist()[0] == "anger" and read["emotion"].isna().tolist() == [False, True, True]
    assert read["p_anger"].tolist()[0] == 0.6 and read["flags"].tolist()[2] == "no_speech"
    assert content == rendered([CALL, BAD, SILENT], "parquet", WHOLE)


def test_frames_have_the_index_of_the_field():
    stretches = tuple(Stretch(*at) for at in STRETCHES)
    heard = Prediction(
        "anger", CALL["probabilities"], ("anger",), 4.68, 6.4, (), "toy 7", Timeline(stretches, (), 6.4)
    )  # fmt: skip
    frame = heard.to_frame("a.wav")
    assert audformat.utils.to_segmented_index(frame.index).equals(frame.index), "audformat takes it as its own"
    assert frame.loc["a.wav", "p_anger"].tolist() == [0.6]
    in_time = heard.timeline.to_frame("a.wav")
    assert in_time.columns.tolist() == ["emotion", "probability"] and len(in_time) == 5
    assert in_time.index.get_level_values("end").total_seconds().tolist() == [end for _, end, _, _ in STRETCHES]


def test_what_annotates_leaves_out_what_could_not_be_heard():
    for format in ("rttm", "audacity"):
        assert text(format, (BAD,)) == ""
    assert SUFFIX.keys() > PER_FILE
