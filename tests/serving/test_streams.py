"""Live streams: the same numbers as of a file, events as they come, and bounds that are told."""

import asyncio
import json
import os
import signal
import socket
import time
from contextlib import suppress

import numpy as np
import pytest
import websockets
from servers import Running, eventually, running

from thymos.audio import read_waveform
from thymos.live.smoothing import Smoother
from thymos.runtime.recognizer import load

RATE = 16_000


@pytest.fixture(scope="module")
def speech(mini) -> np.ndarray:
    """Some twelve seconds of speech as 16-bit samples at 16 kHz, with a pause of silence in it."""
    from thymos.audio.conditioning import resample

    clips = [resample(read_waveform(path), RATE).samples for path in sorted(mini.glob("*/*"))[:4]]
    clips.insert(2, np.zeros(RATE, np.float32))
    return np.round(np.concatenate(clips) * 32_000).astype("<i2")


async def conversation(server: Running, session: dict | str | bytes, pieces=(), end: bool = True, **options):
    """What the server says to a client that says ``session``, sends ``pieces`` and ends: events, and how it closed."""
    events: list[dict] = []
    address = server.address.replace("http", "ws") + "v1/stream"
    async with websockets.connect(address, proxy=None, **options) as line:
        with suppress(websockets.ConnectionClosed):  # what the server said before is read all the same
            first = {"type": "session.update", "session": session}
            await line.send(json.dumps(first) if isinstance(session, dict) else session)
            for piece in pieces:
                await line.send(piece)
            if end:
                await line.send(json.dumps({"type": "session.end"}))
        with suppress(websockets.ConnectionClosed):
            async for message in line:
                events.append(json.loads(message))
        return events, line.close_code


def spoken_to(server: Running, session, pieces=(), end: bool = True, **options):
    return asyncio.run(conversation(server, session, pieces, end, **options))


def in_pieces(content: bytes, *sizes: int):
    at, number = 0, 0
    while at < len(content):
        size = sizes[number % len(sizes)]
        yield content[at : at + size]
        at, number = at + size, number + 1


def of_kind(events: list[dict], kind: str) -> list[dict]:
    return [{key: value for key, value in event.items() if key != "type"} for event in events if event["type"] == kind]


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(3_200,), (1, 4_095, 77_777)])
def test_a_stream_equals_a_file(server, client, speech, tmp_path, sizes):
    import soundfile

    soundfile.write(tmp_path / "speech.wav", speech, RATE, subtype="PCM_16")
    about = load("thymos").bundle.about
    session = {"rate": RATE, "window": about.window_s, "hop": about.hop_s}
    events, code = spoken_to(server, session, in_pieces(speech.tobytes(), *sizes))
    assert code == 1000 and events[0]["type"] == "session.updated"
    results = of_kind(events, "measurement.result")
    body = (tmp_path / "speech.wav").read_bytes()
    row = client.post("/v1/predict?windows=true&timeline=true", content=body).json()
    assert [{key: each[key] for key in window} for each, window in zip(results, row["windows"], strict=True)] == row[
        "windows"
    ]
    smoother = Smoother(about.labels)
    windows = load("thymos").timeline((speech, RATE)).windows
    assert results == [smoother.take(window).to_dict() for window in windows]
    ends = [(each["start_s"], each["end_s"]) for each in of_kind(events, "utterance.end")]
    assert [each["start_s"] for each in of_kind(events, "utterance.start")] == [start for start, _ in ends]
    assert len(ends) == 2, "the pause parts two utterances"
    assert events[-1] == {"type": "session.ended", "sound_s": round(len(speech) / RATE, 3)}


@pytest.mark.slow
def test_other_formats_say_the_same(server, speech):
    session = {"rate": RATE, "labels": ["anger", "sadness"], "hop": 1.0}
    integers, _ = spoken_to(server, session, [speech.tobytes()])
    floats, _ = spoken_to(server, session | {"format": "f32le"}, [(speech / 32_768).astype("<f4").tobytes()])
    both = np.stack([speech, speech], 1)
    stereo, _ = spoken_to(server, session | {"channels": 2}, [both.tobytes()])
    assert integers[1:] == floats[1:] == stereo[1:] and len(integers) > 5
    assert set(integers[-2]["probabilities"]) == {"anger", "sadness"}


@pytest.mark.slow
def test_adaptation_is_that_of_listening(server, speech):
    events, _ = spoken_to(server, {"rate": RATE, "adaptation": True, "hop": 1.0}, [speech.tobytes()])
    stream = load("thymos").stream(RATE, hop_s=1.0, adapt=True)
    windows = [*stream.feed(speech), *stream.close()]
    assert [each["probabilities"] for each in of_kind(events, "measurement.result")] == [
        window.to_dict()["probabilities"] for window in windows
    ]


