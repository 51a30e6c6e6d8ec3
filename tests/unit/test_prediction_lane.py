"""The prediction lane, without HTTP."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import threading

import numpy as np
import pytest
from PIL import Image

from service.network.predictor import open_predictor
from service.network.runtime import Outputs, Placement
from service.serving.prediction_lane import PredictionLane
from service.settings import Settings

LONG = 30.0


class Noted:
    """A runtime that notes how many images it was given, and can be held."""

    slots = 2
    spare = 0
    batches = None
    placement = Placement(2)

    def __init__(self, lone: Noted | None = None) -> None:
        self.low_latency = lone or self
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def run(self, pixels):
        self.batches.append(len(pixels))
        self.entered.release()
        assert self.gate.wait(LONG)
        rows = len(pixels)
        return Outputs(np.zeros((rows, 18), np.float32), np.zeros((rows, 18, 7, 7), np.float32))


@pytest.fixture
def radiograph() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.tile(np.arange(224, dtype=np.uint8), (224, 1))).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
async def lane(demo_bundle):
    settings = Settings(bundle=str(demo_bundle), threads=1, check_choice=False, max_batch=4)
    runtime = Noted(lone=Noted())
    predictor = dataclasses.replace(open_predictor(settings), runtime=runtime)
    lane = PredictionLane(predictor, settings)
    await lane.start()
    for way in (runtime, runtime.low_latency):
        way.batches.clear()  # of the warm-up
        way.entered = threading.Semaphore(0)
    yield lane, runtime
    runtime.gate.set()
    runtime.low_latency.gate.set()
    await lane.close()


async def test_an_image_that_is_alone_in_work_runs_the_lone_way(lane, radiograph):
    """One image after the other: each has the whole machine."""
    lane, runtime = lane
    loop = asyncio.get_running_loop()
    for _ in range(3):
        await lane.predict(radiograph, loop.time() + LONG)
    assert (runtime.low_latency.batches, runtime.batches) == ([1, 1, 1], [])


async def test_after_company_the_next_waits_for_nobody(lane, radiograph):
    """For half a second after two images were in work at a time, one that is alone is expected to
    be joined and leaves the other threads free; then it has the whole machine again."""
    lane, runtime = lane
    loop = asyncio.get_running_loop()
    company = loop.time()
    await asyncio.gather(*(lane.predict(radiograph, loop.time() + LONG) for _ in range(2)))
    runtime.batches.clear()
    runtime.low_latency.batches.clear()
    while not runtime.low_latency.batches:
        await lane.predict(radiograph, loop.time() + LONG)
        assert loop.time() - company < LONG
    assert loop.time() - company > 0.5
    assert runtime.batches
    assert set(runtime.batches) == {1}


async def test_images_beside_each_other_do_not(lane, radiograph):
    """What begins while another image is in work leaves the other threads to that one."""
    lane, runtime = lane
    loop = asyncio.get_running_loop()
    runtime.low_latency.gate.clear()
    first = asyncio.create_task(lane.predict(radiograph, loop.time() + LONG))
    assert await asyncio.to_thread(runtime.low_latency.entered.acquire, timeout=LONG)
    await lane.predict(radiograph, loop.time() + LONG)
    runtime.low_latency.gate.set()
    await first
    assert (runtime.low_latency.batches, runtime.batches) == ([1], [1])
