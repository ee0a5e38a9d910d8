"""A model whose graph takes windows of one length: everything is heard in windows, and the end is filled with zeros."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from thymos.audio import Samples, Waveform, resample
from thymos.errors import AudioError, BundleError
from thymos.runtime.bundle import read_bundle
from thymos.runtime.recognizer import Recognizer, load

RATE_HZ, WINDOW_S, HOP_S = 16_000, 2.0, 1.0
WINDOW, FRAMES = round(WINDOW_S * RATE_HZ), 20
LABELS = ("anger", "fear")


def loudness(window: Samples) -> np.ndarray:
    """What the graph computes first: mean magnitudes in 20 parts of a window, shape ``(20,)``."""
    return np.abs(window.reshape(FRAMES, -1)).mean(axis=1)


def probabilities(window: Samples) -> np.ndarray:
    """What the model shall say of a window: anger by its first half, fear by its second."""
    means = loudness(window)
    scores = np.exp(20 * np.array([means[: FRAMES // 2].sum(), means[FRAMES // 2 :].sum()]))
    return scores / scores.sum()


def make_bundle(folder: Path, **about: object) -> Path:
    """Write a bundle around a graph that refuses every length but ``WINDOW``."""
    weights = np.zeros((FRAMES, 2), np.float32)
    weights[: FRAMES // 2, 0] = weights[FRAMES // 2 :, 1] = 20
    constants = {
        "parts": np.array([1, FRAMES, WINDOW // FRAMES]), "weights": weights, "axis": np.array([2]),
        "each": np.array([[1, -1]], np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Reshape", ["waveform", "parts"], ["cut"]),
        helper.make_node("Abs", ["cut"], ["size"]),
        helper.make_node("ReduceMean", ["size"], ["embedding"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["embedding", "weights"], ["logits"]),
        helper.make_node("Unsqueeze", ["embedding", "axis"], ["column"]),
        helper.make_node("MatMul", ["column", "each"], ["frame_logits"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "halves",
        [value("waveform", TensorProto.FLOAT, ["batch", "samples"])],
        [
            value("logits", TensorProto.FLOAT, [1, 2]),
            value("embedding", TensorProto.FLOAT, [1, FRAMES]),
            value("frame_logits", TensorProto.FLOAT, [1, FRAMES, 2]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    described = {
        "format": 3, "name": "halves", "version": "1", "labels": LABELS, "rate_hz": RATE_HZ, "window_s": WINDOW_S,
        "hop_s": HOP_S, "window": "fixed", "front_end": {}, "parameters": 40, "trained_on": [], "licence": "for tests",
        "sha256": {"model.onnx": hashlib.sha256(content).hexdigest()},
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(described | about))
    return folder


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> Recognizer:
    return load(make_bundle(tmp_path_factory.mktemp("fixed") / "halves"))


@pytest.fixture(scope="module")
def speech(long_speech) -> Samples:
    """Speech at the model's rate, twenty seconds without a pause and sixty with two."""
    return resample(Waveform(*long_speech), RATE_HZ).samples


def padded(samples: Samples, start: int) -> Samples:
    own = samples[start : start + WINDOW]
    return np.concatenate([own, np.zeros(WINDOW - len(own), np.float32)])


@pytest.mark.parametrize("seconds", [0.9, WINDOW_S, 2.7, 7.3, 41.3])
def test_the_answer_is_the_mean_of_padded_windows(halves, speech, seconds):
    samples = speech[: round(seconds * RATE_HZ)]
    heard = halves.predict((samples, RATE_HZ), timeline=True)
    windows = heard.timeline.windows
    starts = range(0, max(1, len(samples) - WINDOW + RATE_HZ), RATE_HZ)
    assert [window.start_s for window in windows] == [start / RATE_HZ for start in starts]
    assert windows[-1].end_s == pytest.approx(len(samples) / RATE_HZ)
    spoken = [window for window in windows if window.probabilities is not None]
    assert spoken
    for window in spoken:
        expected = probabilities(padded(samples, round(window.start_s * RATE_HZ)))
        np.testing.assert_allclose(list(window.probabilities.values()), expected, rtol=1e-4)
    weights = np.array([window.speech_s for window in spoken])
    expected = weights @ np.array([list(window.probabilities.values()) for window in spoken]) / weights.sum()
    np.testing.assert_allclose(list(heard.probabilities.values()), expected, atol=1e-12)
    assert halves.predict((samples, RATE_HZ)).probabilities == heard.probabilities


def test_zeros_come_after_what_is_there(halves, speech):
    samples = speech[: round(0.9 * RATE_HZ)]
    embedding = halves.embed((samples, RATE_HZ))
    np.testing.assert_allclose(embedding, loudness(padded(samples, 0)), rtol=1e-4)
    assert (embedding[9:] == 0).all() and (embedding[:9] > 0).all()


def test_a_stream_hears_as_a_file_does_and_takes_no_other_window(halves, speech):
    samples = speech[: round(5.6 * RATE_HZ)]
    stream = halves.stream(RATE_HZ)
    windows = [*stream.feed(samples[:50_000]), *stream.feed(samples[50_000:]), *stream.close()]
    assert windows == list(halves.timeline((samples, RATE_HZ)).windows)
    assert len(halves.stream(RATE_HZ, WINDOW_S, 0.5).feed(samples)) == 8
    with pytest.raises(AudioError, match=r"halves 1 takes windows of 2 s only, not of 3 s"):
        halves.stream(RATE_HZ, window_s=3)


@pytest.mark.parametrize("seconds", [1.3, 4.0])
def test_an_explanation_shows_what_is_there_and_nothing_of_the_zeros(halves, speech, seconds):
    samples = speech[: round(seconds * RATE_HZ)]
    explained = halves.explain((samples, RATE_HZ))
    assert explained.is_whole == (seconds < WINDOW_S)
    length_s = explained.times_s[-1] - explained.times_s[0]
    assert length_s == pytest.approx(min(seconds, WINDOW_S), abs=1e-3)
    assert explained.evidence.times_s[-1] <= explained.times_s[-1]
    assert len(explained.evidence.times_s) == round(length_s / WINDOW_S * FRAMES)
    assert explained.evidence.probabilities.shape == (len(explained.evidence.times_s), 2)


def test_a_bundle_that_does_not_say_so_is_refused_and_so_are_other_speeds(tmp_path):
    with pytest.raises(BundleError, match="does not take 480000 samples"):
        read_bundle(make_bundle(tmp_path / "unsaid", window="any"))
    with pytest.raises(BundleError, match="other speeds are other lengths"):
        read_bundle(make_bundle(tmp_path / "speeds", speeds=(1.0, 0.9)))
    assert read_bundle(make_bundle(tmp_path / "said")).about.window == "fixed"
