"""Speech that the VAD is not sure of, and the model is: heard, flagged, and told from sound that is no speech."""

import dataclasses

import numpy as np
import pytest

from thymos.audio import read_waveform
from thymos.audio.decode import Waveform
from thymos.errors import ArgumentError
from thymos.runtime.out_of_distribution import EmbeddingDistribution, fit_gaussian
from thymos.runtime.recognizer import Recognizer, load
from thymos.runtime.vad import VadStream

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def shipped() -> Recognizer:
    return load("thymos")


@pytest.fixture(scope="module")
def knowing(bundle, spoken) -> Recognizer:
    """A model that was trained on recordings like those that it is given."""
    plain = load(bundle).bundle
    embeddings = np.array([load(bundle).embed(path) for path in spoken])
    distribution = EmbeddingDistribution(fit_gaussian(embeddings, 2), threshold=3.0)
    return Recognizer(dataclasses.replace(plain, distribution=distribution))


@pytest.fixture
def unsure(monkeypatch):
    """A VAD that finds a tenth of the probability that there is."""
    judge = VadStream._judge

    def fainter(self, samples):
        before = self.frames
        judge(self, samples)
        self._said[before : self.frames] *= 0.1

    monkeypatch.setattr(VadStream, "_judge", fainter)


@pytest.mark.slow
def test_what_the_model_knows_to_be_speech_is_heard_and_flagged(knowing, spoken, unsure):
    clip = read_waveform(spoken[0])
    heard = knowing.predict(spoken[0], timeline=True)
    assert "faint_speech" in heard.flags and "no_speech" not in heard.flags and 0 < heard.speech_s <= clip.duration_s
    assert any(at.emotion for at in heard.timeline.stretches)
    strict = knowing.tuned(vad_threshold=0.5).predict(spoken[0])
    assert strict.emotion is None and strict.flags[-1] == "no_speech", "who names a threshold is given it"
    far = dataclasses.replace(knowing.bundle.distribution, threshold=1e-3)
    stranger = Recognizer(dataclasses.replace(knowing.bundle, distribution=far))
    assert stranger.predict(spoken[0]).emotion is None, "what is unlike all that it knows is no faint speech"


@pytest.mark.parametrize("kind", ["silence", "noise", "hum"])
def test_sound_that_is_no_speech_stays_that(shipped, kind):
    random = np.random.default_rng(3)
    times_s = np.arange(3 * RATE_HZ) / RATE_HZ
    sound = {
        "silence": np.zeros(3 * RATE_HZ),
        "noise": random.normal(0, 0.1, 3 * RATE_HZ),
        "hum": 0.3 * np.sin(2 * np.pi * 50 * times_s),
    }[kind].astype(np.float32)
    assert shipped.predict((sound, RATE_HZ)).emotion is None


def test_a_lower_threshold_hears_what_a_higher_one_does_not(shipped, spoken, unsure):
    assert shipped.tuned(vad_threshold=0.9).predict(spoken[1]).emotion is None
    low = shipped.tuned(vad_threshold=0.04).predict(spoken[1])
    assert low.emotion is not None and "faint_speech" not in low.flags


@pytest.mark.parametrize("wrong", [0, 1, -0.1, float("nan")])
def test_thresholds_are_probabilities(shipped, wrong):
    with pytest.raises(ArgumentError, match="between 0 and 1"):
        shipped.tuned(vad_threshold=wrong)


@pytest.mark.slow
def test_the_shortest_stretch_is_asked_for(shipped, long_speech):
    sound = Waveform(long_speech[0][: 20 * long_speech[1]], long_speech[1])
    source = (sound.samples, sound.rate_hz)
    plain, long = shipped.timeline(source), shipped.tuned(shortest_s=4.0).timeline(source)
    assert sum(at.emotion is not None for at in long.stretches) <= sum(at.emotion is not None for at in plain.stretches)
    for timeline, least_s in ((plain, 0.5), (long, 4.0)):
        ends = [at for at in timeline.stretches if at.emotion is not None]
        inner = [at for at in ends if at.end_s - at.start_s < least_s - 1e-6]
        assert not inner or least_s == 4.0, "an utterance that is shorter as a whole stays one"
    with pytest.raises(ArgumentError, match="number of seconds"):
        shipped.tuned(shortest_s=float("nan"))
