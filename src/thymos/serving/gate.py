"""Who comes in: host, origin, token, rate; what every answer carries; what is counted and logged of each request."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from thymos.serving.bounds import BURST_S
from thymos.serving.problems import problem_response
from thymos.serving.records import ServerLog, ServerMetrics

CONTENT_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""What the page may load: its own files, and sound that it was given. Nothing inline, and nothing from elsewhere."""
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
}
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN = frozenset({"/healthz", "/readyz", "/", "/openapi.json", "/favicon.ico"})
"""Paths that need no token, and the page's files beside them: they say nothing of anybody."""
_MOST_CLIENTS = 10_000


@dataclass(frozen=True)
class Admission:
    """Who may come in.

    Attributes:
        token: that requests must bear; None: none need to.
        hosts: names that a request may call this server by, so that no other site's name leads here; None: any.
        origins: other sites whose pages may use this server.
        rate: requests a second from one client of another machine; 0: any number.
    """

    token: str | None = None
    hosts: frozenset[str] | None = LOCAL_HOSTS
    origins: Sequence[str] = ()
    rate: float = 0.0


@dataclass
class Rates:
    """A bucket of tokens for each client that was seen lately."""

    rate: float
    _buckets: "OrderedDict[str, tuple[float, float]]" = field(default_factory=OrderedDict)

    def wait_s(self, client: str) -> float:
        """Count a request of ``client``; return 0, or in how many seconds one may come."""
        now_s = time.monotonic()
        full = self.rate * BURST_S
        tokens, then_s = self._buckets.pop(client, (full, now_s))
        tokens = min(full, tokens + (now_s - then_s) * self.rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens, now_s)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self.rate


class Gate:
    """The middleware that all requests pass."""

    def __init__(self, app: ASGIApp, admission: Admission, metrics: ServerMetrics, log: ServerLog):
        """Take what answers those who come in."""
        self.app, self.admission, self.metrics, self.log = app, admission, metrics, log
        self.rates = Rates(admission.rate)
        self.draining = False
        self.active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        status, began_s = 0, time.monotonic()

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
                if self.draining:
                    headers["connection"] = "close"
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        self.active += 1
        self.metrics.active.inc()
        try:
            refusal = self._refusal(scope)
            if refusal is None:
                await self.app(scope, receive, tell)
            else:
                await refusal(scope, receive, tell)
        except Exception as error:  # nobody's request may end the server, or go without a status
            self.log.fault(error)
            if status == 0:
                await problem_response(500, "could not be answered, by a fault of the server")(scope, receive, tell)
            else:
                raise
        finally:
            self.active -= 1
            self.metrics.active.dec()
            route = route_of(scope)
            seconds = time.monotonic() - began_s
            self.metrics.requests.labels(route, str(status)).inc()
            if scope["type"] == "http":
                self.metrics.seconds.labels(route).observe(seconds)
            self.log.request(scope.get("method", "WEBSOCKET"), route, status, seconds)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers, path = Headers(scope=scope), scope["path"]
        if self.draining and path != "/healthz":
            return problem_response(503, "the server ends; try again soon", {"Retry-After": "5"})
        hosts = self.admission.hosts
        if hosts is not None and host_name(headers.get("host", "")) not in hosts:
            return problem_response(421, "this server goes by another name; `thymos serve --host-name` adds one")
        if not self._is_origin_welcome(scope, headers):
            return problem_response(403, "another site's page may not use this server; `thymos serve --cors` lets one")
        if self._needs_token(scope) and not self._bears_token(headers):
            return problem_response(401, "a token is needed: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
        client = (scope.get("client") or ("",))[0]
        if self.admission.rate and not _is_here(client) and (wait_s := self.rates.wait_s(client)):
            retry = {"Retry-After": str(int(wait_s) + 1)}
            return problem_response(429, f"more than {self.admission.rate:g} requests a second", retry)
        return None

    def _is_origin_welcome(self, scope: Scope, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None or scope.get("method") in ("GET", "HEAD") or origin in self.admission.origins:
            return True
        # The page's own requests; behind a proxy that speaks TLS, its scheme is not this server's.
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""

    def _needs_token(self, scope: Scope) -> bool:
        # A stream's first message bears its token: a page cannot give its WebSocket a header.
        if self.admission.token is None or scope["type"] == "websocket" or scope.get("method") == "OPTIONS":
            return False
        return scope["path"] not in _OPEN and not scope["path"].startswith("/page/")

    def _bears_token(self, headers: Headers) -> bool:
        return is_token(borne_token(headers), self.admission.token)


def borne_token(headers: Headers) -> str:
    """Return the token in an Authorization header; "" where there is none. Its bytes are UTF-8."""
    kind, _, token = headers.get("authorization", "").encode("latin-1").decode("utf-8", "replace").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def is_token(given: str, token: str | None) -> bool:
    """Return whether ``given`` is the token; how long that takes says nothing of it."""
    return token is None or hmac.compare_digest(given.encode("utf-8", "replace"), token.encode("utf-8", "replace"))


def host_name(header: str) -> str:
    """Return the name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def route_of(scope: Scope) -> str:
    """Return which of the server's routes a request was for: what a client made up is not counted by name."""
    path = scope["path"]
    return path if path in ROUTES else "/page" if path.startswith("/page/") else "other"


ROUTES = frozenset({*_OPEN, "/metrics", "/v1/predict", "/v1/embed", "/v1/models", "/v1/stream"})


def _is_here(client: str) -> bool:
    try:
        return ip_address(client).is_loopback
    except ValueError:  # a socket of this machine
        return True
