"""A model that is asked to tell only some of its labels apart: the same everywhere, whichever way it is asked."""

import numpy as np
import pytest
from scipy.special import softmax

import thymos
from thymos.audio import read_waveform
from thymos.errors import ThymosError
from thymos.runtime.recognizer import Recognizer

CHOSEN = ["sadness", "Wut", "FEAR"]
ORDER = ("anger", "fear", "sadness")


@pytest.fixture(scope="module")
def narrowed(recognizer: Recognizer) -> Recognizer:
    return recognizer.among(CHOSEN)


def test_probabilities_are_the_softmax_over_the_chosen_logits(recognizer, narrowed, spoken):
    heard = recognizer.predict(spoken[4], labels=CHOSEN)
    samples = read_waveform(spoken[4])
    assert samples.rate_hz != 16_000, "the logits below are those of the resampled sound"
    resampled = thymos.audio.resample(samples, 16_000).samples
    logits = recognizer.bundle.hear(resampled).logits
    places = [recognizer.labels.index(word) for word in ORDER]
    expected = softmax(logits[places].astype(np.float64) / recognizer.bundle.about.temperature)
    assert list(heard.probabilities) == list(ORDER) == list(narrowed.labels), "in the model's order"
    np.testing.assert_allclose(list(heard.probabilities.values()), expected, atol=1e-6)
    threshold = recognizer.bundle.about.conformal.threshold
    held = {word for word, share in heard.probabilities.items() if 1 - share <= threshold} | {heard.emotion}
    assert set(heard.prediction_set) == held
    whole = recognizer.predict(spoken[4])
    assert set(whole.prediction_set) & set(ORDER) <= set(heard.prediction_set), "no set loses one of them"
    assert whole.probabilities.keys() == set(recognizer.labels), "the recogniser itself is as it was"
    assert heard.flags == whole.flags


@pytest.mark.slow
def test_every_way_of_asking_agrees(recognizer, narrowed, spoken, long_speech):
    expected = narrowed.predict(spoken[4])
    assert next(recognizer.predict_many([spoken[4]], labels=CHOSEN)) == expected
    assert thymos.predict(spoken[4], recognizer.bundle.folder, labels=CHOSEN) == expected
    line = recognizer.timeline(long_speech, labels=CHOSEN)
    assert {at.emotion for at in line.stretches} <= {*ORDER, None}
    assert narrowed.predict(long_speech, timeline=True).timeline == line
    samples, rate_hz = long_speech
    stream = recognizer.stream(rate_hz, labels=CHOSEN)
    assert (*stream.feed(samples), *stream.close()) == line.windows
    assert all(window.probabilities.keys() == set(ORDER) for window in line.windows if window.probabilities)


@pytest.mark.slow
def test_explanations_agree(recognizer, narrowed, spoken):
    explanation, heard = recognizer.explain(spoken[4], labels=CHOSEN), narrowed.predict(spoken[4])
    assert explanation.emotion == heard.emotion and explanation.labels == ORDER
    assert explanation.probability == pytest.approx(heard.probabilities[heard.emotion], abs=1e-9)
    assert explanation.evidence.probabilities.sum(1) == pytest.approx(1)
    assert explanation.evidence.probabilities.shape[1] == 3


def test_what_cannot_be_told_apart_is_one_sentence(recognizer, narrowed, spoken):
    with pytest.raises(ThymosError, match="'bored' is none of the labels of toy 7: anger, disgust, fear, happiness, s"):
        recognizer.predict(spoken[4], labels=["anger", "bored"])
    with pytest.raises(ThymosError, match=r"'disgust' is none of the labels of toy 7: anger, fear, sadness$"):
        narrowed.among(["disgust", "anger"])
    with pytest.raises(ThymosError, match="two labels or more are needed to choose among, not anger, Wut"):
        recognizer.among(["anger", "Wut"])
    with pytest.raises(ThymosError, match="two labels or more are needed to choose among, not none"):
        recognizer.stream(16_000, labels=[])


def test_it_says_what_it_tells_apart(recognizer, narrowed):
    assert "anger, fear, sadness;" in repr(narrowed)
    assert recognizer.among(None) is recognizer
