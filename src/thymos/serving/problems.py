"""Problems as HTTP says them: ``application/problem+json`` (RFC 9457), with the sentence that the command line says."""

from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from thymos.errors import ThymosError

MEDIA_TYPE = "application/problem+json"
STATUS_OF_KIND = {
    "too_long": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unsupported": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "sound": HTTPStatus.UNPROCESSABLE_ENTITY,
    "call": HTTPStatus.BAD_REQUEST,
    "memory": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "fault": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Status by the kind of error that a worker tells."""


class ProblemError(ThymosError):
    """A request cannot be answered as it was meant.

    Attributes:
        status: of HTTP.
        headers: of the answer.
    """

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None):
        super().__init__(sentence)
        self.status, self.headers = int(status), headers or {}


def problem_of(status: int, sentence: str) -> dict[str, Any]:
    """Return what the answer's JSON says."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return {"type": "about:blank", "title": title, "status": int(status), "detail": sentence}


def problem_response(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the answer to a request that cannot be answered as it was meant."""
    return JSONResponse(problem_of(status, sentence), int(status), headers, media_type=MEDIA_TYPE)
