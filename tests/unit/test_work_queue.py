"""A queue of work in front of threads, out of which work can be taken again."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from service.errors import Unavailable
from service.serving.work_queue import WorkQueue

LONG = 30.0


class Work:
    """Work that notes its turn and can be held."""

    def __init__(self, done: list[str], name: str) -> None:
        self.name = name
        self.done = done
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self) -> str:
        self.begun.set()
        assert self.may_end.wait(LONG)
        self.done.append(self.name)
        return self.name


@pytest.fixture
def queue():
    queue = WorkQueue(1, "work")
    yield queue
    queue.close()


@pytest.fixture
async def held(queue):
    """Work that occupies the only thread until it may end."""
    work = Work([], "held")
    work.may_end.clear()
    future = queue.submit(work)
    assert await asyncio.to_thread(work.begun.wait, LONG)
    work.future = future
    yield work
    work.may_end.set()


async def result(future):
    return await asyncio.wait_for(asyncio.wrap_future(future), LONG)


async def test_work_is_done_in_the_order_in_which_it_came(queue, held):
    """The oldest is next, and each gets its own result."""
    done: list[str] = []
    futures = [queue.submit(Work(done, name)) for name in "abc"]
    held.may_end.set()
    assert [await result(future) for future in futures] == ["a", "b", "c"]
    assert done == ["a", "b", "c"]


async def test_withdrawn_work_leaves_nothing_behind(queue, held):
    """Work that has not begun is dropped at once, with all that it refers to, and never done."""
    done: list[str] = []
    work = Work(done, "dropped")
    alive = weakref.ref(work)
    left: list[str] = []
    future = queue.submit(work)
    del work
    assert queue.waiting == 1
    queue.withdraw(future, lambda: left.append("left"))
    assert (queue.waiting, left, alive()) == (0, ["left"], None)
    held.may_end.set()
    assert await result(queue.submit(Work(done, "next"))) == "next"
    assert done == ["next"]


async def test_work_that_has_begun_is_not_over_before_it_ends(queue, held):
    """Withdrawn while it runs, it is said to be over when it is, on the event loop."""
    over = asyncio.Event()
    queue.withdraw(held.future, over.set)
    await asyncio.sleep(0.02)
    assert not over.is_set()
    held.may_end.set()
    await asyncio.wait_for(over.wait(), LONG)


async def test_work_that_is_done_is_over_at_once(queue):
    """Nothing is left to wait for."""
    future = queue.submit(Work([], "done"))
    await result(future)
    left: list[str] = []
    queue.withdraw(future, lambda: left.append("left"))
    assert left == ["left"]


async def test_an_idle_thread_holds_nothing(queue):
    """What was worked on, and what came of it, are gone once nobody outside holds them."""
    work = Work([], "done")
    alive = weakref.ref(work)
    future = queue.submit(work)
    assert await result(future) == "done"
    del work, future
    await result(queue.submit(lambda: None))  # the thread has come round
    gc.collect()
    assert alive() is None


async def test_an_error_holds_no_local_variables(queue):
    """An exception is passed on, and the variables of the frames that it came through are gone."""

    class Pixels:
        pass

    alive = []

    def fail():
        pixels = Pixels()
        alive.append(weakref.ref(pixels))
        try:
            raise ValueError("the cause")
        except ValueError as error:
            raise KeyError("the error") from error

    future = queue.submit(fail)
    with pytest.raises(KeyError, match="the error") as raised:
        await result(future)
    assert isinstance(raised.value.__cause__, ValueError)
    assert alive[0]() is None


async def test_a_closed_queue_cancels_what_waits_and_takes_nothing_more(queue, held):
    """What has begun ends."""
    waiting = queue.submit(Work([], "waiting"))
    queue.close()
    assert waiting.cancelled()
    with pytest.raises(Unavailable):
        queue.submit(Work([], "late"))
    held.may_end.set()
    assert await result(held.future) == "held"
