"""The prediction lane, without HTTP."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import logging
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from service.errors import BundleRefused, DeadlineExceeded, Overloaded
from service.http.batch_answer import answer_each
from service.http.uploads import ByteBudget, Upload
from service.network.predictor import open_predictor
from service.network.runtime import Outputs, Placement
from service.radiograph.memory_budget import AROUND, MemoryBudget
from service.serving.prediction_lane import PredictionLane
from service.settings import Settings

LONG = 30.0


class Noted:
    """A runtime that notes how many images it was given, and can be held."""

    slots = 2
    spare = 0
    steps = ()
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
        return Outputs(
            np.zeros((rows, 18), np.float32),
            np.zeros((rows, 18, 7, 7), np.float32),
            np.zeros((rows, 2560), np.float32),
        )


class File:
    """A file that a decoder can be held at."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    @contextmanager
    def in_use(self):
        self.begun.set()
        assert self.gate.wait(LONG)
        yield self.data


def png(side: int) -> bytes:
    file = io.BytesIO()
    ramp = np.tile(np.linspace(0, 255, side).astype(np.uint8), (side, 1))
    Image.fromarray(ramp).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def radiograph() -> File:
    return File(png(224))


@pytest.fixture(scope="module")
def opened(demo_bundle):
    """A predictor whose runtime is to be replaced by one that notes what it gets."""
    return open_predictor(
        Settings(bundle=str(demo_bundle), runtime="onnxruntime", threads=1, gate="off")
    )


@pytest.fixture
async def lane(opened):
    settings = Settings(check_choice=False, max_batch=4, queue=8, decoders=1)
    runtime = Noted(lone=Noted())
    predictor = dataclasses.replace(opened, runtime=runtime)
    lane = PredictionLane(predictor, settings)
    await lane.start()
    for way in (runtime, runtime.low_latency):
        way.batches.clear()  # of the warm-up
        way.entered = threading.Semaphore(0)
    yield lane, runtime
    runtime.gate.set()
    runtime.low_latency.gate.set()
    await lane.close()


def soon() -> float:
    return asyncio.get_running_loop().time() + LONG


async def until(condition) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
async def busy(lane):
    """The only decoder, held at a file until it may go on."""
    lane, _ = lane
    file = File(png(224))
    file.gate.clear()
    task = asyncio.create_task(lane.predict(file, soon()))
    assert await asyncio.to_thread(file.begun.wait, LONG)
    file.task = task
    yield file
    file.gate.set()
    await asyncio.gather(task, return_exceptions=True)


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


async def sent(lane, task, upload: Upload) -> None:
    """What becomes of a request that holds an upload for as long as it lasts."""
    try:
        await task(upload, soon())
    finally:
        upload.drop()


@pytest.mark.parametrize("work", ["predict", "preview"])
async def test_uploads_whose_callers_leave_are_held_no_more(lane, busy, work):
    """However many come and go while the decoders are busy: each leaves with its bytes."""
    lane, _ = lane
    intake = ByteBudget(1 << 20)
    for _ in range(500):
        intake.take(1000)
        upload = Upload(bytes(1000), intake)
        request = asyncio.create_task(sent(lane, getattr(lane, work), upload))
        await until(lambda: lane.in_work == 2)
        assert intake.held == 1000
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        assert (lane.in_work, lane.waiting_to_be_decoded, len(upload), intake.held) == (1, 0, 0, 0)


async def test_an_upload_counts_for_as_long_as_it_is_decoded(lane):
    """Its caller is gone, its bytes are not: they count, and so does its place in the lane."""
    lane, _ = lane
    intake = ByteBudget(1 << 20)
    intake.take(1000)
    upload = Upload(bytes(1000), intake)
    held = Held(upload)
    request = asyncio.create_task(sent(lane, lambda _, end: lane.predict(held, end), upload))
    assert await asyncio.to_thread(held.begun.wait, LONG)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    assert (lane.in_work, intake.held) == (1, 1000)
    held.gate.set()
    await until(lambda: lane.in_work == 0)
    assert intake.held == 0


