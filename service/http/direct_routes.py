"""Middleware that calls the API method of a path without the framework's router."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.framework import ApiMethod


class RouteTable:
    """The API method of each path.

    Attributes:
        methods: By path; empty until the service's instance exists.
    """

    def __init__(self) -> None:
        self.methods: Mapping[str, ApiMethod] = {}


class DirectRoutes:
    """Middleware that calls the API method of a path itself.

    The framework reaches the same method by its router, a context, injected dependencies and a
    signature that it inspects and binds anew for each request. That costs a third of the event
    loop's time for a prediction. What the framework does around its router (tracing, time limits)
    stays.

    Args:
        app: The application that is wrapped; answers every other path and method.
        routes: The API methods.
    """

    def __init__(self, app: ASGIApp, routes: RouteTable) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            method = self._routes.methods.get(scope["path"])
            if method is not None:
                response = await method(Request(scope, receive))
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
