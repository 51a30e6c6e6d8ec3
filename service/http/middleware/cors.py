"""Cross-origin requests (CORS), for the origins that BentoML's configuration allows."""

from __future__ import annotations

from bentoml._internal.configuration.containers import BentoMLContainer
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import MalformedRequest
from service.http.middleware.error_responses import ErrorResponse


class CrossOrigin:
    """Middleware that answers preflights and lets allowed origins read every other answer.

    BentoML (1.4.39) applies its setting `services.NAME.http.cors` behind a service's own
    middleware: there it sees neither what is answered in front of it, predictions and refusals
    among it, nor preflights, which browsers send without an API key. This stands in front and
    applies the same setting.

    Cross-Origin-Resource-Policy stays `same-origin`: browsers check it where an answer is embedded
    without CORS only (Fetch standard, HTTP fetch, "cross-origin resource policy check").

    Args:
        app: What it wraps.
    """

    def __init__(self, app: ASGIApp) -> None:
        # Read here and not on import: the framework reads its configuration in between.
        cors = BentoMLContainer.http.cors
        options = BentoMLContainer.access_control_options
        self._app = _Cors(app, **options.get()) if cors.enabled.get() else app

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