class Held:
    """An upload that a decoder is held at while it uses it."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.begun = threading.Event()
        self.gate = threading.Event()

    @contextmanager
    def in_use(self):
        with self.upload.in_use() as data:
            self.begun.set()
            assert self.gate.wait(LONG)
            yield data


async def test_places_of_those_who_left_are_free_again(lane, busy):
    """As many as may be in work are; when their callers leave, as many others may come."""
    lane, _ = lane
    room = 8 + 2 * 4  # the queue, and two batches
    for _ in range(2):
        tasks = [asyncio.create_task(lane.predict(File(b""), soon())) for _ in range(room - 1)]
        await until(lambda: lane.in_work == room)
        with pytest.raises(Overloaded):
            lane.check_capacity()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert lane.in_work == 1


async def test_pixels_that_need_no_decoding_queue_beside_those_that_do(lane, radiograph):
    """They are in work and are run in one batch with what was decoded; then none is in work."""
    lane, runtime = lane
    runtime.gate.clear()
    runtime.low_latency.gate.clear()
    running = [asyncio.create_task(lane.predict(radiograph, soon())) for _ in range(2)]
    await until(lambda: len(runtime.batches) + len(runtime.low_latency.batches) == 2)
    pixels = np.zeros((1, 224, 224), np.float32)
    both = [
        asyncio.create_task(lane.run_network(pixels, soon())),
        asyncio.create_task(lane.predict(radiograph, soon())),
    ]
    await until(lambda: lane.waiting == 2)
    assert lane.in_work == 4
    runtime.gate.set()
    runtime.low_latency.gate.set()
    rows = await asyncio.gather(*both)
    assert rows[0].cams.shape == (18, 7, 7)
    await asyncio.gather(*running)
    assert lane.in_work == 0


async def test_a_caller_in_a_hurry_is_turned_away_sooner(lane):
    """Where what is in work takes longer than most of its own deadline, and ours is far."""
    lane, _ = lane
    lane.check_capacity(1e-9)  # nothing is in work
    lane._admitted, lane._seconds_an_image = 4, 0.25
    try:
        lane.check_capacity()
        lane.check_capacity(2.0)
        with pytest.raises(Overloaded) as raised:
            lane.check_capacity(1.0)
        assert raised.value.retry_after == 1
    finally:
        lane._admitted = 0


async def test_pixels_of_those_who_left_are_not_queued(lane, radiograph):
    """Decoded and waiting for the network, an image leaves the queue with its caller."""
    lane, runtime = lane
    runtime.gate.clear()
    runtime.low_latency.gate.clear()
    running = [asyncio.create_task(lane.predict(radiograph, soon())) for _ in range(2)]
    await until(lambda: len(runtime.batches) + len(runtime.low_latency.batches) == 2)
    waiting = [asyncio.create_task(lane.predict(radiograph, soon())) for _ in range(3)]
    await until(lambda: lane.waiting == 3)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (lane.waiting, lane.in_work) == (0, 2)
    runtime.gate.set()
    runtime.low_latency.gate.set()
    await asyncio.gather(*running)


SIDE = 1000
IMAGE = AROUND + 3 * SIDE**2
"""Bytes that an 8-bit PNG of this side takes."""


class Watched(MemoryBudget):
    """A budget that notes the most that was taken of it."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.most = 0

    def _take(self, claim, size: int) -> None:
        super()._take(claim, size)
        self.most = max(self.most, self.taken)


@pytest.fixture
async def small(opened):
    """A lane of four decoders with memory for two images at a time, previews of them included."""
    settings = Settings(check_choice=False, max_batch=4, decoders=4)
    memory = Watched(5 * IMAGE // 2)
    reader = dataclasses.replace(opened.reader, memory=memory)
    lane = PredictionLane(dataclasses.replace(opened, reader=reader, runtime=Noted()), settings)
    await lane.start()
    yield lane, memory
    await lane.close()


@pytest.mark.parametrize("work", ["predict", "preview"])
async def test_images_in_work_share_the_memory(small, work):
    """With all of it taken every decoder waits; then all are answered, two at a time at most."""
    lane, memory = small
    with memory.claim() as other:
        other.take(2 * IMAGE - AROUND, 1, 1)
        files = [File(png(SIDE)) for _ in range(8)]
        working = [asyncio.create_task(getattr(lane, work)(file, soon())) for file in files]
        await until(lambda: memory.waiting == 4)
    assert len(await asyncio.gather(*working)) == 8
    assert (memory.most, memory.taken) == (2 * IMAGE, 0)


async def test_the_deadline_holds_while_an_image_waits_for_memory(small):
    """It is answered 504 by then, and waits no more; so it is when its caller leaves."""
    lane, memory = small
    with memory.claim() as other:
        other.take(2 * IMAGE - AROUND, 1, 1)
        with pytest.raises(DeadlineExceeded):
            await lane.predict(File(png(SIDE)), asyncio.get_running_loop().time() + 0.05)
        await until(lambda: (lane.in_work, memory.waiting) == (0, 0))
        task = asyncio.create_task(lane.predict(File(png(SIDE)), soon()))
        await until(lambda: memory.waiting == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: (lane.in_work, memory.waiting) == (0, 0))
    await lane.predict(File(png(SIDE)), soon())


class Broken:
    """A file whose reading fails for a reason that is none of the file's."""

    @contextmanager
    def in_use(self):
        raise ZeroDivisionError("this software failed")
        yield

    def drop(self) -> None:
        pass


async def test_of_a_batch_one_image_fails_alone(lane, caplog):
    """Whatever one image fails with is its own error; the others are answered, and the cause is
    logged with its traceback."""
    lane, _ = lane
    intake = ByteBudget(1 << 20)
    intake.take(2 * len(png(224)) + 8)
    good = [Upload(png(224), intake) for _ in range(2)]
    files = [good[0], Broken(), Upload(b"no image", intake), good[1]]
    settings = Settings(max_batch=4)
    answer = await answer_each(lane, files, settings)
    codes = [one.error and one.error.code for one in answer.answers]
    assert codes == [None, "internal_error", "not_an_image", None]
    assert answer.failed == 2
    assert answer.answers[1].error.message == "The service failed on this image."
    assert [len(upload) for upload in good] == [0, 0]
    assert intake.held == 0
    (line,) = [entry for entry in caplog.records if entry.name == "cxr.predict"]
    assert line.exc_info[0] is ZeroDivisionError


async def test_images_are_answered_while_the_runtime_is_completed(opened, caplog):
    """The lane is ready before the runtime's steps are done; one that fails is logged, and the next
    is done all the same."""
    caplog.set_level(logging.INFO, "cxr.predict")
    begun, go = threading.Event(), threading.Event()

    def fail(_check):
        raise BundleRefused("not to be trusted")

    def grow(_check):
        begun.set()
        assert go.wait(LONG)

    runtime = Noted()
    runtime.steps = (fail, grow)
    lane = PredictionLane(dataclasses.replace(opened, runtime=runtime), Settings(max_batch=4))
    await lane.start()
    assert await asyncio.to_thread(begun.wait, LONG)
    assert lane.ready
    assert (await lane.predict(File(png(64)), soon())).prediction.model.demo
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "not to be trusted; it is served without"
    ]
    assert "the runtime is complete" not in caplog.messages
    go.set()
    await until(lambda: "the runtime is complete" in caplog.messages)
    await lane.close()
