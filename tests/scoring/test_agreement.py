"""CCC, Pearson's correlation and mean absolute error, worked by hand; and rows of results.json made of predictions."""

import numpy as np
import pandas as pd
import pytest

from thymos.scoring.agreement import agreement, dimension_rows
from thymos.scoring.metrics import bootstrap_weights


@pytest.mark.parametrize(
    ("truth", "predicted", "ccc", "pearson", "mae"),
    [
        # s_x² = s_y² = s_xy = 2 and the means lie 1 apart: 4 / (2 + 2 + 1).
        ([1, 2, 3, 4, 5], [2, 3, 4, 5, 6], 0.8, 1.0, 1.0),
        # s_xy = 1, s_x² = 2/3, s_y² = 2, no shift: 2 / (8/3); r = 1 / √(4/3).
        ([1, 2, 3], [1, 1, 4], 0.75, 0.75**0.5, 2 / 3),
        # The same values in reverse.
        ([1, 2, 3], [3, 2, 1], -1.0, -1.0, 4 / 3),
        # Half the spread about the same mean: 2 · 1 / (2 + 0.5).
        ([1, 2, 3, 4, 5], [2, 2.5, 3, 3.5, 4], 0.8, 1.0, 0.6),
        ([1, 2, 3], [2, 2, 2], 0.0, 0.0, 2 / 3),
        ([2, 2], [2, 2], 0.0, 0.0, 0.0),
        ([0.25], [0.75], 0.0, 0.0, 0.5),
    ],
)
def test_worked_examples(truth, predicted, ccc, pearson, mae):
    found = agreement(np.array(truth), np.array(predicted))
    assert found == pytest.approx({"ccc": ccc, "pearson": pearson, "mae": mae})
    shifted = agreement(np.array(truth) + 1e6, np.array(predicted) + 1e6)
    assert shifted == pytest.approx(found, abs=1e-6), "a large mean takes no digits away"


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [([], []), ([1], [1, 2]), ([1, np.nan], [1, 2]), ([1, 2], [1, np.inf]), ([[1, 2]], [[1, 2]])],
)
def test_what_cannot_be_scored_is_refused(truth, predicted):
    with pytest.raises(ValueError):
        agreement(np.array(truth, float), np.array(predicted, float))


def frame_of(values, fold, repeat=0):
    """``values``: clip, truth and prediction of each segment."""
    clips, truth, predicted = zip(*values, strict=True)
    return pd.DataFrame(
        {"clip": clips, "repeat": repeat, "fold": fold, "true_arousal": truth, "predicted_arousal": predicted}
    )


def test_segments_are_averaged_and_what_has_no_truth_does_not_count():
    first = frame_of([("a", 1, 0), ("a", 1, 2), ("b", 2, 1), ("c", 3, 4), ("x", np.nan, 9)], 0)
    second = frame_of([("d", 1, 3), ("e", 3, 1)], 1)
    third = frame_of([("y", np.nan, 1)], 2)
    (row,) = dimension_rows(pd.concat([first, second, third]))
    assert (row["dimension"], row["recordings"]) == ("arousal", 5)
    assert [fold["recordings"] for fold in row["folds"]] == [3, 2]
    assert [fold["ccc"] for fold in row["folds"]] == pytest.approx([0.75, -1.0])
    assert (row["ccc"]["mean"], row["mae"]["mean"]) == pytest.approx((-0.125, (2 / 3 + 2) / 2))
    assert row["ccc"]["sd"] == pytest.approx(1.75 / 2**0.5)
    assert row["pooled"] == pytest.approx(agreement(np.array([1, 2, 3, 1, 3]), np.array([1, 1, 4, 3, 1])))
    assert dimension_rows(first.drop(columns=["true_arousal"])) == []
    assert dimension_rows(third) == []


@pytest.mark.slow
def test_intervals_are_those_of_recordings_drawn_again():
    random = np.random.default_rng(3)
    truth = random.normal(size=24)
    predicted = truth + random.normal(size=24)
    clips = [f"{number:02}" for number in range(12)] * 2  # each is tested in two repeats
    frame = pd.concat(
        [
            frame_of(list(zip(clips, truth, predicted, strict=True))[half::2], half % 2, repeat)
            for repeat, half in ((0, 0), (0, 1))
        ]
    )
    (row,) = dimension_rows(frame)
    each = frame.groupby(["fold", "clip"], as_index=False).mean()
    pooled, means = [], []
    for weights in bootstrap_weights(12, np.random.default_rng(0)):
        for drawn in weights.astype(int):
            times = drawn[each["clip"].astype(int)]
            again = each.loc[np.repeat(each.index, times)]
            pooled.append(agreement(again.true_arousal.to_numpy(), again.predicted_arousal.to_numpy())["ccc"])
            means.append(
                np.mean(
                    [
                        agreement(own.true_arousal.to_numpy(), own.predicted_arousal.to_numpy())["ccc"]
                        for _, own in again.groupby("fold")
                    ]
                )
            )
    assert row["ccc"]["ci95"] == pytest.approx(np.percentile(pooled, [2.5, 97.5]), abs=1e-9)
    assert row["ccc"]["mean_ci95"] == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=1e-9)
