"""Cross-origin requests (CORS), for the origins that BentoML's configuration allows."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import MalformedRequest
from service.http.framework import cors_options
from service.http.middleware.error_responses import ErrorResponse


class CrossOrigin:
    """Middleware that answers preflights and lets allowed origins read every other answer.

    It stands in front of the middleware that asks for a key, as browsers send preflights without
    one, and applies the options of BentoML's configuration (`service.http.framework`).

    Cross-Origin-Resource-Policy stays `same-origin`: browsers check it where an answer is embedded
    without CORS only (Fetch standard, HTTP fetch, "cross-origin resource policy check").

    Args:
        app: What it wraps.
    """

    def __init__(self, app: ASGIApp) -> None:
        options = cors_options()
        self._app = app if options is None else _Cors(app, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _Cors(CORSMiddleware):
    """Starlette's middleware, whose refusals have the one shape of every error here."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        reason = bytes(answer.body).decode()
        return ErrorResponse(MalformedRequest(f"{reason}.", code="cors_refused"))
