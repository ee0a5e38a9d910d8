"""Hostile clients for a server, and what became of each: ``python tests/fuzz/hostile_clients.py [--results DIR]``.

A server is started as users start it. Then come, one kind after another: mutated recordings, bodies that unpack to a
gigabyte, headers and bodies that drip, sockets that are half closed, thousands of connections that are opened and left,
garbage instead of frames, text that is no UTF-8, workers killed under load, and SIGTERM under load. Every request must
be answered with a status, or its connection closed; a good recording that is sent all the while must be answered; the
server's memory, files and threads must be what they were. What fails is listed, and the exit code is 1. Where
``--bodies`` is smaller, so is everything else.
"""

import argparse
import asyncio
import gzip
import json
import os
import random
import resource
import shlex
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mutations import mutated, seeds

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests"), str(ROOT / "benchmarks")]

from serve import held  # noqa: E402 - needs the path
from servers import Running, running  # noqa: E402

CLIP = ROOT / "data" / "mini-aesdd" / "anger" / "a05 (2).opus"
BODIES = 2_000
AT_ONCE = 16
ANSWER_S = 60.0
"""Who is neither answered nor closed by then was lost."""
HEALTHY_S = 2.0
"""A good recording is answered within it once a kind is over."""
FLAT_MB = 150.0
"""More than the server may hold after a kind than when it began to serve: what each worker has touched once."""

Outcome = str
Client = Callable[[int], Awaitable[Outcome]]


@dataclass
class Kind:
    """What became of the clients of one kind."""

    name: str
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    beside: Counter[Outcome] = field(default_factory=Counter)
    """Of the good recordings that were sent meanwhile."""
    slowest_beside_s: float = 0.0
    healthy_s: float = 0.0
    after: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def to_row(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "kind": self.name,
            "clients": sum(self.outcomes.values()),
            "outcomes": dict(self.outcomes.most_common()),
            "good_recordings_meanwhile": dict(self.beside),
            "slowest_of_them_s": round(self.slowest_beside_s, 2),
            "healthy_after_s": round(self.healthy_s, 2),
            **self.after,
            "problems": self.problems,
        }


def request(body: bytes, path: str = "/v1/predict", headers: Iterable[str] = (), kind: str = "audio/wav") -> bytes:
    """A request with ``body``, after which the server closes the connection."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Type: {kind}"]
    lines += [f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def form(content: bytes, name: bytes) -> bytes:
    """A form's body with one file, of boundary ``x``."""
    disposition = b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + name + b'"\r\n\r\n'
    return disposition + content + b"\r\n--x--\r\n"


