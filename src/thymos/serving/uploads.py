"""Bodies of requests: read within bounds of size and time, and kept in no file that has a name."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO

from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from thymos.serving.bounds import LEAST_BYTES_PER_S, SPOOL_BYTES, ServingBounds
from thymos.serving.problems import ProblemError

UNNAMED = "-"
"""What a recording is called whose name was not given, as standard input is."""
_PIECE = 1 << 18
_LINGER_S = 5.0
_CLOSE = {"Connection": "close"}  # the rest of the body may still be on its way


@dataclass(eq=False)
class Upload:
    """A recording that was sent: ``n_bytes`` in ``file``."""

    name: str
    file: IO[bytes]
    n_bytes: int

    def pieces(self) -> Iterator[bytes]:
        """Yield its content."""
        self.file.seek(0)
        while piece := self.file.read(_PIECE):
            yield piece

    def close(self) -> None:
        """Forget it: a temporary file is gone with this."""
        self.file.close()


class BoundedBody:
    """``receive`` of a request, within bounds. To be called by one who reads the whole body."""

    def __init__(self, receive: Receive, bounds: ServingBounds, announced: str | None):
        """Take what is called for a message, and the header Content-Length."""
        self._receive, self._bounds = receive, bounds
        self._n_bytes = 0
        self._began_s = time.monotonic()
        self._too_large = announced is not None and announced.isdecimal() and int(announced) > bounds.body_bytes
        self.over = False

    async def __call__(self) -> Message:
        """Return the next message of the body.

        Raises:
            ProblemError: the body is too large, or comes too slowly.
        """
        if self._too_large:
            await self._linger()
        left_s = self._began_s + self._bounds.body_s + self._n_bytes / LEAST_BYTES_PER_S - time.monotonic()
        try:
            async with asyncio.timeout(left_s):
                message = await self._receive()
        except TimeoutError:
            raise ProblemError(408, "the body of the request came too slowly", _CLOSE) from None
        self._n_bytes += len(message.get("body", b""))
        self.over = message["type"] == "http.disconnect" or not message.get("more_body", False)
        if self._n_bytes > self._bounds.body_bytes:
            self._too_large = True
            await self._linger()
        return message

    async def _linger(self) -> None:
        """Refuse the body, once it has ended or for a moment: who still sends would not read the answer."""
        try:
            async with asyncio.timeout(_LINGER_S):
                while not self.over:
                    message = await self._receive()
                    self.over = message["type"] == "http.disconnect" or not message.get("more_body", False)
        except TimeoutError:
            pass
        most = self._bounds.body_bytes / 1e6
        raise ProblemError(413, f"the body of the request is larger than {most:g} MB", _CLOSE)


async def read_uploads(request: Request, bounds: ServingBounds) -> list[Upload]:
    """Return the recordings in the request's body: the files of a form, or the body itself.

    Raises:
        ProblemError: it is compressed, too large, too slow, or a form without a file.
        ClientDisconnect: the client has gone.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise ProblemError(415, f"a body is taken as it is, not with Content-Encoding {encoding[:40]}")
    body = BoundedBody(request.receive, bounds, request.headers.get("content-length"))
    # Any other type is sound, whatever it says: curl --data-binary calls everything a form.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _files_of_form(Request(request.scope, body), bounds)
    return [await _whole_body(body)]


async def _whole_body(body: BoundedBody) -> Upload:
    file = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - closed once it is heard
    try:
        n_bytes = 0
        while not body.over:
            message = await body()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            content = message.get("body", b"")
            n_bytes += len(content)
            file.write(content)
    except BaseException:
        file.close()
        raise
    return Upload(UNNAMED, file, n_bytes)


async def _files_of_form(request: Request, bounds: ServingBounds) -> list[Upload]:
    form = await request.form(max_files=bounds.files, max_fields=8, max_part_size=1 << 12)
    parts = [part for _, part in form.multi_items()]
    uploads = [
        Upload(part.filename or UNNAMED, part.file, part.size or 0) for part in parts if isinstance(part, UploadFile)
    ]
    if not uploads:
        raise ProblemError(400, "the form holds no file: send recordings as its files")
    if len(uploads) != len(parts):
        for upload in uploads:
            upload.close()
        raise ProblemError(400, "the form holds more than files: say what is wanted in the query, as ?timeline=true")
    return uploads
