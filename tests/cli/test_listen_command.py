"""``thymos listen``: raw PCM in, JSON lines, a meter and OSC messages out; it ends quietly whichever way it ends."""

import io
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pythonosc.osc_message import OscMessage

from thymos.audio import read_waveform
from thymos.runtime.recognizer import load

RATE_HZ = 24_000
WITHOUT_TRAINING_STACK = (
    "import sys\n"
    "for name in ('torch', 'pandas', 'scipy', 'sklearn', 'matplotlib', 'librosa', 'yaml'): sys.modules[name] = None\n"
    "sys.argv[0] = 'thymos'; from thymos.cli import main; main()"
)


@pytest.fixture(scope="module")
def speech(mini: Path) -> np.ndarray:
    """Ten seconds and a bit of synthetic speech: int16, shape ``(samples,)``."""
    clips = [read_waveform(clip) for clip in sorted(mini.glob("*/*"))[:12]]
    assert {clip.rate_hz for clip in clips} == {RATE_HZ}
    samples = np.concatenate([clip.samples for clip in clips])[: 10 * RATE_HZ + 4_321]
    return (samples * 32_767).astype("<i2")


def command(bundle: Path, *words: object) -> list[str]:
    listen = ["listen", *map(str, words), "--model", str(bundle)]
    return [sys.executable, "-c", WITHOUT_TRAINING_STACK, *listen]


def listen(bundle: Path, content: bytes, *words: object, **kept: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(bundle, *words), input=content, capture_output=True, timeout=300, **kept)


def rows(output: bytes) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.slow
def test_stream_equals_file(bundle, speech):
    recognizer = load(bundle)
    done = listen(bundle, speech.tobytes(), "--rate", RATE_HZ, "--hop", recognizer.bundle.about.hop_s)
    assert (done.returncode, done.stderr) == (0, b"")
    got = rows(done.stdout)
    of_file = [window.to_dict() for window in recognizer.timeline((speech, RATE_HZ)).windows]
    assert len(got) == 5 and any(row["emotion"] for row in got)
    assert all(row["none_heard"] == (row["emotion"] is None) for row in got)
    assert [{key: row[key] for key in one} for row, one in zip(got, of_file, strict=True)] == of_file


@pytest.mark.slow
def test_a_line_every_half_second_the_same_from_floats_and_stereo_and_an_odd_byte_is_left_out(bundle, speech):
    options = ("-", "--rate", RATE_HZ, "--window", 3, "--smoothing", 1.5)
    done = listen(bundle, speech.tobytes() + b"\x07", *options)
    got = rows(done.stdout)
    assert [row["end_s"] for row in got] == [*np.arange(1.5, 10.1, 0.5), 10.18]
    assert got[0]["smoothed"]["probabilities"] == got[0]["probabilities"]
    assert got[-1]["smoothed"]["probabilities"] != got[-1]["probabilities"]
    assert {row["smoothed"]["time_constant_s"] for row in got} == {1.5}
    assert (done.returncode, done.stderr) == (0, b"standard input ended within a sample, which is left out\n")
    floats = (speech / np.float32(32_768)).astype("<f4")
    assert rows(listen(bundle, floats.tobytes(), *options, "--format", "f32le").stdout) == got
    stereo = np.repeat(speech, 2).tobytes()
    assert rows(listen(bundle, stereo, *options, "--channels", 2).stdout) == got
    other = np.stack([np.zeros_like(speech), speech], 1).tobytes()
    assert rows(listen(bundle, other, *options, "--channels", 2, "--channel", 2).stdout) == got
    none = listen(bundle, other, *options, "--channels", 2, "--channel", 3)
    assert none.returncode == 2 and b"has 2 channels, so there is none of number 3" in none.stderr


