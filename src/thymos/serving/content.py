"""What a client sends and asks for, and how it is answered: bodies of requests, the query, the format in Accept.

Bodies are read within bounds of size and time, and kept in no file that has a name.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Literal

from starlette.datastructures import QueryParams, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive

from thymos.config import nearest
from thymos.runtime import formats
from thymos.runtime.formats import IN_TIME, PER_FILE, Columns, Format, ResultRow
from thymos.serving.bounds import LEAST_BYTES_PER_S, SPOOL_BYTES, ServingBounds
from thymos.serving.problems import ProblemError

JSON, JSON_LINES = "application/json", "application/jsonl"
_SAME = {"application/x-ndjson": JSON_LINES, "application/x-jsonlines": JSON_LINES}
_FLAGS = {"": True, "true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

TEXTS: dict[str, Format] = {
    JSON_LINES: "jsonl", "text/csv": "csv", "text/tab-separated-values": "tsv", "text/praat-textgrid": "textgrid",
    "application/x-subrip": "srt", "text/vtt": "vtt", "text/x-rttm": "rttm", "text/x-audacity-labels": "audacity",
}  # fmt: skip
"""Formats of the command line by their media types. Not among them: what needs libraries of its own, or links a file
where it lies (ELAN), which nothing here may."""
OFFERED = (JSON, *TEXTS)


@dataclass(frozen=True)
class Wanted:
    """What a request for emotions asks for.

    Attributes:
        model: its name; None: the default.
        labels: to tell apart; None: all of the model's.
        timeline: say from when to when.
        windows: tell the windows that the timeline is made of.
        explain: say which regions of time and frequency carried the decision.
        channels: all as one, each by itself, or the number of one.
        speakers: how many voices of one channel are told apart; None: none are.
        vad_threshold: probability at which speech begins; None: as it is set.
        shortest: shortest stretch of a timeline, in seconds; None: as it is set.
        media_type: of the answer.
    """

    model: str | None
    labels: list[str] | None
    timeline: bool
    windows: bool
    explain: bool
    channels: Literal["mix", "split"] | int
    speakers: int | None
    vad_threshold: float | None
    shortest: float | None
    media_type: str


def wanted_of(query: QueryParams, accept: str | None) -> Wanted:
    """Return what is asked for.

    Raises:
        ProblemError: a parameter is not known or not usable, or no format is offered that would be accepted.
    """
    known = ("model", "labels", "timeline", "windows", "explain", "channels", "speakers", "vad_threshold", "shortest")
    checked_query(query, known)
    media_type = accepted(accept, OFFERED)
    labels = query.get("labels")
    speakers, explain = query.get("speakers"), flag_of(query, "explain")
    if speakers is not None and speakers != "2":
        raise ProblemError(400, f"speakers are 2, the voices that can be told apart, not {speakers[:40]!r}")
    if speakers is not None and explain:
        raise ProblemError(400, "where speakers are told apart, nothing is explained: leave one of both out")
    return Wanted(
        model=query.get("model"),
        labels=None if labels is None else [word for part in labels.split(",") if (word := part.strip())],
        timeline=flag_of(query, "timeline") or TEXTS.get(media_type) in IN_TIME,
        windows=flag_of(query, "windows"),
        explain=explain,
        channels=_channels(query.get("channels", "mix")),
        speakers=None if speakers is None else int(speakers),
        vad_threshold=number_of(query, "vad_threshold"),
        shortest=number_of(query, "shortest"),
        media_type=media_type,
    )


def checked_query(query: QueryParams, known: Sequence[str]) -> None:
    """Check that the query's parameters are ``known``, and each is given once.

    Raises:
        ProblemError: they are not.
    """
    for name in query:
        if name not in known:
            raise ProblemError(400, f"there is no parameter {name[:40]!r}{nearest(name, list(known))}")
        if len(query.getlist(name)) > 1:
            raise ProblemError(400, f"the parameter {name!r} is given twice")


def flag_of(query: QueryParams, name: str) -> bool:
    """Return whether the query says ``name``; raises ``ProblemError`` where it says neither that nor the contrary."""
    given = query.get(name, "false")
    value = _FLAGS.get(given.strip().lower())
    if value is None:
        raise ProblemError(400, f"{name} is true or false, not {given[:40]!r}")
    return value


def number_of(query: QueryParams, name: str) -> float | None:
    """Return the number that the query gives as ``name``, if it does; raises ``ProblemError`` where that is none."""
    given = query.get(name)
    if given is None:
        return None
    try:
        return float(given)
    except ValueError:
        raise ProblemError(400, f"{name} is a number, not {given[:40]!r}") from None


def _channels(given: str) -> Literal["mix", "split"] | int:
    if given == "mix":
        return "mix"
    if given == "split":
        return "split"
    if given.isascii() and given.isdecimal() and len(given) < 6 and int(given):
        return int(given)
    raise ProblemError(400, f"channels are mix, split, or the number of one from 1, not {given[:40]!r}")


def accept_of(request: Request) -> str:
    """Return the request's Accept header; given several times, it is one list (RFC 9110, section 5.3)."""
    return ", ".join(request.headers.getlist("accept"))


