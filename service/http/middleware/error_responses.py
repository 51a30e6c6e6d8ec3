"""Error responses: one JSON shape for every error answer, and the Open Inference Protocol's own."""

from __future__ import annotations

import http
import json
import logging
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import CxrError
from service.http.middleware.access_log import record

log = logging.getLogger("cxr.edge")

_MARK = "cxr.fault"
"""Set in the scope of a request whose error answer is in our shape already."""

CODES = {
    400: "malformed_request",
    401: "unauthorised",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    429: "overloaded",
    500: "internal_error",
    503: "unavailable",
    504: "deadline_exceeded",
}
"""The code for each status that the framework may answer by itself."""

MESSAGES = {
    404: "There is nothing at this path.",
    405: "This path does not take this method.",
    429: "The service is busy; try again in a moment.",
    500: "The service failed on this request.",
    503: "The service is not ready.",
    504: "No answer by the deadline.",
}
"""The message likewise; the status's own phrase where there is none."""


_PROTOCOL = "/v2"
"""Where the Open Inference Protocol is served, which has a shape of its own for errors."""


def is_protocol_path(path: str) -> bool:
    """Whether a path is the Open Inference Protocol's."""
    return path.startswith(f"{_PROTOCOL}/") or path == _PROTOCOL


def protocol_text(code: str, message: str) -> str:
    """An error as the Open Inference Protocol tells it: a text and nothing else."""
    return f"{code}: {message}"


def _body(path: str, error: dict[str, Any]) -> dict[str, Any]:
    """The body of an error answer at a path."""
    if is_protocol_path(path):
        return {"error": protocol_text(error["code"], error["message"])}
    return {"error": error}


class _Shaped(Response):
    """A response that is not rewritten."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_MARK] = True
        await super().__call__(scope, receive, send)


class ForwardedResponse(_Shaped):
    """The forwarded response of the explainer."""


class ErrorResponse(_Shaped, JSONResponse):
    """The response to a CxrError."""

    def __init__(self, fault: CxrError) -> None:
        self._error = fault.body()["error"]
        super().__init__({"error": self._error}, status_code=fault.status, headers=fault.headers)
        self._noted = {"outcome": fault.code}
        if digest := fault.detail.get("sha256_pixels"):  # which a line with the cause has too
            self._noted["sha256_pixels"] = digest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record(scope).update(self._noted)
        if is_protocol_path(scope["path"]):
            self.body = self.render(_body(scope["path"], self._error))
            self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


class ErrorResponses:
    """Middleware that gives every error body the one JSON shape.

    The framework answers a validation error with an object, its own exceptions with a list, an
    unknown route with plain text; none of that reaches a caller.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        status = 0
        allow = b""

        async def shape(message: Message) -> None:
            nonlocal started, status, allow
            if message["type"] == "http.response.start":
                if message["status"] >= 400 and _MARK not in scope:
                    status = message["status"]
                    allow = dict(message["headers"]).get(b"allow", b"")
                    return
                started = True
            elif status:
                if not message.get("more_body"):
                    started = True
                    await _send_shaped(send, scope["path"], status, allow)
                return
            await send(message)

        try:
            await self._app(scope, receive, shape)
        except Exception:
            log.exception("a request failed", extra={"request_id": record(scope).get("request_id")})
            if started:
                raise
            await _send_shaped(send, scope["path"], 500, b"")


async def _send_shaped(send: Send, path: str, status: int, allow: bytes) -> None:
    phrase = http.HTTPStatus(status).phrase
    error = {
        "code": CODES.get(status, phrase.lower().replace(" ", "_")),
        "message": MESSAGES.get(status, f"{phrase}."),
        "detail": {},
    }
    body = json.dumps(_body(path, error)).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if allow:
        headers.append((b"allow", allow))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