@pytest.mark.slow
def test_a_wav_is_heard_at_its_own_rate_however_it_was_made(bundle, speech):
    expected = listen(bundle, speech.tobytes(), "--rate", RATE_HZ).stdout
    content = io.BytesIO()
    soundfile.write(content, speech, RATE_HZ, "PCM_16", format="WAV")
    wav = content.getvalue()
    done = listen(bundle, wav, "-")
    assert (done.stdout, done.stderr, done.returncode) == (expected, b"", 0)
    size = wav.index(b"data") + 4
    endless = listen(bundle, wav[:size] + b"\xff" * 4 + wav[size + 4 :], "-", "--rate", 8_000)
    assert (endless.stdout, endless.returncode) == (expected, 0)
    assert endless.stderr == b"standard input is a WAV at 24000 Hz, 1 channel, and heard as such\n"


@pytest.mark.slow
def test_the_vad_is_as_it_is_told(bundle, speech):
    recognizer = load(bundle)
    words = ("--rate", RATE_HZ, "--hop", recognizer.bundle.about.hop_s, "--vad-threshold", 0.9999)
    told = [row["speech_s"] for row in rows(listen(bundle, speech.tobytes(), *words).stdout)]
    windows = recognizer.tuned(0.9999).timeline((speech, RATE_HZ)).windows
    assert told == [round(window.speech_s, 3) for window in windows]
    assert sum(told) < sum(window.speech_s for window in recognizer.timeline((speech, RATE_HZ)).windows)


@pytest.mark.slow
def test_an_emotion_is_held(bundle, speech):
    told = rows(listen(bundle, speech.tobytes(), "--rate", RATE_HZ, "--smoothing", 0.2, "--hold", 5).stdout)
    free = [row["smoothed"]["emotion"] for row in told]
    held = [row["held"]["emotion"] for row in told]
    assert len(set(free)) > 1 and set(held[:8]) == {free[0]}, "for five seconds"
    assert all(row["held"]["since_s"] <= row["end_s"] for row in told)


@pytest.mark.slow
def test_what_is_shorter_than_a_window_is_one_and_nothing_is_none(bundle, speech):
    done = listen(bundle, speech[: 2 * RATE_HZ].tobytes(), "--rate", RATE_HZ)
    assert [(row["start_s"], row["end_s"]) for row in rows(done.stdout)] == [(0, 1.5), (0, 2)]
    nothing = listen(bundle, b"", "--rate", RATE_HZ)
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, b"", b"")


@pytest.mark.slow
def test_osc_says_the_same(bundle, speech):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        target = f"127.0.0.1:{receiver.getsockname()[1]}"
        dead = ("--osc", "127.0.0.1:9", "--osc", target)
        done = listen(bundle, speech.tobytes(), "--rate", RATE_HZ, "--hop", 2.5, *dead, "--osc", target)
        assert (done.returncode, done.stderr) == (0, b""), "who does not receive is not waited for"
        got = rows(done.stdout)
        states = len(speech) // (RATE_HZ // 10)
        sent = [OscMessage(receiver.recv(4096)) for _ in range(19 * len(got) + 3 * states)]
    spoken = [message.params for message in sent if message.address == "/thymos/speech"]
    assert len(spoken) == states and {*map(tuple, spoken)} == {(0,), (1,)}
    answers = [message for message in sent if message.address.count("/") > 2 or message.address == "/thymos/window"]
    for number, row in enumerate(got):
        said = {message.address: message.params for message in answers[19 * number : 19 * number + 19]}
        assert said["/thymos/window"][:2] == pytest.approx([row["start_s"], row["end_s"]], abs=1e-3)
        for name, answer in (("running", row), ("smoothed", row["smoothed"])):
            assert said[f"/thymos/{name}/emotion"] == [answer["emotion"] or "none"]
            for word, probability in (answer["probabilities"] or {}).items():
                assert said[f"/thymos/{name}/{word}"] == pytest.approx([probability], abs=1e-4)
        assert said["/thymos/held/emotion"] == [row["held"]["emotion"] or "none"]


