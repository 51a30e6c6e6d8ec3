"""Answers of many megabytes, which are counted until their caller has taken them."""

from __future__ import annotations

import asyncio
import logging
import sys

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.http.uploads import ByteBudget

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

_PIECE = 1 << 18
"""Bytes that are handed to the server at a time."""

log = logging.getLogger("cxr.edge")


class HeldResponse(Response):
    """An answer that counts against the intake until it is sent.

    A server keeps in memory what a caller does not read. So the answer is handed over in pieces,
    each of which waits until the one before is on its way, and a caller that takes too long is cut
    off: its connection is closed before all of the answer was sent.

    Args:
        content: The body.
        media_type: What it is.
        intake: What counts its bytes in.
        seconds: Within which the caller must have taken it.
        headers: Besides length and type.

    Raises:
        Overloaded: There is no room for it in the intake.
    """

    def __init__(
        self,
        content: bytes | memoryview,
        *,
        media_type: str | None = None,
        intake: ByteBudget,
        seconds: float,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        self._intake = intake
        self._seconds = seconds
        intake.take(len(self.body))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = len(self.body)
        try:
            async with timeout(self._seconds):
                await self._send(send)
        except asyncio.TimeoutError:
            log.warning("an answer was not taken in time")
        finally:
            self.body = b""
            self._intake.give_back(size)

    async def _send(self, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        body = memoryview(self.body)
        for at in range(0, len(body), _PIECE):
            piece = body[at : at + _PIECE]
            more = at + _PIECE < len(body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})
        if not body:
            await send({"type": "http.response.body", "body": b""})
