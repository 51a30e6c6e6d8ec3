"""Admission control: answering 429 before a body is read."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Overloaded
from service.http.middleware.error_responses import ErrorResponse


class Admission:
    """The capacity check of a service, set once its queue exists.

    Attributes:
        check_capacity: Raises Overloaded where there is none; set once the queue exists.
    """

    def __init__(self) -> None:
        self.check_capacity: Callable[[], None] = lambda: None


class AdmissionControl:
    """Middleware that answers 429 where the queue is full.

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