def webm(samples: np.ndarray) -> bytes:
    """Speech at 16 kHz as browsers record it."""
    import io

    av = pytest.importorskip("av")
    content = io.BytesIO()
    with av.open(content, "w", format="webm", options={"live": "1"}) as container:
        track = container.add_stream("libopus", rate=48_000)
        track.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.repeat(samples, 3)[None], format="s16", layout="mono")
        frame.rate, frame.pts = 48_000, 0
        resampler = av.AudioResampler(format=track.codec_context.format, layout="mono", rate=48_000, frame_size=960)
        for part in resampler.resample(frame):
            container.mux(track.encode(part))
        container.mux(track.encode(None))
    return content.getvalue()


@pytest.mark.slow
def test_what_browsers_record_is_heard(server, client, speech):
    content = webm(speech)
    events, code = spoken_to(server, {"format": "webm", "window": 3.5, "hop": 1.75}, in_pieces(content, 1_000))
    assert code == 1000 and events[0]["session"]["rate"] == 48_000
    row = client.post("/v1/predict?windows=true", content=content).json()
    results = of_kind(events, "measurement.result")
    assert [each["probabilities"] for each in results] == [each["probabilities"] for each in row["windows"]]


def test_damaged_webm_is_told(server):
    events, code = spoken_to(server, {"format": "webm"}, [b"\x1a\x45\xdf\xa3" + bytes(5_000)])
    assert code == 1008 and events[-1]["type"] == "error" and events[-1]["error"]["status"] == 422


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        ("{", "the first message is no JSON"),
        ("[]", 'the first message is {"type": "session.update", "session": {…}}'),
        (b"\0\0", 'the first message is JSON, {"type": "session.update", "session": {…}}'),
        ({}, "session: raw samples do not say their rate: name it, as rate"),
        ({"rate": 16_000, "format": "mp3"}, "session: format: must be 's16le', 'f32le' or 'webm'"),
        ({"rate": 10**9}, "session: rate: must be less than or equal to 384000"),
        ({"rate": RATE, "hop": 0}, "session: hop: must be greater than or equal to 0.05"),
        ({"rate": RATE, "window": 1.0, "hop": 2.0}, "windows of 1 s cannot begin every 2 s without leaving gaps"),
        ({"rate": RATE, "volume": 11}, "session: volume: extra inputs are not permitted"),
        ({"rate": RATE, "labels": ["joy", "envy"]}, "'envy' is none of the labels of thymos 6: "),
        ({"rate": RATE, "model": "nobody"}, "there is no model 'nobody' here"),
    ],
)
def test_what_is_wrong_with_a_session_is_one_sentence(server, first, sentence):
    events, code = spoken_to(server, first, end=False)
    assert code == 1008 and [event["type"] for event in events] == ["error"]
    assert events[0]["error"]["status"] == 400 and events[0]["error"]["detail"].startswith(sentence)


def test_what_comes_later_is_sound_or_the_end(server):
    for later in ("{}", "garbage", json.dumps({"type": "session.update", "session": {}})):
        events, code = spoken_to(server, {"rate": RATE}, [later], end=False)
        assert code == 1008 and events[-1]["error"]["status"] == 400
    events, code = spoken_to(
        server, {"rate": RATE, "format": "f32le"}, [np.float32([1e30, np.nan]).tobytes()], end=False
    )
    assert code == 1008 and events[-1]["error"]["status"] == 422


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    words = "--workers 1 --streams 3 --stream-message 64 --stream-idle 1 --stream-speed 40 --stream-unread 1"
    with running(tmp_path_factory.mktemp("strict"), *words.split()) as server:
        yield server


@pytest.mark.slow
def test_a_message_that_is_too_large_is_refused(strict):
    _, code = spoken_to(strict, {"rate": RATE}, [bytes(65_537)])
    assert code == 1009


@pytest.mark.slow
def test_a_silent_client_times_out(strict):
    began_s = time.monotonic()
    events, code = spoken_to(strict, {"rate": RATE}, end=False)
    assert code == 1008 and events[-1]["error"]["detail"] == "no message came for 1 seconds"
    assert 0.9 < time.monotonic() - began_s < 10


@pytest.mark.slow
def test_sound_is_taken_no_faster_than_it_may(strict):
    """What is sent at once is not lost: it waits."""
    seconds = 130
    began_s = time.monotonic()
    pieces = in_pieces(np.zeros(RATE * seconds, "<i2").tobytes(), 64_000)
    events, _ = spoken_to(strict, {"rate": RATE, "hop": 3.5}, pieces)
    assert events[-1] == {"type": "session.ended", "sound_s": float(seconds)}
    assert time.monotonic() - began_s > (seconds - 10) / 40


