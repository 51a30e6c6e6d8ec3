"""Work for a caller that has gone is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from service.edge.form import cut_off

Result = TypeVar("Result")


async def unless_gone(
    request: Request, work: Coroutine[Any, Any, Result], read: asyncio.Event | None = None
) -> Result:
    """Wait for `work`, or cancel it when the caller closes the connection.

    Args:
        request: Its body has been read, or is read by `work`.
        work: What the caller waits for.
        read: Set once `work` has read the body; None where it was read before.

    Raises:
        MalformedRequest: The caller is gone; nobody will read this.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request, read))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise cut_off()
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _gone(request: Request, read: asyncio.Event | None) -> None:
    if read is not None:
        await read.wait()
    while (await request.receive())["type"] != "http.disconnect":
        pass
