"""The web application: what is asked at which address, and who answers it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from thymos.audio.excerpt import part_name
from thymos.errors import ThymosError
from thymos.escaping import json_line
from thymos.runtime.formats import ResultRow, result_row
from thymos.serving.bounds import ServingBounds
from thymos.serving.content import (
    JSON,
    JSON_LINES,
    Upload,
    accept_of,
    accepted,
    check_number,
    checked_query,
    flag_of,
    number_of,
    read_uploads,
    rendered,
    wanted_of,
)
from thymos.serving.frames import Head
from thymos.serving.gate import Admission, Gate
from thymos.serving.links import WorkerLostError
from thymos.serving.model_list import ServedModel, find_model
from thymos.serving.openapi import openapi_document
from thymos.serving.problems import STATUS_OF_KIND, ProblemError, problem_response
from thymos.serving.queues import BusyError, JobQueue, WorkerHungError
from thymos.serving.records import ServerLog, ServerMetrics
from thymos.serving.stream_endpoint import StreamEndpoint

PAGE = Path(str(resources.files("thymos.serving") / "page"))


@dataclass
class Service:
    """What answers requests: the models that are offered, and the workers that hear.

    Attributes:
        models: the default first.
        jobs: recordings that wait, and who hears them.
        bounds: what is taken at most.
        metrics: what is counted.
        log: where faults are told.
    """

    models: list[ServedModel]
    jobs: JobQueue
    bounds: ServingBounds
    metrics: ServerMetrics
    log: ServerLog
    draining: Callable[[], bool] = lambda: False

    async def predict(self, request: Request) -> Response:
        """Answer which emotion is heard in recordings."""
        wanted = wanted_of(request.query_params, accept_of(request))
        model = find_model(self.models, wanted.model)
        uploads = await read_uploads(request, self.bounds)
        unheard = list(uploads)
        head = {
            "do": "predict",
            "model": str(model.folder),
            "labels": wanted.labels,
            "timeline": wanted.timeline,
            "windows": wanted.windows,
            "explain": wanted.explain,
            "channels": wanted.channels,
            "speakers": wanted.speakers,
            "vad_threshold": wanted.vad_threshold,
            "shortest": wanted.shortest,
        }
        try:
            check_number(wanted, len(uploads))
            rows, labels = list[ResultRow](), list(model.about.labels)
            while unheard:
                upload = unheard.pop(0)
                answer = await self._heard(request, head, upload)
                labels = answer.get("labels", labels)
                parts = answer.get("parts", [answer])
                for part in parts:
                    self.metrics.sound.labels("file").inc(part.get("said", {}).get("duration_s", 0))
                if answer.get("kind") == "call" or (len(uploads) == 1 and all("error" in part for part in parts)):
                    _raise_problem(parts[0])
                rows += [_row(upload.name, part) for part in parts]
            check_number(wanted, len(rows), " channels or voices of it" if len(uploads) == 1 else "")
        finally:
            for upload in unheard:
                upload.close()
        return rendered(rows, labels, wanted, model.about.dimensions)

    async def embed(self, request: Request) -> Response:
        """Answer the embeddings of recordings."""
        query = request.query_params
        checked_query(query, ("model", "what", "windows", "vad_threshold"))
        model = find_model(self.models, query.get("model"))
        what = query.get("what", "embedding")
        if what not in ("embedding", "statistics"):
            raise ProblemError(400, f"what is embedding or statistics, not {what[:40]!r}")
        accepted(accept_of(request), (JSON, JSON_LINES))
        uploads = await read_uploads(request, self.bounds)
        unheard = list(uploads)
        asked = {"windows": flag_of(query, "windows"), "vad_threshold": number_of(query, "vad_threshold")}
        head = {"do": "embed", "model": str(model.folder), "what": what, **asked}
        try:
            rows: list[dict[str, Any]] = []
            while unheard:
                upload = unheard.pop(0)
                answer = await self._heard(request, head, upload)
                if len(uploads) == 1:
                    _raise_problem(answer)
                said = _error(answer) if "error" in answer else answer
                rows.append(result_row(upload.name, said))
        finally:
            for upload in unheard:
                upload.close()
        if len(rows) == 1:
            return JSONResponse(rows[0])
        return Response("".join(json_line(row) + "\n" for row in rows), media_type=JSON_LINES)

    async def list_models(self, request: Request) -> Response:
        """Answer which models are offered."""
        checked_query(request.query_params, ())
        return JSONResponse({"models": [model.to_dict() for model in self.models]})

    async def describe(self, request: Request) -> Response:
        """Answer the OpenAPI document."""
        return JSONResponse(openapi_document(self.models, self.bounds))

    async def is_alive(self, request: Request) -> Response:
        """Answer that the server is there."""
        return JSONResponse({"status": "alive"})

    async def is_ready(self, request: Request) -> Response:
        """Answer whether a recording would be heard now."""
        if self.draining() or not self.jobs.ready:
            return problem_response(503, "no worker is ready", {"Retry-After": "1"})
        return JSONResponse({"status": "ready", **self.jobs.describe()})

    async def tell_metrics(self, request: Request) -> Response:
        """Answer what Prometheus reads."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def page(self, request: Request) -> Response:
        """Answer the page."""
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})

    async def _heard(self, request: Request, head: Head, upload: Upload) -> Head:
        """Return what a worker answers; nobody hears what its client has stopped waiting for."""
        job = await self.jobs.submit(head, upload)
        gone = asyncio.create_task(_until_gone(request))
        try:
            waited: set[asyncio.Future[Any]] = {gone, job.answer}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not job.answer.done():
                raise ClientDisconnect
            answer = job.answer.result()
        finally:
            gone.cancel()
            job.answer.cancel()
        for each in (answer, *answer.get("parts", ())):
            if each.get("kind") == "fault":
                self.log.told_fault("of a worker", [str(each.get("fault"))])
        return answer


