"""The linear discriminant, beside worked examples and scikit-learn's."""

import numpy as np
import pytest

from thymos.encoder.heads import TOO_SURE, centred, fit_discriminant

ONE = np.ones(1)


def cloud(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = np.repeat([0, 1, 2], 40)
    mixing = random.normal(size=(5, 5))
    return random.normal(size=(120, 5)) @ mixing + random.normal(size=(3, 5))[targets] * 2 + 7, targets


def test_a_worked_example():
    # Two classes about −2 and 2, each ±1: mean 0, variance 5; within a class 1/5 after standardising.
    descriptions = np.array([[[-3.0], [-1], [1], [3]]])
    fitted = fit_discriminant(descriptions, np.array([0, 0, 1, 1]), ONE, shrinkage=0)
    np.testing.assert_allclose(fitted.mean, [0], atol=1e-12)
    np.testing.assert_allclose(fitted.spread, [np.sqrt(5)], atol=1e-5)
    np.testing.assert_allclose(fitted.weights, [[-2 * np.sqrt(5), 2 * np.sqrt(5)]], rtol=1e-5)
    np.testing.assert_allclose(fitted.bias, [-2, -2], rtol=1e-5)
    np.testing.assert_allclose(fitted.logits(np.array([1.0])), [-4, 0], rtol=1e-4)


def test_it_is_scikit_learns_without_shrinkage():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    descriptions, targets = cloud()
    ours = fit_discriminant(descriptions[None], targets, ONE, shrinkage=0).logits(descriptions)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3).fit(descriptions, targets)
    probabilities = np.exp(ours) / np.exp(ours).sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities, theirs.predict_proba(descriptions), atol=1e-4)


def test_shrunk_altogether_it_is_the_nearest_mean():
    descriptions, targets = cloud()
    standard = (descriptions - descriptions.mean(0)) / descriptions.std(0)
    means = np.stack([standard[targets == label].mean(0) for label in range(3)])
    nearest = np.square(standard[:, None] - means).sum(2).argmin(1)
    fitted = fit_discriminant(descriptions[None], targets, ONE, shrinkage=1)
    np.testing.assert_array_equal(fitted.logits(descriptions).argmax(1), nearest)


def test_versions_and_recordings_count_as_they_are_weighted():
    descriptions, targets = cloud()
    versions = np.stack([descriptions, descriptions * 1.1])
    twice = fit_discriminant(np.concatenate([descriptions, descriptions])[None], np.tile(targets, 2), ONE)
    for fitted in (
        fit_discriminant(versions, targets, np.array([1.0, 0.0])),
        fit_discriminant(versions[[1, 0, 0]], targets, np.array([0.0, 0.3, 0.7])),
        fit_discriminant(np.concatenate([descriptions, versions[1]])[None], np.tile(targets, 2), ONE,
                         weights=np.repeat([0.5, 0.0], 120)),
        twice,
    ):  # fmt: skip
        np.testing.assert_allclose(
            fitted.weights, fit_discriminant(descriptions[None], targets, ONE).weights, rtol=1e-6
        )


def test_classes_count_alike_however_many_recordings_they_have():
    descriptions, targets = cloud()
    more = np.concatenate([np.arange(120), np.flatnonzero(targets == 0), np.flatnonzero(targets == 0)])
    weights = np.where(targets[more] == 0, 1 / 3, 1.0)
    fitted = fit_discriminant(descriptions[more][None], targets[more], ONE, weights=weights)
    np.testing.assert_allclose(fitted.bias, fit_discriminant(descriptions[None], targets, ONE).bias, rtol=1e-6)


def test_some_of_the_classes():
    descriptions, targets = cloud()
    fitted = fit_discriminant(descriptions[None], targets, ONE)
    np.testing.assert_array_equal(fitted.among([2, 0]).logits(descriptions), fitted.logits(descriptions)[:, [2, 0]])


def test_a_class_that_is_twice_as_likely_beforehand_is_so_at_the_temperature_that_the_logits_need():
    descriptions, targets = cloud()
    fitted = fit_discriminant(descriptions[None], targets, ONE)
    leant = fitted.leaning([1.0, 2.0, 1.0])
    odds = np.exp((leant.logits(descriptions) - fitted.logits(descriptions)) / TOO_SURE)
    np.testing.assert_allclose(odds, np.broadcast_to([1.0, 2.0, 1.0], odds.shape))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_centring_takes_away_who_speaks(kind):
    descriptions, _ = cloud()
    voices = [("a", "b")[i % 2] for i in range(120)]
    offset = np.where(np.array(voices) == "a", 5.0, -3.0)[:, None]
    versions = np.stack([descriptions, descriptions * 1.1]).astype(kind)
    result = centred(versions, voices)
    assert result.dtype == kind
    for voice in "ab":
        np.testing.assert_allclose(result[:, np.array(voices) == voice].mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(centred(versions + offset.astype(kind), voices), result, atol=1e-4)


def test_one_recording_a_class_is_enough():
    descriptions = np.random.default_rng(0).normal(size=(1, 3, 8))
    fitted = fit_discriminant(descriptions, np.arange(3), np.ones(1))
    assert fitted.logits(descriptions[0]).argmax(1).tolist() == [0, 1, 2]
    assert np.isfinite(fitted.weights).all()
