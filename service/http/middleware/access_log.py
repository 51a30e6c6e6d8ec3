"""The access log: one line and the metrics of each request.

A record holds timings, status and the digest of the scored pixels. It never holds a file's
name, a tag, a pixel, an address or a query.
"""

from __future__ import annotations

import http
import logging
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import IN_FLIGHT, REJECTIONS, REQUEST_SECONDS

_RECORD = "cxr.record"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_VERSION = re.compile(r"/versions/[^/]+")
"""The part of the Open Inference Protocol's paths that names a version, which can be any."""
_QUIET = frozenset(
    {"/livez", "/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}
)
"""Asked every few seconds by machines; measured nowhere and logged nowhere."""

log = logging.getLogger("cxr.request")


def record(scope: Scope) -> dict[str, Any]:
    """The record of a request, to which handlers add fields."""
    return scope.setdefault(_RECORD, {})


class RequestLog:
    """Logs and measures the requests of a service, whichever way they come.

    Args:
        service: Whose requests these are.
        log_requests: Whether to log one line a request.
    """

    def __init__(self, service: str, log_requests: bool) -> None:
        self._service = service
        self._log_requests = log_requests
        self._unlogged = 0
        self._next_line = 0.0

    @contextmanager
    def request(
        self, kept: dict[str, Any], request_id: str, path: str, method: str
    ) -> Iterator[None]:
        """Keep the record of one request while the block lasts, and log and measure it then.

        Args:
            kept: The record; `status` and `outcome` are what became of the request.
            request_id: Its identifier.
            path: What is asked for; one of a few.
            method: How.
        """
        started = time.monotonic()
        kept.update(
            service=self._service, request_id=request_id, path=path, method=method, status=499
        )
        in_flight = IN_FLIGHT.labels(self._service, path)
        in_flight.inc()
        try:
            yield
        finally:
            in_flight.dec()
            elapsed = time.monotonic() - started
            outcome = kept.setdefault("outcome", _outcome(kept["status"]))
            REQUEST_SECONDS.labels(self._service, path, outcome).observe(elapsed)
            if kept["status"] >= 400:
                REJECTIONS.labels(self._service, outcome).inc()
            if self._log_requests and not self._rate_limited(kept):
                kept["ms"] = round(elapsed * 1e3, 2)
                log.info("request", extra=kept)

    def _rate_limited(self, kept: dict[str, Any]) -> bool:
        """Whether the line is left out: those of 429s are limited to one a second.

        Under overload there is one line a second for those that are turned away, with the number
        of those before it: to log each would cost more than to turn it away. Metrics count all.
        """
        if kept["status"] != http.HTTPStatus.TOO_MANY_REQUESTS:
            return False
        now = time.monotonic()
        if now < self._next_line:
            self._unlogged += 1
            return True
        kept["turned_away_before"] = self._unlogged
        self._unlogged, self._next_line = 0, now + 1.0
        return False


class AccessLog:
    """Middleware that logs and measures every request; it is outermost.

    Args:
        app: What it wraps.
        service: Whose requests these are.
        paths: The paths that are served; every other counts as "other".
        log_requests: Whether to log one line a request.
    """

    def __init__(
        self, app: ASGIApp, service: str, paths: frozenset[str], log_requests: bool
    ) -> None:
        self._app = app
        self._paths = paths
        self._log = RequestLog(service, log_requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _QUIET:
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path not in self._paths:
            path = _VERSION.sub("", path, 1)
        request_id = new_request_id(dict(scope["headers"]).get(b"x-request-id", b""))
        kept = record(scope)

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept["status"] = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        path = path if path in self._paths else "other"
        with self._log.request(kept, request_id, path, scope["method"]):
            await self._app(scope, receive, note)


def new_request_id(sent: bytes) -> str:
    """The caller's request id where it is well-formed, otherwise a new one."""
    return sent.decode() if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex


def _outcome(status: int) -> str:
    """The outcome by status, for answers without an error code; 499 is a disconnect."""
    if status < 400:
        return "ok"
    return "gone" if status == 499 else f"http_{status}"
