"""What is more than the server takes is refused with a status and a sentence, and costs the others nothing."""

import io
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from servers import eventually, running

HEAD = "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: audio/wav\r\n"


def wav(seconds: float, rate_hz: int = 16_000) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, np.zeros(round(seconds * rate_hz), np.int16), rate_hz, format="WAV")
    return content.getvalue()


def spoken_to(port: int, *pieces: bytes, pause_s: float = 0.0, wait_s: float = 20.0) -> bytes:
    """What the server says to a client that sends ``pieces``, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), wait_s) as line:
        try:
            for piece in pieces:
                line.sendall(piece)
                time.sleep(pause_s)
        except ConnectionError:
            pass
        said = b""
        try:
            while part := line.recv(1 << 16):
                said += part
        except ConnectionError:
            pass
        return said


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server of small bounds, and one worker."""
    words = {"--workers": 1, "--max-body": 0.2, "--max-minutes": 0.05, "--max-files": 2, "--header-timeout": 1}
    words |= {"--body-timeout": 1, "--timeout": 15, "--queue": 2, "--connections": 20, "--rate": 1}
    options = [str(word) for option in words.items() for word in option]
    with running(tmp_path_factory.mktemp("small"), *options) as server:
        yield server


@pytest.mark.slow
def test_a_body_that_is_too_large_is_refused_whether_or_not_it_says_so(small):
    def streamed():
        for _ in range(300):
            yield bytes(1000)

    sentence = "the body of the request is larger than 0.2 MB"
    with small.client() as client:
        for answer in (
            client.post("/v1/predict", content=bytes(200_001)),
            client.post("/v1/predict", content=streamed()),
            client.post("/v1/predict", files={"file": ("a.wav", bytes(200_001))}),
        ):
            assert (answer.status_code, answer.json()["detail"]) == (413, sentence)
        assert client.post("/v1/predict", content=wav(3.0)).status_code == 200


def test_a_recording_that_is_too_long_is_refused(small):
    with small.client() as client:
        answer = client.post("/v1/predict", content=wav(3.2))
    assert (answer.status_code, answer.json()["detail"]) == (413, "is longer than 3 seconds")


def test_too_many_files_are_refused(small):
    with small.client() as client:
        answer = client.post("/v1/predict", files=[("file", ("a.wav", b"x"))] * 3)
    assert answer.status_code == 400 and "Maximum number of files is 2" in answer.json()["detail"]


@pytest.mark.slow
def test_headers_that_come_too_slowly_are_cut_off(small):
    began_s = time.monotonic()
    assert spoken_to(small.port) == b""
    said = spoken_to(small.port, b"POST /v1/pre")
    assert said.startswith(b"HTTP/1.1 408 ")
    drip = spoken_to(small.port, *(HEAD[at : at + 1].encode() for at in range(12)), pause_s=0.15)
    assert drip.startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began_s < 6


@pytest.mark.slow
def test_a_body_that_comes_too_slowly_is_refused(small):
    said = spoken_to(small.port, HEAD.encode() + b"Content-Length: 50000\r\n\r\n", b"RIFF", pause_s=0.1)
    assert said.startswith(b"HTTP/1.1 408 ") and b"the body of the request came too slowly" in said


def test_connections_left_open_make_room_for_others(small):
    held = [socket.create_connection(("127.0.0.1", small.port)) for _ in range(60)]
    try:
        with small.client() as client:
            assert client.post("/v1/predict", content=wav(1.0)).status_code == 200
    finally:
        for line in held:
            line.close()


def test_what_is_no_http_is_told_so(small):
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"\0" * 100 + b"\r\n\r\n",
    ):
        assert spoken_to(small.port, garbage).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 ")), garbage
    endless = spoken_to(small.port, b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000)
    assert endless.startswith(b"HTTP/1.1 4") or endless == b""


def test_half_a_request_costs_nothing(small):
    with socket.create_connection(("127.0.0.1", small.port)) as line:
        line.sendall(HEAD.encode() + b"Content-Length: 50000\r\n\r\nRIFF")
        line.shutdown(socket.SHUT_WR)
        line.settimeout(20)
        assert not line.recv(100).startswith(b"HTTP/1.1 2")
    with small.client() as client:
        assert client.get("/readyz").json()["waiting"] == 0