async def answer(port: int, *pieces: bytes, pause_s: float = 0.0, half_close: bool = False) -> Outcome:
    """Send ``pieces``, and tell the status that came back, ``closed``, or ``lost``."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        return f"refused: {error.strerror}"
    try:
        async with asyncio.timeout(ANSWER_S):
            with suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(pause_s)
                if half_close:
                    writer.write_eof()
            line = b""
            with suppress(ConnectionError, ValueError, asyncio.LimitOverrunError):
                line = await reader.readline()
                while await reader.read(1 << 16):
                    pass
        words = line.split()
        return words[1].decode("ascii", "replace") if len(words) > 1 and line.startswith(b"HTTP/1.1 ") else "closed"
    except TimeoutError:
        return "lost"
    finally:
        writer.close()


class Attack:
    """One server, and the kinds of clients that it is visited by."""

    def __init__(self, server: Running, bodies: int):
        """Take whom to visit, and how many mutated recordings to bring."""
        self.server, self.port, self.bodies = server, server.port, bodies
        self.good = request(CLIP.read_bytes())
        self.kinds: list[Kind] = []
        self.first: dict[str, float] = {}

    def share(self, count: int, least: int = 4) -> int:
        """Return how many of a kind come where ``count`` come with all mutated recordings."""
        return max(least, count * self.bodies // BODIES)

    @asynccontextmanager
    async def _kind(self, name: str) -> AsyncIterator[Kind]:
        kind = Kind(name)
        beside = asyncio.create_task(self._good_ones(kind))
        yield kind
        beside.cancel()
        with suppress(asyncio.CancelledError):
            await beside
        began_s = time.monotonic()
        told = "none"
        while time.monotonic() - began_s < ANSWER_S and told != "200":
            told = await answer(self.port, self.good)
        kind.healthy_s = time.monotonic() - began_s
        kind.after = held(self.server.process.pid)
        for outcome in kind.outcomes:
            if outcome == "lost" or outcome.startswith("refused"):
                kind.problems.append(f"{kind.outcomes[outcome]} clients: {outcome}")
        if kind.healthy_s > HEALTHY_S:
            kind.problems.append(f"the first good recording was answered after {kind.healthy_s:.1f} s")
        if self.first and kind.after["memory_mb"] > self.first["memory_mb"] + FLAT_MB:
            kind.problems.append(f"memory grew from {self.first['memory_mb']} to {kind.after['memory_mb']} MB")
        self.kinds.append(kind)
        print(json.dumps(kind.to_row()), flush=True)

    async def _good_ones(self, kind: Kind) -> None:
        while True:
            began_s = time.monotonic()
            told = await answer(self.port, self.good)
            kind.beside[told] += 1
            kind.slowest_beside_s = max(kind.slowest_beside_s, time.monotonic() - began_s)
            await asyncio.sleep(0.25)

    async def come(self, name: str, count: int, client: Client, at_once: int = AT_ONCE) -> None:
        """Let ``count`` clients come, so many at once."""
        async with self._kind(name) as kind:
            places = asyncio.Semaphore(at_once)

            async def one(number: int) -> None:
                async with places:
                    kind.outcomes[await client(number)] += 1

            await asyncio.gather(*(one(number) for number in range(count)))

    # --- the kinds ---

    async def warm(self) -> None:
        """Let every worker hear, so that what they hold is known."""
        for _ in range(30):
            await answer(self.port, self.good)
        self.first = held(self.server.process.pid)
        print(json.dumps({"at first": self.first}), flush=True)

    async def mutated_bodies(self) -> None:
        """Bring recordings that are damaged in every way that the fuzz knows, as bodies and in forms."""
        plain, media = seeds(CLIP, find_spec("av") is not None, 0.5)

        def client(number: int) -> Awaitable[Outcome]:
            content = mutated(number, 14, media if media and number % 25 == 0 else plain).content
            if number % 3:
                return answer(self.port, request(content, "/v1/predict?timeline=true" if number % 2 else "/v1/predict"))
            body = form(content, b"clip.wav")
            if number % 2:
                body = _scratched(body, number)
            return answer(self.port, request(body, kind="multipart/form-data; boundary=x"))

        await self.come("mutated recordings", self.bodies, client)

    async def unpacking_bodies(self) -> None:
        """Bring bodies that say they are compressed, and would be a gigabyte of nothing."""
        bomb = gzip.compress(bytes(1 << 26), 9)
        encodings = ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "GZIP"]

        def client(number: int) -> Awaitable[Outcome]:
            header = f"Content-Encoding: {encodings[number % len(encodings)]}"
            return answer(self.port, request(bomb * 16, headers=[header]))

        await self.come("bodies that unpack to 1 GB", self.share(140, 7), client)

    async def dripping_heads(self) -> None:
        """Send headers a byte a second."""
        head = [bytes([byte]) for byte in b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"[:14]]
        await self.come(
            "headers, a byte a second", self.share(200), lambda _: answer(self.port, *head, pause_s=1.0), 200
        )

    async def dripping_bodies(self) -> None:
        """Say that a body comes, and let it come a byte a second."""
        head = request(bytes(50_000))[:-50_000]
        drops = [b"R"] * 40
        await self.come(
            "bodies, a byte a second", self.share(100), lambda _: answer(self.port, head, *drops, pause_s=1.0), 100
        )

    async def half_closed(self) -> None:
        """Close the sending half in the middle of head or body, or right after a whole request."""
        whole = self.good

        def client(number: int) -> Awaitable[Outcome]:
            cut = random.Random(number).randrange(len(whole)) if number % 3 else len(whole)
            return answer(self.port, whole[:cut], half_close=True)

        await self.come("half-closed sockets", self.share(500), client)

    async def vanishing(self) -> None:
        """Go away right after asking."""

        async def client(number: int) -> Outcome:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(self.good[: None if number % 2 else -100])
            await writer.drain()
            writer.transport.abort()
            return "went away"

        await self.come("clients that go away", self.share(1_000), client)

    async def left_open(self) -> None:
        """Open connections and leave them so."""
        lines = []

        async def client(number: int) -> Outcome:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                return f"refused: {error.strerror}"
            lines.append(writer)
            return "left open"

        await self.come("connections opened and left", self.share(10_000), client, 200)
        for writer in lines:
            writer.close()

    async def garbage_frames(self) -> None:
        """Upgrade to a WebSocket, and send what are no frames, or frames of what is no session."""
        upgrade = (
            b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

        def frame(code: int, content: bytes) -> bytes:
            size = bytes([0x80 | len(content)]) if len(content) < 126 else b"\xfe" + len(content).to_bytes(2, "big")
            return bytes([0x80 | code]) + size + bytes(4) + content

        def client(number: int) -> Awaitable[Outcome]:
            rng = random.Random(number)
            opened = frame(1, b'{"type": "session.update", "session": {"rate": 16000}}')
            garbage = [
                rng.randbytes(300),
                frame(1, b"\xff\xfe\xff\xfe"),
                frame(1, b'{"type": "session.update", "session": {"rate": NaN}}'),
                frame(1, b"[" * 10_000)[: 126 + rng.randrange(9_000)],
                frame(2, rng.randbytes(1_001)),
                opened + frame(2, rng.randbytes(3_333)) + frame(1, b"\xed\xa0\x80"),
                opened + frame(2, rng.randbytes(3_200)) + rng.randbytes(64),
                b"\x82\xff" + b"\xff" * 12,
                frame(9, bytes(126)),
            ]
            return answer(self.port, upgrade, garbage[number % len(garbage)], half_close=True)

        await self.come("garbage as WebSocket frames", self.share(900), client)

    async def wrong_text(self) -> None:
        """Send bytes that are no UTF-8 where words are expected, and words that are none of the server's."""

        def client(number: int) -> Awaitable[Outcome]:
            wrong = random.Random(number).randbytes(6).replace(b"\r", b"?").replace(b"\n", b"?").replace(b"\0", b"?")
            clip = CLIP.read_bytes()
            head, _, body = self.good.partition(b"\r\n\r\n")
            told = [
                head.replace(b"/v1/predict", b"/v1/predict?labels=" + wrong) + b"\r\n\r\n" + body,
                head + b"\r\nX-Name: " + wrong + b"\r\n\r\n" + body,
                head + b"\r\nAccept: " + wrong + b"\r\n\r\n" + body,
                head + b"\r\nCookie: " + wrong * 2_000 + b"\r\n\r\n" + body,
                request(form(clip, wrong + b".wav"), kind="multipart/form-data; boundary=x"),
                request(form(clip, b"a.wav"), kind="multipart/form-data; boundary=\udcff"),
                request(form(clip, b"a.wav"), "/v1/predict?model=%ff%fe", kind="multipart/form-data; boundary=x"),
            ]
            return answer(self.port, told[number % len(told)])

        await self.come("text that is no UTF-8", self.share(490, 7), client)

    async def killed_workers(self) -> None:
        """Kill every worker, again and again, while all are at work."""
        async with self._kind("workers killed under load") as kind:
            stop = asyncio.Event()

            async def client() -> None:
                while not stop.is_set():
                    kind.outcomes[await answer(self.port, self.good)] += 1

            clients = [asyncio.create_task(client()) for _ in range(8)]
            killed = 0
            for _ in range(self.share(20, 2)):
                for pid in [*self.server.workers(), *self.server.workers(streams=True)]:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        killed += 1
                    await asyncio.sleep(0.15)
            stop.set()
            await asyncio.gather(*clients)
            kind.name += f" ({killed} kills)"

    async def ended(self) -> None:
        """Send SIGTERM under load: what runs ends, what is new is refused, and the exit code is 0."""
        kind = Kind("SIGTERM under load")
        stop = asyncio.Event()

        async def client() -> None:
            while not stop.is_set():
                told = await answer(self.port, self.good)
                kind.outcomes["no longer there" if told.startswith("refused") else told] += 1
                if told.startswith("refused"):
                    return

        clients = [asyncio.create_task(client()) for _ in range(8)]
        await asyncio.sleep(1.0)
        began_s = time.monotonic()
        self.server.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.server.process.wait, 30)
        ended_s = time.monotonic() - began_s
        stop.set()
        await asyncio.gather(*clients)
        kind.name += f": exit code {code} after {ended_s:.1f} s"
        if code != 0 or ended_s > 10:
            kind.problems.append("it did not end with 0 within 10 s")
        if kind.outcomes["lost"]:
            kind.problems.append(f"{kind.outcomes['lost']} requests were lost")
        self.kinds.append(kind)
        print(json.dumps(kind.to_row()), flush=True)

    def check_log(self) -> None:
        """Find faults of the server's own in its log."""
        faults = Counter(json.dumps(event.get("at")) for event in self.server.events() if event["event"] == "fault")
        for where, count in faults.items():
            self.kinds[-1].problems.append(f"{count} faults in the log, at {where}")


