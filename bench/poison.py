"""Bad requests beside good ones: each on a connection of its own, none waited for."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from bench.wire import Connection, NoAnswer, Target, form_body, form_request, form_type

_CHUNK = 1 << 20
_PATIENCE = 30.0


class Poisoner:
    """Sends bad requests of each kind in turn.

    Args:
        target: Where to.
        image: A good image.
        share: Bad requests as a share of all.
        seed: Of the choice when to send one.
        max_bytes: The service's limit on a body.
    """

    def __init__(
        self, target: Target, image: bytes, share: float, seed: int, max_bytes: int
    ) -> None:
        self._target = target
        self._image = image
        self._share = share / (1 - share)
        self._max_bytes = max_bytes
        self._draw = random.Random(seed)
        self._sent = 0
        self._outcomes: dict[str, Counter[str]] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._kinds: list[tuple[str, Callable[[Connection], Awaitable[str]]]] = [
            ("corrupt", self._corrupt),
            ("oversized, declared", self._declared),
            ("oversized, chunked", self._chunked),
            ("hanging upload", self._hanging),
            ("half-closed", self._half_closed),
            ("vanishing", self._vanishing),
        ]

    def perhaps(self) -> None:
        """Called once a good request: starts a bad one as often as asked for."""
        if self._draw.random() >= self._share:
            return
        name, send = self._kinds[self._sent % len(self._kinds)]
        self._sent += 1
        task = asyncio.ensure_future(self._run(name, send))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def finish(self) -> None:
        """Wait for those under way."""
        await asyncio.gather(*self._under_way)

    def report(self) -> dict[str, Any]:
        """How many there were of each kind, by what they were answered."""
        return {kind: dict(outcomes) for kind, outcomes in sorted(self._outcomes.items())}

    async def _run(self, name: str, send: Callable[[Connection], Awaitable[str]]) -> None:
        try:
            connection = await Connection.to(self._target)
            try:
                outcome = await send(connection)
            finally:
                connection.close()
        except NoAnswer as error:
            outcome = error.kind
        self._outcomes.setdefault(name, Counter())[outcome] += 1

    async def _ask(self, connection: Connection, data: bytes) -> str:
        status, _ = await connection.ask(data, _PATIENCE)
        return str(status)

    async def _corrupt(self, connection: Connection) -> str:
        head, body = form_request(self._target, self._image[: len(self._image) // 3])
        return await self._ask(connection, head + b"\r\n" + body)

    async def _declared(self, connection: Connection) -> str:
        head = self._target.head(form_type(), f"Content-Length: {2 * self._max_bytes}")
        return await self._ask(connection, head + b"\r\n" + form_body(self._image, closed=False))

    async def _chunked(self, connection: Connection) -> str:
        head = self._target.head(form_type(), "Transfer-Encoding: chunked") + b"\r\n"
        start = form_body(b"", closed=False)
        connection.send(head + b"%x\r\n%b\r\n" % (len(start), start))
        answer = asyncio.ensure_future(self._ask(connection, b""))
        chunk = b"%x\r\n%b\r\n" % (_CHUNK, bytes(_CHUNK))
        for _ in range(self._max_bytes // _CHUNK + 2):
            if answer.done():
                break
            connection.send(chunk)
            await asyncio.sleep(0.005)
        return await answer

    async def _hanging(self, connection: Connection) -> str:
        head, body = form_request(self._target, self._image)
        return await self._ask(connection, head + b"\r\n" + body[: len(body) // 2])

    async def _half_closed(self, connection: Connection) -> str:
        head, body = form_request(self._target, self._image)
        answer = asyncio.ensure_future(self._ask(connection, head + b"\r\n" + body))
        await asyncio.sleep(0)
        connection.half_close()
        return await answer

    async def _vanishing(self, connection: Connection) -> str:
        head, body = form_request(self._target, self._image)
        connection.send(head + b"\r\n" + body)
        await asyncio.sleep(self._draw.random() * 0.05)
        return "gone"
