"""Explanations: what they mark carried the decision, what they take out is what they say, and the sound stays sound."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thymos.audio import Samples
from thymos.audio.mel_scale import hz_to_mel, mel_to_hz
from thymos.corpora import open_corpus
from thymos.encoder.experiment import EncoderExperiment
from thymos.encoder.recipe import EncoderRecipe
from thymos.errors import AudioError, ThymosError
from thymos.evaluation.train import train
from thymos.runtime.bundle import DEFAULT_MODEL
from thymos.runtime.explain import (
    BANDS,
    EXPLAINED_S,
    MARKED_SHARE,
    Evidence,
    ExplainedPart,
    Explanation,
    explain_part,
    grid,
    moving_mean,
    strongest,
)
from thymos.runtime.occlusion import Occluder
from thymos.runtime.recognizer import Recognizer, load

RATE_HZ = 16_000
RANDOM_REGIONS = 8


@pytest.fixture(scope="module")
def trained(mini: Path, toy_recipe: Callable[..., EncoderRecipe], tmp_path_factory) -> Recognizer:
    """A small head that has learnt half of the mini corpus, as a bundle."""
    corpus = open_corpus(mini)
    half = dataclasses.replace(corpus, clips=corpus.clips[::2])
    root = tmp_path_factory.mktemp("trained")
    experiment = EncoderExperiment(toy_recipe(speeds=[1.0]))
    return load(train(half, experiment, root / "mini", cache_dir=root / "cache", threads=1).folder)


def falls(recognizer: Recognizer, explanation: Explanation, rng: np.random.Generator) -> tuple[float, float]:
    """Return how the log-probability falls without the marked region, and on average without random ones as large."""
    occluder = Occluder(
        explanation.samples, explanation.rate_hz, explanation.times_s - explanation.times_s[0], explanation.bands_hz
    )

    def fall(mask: np.ndarray) -> float:
        at_rate = (occluder.without(mask), explanation.rate_hz)
        probabilities = recognizer._decider.probabilities(recognizer._listener.hear(at_rate[0])[0])
        left = probabilities[recognizer.labels.index(explanation.emotion)]
        return float(np.log(explanation.probability) - np.log(left))

    shape, count = explanation.effect.shape, int(explanation.marked.sum())
    masks = [
        np.isin(np.arange(BANDS * shape[1]), rng.permutation(BANDS * shape[1])[:count]) for _ in range(RANDOM_REGIONS)
    ]
    return fall(explanation.marked), float(np.mean([fall(mask.reshape(shape)) for mask in masks]))


def assert_faithful(recognizer: Recognizer, files: list[Path]) -> None:
    rng = np.random.default_rng(0)
    found = []
    for file in files:
        explanation = recognizer.explain(file)
        assert explanation.marked.any(), file
        found.append(falls(recognizer, explanation, rng))
    marked, random = np.array(found).T
    # A recording that is decided everywhere may lose as little without one part as without another.
    assert (marked > random).sum() >= len(found) - 1, found
    assert np.median(marked) > 2 * max(np.median(random), 0), found


@pytest.mark.slow
def test_what_is_marked_carries_the_decision(trained, mini):
    files = sorted(mini.glob("*/*"))[1::30]
    assert len(files) == 5
    assert_faithful(trained, files)


@pytest.mark.real
def test_what_is_marked_carries_the_decision_of_the_shipped_model(aesdd):
    recognizer = load(DEFAULT_MODEL)
    # The VAD hears no speech in some: there is nothing to explain in these.
    files = [
        next(file for file in sorted(folder.glob("*.flac"))[40:] if recognizer.predict(file).emotion is not None)
        for folder in sorted(aesdd.iterdir())
        if folder.is_dir()
    ]
    assert len(files) == 5
    assert_faithful(recognizer, files)


@pytest.mark.slow
def test_it_explains_what_is_predicted(trained, mini, tmp_path):
    file = sorted(mini.glob("fear/*"))[3]
    prediction, explanation = trained.predict(file), trained.explain(file)
    assert explanation.emotion == prediction.emotion
    assert explanation.probability == pytest.approx(prediction.probabilities[prediction.emotion], abs=1e-9)
    assert explanation.effect.shape == explanation.marked.shape == (BANDS, len(explanation.times_s) - 1)
    assert explanation.times_s[0] == 0 and explanation.times_s[-1] == pytest.approx(prediction.duration_s)
    assert explanation.bands_hz[0] == 0 and explanation.bands_hz[-1] == pytest.approx(RATE_HZ / 2)
    assert 0 < explanation.marked.sum() <= np.ceil(MARKED_SHARE * explanation.effect.size)
    # The effect is what it says, region by region.
    occluder = Occluder(explanation.samples, RATE_HZ, explanation.times_s, explanation.bands_hz)
    mask = np.zeros_like(explanation.marked)
    mask[2, 3] = True
    label = trained.labels.index(explanation.emotion)
    left = trained._decider.probabilities(trained._listener.hear(occluder.without(mask))[0])[label]
    assert explanation.effect[2, 3] == pytest.approx(np.log(explanation.probability / left), abs=1e-9)
    assert (explanation.evidence.probabilities.sum(1) == pytest.approx(1)) and len(explanation.evidence.times_s) > 4
    content = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert content["emotion"] == explanation.emotion and np.shape(content["effect"]) == explanation.effect.shape
    assert set(content["evidence"]) == {"times_s", *trained.labels}
    assert f"{explanation.emotion} {explanation.probability:.2f}" in str(explanation)


@pytest.mark.slow
def test_sources_agree_and_another_emotion_can_be_asked_for(trained, mini):
    file = sorted(mini.glob("anger/*"))[5]
    other = "sadness"
    by_path = trained.explain(file, other)
    assert by_path.emotion == other
    assert by_path.probability == pytest.approx(trained.predict(file).probabilities[other], abs=1e-9)
    with file.open("rb") as opened:
        assert np.array_equal(trained.explain(opened, other).effect, by_path.effect)
    with pytest.raises(ThymosError, match="'joy' is none of the model's emotions: anger"):
        trained.explain(file, "joy")


@pytest.mark.slow
def test_without_speech_there_is_nothing_to_explain(trained, make_tone):
    with pytest.raises(AudioError, match="no emotion to explain"):
        trained.explain((make_tone(2.0), RATE_HZ))


@pytest.mark.slow
def test_of_a_long_recording_the_most_telling_window_is_explained(trained, long_speech):
    samples, rate_hz = long_speech
    for length_s in (EXPLAINED_S + 7.3, 41.3):
        part = (samples[: round(length_s * rate_hz)], rate_hz)
        prediction, explanation = trained.predict(part, timeline=True), trained.explain(part)
        windows = [window for window in prediction.timeline.windows if window.probabilities]
        best = max(windows, key=lambda window: window.probabilities[prediction.emotion])
        assert explanation.times_s[[0, -1]] == pytest.approx([best.start_s, best.end_s], abs=1e-3)
        assert explanation.probability == pytest.approx(best.probabilities[prediction.emotion], abs=1e-6)
        assert explanation.evidence.times_s[0] > best.start_s
        assert f" in {best.start_s:.1f} – {best.end_s:.1f} s" in str(explanation)


def power(samples: Samples, low_hz: float, high_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    return float(spectrum[(hz >= low_hz) & (hz < high_hz)].sum())


def test_a_region_is_taken_out_and_the_rest_stays(make_tone):
    rng = np.random.default_rng(1)
    quiet = 1e-3 * rng.normal(size=3 * RATE_HZ).astype(np.float32)
    middle = np.zeros(3 * RATE_HZ, np.float32)
    middle[RATE_HZ : 2 * RATE_HZ] = make_tone(1.0, hz=440.0) + make_tone(1.0, hz=3_000.0)
    sound = quiet + middle
    times_s, bands_hz = np.array([0.0, 0.9, 2.1, 3.0]), np.array([0.0, 1_000.0, 8_000.0])
    occluder = Occluder(sound, RATE_HZ, times_s, bands_hz)
    assert np.abs(occluder.without(np.zeros((2, 3), bool)) - sound).max() == 0
    mask = np.zeros((2, 3), bool)
    mask[0, 1] = True
    left = occluder.without(mask)
    inside = slice(round(1.2 * RATE_HZ), round(1.8 * RATE_HZ))
    assert power(left[inside], 300, 600) < 1e-4 * power(sound[inside], 300, 600)
    # What is left is as loud as the recording is where it is quiet, and no hole.
    before = power(quiet[inside], 300, 600)
    assert 0.02 * before < power(left[inside], 300, 600) < 20 * before
    assert power(left[inside], 2_900, 3_100) == pytest.approx(power(sound[inside], 2_900, 3_100), rel=1e-3)
    assert np.abs(left[: round(0.8 * RATE_HZ)] - sound[: round(0.8 * RATE_HZ)]).max() < 1e-9
    assert np.abs(left[round(2.2 * RATE_HZ) :] - sound[round(2.2 * RATE_HZ) :]).max() < 1e-9


def test_regions_add_up():
    sound = np.random.default_rng(2).normal(0, 0.1, RATE_HZ).astype(np.float32)
    occluder = Occluder(sound, RATE_HZ, np.linspace(0, 1, 4), mel_to_hz(np.linspace(0, hz_to_mel(np.array(8e3)), 4)))
    one, two = np.zeros((3, 3), bool), np.zeros((3, 3), bool)
    one[0, 0] = two[2, 1] = True
    both = occluder.without(one) + occluder.without(two) - sound
    assert np.abs(occluder.without(one | two) - both).max() < 1e-6


def test_a_region_that_alone_decides_is_found(make_tone):
    """A model that hears nothing but 3 kHz between 1.0 and 1.5 s is explained by just that."""
    sound = (0.1 * np.random.default_rng(3).normal(size=2 * RATE_HZ)).astype(np.float32)
    burst = slice(RATE_HZ, round(1.5 * RATE_HZ))
    sound[burst] += make_tone(0.5, hz=3_000.0)

    def hear(samples: Samples) -> np.ndarray:
        share = power(samples[burst], 2_900, 3_100) / power(sound[burst], 2_900, 3_100)
        return np.array([0.1 + 0.8 * min(share, 1), 0.9 - 0.8 * min(share, 1)])

    evidence = Evidence(np.array([0.5]), np.array([[0.5, 0.5]]))
    found = explain_part(hear, ExplainedPart(sound, RATE_HZ, 7.0), evidence, ("anger", "fear"), None, "one")
    assert found.emotion == "anger" and found.probability == pytest.approx(0.9)
    band, column = np.unravel_index(found.effect.argmax(), found.effect.shape)
    assert found.bands_hz[band] < 3_000 < found.bands_hz[band + 1]
    assert found.times_s[column] >= 8.0 - 1e-9 and found.times_s[column + 1] <= 8.5 + 1e-9
    others = np.delete(found.effect, band, axis=0)
    assert np.abs(others).max() < 0.1 * found.effect.max()
    assert found.probability_without < 0.2


def test_marks_are_none_where_nothing_carries():
    assert not strongest(-np.ones((BANDS, 4))).any()
    effect = np.zeros((2, 10))
    effect[1, 4] = 0.1
    assert strongest(effect).sum() == 1 and strongest(effect)[1, 4]


def test_four_seconds_cost_no_more_than_72_answers():
    times_s, bands_hz = grid(4.0, RATE_HZ)
    assert (len(times_s) - 1) * (len(bands_hz) - 1) <= 72


@pytest.mark.parametrize("duration_s", [0.25, 1.0, 4.0, EXPLAINED_S])
def test_grid_is_fine_enough_and_covers_all(duration_s: float):
    times_s, bands_hz = grid(duration_s, RATE_HZ)
    assert times_s[0] == 0 and times_s[-1] == duration_s and np.diff(times_s).max() <= 0.55
    assert np.diff(hz_to_mel(bands_hz)) == pytest.approx(np.full(BANDS, hz_to_mel(np.array(8e3)) / BANDS))


def test_the_mean_around_each_frame() -> None:
    rows = np.array([[0.0], [3.0], [6.0], [0.0]])
    assert moving_mean(rows, 3)[:, 0].tolist() == [1.5, 3.0, 3.0, 3.0]
    assert moving_mean(rows, 2)[:, 0].tolist() == [1.5, 4.5, 3.0, 0.0]
    assert moving_mean(rows, 1).tolist() == rows.tolist() == moving_mean(rows, 0).tolist()
    assert moving_mean(rows, 99)[:, 0].tolist() == [2.25] * 4
