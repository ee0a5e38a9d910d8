"""Live sound: raw PCM in pieces of any size, smoothing and holding, what goes to a stage, a microphone's blocks."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_message import OscMessage

from thymos.audio import Waveform, resample
from thymos.errors import AudioError
from thymos.live.broadcast import CONTROLS, BroadcastError, WebSocketSender, controls
from thymos.live.osc import ADDRESSES, EMOTION, OscError, OscSender, messages, parse_target
from thymos.live.piped import RawPcm
from thymos.live.smoothing import Holder, LiveAnswer, Smoother
from thymos.live.utterances import SoundState, StateWatch
from thymos.runtime.prediction import Window
from thymos.runtime.vad import VadStream
from thymos.runtime.windows import early_ends

LABELS = ("anger", "sadness")


def window(end_s: float, anger: float | None, speech_s: float = 1.0) -> Window:
    probabilities = None if anger is None else {"anger": anger, "sadness": 1 - anger}
    return Window(end_s - 2, end_s, 0.0 if anger is None else speech_s, probabilities)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
@pytest.mark.parametrize("seed", [1, 2])
def test_blocks_of_any_size_give_the_same_windows_every_half_second(recognizer, long_speech, rate_hz, seed):
    sound = resample(Waveform(long_speech[0][: 13 * long_speech[1]], long_speech[1]), rate_hz).samples
    speech = (sound[: 12 * rate_hz + 77] * 32_767).astype("<i2")
    at_once = recognizer.stream(rate_hz, window_s=3, hop_s=0.5)
    expected = at_once.feed(speech) + at_once.close()
    assert len(expected) == 23 and sum(one.probabilities is not None for one in expected) > 10
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
    return Holder().take(Smoother(LABELS).take(window(2.5, anger)))


def test_answer_becomes_json():
    assert json.loads(json.dumps(heard(0.75).to_dict())) == {
        "start_s": 0.5, "end_s": 2.5, "emotion": "anger", "probabilities": {"anger": 0.75, "sadness": 0.25},
        "speech_s": 1.0, "none_heard": False, "unfamiliar": False,
        "smoothed": {"emotion": "anger", "probabilities": {"anger": 0.75, "sadness": 0.25}, "none_heard": False,
                     "time_constant_s": 2.0},
        "held": {"emotion": "anger", "since_s": 2.5},
    }  # fmt: skip
    silent = heard(None).to_dict()
    assert silent["none_heard"] and silent["emotion"] is None
    assert silent["smoothed"] == {
        "emotion": None, "probabilities": None, "none_heard": True, "time_constant_s": 2.0
    }  # fmt: skip


def test_after_silence_a_second_and_a_half_of_speech_is_enough():
    smoother = Smoother(LABELS, time_constant_s=20.0)
    for step in range(100):
        smoother.take(window(0.5 * (step + 1), None))
    assert smoother.take(window(50.5, 0.9, 1.0)).smoothed is None
    assert smoother.take(window(51.0, 0.9, 1.5)).smoothed_emotion == "anger"


def shown(holder: Holder, *steps: float | None) -> list[str | None]:
    """What is held after each of ``steps``, smoothed probabilities of anger, half a second apart."""
    told = []
    for step, anger in enumerate(steps):
        smoothed = None if anger is None else {"anger": anger, "sadness": 1 - anger}
        answer = holder.take(LiveAnswer(window(0.5 * (step + 1), anger), smoothed, 2.0))
        assert answer.held is not None
        told.append(answer.held.emotion)
    return told


def test_what_is_held_follows_at_once_unless_told_otherwise():
    assert shown(Holder(), 0.6, 0.4, None, 0.6) == ["anger", "sadness", None, "anger"]


def test_an_emotion_is_held_for_as_long_as_is_asked():
    # Sadness from 1.0 s on: it waits for the second that anger began at 0.5 s.
    assert shown(Holder(hold_s=1.0), 0.6, 0.4, 0.4, 0.6, None, None) == [
        "anger", "anger", "sadness", "sadness", None, None,
    ]  # fmt: skip
    assert shown(Holder(hold_s=60), None, None, 0.6, 0.1) == [None, None, "anger", "anger"], "silence before is not"


def test_another_emotion_must_be_ahead_by_the_margin():
    assert shown(Holder(margin=0.2), 0.6, 0.45, 0.41, 0.39, 0.55, 0.61) == [
        "anger", "anger", "anger", "sadness", "sadness", "anger",
    ]  # fmt: skip
    assert shown(Holder(margin=0.9), 0.6, None, 0.4) == ["anger", None, "sadness"], "silence needs none"


@pytest.mark.parametrize("told", [{"hold_s": -1}, {"hold_s": np.nan}, {"margin": 1}, {"margin": -0.1}])
def test_what_cannot_be_held(told):
    with pytest.raises(AudioError, match=r"held for some seconds|difference of probabilities"):
        Holder(**told)


@pytest.mark.parametrize(
    ("first", "window", "hop", "ends"),
    [
        (15, 35, 5, [15, 20, 25, 30]),
        (15, 35, 10, [15, 25]),
        (15, 35, 12, [15, 23]),
        (15, 35, 6, [15, 23, 29]),
        (15, 15, 5, []),
        (15, 16, 5, [15]),
        (0, 35, 5, []),
    ],
)
def test_early_windows_lie_a_hop_apart_up_to_the_first_whole_one(first, window, hop, ends):
    assert early_ends(first, window, hop) == ends


@pytest.mark.slow
def test_a_stream_answers_after_a_second_and_a_half_of_speech(recognizer, long_speech):
    speech, rate_hz = long_speech
    begins = next(
        round(at.start_s * rate_hz) for at in recognizer.timeline(long_speech).stretches if at.emotion is not None
    )
    samples = speech[begins : begins + 6 * rate_hz]
    stream = recognizer.stream(rate_hz, hop_s=0.5)
    early = stream.feed(samples[: round(1.55 * rate_hz)])
    assert [(each.start_s, each.end_s) for each in early] == [(0, 1.5)] and early[0].emotion is not None
    assert early[0].probabilities == pytest.approx(
        recognizer.predict((samples[: round(1.5 * rate_hz)], rate_hz)).probabilities, abs=0.02
    )
    rest = [*stream.feed(samples[round(1.55 * rate_hz) :]), *stream.close()]
    assert [each.end_s for each in rest] == [2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6]
    whole = recognizer.stream(rate_hz, hop_s=0.5, first_s=None)
    of_file = [*whole.feed(samples), *whole.close()]
    assert [each.end_s for each in of_file] == [each.end_s for each in rest[3:]]
    same = [(a, b) for a, b in zip(of_file, rest[3:], strict=True) if a.start_s == b.start_s]
    assert len(same) >= 3 and all(a == b for a, b in same), "from the first whole window on, as of a file"
    with pytest.raises(AudioError, match="positive number of seconds"):
        recognizer.stream(rate_hz, hop_s=0.5, first_s=np.inf)


@pytest.mark.slow
def test_silence_before_speech_is_not_a_part_of_how_it_is_said(recognizer, long_speech):
    speech, rate_hz = long_speech
    begins = next(
        round(at.start_s * rate_hz) for at in recognizer.timeline(long_speech).stretches if at.emotion is not None
    )
    samples = np.concatenate([np.zeros(10 * rate_hz, np.float32), speech[begins : begins + round(2.1 * rate_hz)]])
    with recognizer.stream(rate_hz, hop_s=0.5) as stream:
        last = stream.feed(samples)[-1]
    assert last.end_s == 12 and last.start_s == pytest.approx(10, abs=0.15), "not 8.5"
    alone = recognizer.predict((samples[round(last.start_s * rate_hz) : 12 * rate_hz], rate_hz))
    assert last.probabilities == pytest.approx(alone.probabilities, abs=0.02)
    with recognizer.stream(rate_hz, hop_s=0.5, first_s=None) as stream:
        assert stream.feed(samples)[-1].start_s == 8.5, "as of a file"


@pytest.mark.slow
@pytest.mark.parametrize("block", [1_000_000, 160, 777])
def test_the_state_is_told_every_tenth_of_a_second(long_speech, block):
    speech, rate_hz = long_speech
    quiet = np.zeros(rate_hz, np.float32)
    tone = np.full(rate_hz // 2, 0.1, np.float32)
    samples = np.concatenate([tone, speech[: 3 * rate_hz], quiet])
    vad = VadStream(rate_hz)
    watch, states = StateWatch(rate_hz, vad), []
    for at in range(0, len(samples), block):
        for piece in watch.pieces(samples[at : at + block]):
            vad.push(piece)
            states += [state] if (state := watch.take(piece)) else []
    assert [state.at_s for state in states] == pytest.approx(np.arange(1, 46) / 10)
    assert [state.level_db for state in states[:5]] == pytest.approx([-20] * 5) and states[-1].level_db == -60
    assert not states[4].speaking and states[25].speaking and not states[-1].speaking
    loud = states[20]
    assert loud.level_db == pytest.approx(
        10 * np.log10(np.mean(np.square(samples[2 * rate_hz : round(2.1 * rate_hz)], dtype=np.float64))), abs=0.01
    )


def test_a_level_is_a_fader():
    assert [SoundState(0, db, False).level for db in (-60, -30, 0, 3)] == [0, 0.5, 1, 1]


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
            sender.send(SoundState(1.0, -15.0, True))
            got = [OscMessage(receiver.recv(4096)) for _ in range(13)]
    assert [(message.address, message.params) for message in got] == [
        ("/thymos/window", [0.5, 2.5, 1.0, 0]),
        ("/thymos/running/emotion", ["anger"]),
        ("/thymos/running/anger", [0.75]),
        ("/thymos/running/sadness", [0.25]),
        ("/thymos/smoothed/emotion", ["anger"]),
        ("/thymos/smoothed/anger", [0.75]),
        ("/thymos/smoothed/sadness", [0.25]),
        ("/thymos/held/emotion", ["anger"]),
        ("/thymos/held/anger", [1]),
        ("/thymos/held/sadness", [0]),
        ("/thymos/level", [0.75]),
        ("/thymos/level_db", [-15.0]),
        ("/thymos/speech", [1]),
    ]


@pytest.mark.slow
def test_the_table_holds_what_is_sent_and_docs_and_help_hold_the_table():
    sent = [address for address, _ in [*messages(heard(0.75), (EMOTION,)), *messages(SoundState(1, -9, True), ())]]
    assert sent == [each.address for each in ADDRESSES]
    page = (Path(__file__).parents[2] / "docs" / "live.md").read_text(encoding="utf-8")
    for each in ADDRESSES:
        assert f"| `{each.address}` | {each.values} |" in page
    for each in CONTROLS:
        assert f"| {each.number} | {each.says} |" in page
    environment = os.environ | {"COLUMNS": "400", "TERM": "dumb"}
    words = [sys.executable, "-m", "thymos", "listen", "--help"]
    told = subprocess.run(words, capture_output=True, text=True, env=environment, check=True).stdout
    for line in [f"{each.address}: {each.values}" for each in ADDRESSES] + [f"{c.number}: {c.says}" for c in CONTROLS]:
        assert line in told


def test_midi_says_it_in_127_steps():
    assert controls(heard(0.75), LABELS) == {3: 1, 20: 95, 21: 32}
    assert controls(heard(None), LABELS) == {3: 0, 20: 0, 21: 0}
    assert controls(SoundState(1.0, -30.0, True), LABELS) == {14: 64, 15: 127}
    many = tuple(f"emotion {number}" for number in range(14))
    assert {*controls(heard(None), many)} == {3, *range(20, 32), 102, 103}


# This machine need not have MIDI: the stand-in is a backend of mido's, which writes what it is sent.
MIDI_BACKEND = """
import mido.ports
def get_devices(**told): return [{"name": "Synth A", "is_output": True}, {"name": "Light B", "is_output": True}]
class Output(mido.ports.BaseOutput):
    def _send(self, message):
        if message.value == 32: raise RuntimeError("unplugged")
        print(self.name, message.channel, message.control, message.value, flush=True)
