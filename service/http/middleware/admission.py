"""Turning work away before the framework, or anybody else, has looked at its body."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Overloaded
from service.http.middleware.error_responses import ErrorResponse


class Admission:
    """Where work comes in; whoever does the work says whether there is room for more.

    Attributes:
        check_capacity: Raises Overloaded where there is none; set once the queue exists.
    """

    def __init__(self) -> None:
        self.check_capacity: Callable[[], None] = lambda: None


class AdmissionControl:
    """Middleware that answers 429 where there is no room for a piece of work.

    An overloaded service turns away more requests than it answers, and every one costs what stands
    in front of this: so it stands in front of routing, validation and all that reads a body.

    Args:
        app: What it wraps.
        admission: What to ask.
        paths: Where work comes in.
    """

    def __init__(self, app: ASGIApp, admission: Admission, paths: frozenset[str]) -> None:
        self._app = app
        self._admission = admission
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in self._paths and scope["method"] == "POST":
            try:
                self._admission.check_capacity()
            except Overloaded as fault:
                await ErrorResponse(fault)(scope, receive, send)
                return
        await self._app(scope, receive, send)
