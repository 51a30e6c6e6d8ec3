"""The queue in front of the explainer, without HTTP."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from service.errors import DeadlineExceeded, Overloaded
from service.serving.explanation_lane import ExplanationLane
from service.settings import Settings

LONG = 30.0


class Work:
    """A heat map that is drawn until it may end."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.gate = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.gate.wait(LONG)
        return "drawn"


@pytest.fixture
def lane():
    """A lane in which one heat map may wait while one is drawn."""
    return ExplanationLane(Settings(explain_queue=1))


async def begun(lane, work: Work) -> asyncio.Task:
    task = asyncio.create_task(lane.run(work))
    assert await asyncio.to_thread(work.begun.wait, LONG)
    return task


async def gone(task: asyncio.Task) -> None:
    """Its caller has left."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_heat_map_that_is_drawn_counts_until_it_is_done(lane):
    """Its caller is gone, its image is not: beside it one may wait, and no more."""
    work, waiting = Work(), Work()
    await gone(await begun(lane, work))
    task = asyncio.create_task(lane.run(waiting))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        lane.check_capacity()
    work.gate.set()
    assert await asyncio.to_thread(waiting.begun.wait, LONG)
    lane.check_capacity()
    waiting.gate.set()
    assert await task == "drawn"


async def come_and_go(lane) -> weakref.ref:
    """A caller that leaves while its heat map waits; the only one for which there is room."""
    work = Work()
    task = asyncio.create_task(lane.run(work))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        lane.check_capacity()
    await gone(task)
    return weakref.ref(work)


async def test_a_heat_map_that_waits_leaves_with_its_caller(lane):
    """However many come and go: nothing is kept of them, and there is room for the next."""
    work = Work()
    drawing = await begun(lane, work)
    waited = [await come_and_go(lane) for _ in range(500)]
    lane.check_capacity()
    gc.collect()
    # asyncio itself keeps the newest CancelledError, and with it what it came through.
    assert [alive for alive in waited[:-1] if alive() is not None] == []
    work.gate.set()
    assert await drawing == "drawn"


async def test_the_deadline_gives_up_what_waits_and_not_its_place_before_its_end():
    """Both are answered 504; the one that waited is dropped, the one that is drawn still counts."""
    lane = ExplanationLane(Settings(explain_queue=1, explain_deadline_seconds=0.1))
    work, waiting = Work(), Work()
    answers = await asyncio.gather(lane.run(work), lane.run(waiting), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DeadlineExceeded] * 2
    lane.check_capacity()
    task = asyncio.create_task(lane.run(Work()))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        lane.check_capacity()
    await gone(task)
    work.gate.set()
    assert not waiting.begun.is_set()
