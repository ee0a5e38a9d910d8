"""``/v1/stream``: live sound in over a WebSocket; what is heard in it comes back as it is heard.

First a JSON message, ``session.update``; then binary messages, raw samples or WebM; at the end ``session.end``, which
has what is left told. Answers are JSON: ``session.updated``, ``measurement.result``, ``utterance.start``,
``utterance.end``, ``session.ended``, ``error``.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from thymos.errors import ThymosError
from thymos.serving.bounds import ServingBounds
from thymos.serving.gate import is_token
from thymos.serving.links import WorkerLostError
from thymos.serving.model_list import ServedModel, find_model
from thymos.serving.problems import ProblemError, problem_of
from thymos.serving.server_metrics import ServerMetrics
from thymos.serving.sessions import Pace, Session, raw_pieces, seconds_of, session_of, told, webm_pieces
from thymos.serving.stream_workers import LiveStream, StreamWorkers

NORMAL, POLICY, FAULT, RESTART, LATER = 1000, 1008, 1011, 1012, 1013
"""Codes of RFC 6455, section 7.4, and of the registry that it begins."""


@dataclass
class StreamEndpoint:
    """What answers live streams."""

    models: Sequence[ServedModel]
    workers: StreamWorkers
    bounds: ServingBounds
    metrics: ServerMetrics
    token: str | None = None
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    active: int = 0

    async def __call__(self, socket: WebSocket) -> None:
        """Answer one live stream from its first message to its end."""
        await socket.accept()
        self.active += 1
        self.metrics.streams.inc()
        try:
            if self.active > self.bounds.streams:
                raise ProblemError(503, f"{self.bounds.streams} live streams are heard, as many as may")
            await self._serve(socket, await self._first_message(socket))
            await socket.close(NORMAL)
        except (WebSocketDisconnect, RuntimeError):  # the latter is what sending to a closed socket raises
            pass
        except ThymosError as error:
            await _refuse(socket, error)
        finally:
            self.active -= 1
            self.metrics.streams.dec()

    async def _first_message(self, socket: WebSocket) -> Session:
        message = await self._message(socket)
        if "text" not in message or message["text"] is None:
            raise ProblemError(400, 'the first message is JSON, {"type": "session.update", "session": {…}}')
        session = session_of(message["text"])
        bearer = socket.headers.get("authorization", "").partition(" ")[2].strip()
        if not is_token(session.token or bearer, self.token):
            raise ProblemError(401, "a token is needed, as session.token or Authorization: Bearer …")
        return session

    async def _serve(self, socket: WebSocket, session: Session) -> None:
        model = find_model(self.models, session.model)
        pace, sound_s, stream = Pace(self.bounds.speed), 0.0, None
        messages = self._sound(socket)
        pieces = webm_pieces(messages) if session.format == "webm" else raw_pieces(messages, session)
        try:
            if session.rate is not None:  # else it is known once the first sound is decoded
                stream = await self._open(socket, session, model, session.rate)
            async for rate, piece in pieces:
                if stream is None:
                    stream = await self._open(socket, session, model, rate)
                seconds = seconds_of(session, rate, len(piece))
                await pace.take(seconds)
                sound_s += seconds
                began_s = time.monotonic()
                events = await stream.feed(piece)
                for event in events:
                    await socket.send_text(_line(event))
                if events:
                    self.metrics.hops.observe(time.monotonic() - began_s)
            for event in await stream.end() if stream is not None else ():
                await socket.send_text(_line(event))
            await socket.send_text(_line({"type": "session.ended", "sound_s": round(sound_s, 3)}))
        finally:
            self.metrics.sound.labels("stream").inc(sound_s)
            await pieces.aclose()  # type: ignore[attr-defined]
            if stream is not None:
                await self.workers.close(stream)
        if self.draining.is_set():
            raise ProblemError(503, "the server ends; try again soon")

    async def _open(self, socket: WebSocket, session: Session, model: ServedModel, rate: int) -> LiveStream:
        stream, labels = await self.workers.open(session.head(self.models, rate))
        await socket.send_text(_line(told(session, rate, labels, model)))
        return stream

    async def _sound(self, socket: WebSocket) -> AsyncIterator[bytes]:
        """Yield the binary messages, until the client or the server ends."""
        while not self.draining.is_set():
            message = await self._message(socket)
            if message.get("bytes") is not None:
                yield message["bytes"]
            elif message["type"] != "server.drains":
                kind = _kind(message["text"])
                if kind == "session.end":
                    return
                said = "a session is set once, by the first message" if kind == "session.update" else None
                raise ProblemError(400, said or 'after the first, messages are sound, or {"type": "session.end"}')

    async def _message(self, socket: WebSocket) -> dict[str, Any]:
        """Return the next message, or that the server drains.

        Raises:
            ProblemError: none came for too long.
            WebSocketDisconnect: the client has gone.
        """
        coming = asyncio.ensure_future(socket.receive())
        draining = asyncio.ensure_future(self.draining.wait())
        waited: set[asyncio.Future[Any]] = {coming, draining}
        try:
            await asyncio.wait(waited, timeout=self.bounds.idle_s, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                message = dict(coming.result())
                if message["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(message.get("code", NORMAL))
                return message
            if draining.done():
                return {"type": "server.drains"}
            raise ProblemError(408, f"no message came for {self.bounds.idle_s:g} seconds")
        finally:
            for task in waited:
                task.cancel()


def _kind(text: str) -> str | None:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message.get("type") if isinstance(message, dict) else None


async def _refuse(socket: WebSocket, error: ThymosError) -> None:
    """Tell what is wrong, and close."""
    status = error.status if isinstance(error, ProblemError) else 500 if isinstance(error, WorkerLostError) else 400
    code = {500: FAULT, 503: RESTART if "ends" in str(error) else LATER}.get(status, POLICY)
    with suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_text(_line({"type": "error", "error": problem_of(status, str(error))}))
        await socket.close(code)


def _line(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False)
