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
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import IN_FLIGHT, REJECTIONS, REQUEST_SECONDS

_RECORD = "cxr.record"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_QUIET = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines; measured nowhere and logged nowhere."""

log = logging.getLogger("cxr.request")


def record(scope: Scope) -> dict[str, Any]:
    """The record of a request, to which handlers add fields."""
    return scope.setdefault(_RECORD, {})


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
        self._service = service
        self._paths = paths
        self._log_requests = log_requests
        self._unlogged = 0
        self._next_line = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _QUIET:
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        path = scope["path"] if scope["path"] in self._paths else "other"
        request_id = _request_id(scope)
        kept = record(scope)
        kept.update(
            service=self._service,
            request_id=request_id,
            path=path,
            method=scope["method"],
            status=499,
        )

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept["status"] = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        in_flight = IN_FLIGHT.labels(self._service, path)
        in_flight.inc()
        try:
            await self._app(scope, receive, note)
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


def _request_id(scope: Scope) -> str:
    """The caller's request id where it is well-formed, otherwise a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return uuid.uuid4().hex


def _outcome(status: int) -> str:
    """The outcome by status, for answers without an error code; 499 is a disconnect."""
    if status < 400:
        return "ok"
    return "gone" if status == 499 else f"http_{status}"
