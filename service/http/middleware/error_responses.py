"""Error responses: one JSON shape for every error answer."""

from __future__ import annotations

import http
import json
import logging

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
        super().__init__(fault.body(), status_code=fault.status, headers=fault.headers)
        self._noted = {"outcome": fault.code}
        if digest := fault.detail.get("sha256_pixels"):  # which a line with the cause has too
            self._noted["sha256_pixels"] = digest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record(scope).update(self._noted)
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
                    await _send_shaped(send, status, allow)
                return
            await send(message)

        try:
            await self._app(scope, receive, shape)
        except Exception:
            log.exception("a request failed", extra={"request_id": record(scope).get("request_id")})
            if started:
                raise
            await _send_shaped(send, 500, b"")


async def _send_shaped(send: Send, status: int, allow: bytes) -> None:
    phrase = http.HTTPStatus(status).phrase
    body = json.dumps(
        {
            "error": {
                "code": CODES.get(status, phrase.lower().replace(" ", "_")),
                "message": MESSAGES.get(status, f"{phrase}."),
                "detail": {},
            }
        }
    ).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if allow:
        headers.append((b"allow", allow))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
