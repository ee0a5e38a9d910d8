"""``/v1/stream``: live sound in over a WebSocket; what is heard in it comes back as it is heard.

First a JSON message, ``session.update``, which says where the samples are in those that follow; then binary messages,
raw samples or WebM; at the end ``session.end``, which has what is left told. Answers are JSON: ``session.updated``,
``measurement.result``, ``utterance.start``, ``utterance.end``, ``session.ended``, ``error``.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.websockets import WebSocket, WebSocketDisconnect

from thymos.audio.containers import MediaKind
from thymos.audio.media import following_bytes, media_command
from thymos.audio.source import DEFAULT_LIMITS
from thymos.config import in_words
from thymos.errors import ThymosError
from thymos.live import HOP_S, TIME_CONSTANT_S
from thymos.serving.bounds import BURST_S, ServingBounds
from thymos.serving.frames import Head
from thymos.serving.gate import borne_token, is_token
from thymos.serving.links import WorkerLostError
from thymos.serving.model_list import ServedModel, find_model
from thymos.serving.problems import ProblemError, problem_of
from thymos.serving.queues import LiveStream, StreamWorkers
from thymos.serving.records import ServerMetrics

Labels = Annotated[list[str], Field(max_length=100)]
PIECE_S = 0.25
"""Of a message that holds more, so much is heard at a time: other streams of the worker come between."""
_SAMPLE_BYTES = {"s16le": 2, "f32le": 4}
_WEBM = MediaKind("WebM", "matroska")


class Session(BaseModel):
    """What ``session.update`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format: Literal["s16le", "f32le", "webm"] = "s16le"
    """Of the binary messages: raw samples, or WebM as browsers record it."""
    rate: int | None = Field(None, ge=DEFAULT_LIMITS.min_rate_hz, le=DEFAULT_LIMITS.max_rate_hz)
    """Samples per second, of raw ones."""
    channels: int = Field(1, ge=1, le=DEFAULT_LIMITS.max_channels)
    window: float | None = Field(None, ge=0.5, le=30)
    """Seconds heard for an answer; None: the model's."""
    hop: float = Field(HOP_S, ge=0.05, le=30)
    """Seconds from answer to answer."""
    smoothing: float = Field(TIME_CONSTANT_S, ge=0.01, le=3600)
    """Time constant, in seconds."""
    labels: Labels | None = None
    """To tell apart; None: all of the model's."""
    vad_threshold: float | None = Field(None, gt=0, lt=1)
    """Probability at which speech begins; None: as it is set."""
    adaptation: bool = False
    """Get to know the voice, room or line while it is heard, and take it out."""
    model: str | None = None
    token: str | None = Field(None, exclude=True)

    @model_validator(mode="after")
    def _has_a_rate(self) -> "Session":
        if self.format == "webm":
            if self.rate is not None or self.channels != 1:
                raise ValueError("WebM says its rate and channels itself")
        elif self.rate is None:
            raise ValueError("raw samples do not say their rate: name it, as rate")
        return self

    def head(self, models: Sequence[ServedModel], rate: int) -> Head:
        """Return what a worker is told, of sound at ``rate``.

        Raises:
            ProblemError: there is no such model.
        """
        return {
            "model": str(find_model(models, self.model).folder),
            "labels": self.labels,
            "rate": rate,
            "format": "f32le" if self.format == "webm" else self.format,
            "channels": self.channels,
            "window": self.window,
            "hop": self.hop,
            "smoothing": self.smoothing,
            "vad_threshold": self.vad_threshold,
            "adapt": self.adaptation,
        }


def session_of(text: str) -> Session:
    """Return the session that a client's first message asks for.

    Raises:
        ProblemError: it asks for none.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise ProblemError(400, "the first message is no JSON") from None
    if not isinstance(message, dict) or message.get("type") != "session.update":
        raise ProblemError(400, 'the first message is {"type": "session.update", "session": {…}}')
    try:
        return Session.model_validate(message.get("session", {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ProblemError(400, f"session: {where + ': ' if where else ''}{in_words(first)}") from None


class Pace:
    """No faster than so many times real time, once a first stretch has come in."""

    def __init__(self, speed: float):
        """Begin now."""
        self._speed, self._began_s, self._sound_s = speed, time.monotonic(), 0.0

    async def take(self, seconds: float) -> None:
        """Wait until so much sound may be taken."""
        self._sound_s += seconds
        ahead_s = (self._sound_s - BURST_S) / self._speed - (time.monotonic() - self._began_s)
        if ahead_s > 0:
            await asyncio.sleep(ahead_s)


async def raw_pieces(messages: AsyncIterator[bytes], session: Session) -> AsyncIterator[tuple[int, bytes]]:
    """Yield the rate and the bytes of pieces of raw samples, in pieces of up to ``PIECE_S``."""
    rate = session.rate or 0
    size = max(1, round(PIECE_S * rate)) * session.channels * _SAMPLE_BYTES[session.format]
    async for message in messages:
        for at in range(0, len(message), size):
            yield rate, message[at : at + size]


async def webm_pieces(messages: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """Yield the rate and the samples (f32le, mono) of WebM, decoded as it comes by a child of bounded means.

    Raises:
        ProblemError: it cannot be decoded.
    """
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *media_command(_WEBM, live=True), stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    assert child.stdin is not None and child.stdout is not None
    failed: list[BaseException] = []

    async def hand_over(pipe: asyncio.StreamWriter) -> None:
        try:
            async for message in messages:
                pipe.write(message)
                await pipe.drain()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has said what is wrong
        except Exception as error:
            failed.append(error)
        finally:
            pipe.close()

    handing = asyncio.create_task(hand_over(child.stdin))
    try:
        rate = 0
        while content := await _child_message(child.stdout):
            if not rate:
                rate = int(json.loads(content)["rate_hz"])
            else:
                yield rate, content
        if failed:
            raise failed[0]
    finally:
        handing.cancel()
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def _child_message(pipe: asyncio.StreamReader) -> bytes:
    try:
        start = await pipe.readexactly(5)
        content = await pipe.readexactly(following_bytes(start))
    except asyncio.IncompleteReadError:
        raise ProblemError(422, "is damaged: it made the decoder fail") from None
    if start[:1] == b"!":
        raise ProblemError(422, content.decode("utf-8", "replace"))
    return content


def seconds_of(session: Session, rate: int, n_bytes: int) -> float:
    """Return how much sound so many bytes of a piece are."""
    frame_bytes = 4 if session.format == "webm" else session.channels * _SAMPLE_BYTES[session.format]
    return n_bytes / frame_bytes / rate


def told(session: Session, rate: int, labels: Sequence[str], model: ServedModel) -> dict[str, Any]:
    """Return what a client is told of its session once it has begun."""
    about = model.about
    window = session.window or about.window_s
    said = session.model_dump() | {"rate": rate, "window": window, "labels": list(labels), "model": model.name}
    return {"type": "session.updated", "session": said}


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
        if not is_token(session.token or borne_token(socket.headers), self.token):
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
