"""One record a request: an identifier, an outcome, metrics and one line of log.

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
    """What is known of the request so far; handlers add to it."""
    return scope.setdefault(_RECORD, {})


class AccessLog:
    """Middleware that keeps the record. Outermost, so that every answer passes it.

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
            if self._log_requests and not self._told_by_another(kept):
                kept["ms"] = round(elapsed * 1e3, 2)
                log.info("request", extra=kept)

    def _told_by_another(self, kept: dict[str, Any]) -> bool:
        """Whether the line of a request is spared, because another tells of it.

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
    """The caller's own identifier where it is a plain one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value.decode()
    return uuid.uuid4().hex


def _outcome(status: int) -> str:
    """An outcome for an answer that none of our faults explains; 499 means nobody waited."""
    if status < 400:
        return "ok"
    return "gone" if status == 499 else f"http_{status}"
