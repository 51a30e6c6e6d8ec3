"""Answers of many megabytes: what counts of them while they are sent, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from service.errors import Overloaded
from service.http.held_response import HeldResponse
from service.http.uploads import ByteBudget

LONG = 30.0
SIZE = 1_000_000


class Caller:
    """Takes an answer message by message, as many as it is let."""

    def __init__(self, takes: int = 1000) -> None:
        self.messages: list[dict] = []
        self.goes_on = asyncio.Event()
        self.takes = takes

    async def send(self, message) -> None:
        self.messages.append(message)
        if len(self.messages) > self.takes:
            await self.goes_on.wait()

    @property
    def body(self) -> bytes:
        return b"".join(bytes(message.get("body", b"")) for message in self.messages)


def response(intake: ByteBudget, content: bytes = bytes(range(250)) * (SIZE // 250), **options):
    options = {"media_type": "image/png", "seconds": LONG, **options}
    return HeldResponse(content, intake=intake, **options)


async def test_an_answer_comes_whole_and_counts_until_then():
    """Its pieces are its bytes, its length is declared, and nothing counts of it afterwards."""
    intake, caller = ByteBudget(SIZE), Caller()
    answer = response(intake)
    assert intake.held == SIZE
    await answer({"type": "http"}, None, caller.send)
    assert caller.body == bytes(range(250)) * (SIZE // 250)
    start, *pieces = caller.messages
    assert dict(start["headers"])[b"content-length"] == str(SIZE).encode()
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert max(len(piece["body"]) for piece in pieces) == 1 << 18
    assert intake.held == 0


async def test_an_empty_answer_ends():
    """The server is told that there is no more."""
    intake, caller = ByteBudget(SIZE), Caller()
    await response(intake, b"")({"type": "http"}, None, caller.send)
    assert [message["type"] for message in caller.messages] == [
        "http.response.start",
        "http.response.body",
    ]


async def test_an_answer_that_does_not_fit_is_turned_away():
    """Beside what is held it would be too much: 429, and it counts nothing."""
    intake = ByteBudget(SIZE)
    intake.take(1)
    with pytest.raises(Overloaded):
        response(intake)
    assert intake.held == 1


async def test_what_a_slow_caller_has_not_taken_counts():
    """A piece waits for the one before; all of them count until the last is on its way."""
    intake, caller = ByteBudget(SIZE), Caller(takes=2)
    sending = asyncio.create_task(response(intake)({"type": "http"}, None, caller.send))
    while len(caller.messages) < 3:
        await asyncio.sleep(0.001)
    assert (len(caller.body), intake.held) == (2 << 18, SIZE)
    caller.goes_on.set()
    await asyncio.wait_for(sending, LONG)
    assert (len(caller.body), intake.held) == (SIZE, 0)


async def test_a_caller_that_does_not_read_is_cut_off():
    """After the time for it the answer ends unfinished, and its bytes are given back."""
    intake, caller = ByteBudget(SIZE), Caller(takes=2)
    sending = response(intake, seconds=0.05)({"type": "http"}, None, caller.send)
    await asyncio.wait_for(sending, LONG)
    assert caller.messages[-1]["more_body"] is True
    assert intake.held == 0


async def test_a_cancelled_answer_is_given_back():
    """Whoever ends the request ends the sending, and the bytes are free."""
    intake, caller = ByteBudget(SIZE), Caller(takes=2)
    sending = asyncio.create_task(response(intake)({"type": "http"}, None, caller.send))
    while len(caller.messages) < 3:
        await asyncio.sleep(0.001)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert intake.held == 0
