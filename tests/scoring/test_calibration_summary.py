"""What calibration was worth, of folds made by hand."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from thymos.scoring.calibration import calibration_summary, expected_calibration_error
from thymos.scoring.predictions import FoldResult, predictions_frame

LABELS = ("anger", "fear", "sadness")
COUNT = 40


def fold_of(
    number: int, temperature: float, threshold: float | None, speakers: tuple[str, ...], logits: np.ndarray
) -> FoldResult:
    """A fold of recordings whose network said ``logits``, calibrated."""
    random = np.random.default_rng(number)
    truth = (softmax(logits, axis=1).cumsum(1) > random.random((len(logits), 1))).argmax(1)
    frame = predictions_frame(
        [f"{number}-{i:02}.wav" for i in range(len(logits))],
        np.tile([0.0, 1.0], (len(logits), 1)),
        (0, number),
        [speakers[i % len(speakers)] for i in range(len(logits))],
        [LABELS[i] for i in truth],
        LABELS,
        softmax(logits / temperature, axis=1),
    )
    conformal = {"method": "lac", "coverage": 0.9, "threshold": threshold, "rows": 20}
    return {"calibration": {"temperature": temperature, "conformal": conformal}}, frame


def logits_of(number: int) -> np.ndarray:
    """What is said before any temperature; ``fold_of`` draws the truth from it, so a temperature only spoils it."""
    return np.random.default_rng(100 + number).normal(0, 1.2, (COUNT, len(LABELS)))


@pytest.fixture
def folds() -> list[FoldResult]:
    return [
        fold_of(0, 3.0, 0.7, ("1", "2"), logits_of(0)),
        fold_of(1, 0.5, 0.2, ("2", "10"), logits_of(1)),
        fold_of(2, 1.5, None, ("10",), logits_of(2)),
    ]


def rows_of(folds: list[FoldResult]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, truth and clips of all folds."""
    frame = pd.concat([own for _, own in folds])
    probabilities = frame[[f"p_{word}" for word in LABELS]].to_numpy()
    return probabilities, np.array([LABELS.index(word) for word in frame.truth]), frame["clip"].to_numpy(str)


def test_ece_before_is_that_of_what_the_networks_said_themselves(folds: list[FoldResult]) -> None:
    found = calibration_summary(folds, LABELS)
    assert found is not None
    _, truth, clips = rows_of(folds)
    said = softmax(np.concatenate([logits_of(number) for number in range(3)]), axis=1)
    expected = expected_calibration_error(said, truth, clips)
    assert found["ece_before"]["value"] == pytest.approx(expected.value, abs=1e-9)
    assert found["ece_before"]["if_calibrated"] == pytest.approx(expected.if_calibrated)
    assert found["temperatures"] == [3.0, 0.5, 1.5]


def test_ece_after_is_that_of_the_predictions(folds: list[FoldResult]) -> None:
    found = calibration_summary(folds, LABELS)
    assert found is not None
    probabilities, truth, clips = rows_of(folds)
    expected = expected_calibration_error(probabilities, truth, clips)
    assert found["ece_after"]["value"] == pytest.approx(expected.value, abs=1e-9)
    assert found["ece_after"]["value"] != pytest.approx(found["ece_before"]["value"], abs=1e-3)
    assert found["ece_after"]["ci95"] == pytest.approx(expected.ci95)


def test_before_equals_after_where_the_temperature_is_one() -> None:
    found = calibration_summary([fold_of(0, 1.0, 0.5, ("1",), logits_of(0))], LABELS)
    assert found is not None
    assert found["ece_before"]["value"] == pytest.approx(found["ece_after"]["value"], abs=1e-12)


def sets_by_hand(folds: list[FoldResult]) -> pd.DataFrame:
    """Of each recording: whether its set holds the truth, how many it holds, speaker and truth."""
    rows = []
    for facts, frame in folds:
        threshold = facts["calibration"]["conformal"]["threshold"]
        for _, row in frame.iterrows():
            p = {word: row[f"p_{word}"] for word in LABELS}
            held = {word for word in LABELS if threshold is None or 1 - p[word] <= threshold}
            held |= {max(p, key=p.__getitem__)}
            rows.append((row.truth in held, len(held), row.speaker, row.truth))
    return pd.DataFrame(rows, columns=["covered", "size", "speaker", "truth"])


def assert_quality(found: dict[str, Any], expected: pd.DataFrame) -> None:
    assert found["rows"] == len(expected)
    assert found["coverage"] == pytest.approx(expected.covered.mean())
    assert found["mean_size"] == pytest.approx(expected["size"].mean())
    assert found["singletons"] == pytest.approx((expected["size"] == 1).mean())


def test_sets_are_those_of_each_folds_own_threshold(folds: list[FoldResult]) -> None:
    found, expected = calibration_summary(folds, LABELS), sets_by_hand(folds)
    assert found is not None
    assert found["asked_coverage"] == 0.9
    assert set(expected["size"]) == {1, 2, 3}
    assert_quality(found["sets"], expected)
    assert list(found["sets_by_speaker"]) == ["1", "2", "10"]
    for speaker, quality in found["sets_by_speaker"].items():
        assert_quality(quality, expected[expected.speaker == speaker])
    assert list(found["sets_by_emotion"]) == list(LABELS)
    for emotion, quality in found["sets_by_emotion"].items():
        assert_quality(quality, expected[expected.truth == emotion])
    assert len({quality["coverage"] for quality in found["sets_by_speaker"].values()}) > 1


def test_no_threshold_lets_every_emotion_in_and_stays_none(folds: list[FoldResult]) -> None:
    found = calibration_summary([folds[2]], LABELS)
    assert found is not None
    assert (found["sets"]["coverage"], found["sets"]["mean_size"]) == (1, 3)
    assert folds[2][0]["calibration"]["conformal"]["threshold"] is None, "what was told stays as it was"
    json.dumps(found, allow_nan=False)


def test_who_is_not_known_is_no_speaker() -> None:
    found = calibration_summary([fold_of(0, 2.0, 0.5, ("", "3"), logits_of(0))], LABELS)
    assert found is not None
    assert list(found["sets_by_speaker"]) == ["3"]
    assert found["sets_by_speaker"]["3"]["rows"] == COUNT / 2
    assert found["sets"]["rows"] == COUNT
    nobody = calibration_summary([fold_of(0, 2.0, 0.5, ("",), logits_of(0))], LABELS)
    assert nobody is not None
    assert nobody["sets_by_speaker"] == {}


def test_a_recordings_segments_count_once(folds: list[FoldResult]) -> None:
    facts, frame = folds[0]
    found = calibration_summary([(facts, pd.concat([frame, frame]))], LABELS)
    assert found == calibration_summary([folds[0]], LABELS)


def test_without_calibration_there_is_nothing_to_tell(folds: list[FoldResult]) -> None:
    assert calibration_summary([], LABELS) is None
    assert calibration_summary([folds[0], ({}, folds[1][1])], LABELS) is None
