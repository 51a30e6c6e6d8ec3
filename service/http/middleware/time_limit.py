"""The time that a request may take at the most, whatever becomes of it."""

from __future__ import annotations

import asyncio
import logging
import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import DeadlineExceeded
from service.http.middleware.error_responses import ErrorResponse

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

log = logging.getLogger("cxr.edge")


class TimeLimit:
    """Middleware that gives up a request which no deadline of its own stages has ended.

    Nothing of it is left once the request is answered. Stands behind what turns requests away.

    Args:
        app: What it wraps.
        seconds: How long a request may take.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with timeout(self._seconds):
                await self._app(scope, receive, note)
        except asyncio.TimeoutError:
            if started:
                raise
            log.exception("a request was given up after %g s", self._seconds)
            await ErrorResponse(DeadlineExceeded("No answer by the deadline."))(
                scope, receive, send
            )
