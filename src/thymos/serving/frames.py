"""What the server and its workers say to each other: a JSON object, and bytes beside it, over a pair of sockets.

Nothing is unpickled: a worker has read what strangers sent, and is trusted no further than its words.
"""

import asyncio
import json
import socket
import struct
from typing import Any

_LENGTHS = struct.Struct("<II")
MOST_BYTES = 1 << 28
"""Of the JSON or of the bytes of one frame."""

Head = dict[str, Any]


class FrameError(ConnectionError):
    """The other side has gone, or says what is no frame."""


def frame_head(head: Head, n_bytes: int) -> bytes:
    """Return the beginning of a frame that ``n_bytes`` of content complete."""
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return _LENGTHS.pack(len(text), n_bytes) + text


def send_frame(line: socket.socket, head: Head, content: bytes = b"") -> None:
    """Send a frame, and wait until it is on its way."""
    line.sendall(frame_head(head, len(content)))
    if content:
        line.sendall(content)


def receive_frame(line: socket.socket) -> tuple[Head, bytes] | None:
    """Return the next frame; None where the other side has ended the line."""
    start = _receive(line, _LENGTHS.size)
    if start is None:
        return None
    sizes = _sizes(start)
    parts = [_receive(line, size) for size in sizes]
    return None if parts[0] is None or parts[1] is None else (_parsed(parts[0]), parts[1])


async def read_frame(reader: asyncio.StreamReader) -> tuple[Head, bytes]:
    """Return the next frame.

    Raises:
        FrameError: the other side has gone, or says what is no frame.
    """
    try:
        sizes = _sizes(await reader.readexactly(_LENGTHS.size))
        head, content = [await reader.readexactly(size) for size in sizes]
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise FrameError("the line has ended") from error
    return _parsed(head), content


def _sizes(start: bytes) -> tuple[int, int]:
    sizes: tuple[int, int] = _LENGTHS.unpack(start)
    if max(sizes) > MOST_BYTES:
        raise FrameError("a frame is larger than any")
    return sizes


def _parsed(text: bytes) -> Head:
    try:
        head = json.loads(text.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise FrameError("a frame is no JSON") from error
    if not isinstance(head, dict):
        raise FrameError("a frame is no JSON object")
    return head


def _receive(line: socket.socket, size: int) -> bytes | None:
    """Return ``size`` bytes; large ones are in memory once, unless a signal comes between."""
    parts: list[bytes] = []
    while size:
        try:
            part = line.recv(size, socket.MSG_WAITALL)
        except ConnectionError:
            return None
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