"""
MIDI_SENDS = """
from thymos.live.broadcast import MidiSender
from thymos.live.smoothing import LiveAnswer
from thymos.runtime.prediction import Window
def answer(anger):
    told = {"anger": anger, "sadness": 1 - anger}
    return LiveAnswer(Window(0, 1, 1, told), told, 2.0)
sender = MidiSender("light:5", ("anger", "sadness"))
for anger in (1.0, 1.0, 0.9):
    sender.send(answer(anger))
try:
    sender.send(answer(0.75))
except OSError as error:
    print(error)
for name in ("Organ", "Synth:17"):
    try:
        MidiSender(name, ())
    except Exception as error:
        print(error)
"""


@pytest.mark.slow
def test_midi_goes_to_the_port_that_is_named_and_only_what_has_changed(tmp_path):
    (tmp_path / "stand_in.py").write_text(MIDI_BACKEND)
    (tmp_path / "sends.py").write_text(MIDI_SENDS)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    environment = os.environ | {"MIDO_BACKEND": "stand_in", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "sends.py")], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines() == [
        "Light B 4 3 1", "Light B 4 20 127", "Light B 4 21 0",
        "Light B 4 20 114", "Light B 4 21 13",
        "Light B 4 20 95", "unplugged",
        "no MIDI output is called 'Organ': there is Synth A, Light B",
        "MIDI has channels 1 to 16, not 17",
    ]  # fmt: skip


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_websocket_tells_all_and_other_sites_nothing():
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    port = free_port()
    sender = WebSocketSender(str(port), LABELS, "toy 1")
    address = f"ws://127.0.0.1:{port}"
    try:
        with pytest.raises(InvalidStatus, match="403"):
            connect(address, origin="https://elsewhere.example", proxy=None)
        with connect(address, proxy=None) as one, connect(address, origin="http://localhost:8000", proxy=None) as other:
            for client in (one, other):
                assert json.loads(client.recv(30)) == {"type": "hello", "model": "toy 1", "labels": [*LABELS]}
            one.send("nobody reads this")
            sender.send({"type": "answer", "emotion": "φόβος"})
            assert [json.loads(client.recv(30)) for client in (one, other)] == [
                {"type": "answer", "emotion": "φόβος"}
            ] * 2
        with connect(address, proxy=None) as later:
            later.recv(30)
            sender.send({"type": "state"})
            assert json.loads(later.recv(30)) == {"type": "state"}
        with pytest.raises(BroadcastError, match=f"a WebSocket cannot listen at {port}: "):
            WebSocketSender(str(port), LABELS, "toy 1")
    finally:
        sender.close()
    sender.send({"type": "state"})  # after the end: nobody is there


def test_who_reads_nothing_is_let_go():
    port = free_port()
    sender = WebSocketSender(f"127.0.0.1:{port}", LABELS, "toy 1")
    request = (
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    try:
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(request.encode())
            assert b"101 Switching Protocols" in slow.recv(200)
            deadline = time.monotonic() + 120
            while not sender.clients:
                assert time.monotonic() < deadline
            while sender.clients:
                sender.send({"type": "state", "filled": "x" * 1_000_000})
                time.sleep(0.01)
                assert time.monotonic() < deadline
    finally:
        sender.close()


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


@pytest.mark.slow
def test_without_the_extra_one_sentence_names_it():
    for module, call in (
        ("sounddevice", "microphone import open_microphone as f; f().__enter__()"),
        ("pythonosc", "osc import OscSender as f; f('127.0.0.1:9', ())"),
        ("websockets", "broadcast import WebSocketSender as f; f('9', (), '')"),
        ("mido", "broadcast import MidiSender as f; f('any', ())"),
    ):
        code = f"import sys; sys.modules[{module!r}] = None; from thymos.live.{call}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        last = done.stderr.splitlines()[-1]
        extra = "midi" if module == "mido" else "live"
        assert "MissingExtraError" in last and f"pip install 'thymos[{extra}]'" in last
