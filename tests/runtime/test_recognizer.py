"""What a recogniser answers: the same for the same sound, whichever way it comes; and nothing where nobody speaks."""

import io
import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import soundfile
from scipy.special import softmax

from thymos.audio import read_waveform, resample
from thymos.errors import AudioError
from thymos.runtime import listening
from thymos.runtime.bundle import WHOLE_S
from thymos.runtime.prediction import Failure, Prediction
from thymos.runtime.recognizer import load
from thymos.runtime.windows import WindowSamples
from thymos.scoring.calibration import Conformal, apply_temperature


def values(prediction: Prediction) -> np.ndarray:
    assert prediction.probabilities is not None
    return np.array(list(prediction.probabilities.values()))


@pytest.fixture(scope="module")
def clip(spoken, tmp_path_factory) -> Path:
    """A clip of speech, 44.1 kHz, 16 bit."""
    waveform = resample(read_waveform(spoken[4]), 44_100)
    path = tmp_path_factory.mktemp("sound") / "clip.wav"
    soundfile.write(path, waveform.samples, 44_100, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def long_file(long_speech, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "long.wav"
    soundfile.write(path, *long_speech, subtype="FLOAT")
    return path


def logits_of(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """What the files in ``folder`` say, by onnxruntime, which finds the weights by itself, and the head's arrays."""
    session, head = onnxruntime.InferenceSession(folder / "encoder.onnx"), np.load(folder / "head.npz")

    def logits(samples: np.ndarray) -> np.ndarray:
        (described,) = session.run(["description"], {"waveform": samples[None]})
        return described[0].astype(np.float64) @ head["weights"] + head["bias"]

    return logits


def test_answer_is_that_of_the_files(recognizer, bundle, clip):
    heard = recognizer.predict(clip)
    samples = resample(read_waveform(clip), 16_000).samples
    expected = apply_temperature(logits_of(bundle)(samples)[None], 0.8)[0]
    np.testing.assert_allclose(values(heard), expected, atol=1e-6)
    assert heard.emotion == recognizer.labels[int(expected.argmax())]
    assert values(heard).std() > 0.01, "a network that tells nothing apart tests nothing"
    assert heard.duration_s == pytest.approx(len(samples) / 16_000)
    sets = Conformal("lac", 0.9, 0.85, 30).sets(expected[None])[0]
    assert set(heard.prediction_set) == {word for word, held in zip(recognizer.labels, sets, strict=True) if held}
    assert heard.prediction_set[0] == heard.emotion
    assert heard.model == "toy 7"
    assert heard.flags == ()


def test_same_sound_same_answer_whichever_way_it_comes(recognizer, clip, tmp_path):
    expected = values(recognizer.predict(clip))
    samples, rate_hz = soundfile.read(clip, dtype="float32")
    integers, _ = soundfile.read(clip, dtype="int16")
    soundfile.write(tmp_path / "float.wav", samples, rate_hz, subtype="FLOAT")
    soundfile.write(tmp_path / "dual.flac", np.stack([integers, integers], 1), rate_hz)
    with clip.open("rb") as file:
        opened = recognizer.predict(file)
    ways = [
        recognizer.predict(str(clip)),
        recognizer.predict(clip.read_bytes()),
        recognizer.predict(io.BytesIO(clip.read_bytes())),
        opened,
        recognizer.predict((samples, rate_hz)),
        recognizer.predict((samples.astype(np.float64), rate_hz)),
        recognizer.predict((integers, rate_hz)),
        recognizer.predict((integers.astype(np.int32) << 16, rate_hz)),
        recognizer.predict((np.stack([samples, samples], 1), rate_hz)),
        recognizer.predict(tmp_path / "float.wav"),
        recognizer.predict(tmp_path / "dual.flac"),
        *recognizer.predict_many([clip, clip, clip]),
    ]
    for way in ways:
        np.testing.assert_array_equal(values(way), expected)
    low = recognizer.predict((resample(read_waveform(clip), 16_000).samples, 16_000))
    assert np.abs(values(low) - expected).max() < 0.02


def test_speeds_are_averaged(make_bundle, tmp_path, clip):
    answers = []
    samples = resample(read_waveform(clip), 16_000)
    folder = make_bundle(tmp_path / "three", speeds=(1.0, 0.9, 1.1))
    logits = logits_of(folder)
    for speed in (1.0, 0.9, 1.1):
        played = samples.samples if speed == 1 else soxr_at(samples.samples, speed)
        answers.append(logits(played))
    assert np.ptp(answers, axis=0).max() > 1e-3
    expected = softmax(np.mean(answers, axis=0) / 0.8)
    np.testing.assert_allclose(values(load(folder).predict(clip)), expected, atol=1e-6)


def soxr_at(samples: np.ndarray, speed: float) -> np.ndarray:
    import soxr

    return soxr.resample(samples, 16_000 * speed, 16_000, quality="HQ")


@pytest.mark.parametrize("kind", ["silence", "noise", "music"])
def test_without_speech_none_is_heard(recognizer, kind, make_music):
    random = np.random.default_rng(1)
    sound = {
        "silence": np.zeros(64_000, np.float32),
        "noise": random.normal(0, 0.1, 64_000).astype(np.float32),
        "music": make_music(4, 16_000),
    }[kind]
    heard = recognizer.predict((sound, 16_000), timeline=True)
    assert heard.emotion is None and heard.probabilities is None and heard.prediction_set == ()
    assert "no_speech" in heard.flags
    assert ("too_quiet" in heard.flags) == (kind == "silence")
    assert "none heard" in str(heard)
    assert [stretch.emotion for stretch in heard.timeline.stretches] == [None]
    with pytest.raises(AudioError, match="no speech"):
        recognizer.embed((sound, 16_000))


def test_flags(recognizer, clip):
    clip_samples, rate_hz = soundfile.read(clip, dtype="float32")
    assert "too_quiet" in recognizer.predict((clip_samples * 1e-3, rate_hz)).flags
    middle = len(clip_samples) // 2
    short = recognizer.predict((clip_samples[middle : middle + rate_hz // 3], rate_hz))
    assert "too_short" in short.flags
    one = recognizer.predict((clip_samples[:1], rate_hz))
    assert one.emotion is None and set(one.flags) >= {"too_short", "no_speech"}
    with pytest.raises(AudioError, match="holds no samples"):
        recognizer.predict((clip_samples[:0], rate_hz))


def test_most_of_its_own_kind_is_in_distribution_and_other_sound_is_not(recognizer, spoken):
    flags = [heard.flags for heard in recognizer.predict_many(spoken)]
    assert np.mean(["unfamiliar" in own for own in flags]) <= 0.4
    odd = read_waveform(spoken[0])
    crushed = np.sign(odd.samples) * 0.5 + np.random.default_rng(0).normal(0, 0.2, len(odd.samples))
    heard = recognizer.predict((crushed.astype(np.float32), odd.rate_hz))
    assert heard.emotion is None or "unfamiliar" in heard.flags


@pytest.mark.slow
def test_long_recordings_are_the_mean_of_windows_weighted_by_speech(recognizer, long_file):
    heard = recognizer.predict(long_file, timeline=True)
    assert heard.duration_s == pytest.approx(80, abs=0.01) and heard.duration_s > WHOLE_S
    windows = heard.timeline.windows
    assert [(w.start_s, w.end_s) for w in windows] == [
        *((1.75 * k, 1.75 * k + 3.5) for k in range(44)),
        (77.0, 80.0),
    ]
    quiet = [w for w in windows if w.probabilities is None]
    assert {w.start_s for w in quiet} >= {21.0, 22.75, 50.75, 52.5}
    spoken = [w for w in windows if w.probabilities is not None]
    weights = np.array([w.speech_s for w in spoken])
    expected = weights @ np.array([list(w.probabilities.values()) for w in spoken]) / weights.sum()
    np.testing.assert_allclose(values(heard), expected, atol=1e-12)
    assert values(recognizer.predict(long_file)).tolist() == values(heard).tolist()
    assert recognizer.embed(long_file).shape == (24,)
    short_samples, rate_hz = soundfile.read(long_file, dtype="float32", frames=24_000 * 5)
    assert recognizer.embed((short_samples, rate_hz)).shape == (24,)


@pytest.mark.slow
def test_timeline_covers_all_and_leaves_out_music_and_silence(recognizer, long_file):
    timeline = recognizer.timeline(long_file)
    stretches = timeline.stretches
    assert stretches[0].start_s == 0 and stretches[-1].end_s == pytest.approx(timeline.duration_s)
    for before, after in itertools.pairwise(stretches):
        assert before.end_s == after.start_s and before.start_s < before.end_s
    for start_s, end_s in ((20.6, 27.4), (50.6, 57.4)):
        inside = [s for s in stretches if s.start_s < end_s and s.end_s > start_s]
        assert [s.emotion for s in inside] == [None], inside
    assert all((s.emotion is None) == (s.probability is None) for s in stretches)
    assert sum(s.end_s - s.start_s for s in stretches if s.emotion) > 45
    frame = timeline.to_frame()
    assert isinstance(frame, pd.DataFrame) and len(frame) == len(stretches)
    assert len(str(timeline).splitlines()) == len(stretches)


@pytest.mark.slow
@pytest.mark.parametrize(("rate_hz", "block"), [(16_000, 100_000), (24_000, 4_096), (44_100, 777)])
def test_stream_equals_file(recognizer, long_speech, rate_hz, block):
    speech, own_rate_hz = long_speech
    samples = resample(read_waveform_of(speech, own_rate_hz), rate_hz).samples[: 43 * rate_hz + 321]
    stream = recognizer.stream(rate_hz)
    windows = []
    for start in range(0, len(samples), block):
        windows += stream.feed(samples[start : start + block])
    assert len(windows) >= 15, "windows come while the stream is open"
    windows += stream.close()
    assert windows == list(recognizer.timeline((samples, rate_hz)).windows)
    assert stream.close() == []
    with pytest.raises(AudioError, match="closed"):
        stream.feed(samples[:1])


def read_waveform_of(samples: np.ndarray, rate_hz: int):
    from thymos.audio import Waveform

    return Waveform(samples, rate_hz)


def test_stream_takes_integers_stereo_and_nothing_and_refuses_nonsense(recognizer, long_speech):
    speech, rate_hz = long_speech
    integers = (speech[: 6 * rate_hz] * 32_767).astype(np.int16)
    mono, stereo = recognizer.stream(rate_hz, hop_s=0.5), recognizer.stream(rate_hz, hop_s=0.5)
    assert mono.feed(integers[:0]) == []
    assert mono.feed(integers) + mono.close() == stereo.feed(np.stack([integers] * 2, 1)) + stereo.close()
    with pytest.raises(AudioError, match="NaN"):
        recognizer.stream(rate_hz).feed(np.array([np.nan], np.float32))
    with pytest.raises(AudioError, match="leaving gaps"):
        recognizer.stream(rate_hz, window_s=1, hop_s=2)
    with pytest.raises(AudioError, match="rate"):
        recognizer.stream(3)


@pytest.mark.slow
def test_threads_may_share_one_recognizer(recognizer, spoken):
    expected = [recognizer.predict(path).to_dict() for path in spoken]
    got: dict[int, list] = {}

    def hear(number: int) -> None:
        got[number] = [recognizer.predict(path).to_dict() for path in spoken]

    threads = [threading.Thread(target=hear, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(got[number] == expected for number in range(4))


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_answers_are_the_same_by_any_number_of_threads(recognizer, bundle, spoken, long_file, threads):
    other = load(bundle, threads)
    assert other.threads == threads
    assert other.predict(long_file, timeline=True) == recognizer.predict(long_file, timeline=True)
    np.testing.assert_array_equal(other.embed(long_file), recognizer.embed(long_file))
    sources = spoken[:5]
    assert list(other.predict_many(sources)) == list(recognizer.predict_many(sources))
    np.testing.assert_array_equal(other.explain(spoken[0]).effect, recognizer.explain(spoken[0]).effect)


def test_each_answer_is_computed_by_one_thread(recognizer):
    """With more, onnxruntime takes sums in another order, and the last digits hang on the machine."""
    options = recognizer.bundle.hearing.session._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


@pytest.mark.slow
def test_many_keep_their_order_and_go_on_past_bad_ones(recognizer, spoken, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    sources = [spoken[0], tmp_path / "bad.wav", spoken[1], tmp_path / "absent.wav", *[spoken[2]] * 80]
    heard = list(recognizer.predict_many(iter(sources)))
    assert len(heard) == len(sources)
    for number in (1, 3):
        assert isinstance(heard[number], Failure) and heard[number].source == sources[number]
    assert "is not sound in a known format" in str(heard[1])
    assert heard[2].to_dict() == recognizer.predict(spoken[1]).to_dict()
    assert len({str(one.to_dict()) for one in heard[4:]}) == 1


def test_many_may_be_left_early(recognizer, spoken):
    stream = recognizer.predict_many(spoken)
    first = next(stream)
    stream.close()
    assert next(stream, None) is None
    assert recognizer.predict(spoken[0]).to_dict() == first.to_dict(), "it hears on"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ((np.zeros(10, np.float32), 0), "sampling rate of 0 Hz"),
        ((np.zeros(10, np.float32), 16_000.5), "whole number"),
        ((np.zeros((2, 2, 2), np.float32), 16_000), "shape"),
        ((np.zeros((2, 400), np.float32), 16_000), "channels"),
        ((np.zeros(10, np.complex64), 16_000), "complex64"),
        ((np.full(100, np.inf, np.float32), 16_000), "NaN or infinite"),
        (([0.0], 16_000), "not of a numpy array"),
        (b"", "is empty"),
        (b"text", "not sound"),
        (2**30, "is an int, not a path"),
        (None, "is a NoneType"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(recognizer, source, words):
    with pytest.raises(AudioError, match=words):
        recognizer.predict(source)


def test_it_says_what_it_is(recognizer):
    said = repr(recognizer)
    for part in ("toy 7", "anger, disgust, fear, happiness, sadness", "3.5 s", "1.75 s", "16000 Hz", "for tests"):
        assert part in said
    assert f"{recognizer.bundle.about.parameters:,}" in said


def test_prediction_prints_and_becomes_json_and_a_table(recognizer, clip):
    heard = recognizer.predict(clip, timeline=True)
    content = heard.to_dict()
    assert list(content) == [
        "emotion", "probabilities", "prediction_set", "speech_s", "duration_s", "flags", "model", "shares", "timeline",
    ]  # fmt: skip
    assert content["timeline"][0].keys() == {"start_s", "end_s", "emotion", "probability"}
    frame = heard.to_frame()
    assert len(frame) == 1 and f"p_{heard.emotion}" in frame
    assert str(heard).startswith(heard.emotion)


def test_an_answer_at_chance_is_unsure():
    from thymos.runtime.decision import _flags
    from thymos.runtime.listening import Recording
    from thymos.runtime.vad import FRAME_S

    heard = Recording(2.0, 1.5, np.array([[0, int(1.5 / FRAME_S)]]), 0.5, None, False, (), None)
    assert _flags(np.array([0.29, 0.28, 0.22, 0.21]), heard, False) == ("unsure",)
    assert _flags(np.array([0.3, 0.3, 0.2, 0.2]), heard, False) == ()
    assert "unsure" not in _flags(None, heard, False)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 7])
def test_shares_of_a_long_recording_are_joined_to_the_same_digits(recognizer, long_speech, monkeypatch, count):
    monkeypatch.setattr(listening, "LEAST_TURN", 2)
    monkeypatch.setattr(listening, "MOST_TURN", 5)
    samples, rate_hz = long_speech
    sound = np.concatenate([samples, np.zeros(12 * rate_hz, samples.dtype), samples]), rate_hz
    shares = [listening.Share(number, count) for number in range(count)]
    heard = [recognizer.listen_share(sound, share, windows=True) for share in shares]
    counts = [len(each.impressions) for each in heard]
    (whole,) = recognizer.listen_many([sound], windows=True)
    assert whole.in_windows and sum(counts) == len(whole.impressions), "each window is heard once"
    assert all(counts) and max(counts) < len(whole.impressions) / count + 6
    joined = listening.joined(heard)
    assert joined.to_dict() == whole.to_dict()
    assert recognizer.decide(joined, timeline=True) == recognizer.predict(sound, timeline=True)


def test_turns_change_in_silences(monkeypatch):
    monkeypatch.setattr(listening, "LEAST_TURN", 2)
    monkeypatch.setattr(listening, "MOST_TURN", 4)
    turns = listening._Turns(listening.Share(0, 2))
    speech = "sss.sss.s.sssssssss"
    told = [turns.is_mine(WindowSamples(0.0, 6.0, 1.0 if each == "s" else 0.0, np.empty(0))) for each in speech]
    mine = "".join("01"[each] for each in told)
    assert mine == "1110000111111000011"