def _scratched(body: bytes, number: int) -> bytes:
    """Return the body of a form with some bytes of it changed."""
    rng, changed = random.Random(number), bytearray(body)
    for _ in range(4):
        changed[rng.randrange(min(200, len(changed)))] = rng.randrange(256)
    return bytes(changed)


async def visited(server: Running, bodies: int) -> list[Kind]:
    """Let every kind of client come to ``server``, and end it."""
    attack = Attack(server, bodies)
    await attack.warm()
    for kind in (
        attack.mutated_bodies, attack.unpacking_bodies, attack.dripping_heads, attack.dripping_bodies,
        attack.half_closed, attack.vanishing, attack.left_open, attack.garbage_frames, attack.wrong_text,
        attack.killed_workers, attack.ended,
    ):  # fmt: skip
        await kind()
    attack.check_log()
    return attack.kinds


def as_table(kinds: list[Kind], command: str) -> str:
    """Return what became of all of them, as Markdown."""
    lines = [
        f"`{command}`; every number is of one run.",
        "",
        "| clients | how many | what they were told | good recordings meanwhile | slowest of them | the next good one | memory, files, threads |",  # noqa: E501
        "|---|---|---|---|---|---|---|",
    ]
    for kind in kinds:
        row = kind.to_row()
        told = ", ".join(f"{count} × {outcome}" for outcome, count in kind.outcomes.most_common())
        beside = ", ".join(f"{count} × {outcome}" for outcome, count in kind.beside.most_common())
        after = f"{row['memory_mb']} MB, {row['files']}, {row['threads']}" if kind.after else "ended"
        lines.append(
            f"| {kind.name} | {row['clients']} | {told} | {beside} | {row['slowest_of_them_s']} s"
            f" | {row['healthy_after_s']} s | {after} |"
        )
    problems = [f"- {kind.name}: {problem}" for kind in kinds for problem in kind.problems]
    return "\n".join([*lines, "", *(problems or ["No request was lost, and nothing grew."]), ""])


def main() -> None:
    """Start a server and let them come."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--bodies", type=int, default=BODIES, help="mutated recordings; all else in proportion")
    words.add_argument("--results", type=Path, help="folder in which hostile-clients.json and .md are written")
    given = words.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sooner = () if given.bodies >= BODIES else ("--header-timeout", "2", "--body-timeout", "2")
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), "--workers", "2", *sooner) as server:
        kinds = asyncio.run(visited(server, given.bodies))
    command = shlex.join(["python", "tests/fuzz/hostile_clients.py", *sys.argv[1:]])
    if given.results is not None:
        from thymos.machine import this_machine

        record = {"command": command, "machine": this_machine(["thymos", "starlette", "uvicorn"]),
                  "kinds": [kind.to_row() for kind in kinds]}  # fmt: skip
        (given.results / "hostile-clients.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        (given.results / "hostile-clients.md").write_text(as_table(kinds, command), "utf-8")
    raise SystemExit(any(kind.problems for kind in kinds))


if __name__ == "__main__":
    main()