@pytest.mark.slow
def test_a_websocket_tells_answers_and_states(bundle, speech):
    from websockets.sync.client import connect

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with start(bundle, "--rate", RATE_HZ, "--hop", 2.5, "--websocket", port) as running:
        running.stdin.write(speech[: 2 * RATE_HZ].tobytes())
        running.stdin.flush()
        deadline = time.monotonic() + 120
        while True:  # it listens once the model is read
            try:
                client = connect(f"ws://127.0.0.1:{port}", proxy=None)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        with client:
            hello = json.loads(client.recv(60))
            running.stdin.write(speech[2 * RATE_HZ :].tobytes())
            running.stdin.close()
            told = [json.loads(text) for text in client]
        printed = rows(running.stdout.read())
        assert (running.wait(60), running.stderr.read()) == (0, b"")
    assert hello["type"] == "hello" and len(hello["labels"]) == 5
    answers = [
        {key: value for key, value in each.items() if key != "type"} for each in told if each["type"] == "answer"
    ]
    assert answers and answers == printed[-len(answers) :]
    states = [each for each in told if each["type"] == "state"]
    assert {*states[0]} == {"type", "at_s", "level_db", "speaking"} and any(each["speaking"] for each in states)


def start(bundle: Path, *words: object, **kept: object) -> subprocess.Popen[bytes]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(bundle, *words), **(pipes | kept))


@pytest.mark.slow
def test_answers_come_at_once_and_ctrl_c_ends_with_130(bundle, speech):
    with start(bundle, "--rate", RATE_HZ) as running:
        running.stdin.write(speech[: round(1.5 * RATE_HZ) + 2_000].tobytes())
        running.stdin.flush()
        first = json.loads(running.stdout.readline())
        assert first["end_s"] == 1.5, "it comes while the input is still open"
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=60)
    assert (running.returncode, rest, errors) == (130, b"", b"thymos: interrupted\n")


@pytest.mark.slow
def test_closed_pipe_ends_it_quietly(bundle, speech, tmp_path):
    (tmp_path / "speech.pcm").write_bytes(speech.tobytes())
    with (
        (tmp_path / "speech.pcm").open("rb") as file,
        start(bundle, "--rate", RATE_HZ, "--hop", 0.25, stdin=file) as running,
    ):
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(300) == 141


