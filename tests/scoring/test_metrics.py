import numpy as np
import pytest

from thymos.scoring.metrics import bootstrap_interval, confusion, mean_and_sd, per_class, percentile_interval, scores


@pytest.fixture
def guesses() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    truth = random.integers(0, 5, 300)
    predicted = np.where(random.random(300) < 0.6, truth, random.integers(0, 5, 300))
    return truth, predicted


def test_scores_are_those_of_scikit_learn(guesses):
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

    truth, predicted = guesses
    found = scores(confusion(truth, predicted, 5))
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert found["uar"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))


def test_per_class_is_that_of_scikit_learn(guesses):
    from sklearn.metrics import precision_recall_fscore_support

    truth, predicted = guesses
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted)
    rows = per_class(confusion(truth, predicted, 5))
    assert [row["precision"] for row in rows] == pytest.approx(precision)
    assert [row["recall"] for row in rows] == pytest.approx(recall)
    assert [row["f1"] for row in rows] == pytest.approx(f1)
    assert [row["support"] for row in rows] == support.tolist()


def test_class_that_is_absent_from_the_truth_does_not_count():
    found = scores(confusion(np.array([0, 0, 1]), np.array([0, 2, 1]), 3))
    assert found["uar"] == pytest.approx((0.5 + 1) / 2)


def test_interval_of_accuracy_is_the_binomial_one(guesses):
    truth, predicted = guesses
    each = np.stack([confusion(truth[i : i + 1], predicted[i : i + 1], 5) for i in range(len(truth))])
    low, high = bootstrap_interval(each)["accuracy"]
    share = (truth == predicted).mean()
    half = 1.96 * np.sqrt(share * (1 - share) / len(truth))
    assert (low, high) == pytest.approx((share - half, share + half), abs=0.01)


@pytest.mark.slow
def test_interval_widens_when_segments_of_a_recording_agree(guesses):
    truth, predicted = guesses
    single = np.stack([confusion(truth[i : i + 1], predicted[i : i + 1], 5) for i in range(len(truth))])
    low, high = bootstrap_interval(single)["accuracy"]
    # Ten copies of every segment in one recording tell nothing new ...
    low_same, high_same = bootstrap_interval(10 * single)["accuracy"]
    assert high_same - low_same == pytest.approx(high - low)
    # ... while ten recordings of it would.
    low_many, high_many = bootstrap_interval(np.repeat(single, 10, axis=0))["accuracy"]
    assert high_many - low_many < 0.5 * (high - low)


def test_sd_over_one_fold_is_unknown():
    assert mean_and_sd([0.5]) == (0.5, None)
    assert mean_and_sd([0.4, 0.6]) == (pytest.approx(0.5), pytest.approx(np.sqrt(0.02)))


def test_an_interval_is_the_middle_95_percent_of_what_was_drawn():
    drawn = [np.arange(500.0), np.array([np.nan]), np.arange(500.0, 1001.0)]
    assert percentile_interval(drawn) == (25.0, 975.0)
