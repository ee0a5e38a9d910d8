"""What the server takes at most. One default, one place: the command line, the page and the docs say these."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServingBounds:
    """Bounds on what one client, and all of them together, can ask of a server. Times are in seconds."""

    body_bytes: int = 50_000_000
    """Of a request's body, all files of it together."""
    files: int = 64
    """In one request."""
    longest_s: float = 7_200.0
    """Of a recording."""
    header_s: float = 10.0
    """From a connection, or the first byte of a next request, to the end of the request's headers."""
    body_s: float = 30.0
    """For a body, beside what it takes at ``LEAST_BYTES_PER_S``."""
    job_s: float = 300.0
    """For hearing one recording; a worker that takes longer is killed."""
    queue: int = 64
    """Recordings that wait for a worker."""
    memory_bytes: int = 1 << 30
    """That a worker may take, beside the libraries and models that all share."""
    rate: float = 20.0
    """Requests a second from one client on another machine, in the long run; 0: any number."""
    connections: int = 1_000
    """Open at once: beyond, the one that has been idle longest is closed."""
    streams: int = 100
    """Live streams at once."""
    message_bytes: int = 1 << 20
    """Of one message of a live stream."""
    speed: float = 4.0
    """How much faster than in real time a live stream's sound is taken; what comes faster waits."""
    idle_s: float = 60.0
    """Without a message, after which a live stream is closed."""
    unread_s: float = 10.0
    """That a live stream's answers may lie unread, after which it is closed."""
    drain_s: float = 8.0
    """For requests under way to end once the server is told to."""


LEAST_BYTES_PER_S = 16_000
"""A body may come as slowly as this: 128 kbit/s."""
BURST_S = 10.0
"""Requests of so many seconds may come at once, and as much of a live stream's sound."""
SPOOL_BYTES = 1 << 20
"""What is larger lies in a temporary file, which has no name, until it is answered."""
