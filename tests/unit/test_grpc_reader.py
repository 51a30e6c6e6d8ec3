"""Receiving messages of gRPC within the intake."""

import asyncio

import grpc
import pytest

from service.errors import MalformedRequest, Overloaded, TooSlow
from service.http.uploads import ByteBudget
from service.inference_protocol.grpc_reader import MessageReader
from service.settings import Settings

MIB = 1 << 20
SETTINGS = Settings(max_bytes=2 * MIB, max_held_bytes=8 * MIB, body_seconds=0.05)


class Call:
    """A call whose message comes when it is let."""

    def __init__(self, message=b"x" * MIB) -> None:
        self.message = message
        self.asked = asyncio.Event()
        self.sent = asyncio.Event()

    async def read(self):
        self.asked.set()
        await self.sent.wait()
        return self.message


async def receive(reader: MessageReader, call: Call) -> int:
    async with reader.large(call) as message:
        return len(message)


async def test_so_many_are_received_as_half_the_intake_holds_of_the_longest():
    """Of 8 MiB and messages of 2 MiB, two at a time; the third is not read until one is here."""
    intake = ByteBudget(SETTINGS.max_held_bytes)
    reader = MessageReader(SETTINGS.model_copy(update={"body_seconds": 30}), intake)
    calls = [Call() for _ in range(3)]
    tasks = [asyncio.create_task(receive(reader, call)) for call in calls]
    await calls[0].asked.wait()
    await calls[1].asked.wait()
    assert not calls[2].asked.is_set()
    assert intake.held == 4 * MIB
    calls[0].sent.set()
    await calls[2].asked.wait()
    for call in calls:
        call.sent.set()
    assert await asyncio.gather(*tasks) == [MIB] * 3
    assert intake.held == 0


async def test_a_message_counts_thrice_while_it_is_read():
    """Itself, read, and what is taken out of it; nothing of it is counted afterwards."""
    intake = ByteBudget(SETTINGS.max_held_bytes)
    call = Call()
    call.sent.set()
    async with MessageReader(SETTINGS, intake).large(call) as message:
        assert intake.held == 3 * len(message)
    assert intake.held == 0


@pytest.mark.parametrize(
    ("message", "sent", "held", "fault"),
    [
        (b"x", False, 0, TooSlow),
        (grpc.aio.EOF, True, 0, MalformedRequest),
        (b"x", True, 7 * MIB, Overloaded),
    ],
    ids=["too slow", "nothing sent", "no room"],
)
async def test_a_message_that_cannot_be_received_leaves_nothing_counted(message, sent, held, fault):
    """One that does not come in time, one that never comes, and one without room."""
    intake = ByteBudget(SETTINGS.max_held_bytes)
    intake.take(held)
    call = Call(message)
    if sent:
        call.sent.set()
    with pytest.raises(fault):
        await receive(MessageReader(SETTINGS, intake), call)
    assert intake.held == held