@pytest.mark.slow
def test_terminal_shows_a_meter(bundle, speech):
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    with start(bundle, "--rate", RATE_HZ, stdout=theirs, env=environment) as running:
        os.close(theirs)
        running.stdin.write(speech.tobytes())
        running.stdin.close()
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:
            pass  # how Linux says that the other side has gone
        errors = running.stderr.read()
    os.close(ours)
    text = shown.decode()
    assert (running.returncode, errors) == (0, b"")
    assert "Listening; the first answer comes after 1.5 s of sound" in text and "{" not in text
    last = json.loads(listen(bundle, speech.tobytes(), "--rate", RATE_HZ).stdout.splitlines()[-1])
    smoothed = last["smoothed"]
    end = text[text.rindex("smoothed") - 400 :]
    assert f"10.2 s  {smoothed['emotion']} {smoothed['probabilities'][smoothed['emotion']]:.2f}" in end
    for word, probability in last["probabilities"].items():
        (line,) = {line for line in end.splitlines() if line.lstrip("\x1b[012mK ").startswith(word)}
        assert f"{smoothed['probabilities'][word]:.2f} {probability:.2f}" in line
    assert "█" in end and " dB" in end and text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor is back"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-"], "does not say its sampling rate: name it by --rate"),
        pytest.param(["--format", "s16le"], "does not say its sampling rate", marks=pytest.mark.slow),
        pytest.param(["-", "--rate", 8_000, "--channel", "left"], "channel", marks=pytest.mark.slow),
        pytest.param(["--rate", 16_000, "--websocket", "9 9"], "listens at HOST:PORT", marks=pytest.mark.slow),
        pytest.param(["clip.wav"], "for files there is thymos predict", marks=pytest.mark.slow),
        pytest.param(["--rate", 16_000, "--device", "1"], "not from both", marks=pytest.mark.slow),
        pytest.param(["--rate", 5], "must be 1000 to 384000 Hz", marks=pytest.mark.slow),
        pytest.param(["--rate", 16_000, "--hop", 6], "without leaving gaps", marks=pytest.mark.slow),
        pytest.param(["--rate", 16_000, "--osc", "9000"], "OSC goes to HOST:PORT", marks=pytest.mark.slow),
        pytest.param(["--rate", 16_000, "--format", "f32le"], "not sound of the format f32le", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_is_one_sentence(bundle, words, sentence):
    done = listen(bundle, b"\xff\xff\xff\x7f" * 100, *words)
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.startswith(b"thymos: ") and done.stderr.count(b"\n") == 1 and sentence in done.stderr.decode()


# This machine need not have a microphone: the stand-in has sounddevice's interface and says a recording.
STAND_IN = """
import threading, types, numpy as np
class PortAudioError(Exception): pass
LISTED = [
    {"name": "Speakers", "max_input_channels": 0, "default_samplerate": 48000.0},
    {"name": "Desk", "max_input_channels": 2, "default_samplerate": 48000.0},
]
default = types.SimpleNamespace(device=(1, 0))
def query_devices(device=None, kind=None):
    if device is None and kind is None: return LISTED
    if device == 9: raise PortAudioError("Error querying device 9")
    if device == "none": raise ValueError("No input device matching 'none'")
    return {"default_samplerate": 24000.0, "max_input_channels": 2}
class InputStream:
    def __init__(self, device, channels, samplerate, dtype, callback, finished_callback):
        assert (samplerate, dtype) == (24000, "float32")
        self.callback, self.finished, self.channels = callback, finished_callback, channels
    def start(self):
        threading.Thread(target=self.say, daemon=True).start()
    def say(self):
        samples = (np.fromfile(SPEECH, "<i2") / np.float32(32768)).astype(np.float32)
        block = np.empty((480, self.channels), np.float32)  # one buffer, as PortAudio's is: what keeps it keeps noise
        for start in range(0, len(samples) - 480, 480):
            block[:] = 0
            block[:, -1] = samples[start : start + 480]
            self.callback(block, 480, None, types.SimpleNamespace(input_overflow=start == 960))
            block[:] = np.nan
        self.finished()
    def close(self): pass
"""


@pytest.mark.slow
def test_microphone(bundle, speech, tmp_path):
    (tmp_path / "speech.pcm").write_bytes(speech.tobytes())
    stand_in = textwrap.dedent(STAND_IN).replace("SPEECH", repr(str(tmp_path / "speech.pcm")))
    (tmp_path / "sounddevice.py").write_text(stand_in)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = listen(bundle, b"", env=environment)
    expected = rows(listen(bundle, speech.tobytes(), "--rate", RATE_HZ).stdout)
    got = rows(done.stdout)
    assert len(got) == 18 and got == expected[:18]
    assert rows(listen(bundle, b"", "--channel", 2, env=environment).stdout) == got, "the second of two"
    third = listen(bundle, b"", "--channel", 3, env=environment)
    assert third.returncode == 2 and b"has 2 channels, so none of number 3" in third.stderr
    listed = listen(bundle, b"", "--list-devices", env=environment)
    assert listed.returncode == 0
    assert listed.stdout.decode().splitlines()[:2] == [
        "microphones (--device):", "  1  Desk, 2 channels, 48000 Hz, default",
    ]  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "sound was lost: this machine does not keep up",
        "thymos: the microphone has stopped",
    ]
    for device in ("9", "none"):
        absent = listen(bundle, b"", "--device", device, env=environment)
        assert absent.returncode == 2 and f"the microphone '{device}' cannot be used" in absent.stderr.decode()
        assert absent.stderr.count(b"\n") == 1


@pytest.mark.slow
def test_without_a_microphone_it_says_so(bundle, tmp_path):
    """Whichever is missing on this machine: PortAudio, or a device."""
    try:
        import sounddevice

        if any(device["max_input_channels"] for device in sounddevice.query_devices()):
            pytest.skip("this machine has a microphone")
    except OSError:
        pass
    done = listen(bundle, b"")
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1
    assert b"PortAudio" in done.stderr or b"there is no microphone" in done.stderr
    assert b"raw PCM with --rate" in done.stderr