def its_worker(server) -> int:
    """Of the one worker that a server has: it may just have been replaced."""
    assert eventually(lambda: len(server.workers()) == 1)
    return server.workers()[0]


def test_where_too_many_wait_the_next_is_told_when_to_come_again(small):
    worker = its_worker(small)
    os.kill(worker, signal.SIGSTOP)
    try:
        with small.client() as client, ThreadPoolExecutor(8) as clients:
            first = clients.submit(client.post, "/v1/predict", content=wav(1.0))
            assert eventually(lambda: "thymos_workers_busy 1.0" in client.get("/metrics").text)
            waiting = [clients.submit(client.post, "/v1/predict", content=wav(1.0)) for _ in range(2)]
            assert eventually(lambda: client.get("/readyz").json()["waiting"] == 2)
            refused = client.post("/v1/predict", content=wav(1.0))
            assert refused.status_code == 503 and 1 <= int(refused.headers["retry-after"]) <= 60
            assert refused.json()["detail"] == "2 recordings wait to be heard, as many as may"
            os.kill(worker, signal.SIGCONT)
            assert [each.result().status_code for each in (first, *waiting)] == [200, 200, 200]
    finally:
        os.kill(worker, signal.SIGCONT)


def test_who_has_gone_is_not_waited_for(small):
    worker = its_worker(small)
    os.kill(worker, signal.SIGSTOP)
    try:
        with small.client() as client:
            gone = []
            for _ in range(3):
                line = socket.create_connection(("127.0.0.1", small.port))
                line.sendall(HEAD.encode() + b"Content-Length: 5\r\n\r\nhello")
                gone.append(line)
            assert eventually(lambda: client.get("/readyz").json()["waiting"] == 2)
            for line in gone:
                line.close()
            assert eventually(lambda: "thymos_requests_active 1.0" in client.get("/metrics").text)
            with ThreadPoolExecutor(2) as clients:
                both = [clients.submit(client.post, "/v1/predict", content=wav(1.0)) for _ in range(2)]
                assert eventually(lambda: client.get("/readyz").json()["waiting"] == 2)
                os.kill(worker, signal.SIGCONT)
                assert [each.result().status_code for each in both] == [200, 200]
    finally:
        os.kill(worker, signal.SIGCONT)


@pytest.mark.slow
def test_a_worker_that_hangs_costs_its_own_request(small):
    worker = its_worker(small)
    os.kill(worker, signal.SIGSTOP)
    with small.client() as client:
        answer = client.post("/v1/predict", content=wav(1.0))
        assert answer.status_code == 504
        assert answer.json()["detail"] == "took longer than 15 seconds to hear, so it was given up"
        began_s = time.monotonic()
        assert client.post("/v1/predict", content=wav(1.0)).status_code == 200
        assert time.monotonic() - began_s < 5
    assert small.workers() != [worker]


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_own_request(serve):
    server = serve("--workers", "2")
    with server.client() as client, ThreadPoolExecutor(16) as clients:
        assert client.post("/v1/predict", content=wav(1.0)).status_code == 200
        killed = server.workers()
        os.kill(killed[0], signal.SIGSTOP)  # so that it has one to answer when it dies
        answers = [clients.submit(client.post, "/v1/predict", content=wav(2.0)) for _ in range(40)]
        assert eventually(lambda: sum(each.done() for each in answers) >= 10)
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        began_s = time.monotonic()
        assert eventually(lambda: client.get("/readyz").status_code == 200)
        healthy = clients.submit(client.post, "/v1/predict", content=wav(1.0)).result()
        told = [each.result() for each in answers]
        statuses = [each.status_code for each in told]
        assert healthy.status_code == 200 and time.monotonic() - began_s < 10
        assert set(statuses) == {200, 500} and 1 <= statuses.count(500) <= 2
        lost = next(each for each in told if each.status_code == 500).json()["detail"]
        assert lost == "the worker process that heard it died; nothing else was lost"
        assert eventually(lambda: len(server.workers()) == 2) and not set(server.workers()) & set(killed)


