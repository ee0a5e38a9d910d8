"""A server from its start to its end: it listens, has its workers started, serves, and drains when told to end."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

import uvicorn

from thymos.errors import ThymosError
from thymos.machine import available_cores
from thymos.serving.application import Service, web_application
from thymos.serving.bounds import ServingBounds
from thymos.serving.connections import bounded_connections, bounded_streams
from thymos.serving.gate import LOCAL_HOSTS, Admission, Gate
from thymos.serving.hearing_process import WANTED, WorkerSetup
from thymos.serving.model_list import served_models
from thymos.serving.queues import JobQueue, StreamWorkers
from thymos.serving.records import LogFormat, ServerLog, ServerMetrics
from thymos.serving.stream_endpoint import StreamEndpoint

FILE_NICENESS = 5
"""Workers that hear files stand back for those that hear live streams."""
_LAST_S = 1.0
"""For answers that are on their way when the server has drained."""


class ServerError(ThymosError):
    """A server cannot be started as it was asked for."""


@dataclass(frozen=True)
class ServerSettings:
    """What a server is.

    Attributes:
        host: address to listen at.
        port: 0: one that is free.
        models: names or folders, the default first; none: ``THYMOS_MODEL`` and those that come along.
        workers: recordings heard at once; None: one a core.
        token: that requests must bear.
        insecure: listen beyond this machine without one.
        host_names: by which it may be called, beside this machine's own.
        origins: other sites whose pages may use it.
        bounds: what it takes at most.
        log: how its log is written.
    """

    host: str = "127.0.0.1"
    port: int = 8450
    models: Sequence[str] = ()
    workers: int | None = None
    token: str | None = None
    insecure: bool = False
    host_names: Sequence[str] = ()
    origins: Sequence[str] = ()
    bounds: ServingBounds = field(default_factory=ServingBounds)
    log: LogFormat = "text"

    def admission(self) -> Admission:
        """Return who may come in.

        Raises:
            ServerError: anybody on the network might, and nobody said so.
        """
        local = self.host in LOCAL_HOSTS
        if not local and self.token is None and not self.insecure:
            raise ServerError(
                f"{self.host} can be reached from other machines: ask a token of them by --token, or say --insecure"
            )
        hosts = None if self.token is not None or not local else LOCAL_HOSTS | {*map(str.lower, self.host_names)}
        return Admission(self.token, hosts, tuple(self.origins), self.bounds.rate)


def run_server(settings: ServerSettings, ready: Callable[[str], None]) -> None:
    """Serve until a signal says to end: SIGTERM lets requests end first; Ctrl-C does, for a moment.

    Args:
        settings: what the server is.
        ready: is told the server's address once it answers.

    Raises:
        ServerError: the address cannot be listened at, or would be open to all.
        BundleError: a model cannot be used.
        KeyboardInterrupt: it was ended by Ctrl-C.
    """
    admission = settings.admission()
    models = served_models(settings.models)
    listener = _listen(settings)
    bounds = settings.bounds
    folders = tuple(str(model.folder) for model in models)
    os.environ[WANTED] = json.dumps([folders, bounds.longest_s])
    metrics, log = ServerMetrics(), ServerLog(settings.log)
    workers = settings.workers or available_cores()
    live = WorkerSetup(folders, bounds.longest_s, bounds.memory_bytes)

    async def serve() -> bool:
        jobs = JobQueue(replace(live, niceness=FILE_NICENESS), workers, bounds, metrics)
        hearers = StreamWorkers(live, workers, metrics)
        metrics.watch_workers(lambda: [link.pid for link in (*jobs.links, *hearers.links)])
        service = Service(models, jobs, bounds, metrics, log)
        streams = StreamEndpoint(models, hearers, bounds, metrics, settings.token)
        gate = web_application(service, admission, streams)
        config = uvicorn.Config(
            gate,
            http=bounded_connections(bounds.header_s, bounds.connections),
            ws=bounded_streams(bounds.unread_s),
            ws_max_size=bounds.message_bytes,
            ws_per_message_deflate=False,
            # No answer to a ping would be read while sound waits to be taken; silence times out by itself.
            ws_ping_interval=None,
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=round(_LAST_S),
            backlog=1024,
        )
        server = _DrainingServer(config, gate, streams, bounds.drain_s, log)
        try:
            await jobs.start()
            await hearers.start()
            server.address_told = lambda: ready(_address(settings.host, listener))
            await server.serve([listener])
        finally:
            await asyncio.gather(jobs.end(), hearers.end())
        return server.interrupted

    if asyncio.run(serve()):
        raise KeyboardInterrupt


class _DrainingServer(uvicorn.Server):
    """uvicorn, but for how it ends: it goes on to answer, new requests by 503, until those under way have ended."""

    def __init__(self, config: uvicorn.Config, gate: Gate, streams: StreamEndpoint, drain_s: float, log: ServerLog):
        super().__init__(config)
        self.gate, self.streams, self.drain_s, self.log = gate, streams, drain_s, log
        self.interrupted = False
        self.address_told: Callable[[], None] = lambda: None
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.address_told()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; at a second signal, end at once."""
        self.interrupted |= sig == signal.SIGINT
        if self.gate.draining:
            self.should_exit = self.force_exit = True
            return
        self.gate.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Look whether to end, ten times a second."""
        ends = await super().on_tick(counter)
        if self.gate.draining and self._draining is None:
            self.log.event("draining")
            self.streams.draining.set()
            self._draining = asyncio.create_task(self._drain())
        return ends

    async def _drain(self) -> None:
        patience_s = min(self.drain_s, 2.0) if self.interrupted else self.drain_s
        try:
            async with asyncio.timeout(patience_s):
                while self.gate.active:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self.log.event("requests were still under way")
        self.should_exit = True


def _listen(settings: ServerSettings) -> socket.socket:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        # Of a socket that does not say TCP, asyncio would hold back the last piece of an answer (Nagle).
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except (OSError, UnicodeError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServerError(f"{settings.host}, port {settings.port}, cannot be listened at: {reason}") from None
    return listener


def _address(host: str, listener: socket.socket) -> str:
    address: Any = listener.getsockname()
    return f"http://{f'[{host}]' if ':' in host else host}:{address[1]}/"