def test_more_streams_than_may_be_are_refused(strict):
    async def several():
        address = strict.address.replace("http", "ws") + "v1/stream"
        lines = [await websockets.connect(address, proxy=None) for _ in range(3)]
        for line in lines:
            await line.send(json.dumps({"type": "session.update", "session": {"rate": RATE}}))
            await line.recv()
        refused = await conversation(strict, {"rate": RATE}, end=False)
        for line in lines:
            await line.close()
        return refused

    events, code = asyncio.run(several())
    assert code == 1013 and events[-1]["error"]["detail"] == "3 live streams are heard, as many as may"


@pytest.mark.slow
def test_a_client_that_reads_no_answers_is_closed(strict):
    """Its own connection, of small buffers, speaks the protocol by hand: a library reads whatever comes."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.connect(("127.0.0.1", strict.port))
        line.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")  # fmt: skip

        def send(kind: int, content: bytes) -> None:
            length = bytes([0x80 | len(content)]) if len(content) < 126 else b"\xfe" + len(content).to_bytes(2, "big")
            line.sendall(bytes([0x80 | kind]) + length + bytes(4) + content)

        send(1, json.dumps({"type": "session.update", "session": {"rate": 1_000, "hop": 0.05, "window": 0.5}}).encode())
        for _ in range(100):
            send(2, bytes(2_000))

        def is_closed() -> bool:
            try:
                send(2, bytes(2))
            except ConnectionError:
                return True
            return False

        assert eventually(is_closed)
    with strict.client() as client:
        assert eventually(lambda: "thymos_streams_active 0.0" in client.get("/metrics").text)


def test_a_worker_that_dies_costs_its_streams_only(strict):
    async def dying():
        address = strict.address.replace("http", "ws") + "v1/stream"
        async with websockets.connect(address, proxy=None) as line:
            await line.send(json.dumps({"type": "session.update", "session": {"rate": RATE}}))
            await line.recv()
            for worker in strict.workers(streams=True):
                os.kill(worker, signal.SIGKILL)
            await line.send(bytes(3_200))
            said = json.loads(await line.recv())
            with pytest.raises(websockets.ConnectionClosed):
                await line.recv()
            return said, line.close_code

    said, code = asyncio.run(dying())
    assert code == 1011 and said["error"]["detail"] == "the worker that heard the stream died; open another one"
    assert eventually(lambda: spoken_to(strict, {"rate": RATE}, [bytes(3_200)])[1] == 1000)


def test_garbage_costs_nothing(strict, clip):
    rng = np.random.default_rng(0)
    upgrade = (b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")  # fmt: skip
    masked = bytes([0x81, 0x84, 0, 0, 0, 0])
    for garbage in [rng.bytes(200) for _ in range(10)] + [masked + b"\xff\xfe\xff\xfe", b"\x82\x7f" + b"\xff" * 8]:
        with socket.create_connection(("127.0.0.1", strict.port), 10) as line:
            line.sendall(upgrade + garbage)
            assert line.recv(12) == b"HTTP/1.1 101"
    with strict.client() as client:
        assert client.post("/v1/predict", content=clip.read_bytes()).status_code == 200
        assert eventually(lambda: "thymos_streams_active 0.0" in client.get("/metrics").text)


@pytest.mark.slow
def test_a_token_is_asked_for_in_the_first_message_and_a_stream_is_told_when_the_server_ends(serve, speech):
    server = serve("--workers", "1", "--token", "correct horse")
    events, code = spoken_to(server, {"rate": RATE}, end=False)
    assert code == 1008 and events[0]["error"]["status"] == 401
    events, code = spoken_to(server, {"rate": RATE, "token": "correct horse"}, [bytes(3_200)])
    assert code == 1000 and "token" not in events[0]["session"]
    bearer = {"Authorization": "Bearer correct horse"}
    assert spoken_to(server, {"rate": RATE}, [bytes(3_200)], additional_headers=bearer)[1] == 1000

    async def ended():
        address = server.address.replace("http", "ws") + "v1/stream"
        async with websockets.connect(address, proxy=None) as line:
            await line.send(json.dumps({"type": "session.update", "session": {"rate": RATE, "token": "correct horse"}}))
            await line.recv()
            await line.send(speech.tobytes())
            server.process.send_signal(signal.SIGTERM)
            said = []
            with suppress(websockets.ConnectionClosed):
                async for message in line:
                    said.append(json.loads(message))
            return said, line.close_code

    began_s = time.monotonic()
    said, code = asyncio.run(ended())
    assert server.process.wait(10) == 0 and time.monotonic() - began_s < 10
    assert said[-1]["type"] == "error" and said[-1]["error"]["status"] == 503 and code == 1012
    assert of_kind(said, "measurement.result") and of_kind(said, "session.ended"), "what was heard is told first"


def test_another_site_s_page_opens_no_stream(server):
    with pytest.raises(websockets.InvalidStatus) as refused:
        spoken_to(server, {"rate": RATE}, origin="https://evil.example")
    assert refused.value.response.status_code == 403
