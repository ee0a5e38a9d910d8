"""How recordings are divided, and what they score where they have something in common."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thymos.corpora.table import Clip, Corpus, Measurements
from thymos.scoring.breakdown import by_duration, groupings
from thymos.scoring.calibration import confidence_summary, reliability
from thymos.scoring.predictions import Scored


def clip(number: int, seconds: float, **told: str) -> Clip:
    sound = Measurements(1000, 1, round(1000 * seconds), "WAV", 0.5, 0, 0.0, str(number))
    return Clip(f"{number}.wav", "anger", sound=sound, **told)


def test_what_tells_clips_apart_divides_them():
    clips = (
        clip(0, 1, gender="male", language="el", corpus="a"),
        clip(1, 2, gender="female", language="el", corpus="b"),
        clip(2, 3, gender="", language="el", corpus="b"),
    )
    gender, corpus, duration = groupings(Corpus("csv", Path(), clips))
    assert (gender.by, gender.names) == ("gender", ("female", "male", "unknown"))
    assert dict(gender.group_of) == {"0.wav": "male", "1.wav": "female", "2.wav": "unknown"}
    assert (corpus.by, corpus.names) == ("corpus", ("a", "b"))
    assert duration.by == "duration"
    alike = Corpus("csv", Path(), tuple(replace(each, gender="female", corpus="") for each in clips))
    assert [each.by for each in groupings(alike)] == ["duration"], "one group is no division"


def test_thirds_of_durations():
    # Quantiles at 1/3 and 2/3 of 1, 2, 3, 4: 2 and 3; what lies on a bound is below it.
    found = by_duration({"d": 4.0, "a": 1.0, "b": 2.0, "c": 3.0})
    assert found.names == (
        "shortest third, up to 2.00 s", "middle third, up to 3.00 s", "longest third, above 3.00 s"
    )  # fmt: skip
    assert [found.names.index(found.group_of[name]) for name in "abcd"] == [0, 0, 1, 2]


def test_reliability_is_counted_by_hand():
    """Of ten bins: two rows in (0.5, 0.6], one of them right; one in (0.8, 0.9], right; 0.6 closes its bin."""
    probabilities = np.array([[0.6, 0.4], [0.55, 0.45], [0.1, 0.9]])
    low, high = reliability(probabilities, np.array([0, 1, 1]), bins=10)
    assert (low.low, low.high, low.rows, low.confidence, low.accuracy) == pytest.approx((0.5, 0.6, 2, 0.575, 0.5))
    assert (high.low, high.high, high.rows, high.confidence, high.accuracy) == pytest.approx((0.8, 0.9, 1, 0.9, 1.0))


def test_confidence_of_recordings():
    probabilities = np.array([[0.6, 0.4], [0.55, 0.45], [0.1, 0.9]])
    scored = Scored(
        np.array(["a", "b", "c"]),
        np.array(["", "", ""]),
        np.zeros((3, 2), np.int64),
        np.array([0, 1, 1]),
        probabilities,
    )
    found = confidence_summary(scored)
    # Bins of 1/15: 0.6 and 0.55 share (8/15, 9/15], 0.9 lies in (13/15, 14/15]: 2/3 · |0.5 − 0.575| + 1/3 · 0.1.
    assert found["ece"]["value"] == pytest.approx(2 / 3 * 0.075 + 0.1 / 3)
    assert found["nll"] == pytest.approx(-np.log([0.6, 0.45, 0.9]).mean())
    assert [each["rows"] for each in found["reliability"]] == [2, 1]