def test_an_idle_worker_that_is_killed_costs_nothing(small):
    with small.client() as client:
        for _ in range(3):
            worker = its_worker(small)
            os.kill(worker, signal.SIGKILL)
            assert eventually(lambda before=worker: small.workers() not in ([], [before]))
            assert client.post("/v1/predict", content=wav(1.0)).status_code == 200


@pytest.mark.slow
def test_what_takes_more_memory_than_a_worker_may_costs_its_own_request(serve):
    server = serve("--workers", "1", "--worker-memory", "64")
    (worker,) = server.workers()
    with server.client() as client:
        answer = client.post("/v1/predict", content=wav(1_000.0))
        assert (answer.status_code, answer.json()["detail"]) == (
            413,
            "takes more memory to hear than a worker may have",
        )
        assert client.post("/v1/predict", content=wav(1.0)).status_code == 200
    assert worker not in server.workers(), "whatever library met that may have been left in a bad state"


@pytest.mark.slow
def test_drained_when_it_is_told_to_end(serve):
    server = serve("--workers", "1", "--timeout", "20")
    (worker,) = server.workers()
    with server.client() as client, ThreadPoolExecutor(2) as clients:
        os.kill(worker, signal.SIGSTOP)
        running = clients.submit(client.post, "/v1/predict", content=wav(1.0))
        assert eventually(lambda: "thymos_workers_busy 1.0" in client.get("/metrics").text)
        began_s = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: client.get("/readyz").status_code == 503)
        refused = client.post("/v1/predict", content=wav(1.0))
        assert refused.status_code == 503 and refused.headers["retry-after"]
        os.kill(worker, signal.SIGCONT)
        assert running.result().status_code == 200
    assert server.process.wait(10) == 0 and time.monotonic() - began_s < 10
    assert not server.workers()


@pytest.mark.slow
def test_ends_in_time_whatever_hangs(serve):
    server = serve("--workers", "1", "--drain", "1")
    (worker,) = server.workers()
    os.kill(worker, signal.SIGSTOP)
    with server.client() as client, ThreadPoolExecutor(1) as clients:
        hanging = clients.submit(client.post, "/v1/predict", content=wav(1.0))
        assert eventually(lambda: "thymos_workers_busy 1.0" in client.get("/metrics").text)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        with suppress(httpx.TransportError):  # closed, which is an end, too
            assert hanging.result().status_code == 500
    assert eventually(lambda: not Path(f"/proc/{worker}").exists())


@pytest.mark.slow
def test_ctrl_c_ends_with_its_code(serve):
    server = serve("--workers", "1")
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(10) == 130
    assert "thymos: interrupted" in server.log.read_text()


@pytest.mark.slow
def test_a_killed_server_leaves_no_process(serve):
    server = serve("--workers", "2")
    workers = server.workers()
    assert len(workers) == 2
    server.process.kill()
    assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def own_mb(pid: int) -> float:
    """Memory that no other process shares, in 10⁶ bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1000


@pytest.mark.slow
def test_one_model_is_in_memory_and_workers_share_it(server, client):
    for _ in range(4):
        assert client.post("/v1/predict", content=wav(2.0)).status_code == 200
    assert len(server.workers()) == 2
    assert max(map(own_mb, server.workers())) < 45, "weights and libraries alone are 90 MB"


@pytest.mark.slow
def test_requests_of_others_are_limited_and_those_of_this_machine_are_not(small):
    with small.client() as client:
        elsewhere = {"x-forwarded-for": "203.0.113.9"}  # as a proxy on this machine tells it
        statuses = [client.get("/v1/models", headers=elsewhere).status_code for _ in range(14)]
        assert statuses == [200] * 10 + [429] * 4
        late = client.get("/v1/models", headers=elsewhere)
        assert late.headers["retry-after"] == "1" and late.json()["detail"] == "more than 1 requests a second"
        assert client.get("/v1/models", headers={"x-forwarded-for": "203.0.113.10"}).status_code == 200
        assert [client.get("/v1/models").status_code for _ in range(20)] == [200] * 20