def web_application(service: Service, admission: Admission, streams: StreamEndpoint) -> Gate:
    """Return the application, inside the gate that all requests to it pass.

    Args:
        service: what answers.
        admission: who may come in.
        streams: what answers a WebSocket at ``/v1/stream``.
    """
    routes: list[Any] = [
        Route("/v1/predict", service.predict, methods=["POST"]),
        Route("/v1/embed", service.embed, methods=["POST"]),
        Route("/v1/models", service.list_models),
        Route("/openapi.json", service.describe),
        Route("/healthz", service.is_alive),
        Route("/readyz", service.is_ready),
        Route("/metrics", service.tell_metrics),
        WebSocketRoute("/v1/stream", streams.__call__),
        Route("/", service.page),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    handlers: dict[Any, Any] = {ThymosError: _refused, HTTPException: _http_problem, ClientDisconnect: _nobody_waits}
    inner: ASGIApp = Starlette(routes=routes, exception_handlers=handlers)
    if admission.origins:
        methods, names = ["GET", "POST"], ["Authorization", "Content-Type", "Accept"]
        inner = CORSMiddleware(inner, allow_origins=admission.origins, allow_methods=methods, allow_headers=names)
    gate = Gate(inner, admission, service.metrics, service.log)
    service.draining = lambda: gate.draining
    return gate


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _row(name: str, part: Head) -> ResultRow:
    """Return the row of what a worker says of a recording, of a channel or of a voice in it."""
    where = {what: part[what] for what in ("channel", "speaker") if what in part}
    for what, number in where.items():
        name = part_name(name, what, number)
    return result_row(name, part["said"] if "said" in part else _error(part)) | where


def _error(answer: Head) -> ThymosError:
    return ThymosError(answer["error"])


def _raise_problem(answer: Head) -> None:
    """Raise the problem that a worker's answer tells, if it does."""
    if "error" in answer:
        raise ProblemError(STATUS_OF_KIND.get(answer.get("kind", ""), 500), answer["error"])


async def _refused(request: Request, error: Exception) -> Response:
    """Answer a request that cannot be answered as it was meant."""
    if isinstance(error, ProblemError):
        return problem_response(error.status, str(error), error.headers)
    if isinstance(error, BusyError):
        return problem_response(503, str(error), {"Retry-After": str(error.retry_s)})
    status = 504 if isinstance(error, WorkerHungError) else 500 if isinstance(error, WorkerLostError) else 400
    return problem_response(status, str(error))


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = {
        404: "there is nothing at this address; /openapi.json says what there is",
        405: f"{request.method} is not what this address takes",
    }.get(error.status_code, error.detail)
    return problem_response(error.status_code, sentence, dict(error.headers or {}))


async def _nobody_waits(request: Request, error: Exception) -> Response:
    """Answer a client that has gone: nobody reads it, but it is counted (499, as nginx counts it)."""
    return Response(status_code=499)
