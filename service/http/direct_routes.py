"""From a request straight to the API method that answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Answer = Callable[[Request], Awaitable[Response]]


class RouteTable:
    """Where requests are handed in; the service opens it once it can answer them.

    Attributes:
        answers: The API method of each path; none until it is open.
    """

    def __init__(self) -> None:
        self.answers: Mapping[str, Answer] = {}

    def open(self, service: Any, instance: object) -> None:
        """Answer by the API methods of a BentoML service.

        Args:
            service: The service; each of its API methods takes an unread request
                (`service.http.input_specs`) and returns a response.
            instance: What they are methods of.
        """
        self.answers = {
            method.route: partial(method.func, instance) for method in service.apis.values()
        }


class DirectRoutes:
    """Middleware that calls the API method of a path itself.

    The framework comes to the same call by its router, a context, injected dependencies, and a
    signature that it inspects and binds anew for each request, though all that is bound is the
    request. That costs a third of what the event loop does for a prediction, and more the longer
    it has slept. What the framework does around its router (tracing, time limits) stays.

    Args:
        app: What it wraps; answers every other path and method.
        desk: The API methods.
    """

    def __init__(self, app: ASGIApp, desk: RouteTable) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            answer = self._desk.answers.get(scope["path"])
            if answer is not None:
                response = await answer(Request(scope, receive))
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
