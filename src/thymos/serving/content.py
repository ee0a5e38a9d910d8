"""What a client asks for, and how it is answered: the parameters of the query, and the format that Accept names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.datastructures import QueryParams
from starlette.responses import Response

from thymos.config import nearest
from thymos.escaping import json_line
from thymos.runtime.annotations import srt, textgrid, web_vtt
from thymos.runtime.formats import Columns, ResultRow, csv_lines
from thymos.serving.problems import ProblemError

JSON, JSON_LINES, CSV = "application/json", "application/jsonl", "text/csv"
TEXTGRID, SUBRIP, WEB_VTT = "text/praat-textgrid", "application/x-subrip", "text/vtt"
_SAME = {"application/x-ndjson": JSON_LINES, "application/x-jsonlines": JSON_LINES}
_FLAGS = {"": True, "true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

OF_ONE: dict[str, Callable[[ResultRow], str]] = {TEXTGRID: textgrid, SUBRIP: srt, WEB_VTT: web_vtt}
"""Formats that describe one recording, in time."""
OFFERED = (JSON, JSON_LINES, CSV, *OF_ONE)


@dataclass(frozen=True)
class Wanted:
    """What a request for emotions asks for.

    Attributes:
        model: its name; None: the default.
        labels: to tell apart; None: all of the model's.
        timeline: say from when to when.
        windows: tell the windows that the timeline is made of.
        explain: say which regions of time and frequency carried the decision.
        media_type: of the answer.
    """

    model: str | None
    labels: list[str] | None
    timeline: bool
    windows: bool
    explain: bool
    media_type: str


def wanted_of(query: QueryParams, accept: str | None) -> Wanted:
    """Return what is asked for.

    Raises:
        ProblemError: a parameter is not known or not usable, or no format is offered that would be accepted.
    """
    checked_query(query, ("model", "labels", "timeline", "windows", "explain"))
    media_type = accepted(accept, OFFERED)
    labels = query.get("labels")
    return Wanted(
        model=query.get("model"),
        labels=None if labels is None else [word for part in labels.split(",") if (word := part.strip())],
        timeline=_flag(query, "timeline") or media_type in OF_ONE,
        windows=_flag(query, "windows"),
        explain=_flag(query, "explain"),
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


def _flag(query: QueryParams, name: str) -> bool:
    given = query.get(name, "false")
    value = _FLAGS.get(given.strip().lower())
    if value is None:
        raise ProblemError(400, f"{name} is true or false, not {given[:40]!r}")
    return value


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
    media_type = wanted.media_type
    if media_type == JSON and len(rows) == 1:
        text = json_line(rows[0]) + "\n"
    elif media_type in (JSON, JSON_LINES):
        media_type = JSON_LINES
        text = "".join(json_line(row) + "\n" for row in rows)
    elif media_type == CSV:
        text = csv_lines(rows, Columns(labels, wanted.timeline, dimensions))
    else:
        text = OF_ONE[media_type](rows[0])
    # Names may hold what is no Unicode, as file systems allow.
    return Response(text.encode("utf-8", "backslashreplace"), media_type=f"{media_type}; charset=utf-8")


def check_number(wanted: Wanted, recordings: int) -> None:
    """Check that the format can tell so many recordings.

    Raises:
        ProblemError: it tells one, and there are more.
    """
    if wanted.media_type in OF_ONE and recordings != 1:
        raise ProblemError(406, f"{wanted.media_type} tells of one recording, and there are {recordings}")
