"""Cancelling the work of a caller that disconnected."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from starlette.requests import Request

from service.http.uploads import cut_off

Result = TypeVar("Result")


async def cancel_on_disconnect(
    request: Request, work: Coroutine[Any, Any, Result], read: asyncio.Event | None = None
) -> Result:
    """Await `work`, and cancel it when the caller disconnects.

    Args:
        request: Its body has been read, or is read by `work`.
        work: What the caller waits for.
        read: Set once `work` has read the body; None where it was read before.

    Raises:
        MalformedRequest: The caller is gone; nobody will read this.
    """
    working = cast("asyncio.Task[Any]", asyncio.current_task())
    waiting, dropped = True, False

    def drop(_: asyncio.Task[None]) -> None:
        nonlocal dropped
        if waiting:
            dropped = working.cancel()

    leaving = asyncio.ensure_future(_gone(request, read))
    leaving.add_done_callback(drop)
    try:
        return await work
    except asyncio.CancelledError:
        if not dropped or _cancelled_by_others(working):
            raise
        raise cut_off() from None
    finally:
        waiting = False
        leaving.cancel()


async def _gone(request: Request, read: asyncio.Event | None) -> None:
    if read is not None:
        await read.wait()
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _cancelled_by_others(task: asyncio.Task[Any]) -> bool:
    """Whether a task that we cancelled once was cancelled by somebody else too."""
    if sys.version_info < (3, 11):  # where it is not counted
        return False
    return task.uncancel() > 0
