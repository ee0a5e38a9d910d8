"""Live sound: raw PCM in pieces of any size, smoothing, OSC messages, and a microphone's blocks."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_message import OscMessage

from thymos.audio import Waveform, resample
from thymos.errors import AudioError
from thymos.live.osc import OscError, OscSender, messages, parse_target
from thymos.live.smoothing import LiveAnswer, RawPcm, Smoother
from thymos.runtime.prediction import Window

LABELS = ("anger", "sadness")


def window(end_s: float, anger: float | None, speech_s: float = 1.0) -> Window:
    probabilities = None if anger is None else {"anger": anger, "sadness": 1 - anger}
    return Window(end_s - 2, end_s, 0.0 if anger is None else speech_s, probabilities)


@pytest.mark.parametrize("format", ["s16le", "f32le"])
@pytest.mark.parametrize("channels", [1, 3])
@given(sizes=st.lists(st.integers(0, 50), max_size=30))
def test_pieces_of_raw_pcm_may_end_anywhere(format, channels, sizes):
    random = np.random.default_rng(5)
    kind = {"s16le": "<i2", "f32le": "<f4"}[format]
    expected = (random.normal(0, 0.2, (60, channels)) * (20_000 if format == "s16le" else 1)).astype(kind)
    content = expected.tobytes() + b"\x01"
    pcm, got, at = RawPcm(format, channels), [], 0
    for size in [*sizes, len(content)]:
        got.append(pcm.push(content[at : at + size]))
        at += size
    np.testing.assert_array_equal(np.concatenate(got), expected)
    assert pcm.left == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_floats_that_are_no_sound_are_refused(value):
    with pytest.raises(AudioError, match="not sound of the format f32le"):
        RawPcm("f32le").push(np.array([0.1, value], "<f4").tobytes())


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("seed", [1, 2])
def test_blocks_of_any_size_give_the_same_windows_every_half_second(recognizer, long_speech, rate_hz, seed):
    sound = resample(Waveform(long_speech[0][: 13 * long_speech[1]], long_speech[1]), rate_hz).samples
    speech = (sound[: 12 * rate_hz + 77] * 32_767).astype("<i2")
    at_once = recognizer.stream(rate_hz, window_s=3, hop_s=0.5)
    expected = at_once.feed(speech) + at_once.close()
    assert len(expected) == 20 and sum(one.probabilities is not None for one in expected) > 10
    random, pcm, got = np.random.default_rng(seed), RawPcm("s16le"), []
    content = speech.tobytes()
    stream, at = recognizer.stream(rate_hz, window_s=3, hop_s=0.5), 0
    while at < len(content):
        size = int(random.integers(1, 9_999))
        got += stream.feed(pcm.push(content[at : at + size]))
        at += size
    assert got + stream.close() == expected


def test_smoothing_is_a_mean_weighted_by_age_and_speech():
    smoother = Smoother(LABELS, time_constant_s=2.0)
    windows = [window(5.0, 0.9), window(5.5, 0.2, 0.5), window(6.0, None), window(6.25, 0.4, 2.0)]
    heard = [smoother.take(one) for one in windows]
    assert heard[0].smoothed == pytest.approx({"anger": 0.9, "sadness": 0.1}), "the first one is itself"
    # What a window adds lasts from the end of the one before it to its own, and fades from there.
    ends = np.array([0.0, 5.0, 5.5, 6.0, 6.25])
    shares = np.exp(-(6.25 - ends[1:]) / 2) - np.exp(-(6.25 - ends[:-1]) / 2)
    weights = shares * [1.0, 0.5, 0.0, 2.0]
    assert heard[3].smoothed["anger"] == pytest.approx(weights @ [0.9, 0.2, 0.0, 0.4] / weights.sum())
    assert heard[2].smoothed == pytest.approx(heard[1].smoothed), "a short silence leaves it as it was"
    assert heard[2].window.emotion is None and heard[2].smoothed_emotion == "anger"


def test_a_step_has_gone_most_of_its_way_after_the_time_constant():
    smoother = Smoother(LABELS, time_constant_s=2.0)
    for step in range(200):
        smoother.take(window(0.5 * (step + 1), 0.0))
    after = [smoother.take(window(100.5 + 0.5 * step, 1.0)).smoothed["anger"] for step in range(4)]
    assert after[3] == pytest.approx(1 - np.exp(-1), abs=1e-9) and after == sorted(after)


def test_after_long_silence_none_is_heard_and_then_again_something():
    smoother = Smoother(LABELS, time_constant_s=2.0)
    assert smoother.take(window(5, None)).smoothed is None
    for step in range(40):
        smoother.take(window(5.5 + 0.5 * step, 0.8))
    silent = [smoother.take(window(25.5 + 0.5 * step, None)).smoothed_emotion for step in range(6)]
    # Half of the weight is gone after ln 2 time constants, 1.39 s.
    assert silent == ["anger", "anger", None, None, None, None]
    again = [smoother.take(window(28.5 + 0.5 * step, 0.1)).smoothed_emotion for step in range(6)]
    assert again[0] is None and again[-1] == "sadness"


@pytest.mark.parametrize("time_constant_s", [0, -1, np.nan, np.inf])
def test_time_constants_are_seconds(time_constant_s):
    with pytest.raises(AudioError, match="positive number of seconds"):
        Smoother(LABELS, time_constant_s)


def heard(anger: float | None) -> LiveAnswer:
    return Smoother(LABELS).take(window(2.5, anger))


def test_answer_becomes_json():
    assert json.loads(json.dumps(heard(0.75).to_dict())) == {
        "start_s": 0.5, "end_s": 2.5, "emotion": "anger", "probabilities": {"anger": 0.75, "sadness": 0.25},
        "speech_s": 1.0, "unfamiliar": False,
        "smoothed": {"emotion": "anger", "probabilities": {"anger": 0.75, "sadness": 0.25}, "time_constant_s": 2.0},
    }  # fmt: skip
    assert heard(None).to_dict()["smoothed"] == {"emotion": None, "probabilities": None, "time_constant_s": 2.0}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_osc_messages_arrive(host):
    family = socket.AF_INET6 if "::" in host else socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)[0][0]
    with socket.socket(family, socket.SOCK_DGRAM) as receiver:
        try:
            receiver.bind((host.strip("[]"), 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
        receiver.settimeout(5)
        with OscSender(f"{host}:{receiver.getsockname()[1]}", LABELS) as sender:
            sender.send(heard(0.75))
            got = [OscMessage(receiver.recv(4096)) for _ in range(7)]
    assert [(message.address, message.params) for message in got] == [
        ("/thymos/window", [0.5, 2.5, 1.0, 0]),
        ("/thymos/running/emotion", ["anger"]),
        ("/thymos/running/anger", [0.75]),
        ("/thymos/running/sadness", [0.25]),
        ("/thymos/smoothed/emotion", ["anger"]),
        ("/thymos/smoothed/anger", [0.75]),
        ("/thymos/smoothed/sadness", [0.25]),
    ]


def test_osc_of_silence_turns_everything_down_and_labels_are_made_addresses():
    said = dict(messages(heard(None), ("anger", "cold/warm #1")))
    assert said["/thymos/running/emotion"] == said["/thymos/smoothed/emotion"] == ["none"]
    assert said["/thymos/smoothed/cold_warm__1"] == said["/thymos/running/anger"] == [0.0]


def test_osc_targets():
    assert parse_target("stage.local:9000") == ("stage.local", 9000)
    assert parse_target("[fe80::1]:1") == ("fe80::1", 1)
    for wrong in ("", "9000", ":9000", "host", "host:", "host:0", "host:65536", "host:-1", "host:٣", "host:x"):
        with pytest.raises(OscError, match="HOST:PORT"):
            parse_target(wrong)
    with pytest.raises(OscError, match="there is no host"):
        OscSender("no-such-host.invalid:9000", LABELS)


def test_without_the_extra_one_sentence_names_it():
    for module, call in (
        ("sounddevice", "microphone import open_microphone as f; f().__enter__()"),
        ("pythonosc", "osc import OscSender as f; f('127.0.0.1:9', ())"),
    ):
        code = f"import sys; sys.modules[{module!r}] = None; from thymos.live.{call}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        last = done.stderr.splitlines()[-1]
        assert "MissingExtraError" in last and "pip install 'thymos[live]'" in last