def accepted(accept: str | None, offered: Sequence[str]) -> str:
    """Return the media type of ``offered`` that an Accept header likes best; of equals, the first of ``offered``.

    Source: RFC 9110, section 12.5.1.

    Raises:
        ProblemError: it likes none.
    """
    if accept is None or not accept.strip():
        return offered[0]
    liked = [_range(part) for part in accept.split(",")]
    best, best_quality = None, 0.0
    for media_type in offered:
        # The most specific range that matches says how much it is liked.
        matching = [(precision, quality) for name, quality in liked if (precision := _matches(name, media_type))]
        quality = max(matching)[1] if matching else 0.0
        if quality > best_quality:
            best, best_quality = media_type, quality
    if best is None:
        raise ProblemError(406, f"the answer can be {', '.join(offered)}")
    return best


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                quality = min(1.0, max(0.0, float(value)))
            except ValueError:
                quality = 0.0
    return _SAME.get(name, name), quality


def _matches(name: str, media_type: str) -> int:
    if name == media_type:
        return 3
    if name == media_type.partition("/")[0] + "/*":
        return 2
    return 1 if name == "*/*" else 0


def rendered(
    rows: Sequence[ResultRow], labels: Sequence[str], wanted: Wanted, dimensions: Sequence[str] = ()
) -> Response:
    """Return the answer that tells ``rows``, one a recording.

    One recording is a JSON object, several are lines of them: each is a line of ``thymos predict --format jsonl``.
    """
    media_type = JSON_LINES if wanted.media_type == JSON and len(rows) != 1 else wanted.media_type
    columns = Columns(labels, wanted.timeline, dimensions)
    content = formats.rendered(rows, TEXTS.get(media_type, "jsonl"), columns)
    return Response(content, media_type=f"{media_type}; charset=utf-8")


def check_number(wanted: Wanted, rows: int, what: str = "") -> None:
    """Check that the format can tell so many recordings, or parts of them as ``what`` says.

    Raises:
        ProblemError: it tells one, and there are more.
    """
    if TEXTS.get(wanted.media_type) in PER_FILE and rows != 1:
        raise ProblemError(406, f"{wanted.media_type} tells of one recording, and there are {rows}{what}")


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
        ProblemError: it is compressed, too large, too slow, or a form without a file or an end.
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


class _Form(MultiPartParser):
    """A form that knows whether its end was seen: one that is cut short would lose its last file without a word."""

    has_end = False

    def on_end(self) -> None:
        self.has_end = True


async def _files_of_form(request: Request, bounds: ServingBounds) -> list[Upload]:
    parser = _Form(request.headers, request.stream(), max_files=bounds.files, max_fields=8, max_part_size=1 << 12)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ProblemError(400, error.message) from None
    if not parser.has_end:
        await form.close()
        raise ProblemError(400, "the form has no end: it is cut short, or its boundary is another one")
    parts = [part for _, part in form.multi_items()]
    uploads = [Upload(_name_of(part), part.file, part.size or 0) for part in parts if isinstance(part, UploadFile)]
    if not uploads:
        raise ProblemError(400, "the form holds no file: send recordings as its files")
    if len(uploads) != len(parts):
        for upload in uploads:
            upload.close()
        raise ProblemError(400, "the form holds more than files: say what is wanted in the query, as ?timeline=true")
    return uploads


def _name_of(part: UploadFile) -> str:
    """Return a file's name as it was before it was written into a form.

    Source: HTML, section 4.10.21.8, multipart form data.
    """
    name = part.filename or UNNAMED
    for written, letter in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        name = name.replace(written, letter)
    return name
