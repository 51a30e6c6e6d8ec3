"""Work for a caller that has gone is dropped."""

import asyncio

import pytest
from starlette.requests import Request

from service.errors import MalformedRequest
from service.http.disconnect import cancel_on_disconnect

LONG = 30.0


class Caller:
    """Whoever sent a request: stays until told to leave."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()

    @property
    def request(self) -> Request:
        async def receive():
            await self.leaves.wait()
            return {"type": "http.disconnect"}

        return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


class Work:
    """Work that can be let through, and that notes whether it was broken off."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.broken_off = False

    async def do(self) -> str:
        self.begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.broken_off = True
            raise
        return "done"


async def test_work_is_done_for_a_caller_that_stays():
    """The result is passed on, and nothing of the watch is left."""
    before = asyncio.all_tasks()
    work = Work()
    work.may_end.set()
    assert await cancel_on_disconnect(Caller().request, work.do()) == "done"
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_work_is_broken_off_when_the_caller_leaves():
    """The handler gets a fault of the caller's and can go on: it was not cancelled itself."""
    caller, work = Caller(), Work()

    async def handle() -> str:
        with pytest.raises(MalformedRequest):
            await cancel_on_disconnect(caller.request, work.do())
        await asyncio.sleep(0)
        return "answered"

    handling = asyncio.create_task(handle())
    await asyncio.wait_for(work.begun.wait(), LONG)
    caller.leaves.set()
    assert await asyncio.wait_for(handling, LONG) == "answered"
    assert work.broken_off


async def test_a_fault_of_the_work_is_passed_on():
    """What the work raises is raised."""

    async def fails() -> None:
        raise ValueError("this work fails")

    with pytest.raises(ValueError, match="this work fails"):
        await cancel_on_disconnect(Caller().request, fails())


@pytest.mark.parametrize("leaves", [False, True], ids=["caller stays", "caller leaves too"])
async def test_cancelling_the_handler_is_no_fault_of_the_callers(leaves):
    """Whoever cancels the handler gets it cancelled, and the work with it."""
    caller, work = Caller(), Work()
    handling = asyncio.create_task(cancel_on_disconnect(caller.request, work.do()))
    await asyncio.wait_for(work.begun.wait(), LONG)
    if leaves:
        caller.leaves.set()
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert work.broken_off


async def test_a_caller_that_leaves_as_the_work_ends_changes_nothing():
    """Both at one moment: what is done is passed on, and the handler is not cancelled."""
    caller, work = Caller(), Work()
    handling = asyncio.create_task(cancel_on_disconnect(caller.request, work.do()))
    await asyncio.wait_for(work.begun.wait(), LONG)
    work.may_end.set()
    caller.leaves.set()
    assert await handling == "done"
