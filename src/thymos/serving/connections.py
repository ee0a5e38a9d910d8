"""Connections within bounds: headers that come in time, no more connections than the server can hold, streams whose
answers are read.

uvicorn bounds none of these. Who opens connections and leaves them, sends a header byte by byte, or reads no answer,
would hold them for good.
"""

import asyncio
import json
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from thymos.serving.problems import problem_of

_LATE = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 31\r\n"
    b"connection: close\r\n\r\nthe headers came too slowly   \n"
)
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 26\r\n"
    b"retry-after: 1\r\nconnection: close\r\n\r\ntoo many are connected now\n"
)


class BoundedConnection(H11Protocol):
    """An HTTP connection that is closed if its headers take too long, or too many others are open.

    ``bounded_connections`` makes the class that a server uses.
    """

    header_s: float
    most: int
    idle: "dict[BoundedConnection, None]"
    """Connections without a request under way, the one that has been so longest first."""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and make room for it if need be."""
        super().connection_made(transport)
        self._await_headers()
        self.idle[self] = None
        if len(self.connections) > self.most:
            oldest = next(iter(self.idle))
            if oldest is self:  # all others have a request under way
                transport.write(_FULL)
            oldest._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._have_headers()
        self.idle.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came in, and wait for headers no longer once they are whole."""
        if self._deadline is None and self._is_between_requests():
            self._await_headers()
        super().data_received(data)
        if not self._is_between_requests():
            self._have_headers()
            self.idle.pop(self, None)

    def on_response_complete(self) -> None:
        """Note that the connection is idle again, unless another request is under way already."""
        super().on_response_complete()
        if self._is_between_requests() and not self.transport.is_closing():
            self.idle[self] = None

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over."""
        self._have_headers()
        self.idle.pop(self, None)
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, once: h11 takes no second answer where one has begun."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.close()

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_headers(self) -> None:
        self._deadline = self.loop.call_later(self.header_s, self._late)

    def _have_headers(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing() and self._is_between_requests():
            if self.conn.trailing_data[0]:
                self.transport.write(_LATE)
            self.transport.close()

    def _close(self) -> None:
        self.idle.pop(self, None)
        self.transport.close()


def bounded_connections(header_s: float, most: int) -> type[BoundedConnection]:
    """Return the connections of one server.

    Args:
        header_s: how long headers may take.
        most: connections at once.
    """
    own: dict[str, Any] = {"header_s": header_s, "most": most, "idle": {}}
    return type("ServersConnection", (BoundedConnection,), own)


UNREAD_BYTES = 1 << 16
"""Of answers that a live stream's client has not read: then the stream waits for it."""
_LAST_S = 2.0


class BoundedStreamConnection(WebSocketsSansIOProtocol):
    """A WebSocket whose client is told and closed once it has let answers lie for too long."""

    unread_s: float = 10.0
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep few answers on their way, so that it is noticed soon when they are not read."""
        super().connection_made(transport)
        self.close_timeout = _LAST_S
        line = self.transport.get_extra_info("socket")
        if line is not None and line.family in (socket.AF_INET, socket.AF_INET6):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
        self.transport.set_write_buffer_limits(UNREAD_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Have answers wait until some have been read."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.unread_s, self._tell_and_close)

    def resume_writing(self) -> None:
        """Go on."""
        self._read()
        super().resume_writing()

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _tell_and_close(self) -> None:
        self._unread = None
        if self.transport.is_closing():
            return
        sentence = f"answers were not read for {self.unread_s:g} seconds"
        self.conn.send_text(json.dumps({"type": "error", "error": problem_of(408, sentence)}).encode())
        self.conn.send_close(1008, sentence)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1008})
        self.transport.close()
        self.loop.call_later(_LAST_S, self.transport.abort)  # whoever reads nothing would never let it go


def bounded_streams(unread_s: float) -> type[BoundedStreamConnection]:
    """Return the WebSockets of one server; ``unread_s`` is how long answers may lie unread."""
    return type("ServersStream", (BoundedStreamConnection,), {"unread_s": unread_s})
