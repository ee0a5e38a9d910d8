"""Who comes in, and who does not: other machines, other sites' pages, other names, no token."""

import asyncio
import socket

import httpx
import pytest
from starlette.responses import PlainTextResponse

from thymos.serving.bounds import ServingBounds
from thymos.serving.gate import Admission, Gate, Rates, host_name
from thymos.serving.records import ServerLog, ServerMetrics
from thymos.serving.server import ServerError, ServerSettings, _listen


def asked(admission: Admission, path: str = "/v1/predict", method: str = "POST", app=None, **headers: str | bytes):
    """What a gate with ``admission`` answers; 200 is what is behind it."""
    gate = Gate(app or PlainTextResponse("in"), admission, ServerMetrics(), ServerLog("off"))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://localhost:8450") as client:
            return await client.request(method, path, headers={key.replace("_", "-"): headers[key] for key in headers})

    return asyncio.run(ask())


def test_a_token_is_asked_for_everywhere_but_where_nothing_is_told():
    admission = Admission(token="correct horse", hosts=None)
    for path in ("/v1/predict", "/v1/models", "/metrics", "/v2"):
        assert asked(admission, path).status_code == 401
        assert asked(admission, path, authorization="Bearer wrong").status_code == 401
        assert asked(admission, path, authorization="Basic correct horse").status_code == 401
        assert asked(admission, path, authorization="Bearer correct horse").status_code == 200
    greek = Admission(token="κωδικός εισόδου", hosts=None)
    assert asked(greek, authorization="Bearer κωδικός εισόδου".encode()).status_code == 200
    assert asked(greek, authorization="Bearer κωδικός".encode()).status_code == 401
    assert asked(admission, "/v1/predict").headers["www-authenticate"] == "Bearer"
    for path in ("/", "/page/app.js", "/healthz", "/readyz", "/openapi.json"):
        assert asked(admission, path, "GET").status_code == 200


def test_another_name_that_leads_to_this_machine_is_refused():
    """Such as one that a page in a browser here has led to 127.0.0.1, to read the answers."""
    for host in ("localhost:8450", "127.0.0.1", "[::1]:8450"):
        assert asked(Admission(), host=host).status_code == 200
    for host in ("evil.example", "evil.example:8450", "["):
        assert asked(Admission(), host=host).status_code == 421


def test_a_proxy_s_name_is_one_of_ours_once_it_is_said():
    settings = ServerSettings(host_names=["Speech.Example"])
    assert asked(settings.admission(), host="speech.example").status_code == 200
    assert asked(ServerSettings().admission(), host="speech.example").status_code == 421


def test_another_site_s_page_may_not_send():
    for origin in ("http://localhost:8450", "https://localhost:8450"):  # the latter behind a proxy
        assert asked(Admission(), origin=origin).status_code == 200
    for origin in ("http://localhost:9999", "https://evil.example", "null"):
        assert asked(Admission(), origin=origin).status_code == 403


def test_another_site_s_page_may_where_it_was_said():
    admission = Admission(origins=["https://friend.example"])
    assert asked(admission, origin="https://friend.example").status_code == 200


def test_beyond_this_machine_a_token_or_a_word_is_needed():
    for host in ("0.0.0.0", "::", "192.0.2.7", "example.org"):
        with pytest.raises(ServerError, match=f"^{host} can be reached from other machines: ask a token"):
            ServerSettings(host=host).admission()
        assert ServerSettings(host=host, token="correct horse").admission().token
        assert ServerSettings(host=host, insecure=True).admission().hosts is None
    for host in ("127.0.0.1", "localhost", "::1"):
        assert ServerSettings(host=host).admission().hosts


def test_the_command_line_says_so(thymos_here, tmp_path):
    said = thymos_here("serve", "--host", "0.0.0.0")
    assert said.returncode == 2 and said.stderr.startswith("thymos: 0.0.0.0 can be reached from other machines")
    said = thymos_here("serve", "--token", "short")
    assert said.returncode == 2 and "is guessed" in said.stderr
    said = thymos_here("serve", "--token-file", tmp_path / "none")
    assert said.returncode == 2 and said.stderr.endswith("cannot be read: No such file or directory\n")
    said = thymos_here("serve", "--model", tmp_path)
    assert said.returncode == 2 and "holds no model.json" in said.stderr


def test_the_command_line_s_defaults_are_those_of_the_bounds(monkeypatch, thymos_here):
    taken: list[ServerSettings] = []
    monkeypatch.setattr("thymos.serving.server.run_server", lambda settings, ready: taken.append(settings))
    thymos_here("serve")
    assert taken[0].bounds == ServingBounds() and taken[0] == ServerSettings(models=(), bounds=ServingBounds())


def test_a_client_has_so_many_at_once_and_then_so_many_a_second(monkeypatch):
    now_s = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    rates = Rates(2.0)
    assert [rates.wait_s("a") for _ in range(21)] == [0.0] * 20 + [0.5]
    assert rates.wait_s("b") == 0
    now_s = 101.0
    assert [rates.wait_s("a") for _ in range(3)] == [0.0, 0.0, 0.5]


def test_clients_that_come_once_are_forgotten():
    rates = Rates(1.0)
    for number in range(20_000):
        rates.wait_s(str(number))
    assert len(rates._buckets) == 10_000


def test_a_fault_is_answered_and_told_without_values(tmp_path):
    log = tmp_path / "log"

    async def broken(scope, receive, send):
        raise KeyError("Maria.wav")

    with log.open("w") as stream:
        gate = Gate(broken, Admission(), ServerMetrics(), ServerLog("json", stream))

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(gate)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.get("/v1/models")

        answer = asyncio.run(ask())
    assert answer.status_code == 500 and answer.json()["detail"] == "could not be answered, by a fault of the server"
    assert "KeyError" in log.read_text() and "Maria" not in log.read_text()


def test_names_of_hosts():
    assert [host_name(each) for each in ("A.example:80", "[::1]:80", "", "a b", "[")] == [
        "a.example",
        "::1",
        "",
        "a b",
        "",
    ]


def test_no_piece_of_an_answer_waits_for_the_piece_before_it_to_be_received():
    """Else each answer would take as long as the client's system waits before it acknowledges its head: 40 ms."""

    async def held_back() -> int:
        came: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = writer.get_extra_info("socket")
            came.set_result(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = _listen(ServerSettings(models=["thymos"], host="127.0.0.1", port=0))
        async with await asyncio.start_server(connected, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            told = await came
            writer.close()
        return told

    assert asyncio.run(held_back()) != 0
