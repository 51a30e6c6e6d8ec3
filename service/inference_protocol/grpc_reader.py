"""Receiving the messages of gRPC within the intake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from service.errors import MalformedRequest
from service.http.uploads import ByteBudget, too_slow
from service.settings import Settings

_SMALL_READERS = 2
"""Messages that are received at one time by methods that take a few bytes."""

_SMALL_SECONDS = 1.0
"""Within which such a message must have arrived."""


class MessageReader:
    """Receives messages, so many at a time that they fit the intake whatever their size.

    gRPC hands a message over when all of it has arrived, and says no earlier how large it is. So
    one that is received counts as the largest that may be. What is not received waits at the
    caller, but for the 64 KiB that gRPC takes of every call ahead. One message at a time, the one
    that has just arrived, is there twice for a moment.

    Args:
        settings: Limits.
        intake: What counts the bytes of all requests.

    Attributes:
        most: Bytes of a message at the most.
    """

    def __init__(self, settings: Settings, intake: ByteBudget) -> None:
        self._intake = intake
        self._seconds = settings.body_seconds
        half = settings.max_held_bytes // 2  # the other half stays for HTTP
        self.most = min(settings.max_bytes, half)
        self._large = asyncio.Semaphore(half // self.most)
        self._small = asyncio.Semaphore(_SMALL_READERS)

    async def small(self, context: Any) -> bytes:
        """Receive the message of a call whose method takes a few bytes only.

        Raises:
            TooSlow: It did not arrive in time.
            MalformedRequest: The caller sent none.
        """
        async with self._small:
            return await _receive(context, _SMALL_SECONDS)

    @asynccontextmanager
    async def large(self, context: Any) -> AsyncIterator[bytes]:
        """Receive a call's one message, which counts against the intake while the block lasts.

        Args:
            context: Of the call.

        Raises:
            Overloaded: There is no room for it.
            TooSlow: It did not arrive in time.
            MalformedRequest: The caller sent none.
        """
        held = 0
        try:
            async with self._large:
                self._intake.take(self.most)
                held = self.most
                received = await _receive(context, self._seconds)
                # The message, and its elements as they are read and as they are taken out of it.
                held = self._exchange(held, 3 * len(received))
            yield received
        finally:
            self._intake.give_back(held)

    def _exchange(self, held: int, size: int) -> int:
        """Count so many bytes instead of those that are held."""
        if size > held:
            self._intake.take(size - held)
        else:
            self._intake.give_back(held - size)
        return size


async def _receive(context: Any, seconds: float) -> bytes:
    try:
        received = await asyncio.wait_for(context.read(), seconds)
    except asyncio.TimeoutError as error:
        raise too_slow(seconds) from error
    if received is grpc.aio.EOF:
        raise MalformedRequest("Nothing was sent.", code="nothing_sent")
    return received
