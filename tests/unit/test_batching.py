"""The micro-batcher, without HTTP."""

import asyncio
import threading
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from service.errors import DeadlineExceeded, InferenceFailed, Overloaded, Unavailable
from service.serving.batching import MicroBatcher

LONG = 30.0


@dataclass
class Answer:
    logits: np.ndarray
    cams: np.ndarray
    features: np.ndarray


class Network:
    """A tiny network that can be held: each row's logits are its first pixel."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def run(self, pixels: np.ndarray) -> Answer:
        self.batches.append(len(pixels))
        self.entered.set()
        assert self.gate.wait(LONG)
        if (pixels[:, 0, 0, 0] < 0).any():
            raise RuntimeError("a row that this network cannot do")
        logits = np.repeat(pixels[:, 0, 0, :1], 18, axis=1)
        return Answer(logits, np.zeros((len(pixels), 18, 7, 7), np.float32), logits)


SLOW = 0.9


class Unequal(Network):
    """One that also holds rows of one value, on their own, until it is told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = threading.Event()

    def run(self, pixels: np.ndarray) -> Answer:
        answer = super().run(pixels)
        assert pixels[0, 0, 0, 0] != np.float32(SLOW) or self.slow.wait(LONG)
        return answer


def image(value: float) -> np.ndarray:
    return np.full((1, 224, 224), value, np.float32)


def soon(seconds: float = LONG) -> float:
    return asyncio.get_running_loop().time() + seconds


async def until(condition) -> None:
    async with asyncio.timeout(LONG):
        while not condition():
            await asyncio.sleep(0.001)


def all_wait(batcher: MicroBatcher, images: int) -> bool:
    return batcher.waiting == images


@pytest.fixture
def network():
    network = Network()
    yield network
    network.gate.set()


@pytest.fixture
async def batcher(network):
    batcher = MicroBatcher(network.run, sizes=range(1, 5), max_waiting=6)
    yield batcher
    network.gate.set()
    await batcher.close(LONG)


async def held(batcher, network) -> asyncio.Task:
    """Occupy the only slot with one image until the gate opens."""
    network.gate.clear()
    network.entered.clear()
    task = asyncio.create_task(batcher.submit(image(0.5), soon()))
    await until(network.entered.is_set)
    return task


async def test_a_lone_image_runs_at_once_and_alone(batcher, network):
    """An idle runtime takes one image without waiting for company."""
    row = await batcher.submit(image(0.25), soon())
    assert network.batches == [1]
    assert row.batch_size == 1
    np.testing.assert_array_equal(row.logits, np.full(18, 0.25, np.float32))


async def test_what_queued_meanwhile_runs_together_up_to_the_maximum(batcher, network):
    """A busy runtime finds a queue and takes it in batches up to the largest size, oldest first."""
    first = await held(batcher, network)
    rest = [asyncio.create_task(batcher.submit(image(n / 10), soon())) for n in range(6)]
    await until(lambda: batcher.waiting == 6)
    network.gate.set()
    rows = await asyncio.gather(first, *rest)
    assert network.batches == [1, 4, 2]
    assert [float(row.logits[0]) for row in rows[1:]] == pytest.approx([n / 10 for n in range(6)])


async def test_a_full_queue_turns_the_next_away_and_keeps_the_rest(batcher, network):
    """Beyond the queue's bound an image is refused at once; accepted ones are still answered."""
    first = await held(batcher, network)
    rest = [asyncio.create_task(batcher.submit(image(0.1), soon())) for _ in range(6)]
    await until(lambda: batcher.full)
    with pytest.raises(Overloaded):
        await batcher.submit(image(0.1), soon())
    network.gate.set()
    assert len(await asyncio.gather(first, *rest)) == 7


async def test_expired_work_is_dropped_before_it_is_run(batcher, network):
    """An image whose deadline passes in the queue is answered then, and never run."""
    first = await held(batcher, network)
    with pytest.raises(DeadlineExceeded):
        await batcher.submit(image(0.1), soon(0.01))
    network.gate.set()
    await first
    await batcher.submit(image(0.2), soon())
    assert network.batches == [1, 1]


async def test_a_deadline_holds_while_the_runtime_hangs(batcher, network):
    """A caller whose image is being run gets an answer by its deadline all the same."""
    network.gate.clear()
    with pytest.raises(DeadlineExceeded):
        await batcher.submit(image(0.1), soon(0.05))
    assert batcher.stalled(0.01)
    assert not batcher.stalled(LONG)


async def test_a_cancelled_clients_work_is_dropped(batcher, network):
    """An image whose client went away is not run."""
    first = await held(batcher, network)
    gone = asyncio.create_task(batcher.submit(image(0.1), soon()))
    await until(lambda: batcher.waiting == 1)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    network.gate.set()
    await first
    await batcher.submit(image(0.2), soon())
    assert network.batches == [1, 1]


@pytest.mark.parametrize("bad", [0, 1, 3], ids=["first", "second", "last"])
async def test_a_failing_image_fails_alone(batcher, network, bad):
    """A batch that fails is run again in halves until the failure is one image's own."""
    first = await held(batcher, network)
    values = [-1.0 if n == bad else n / 10 for n in range(4)]
    rest = [asyncio.create_task(batcher.submit(image(value), soon())) for value in values]
    await until(lambda: batcher.waiting == 4)
    network.gate.set()
    await first
    rows = await asyncio.gather(*rest, return_exceptions=True)
    assert isinstance(rows.pop(bad), InferenceFailed)
    good = [value for value in values if value >= 0]
    assert [float(row.logits[0]) for row in rows] == pytest.approx(good)


async def test_closing_answers_what_was_accepted_and_refuses_the_rest(network):
    """A batcher that closes finishes its queue; later images are told that it is closing."""
    batcher = MicroBatcher(network.run, sizes=range(1, 3))
    tasks = [asyncio.create_task(batcher.submit(image(0.1), soon())) for _ in range(5)]
    await asyncio.sleep(0)
    await batcher.close(LONG)
    assert len(await asyncio.gather(*tasks)) == 5
    with pytest.raises(Unavailable):
        await batcher.submit(image(0.1), soon())


async def test_closing_does_not_wait_for_a_hung_runtime_beyond_its_time(network):
    """What cannot be finished in time is told so."""
    batcher = MicroBatcher(network.run, sizes=(1,))
    running = await held(batcher, network)
    queued = asyncio.create_task(batcher.submit(image(0.1), soon()))
    await until(lambda: batcher.waiting == 1)
    await batcher.close(0.01)
    with pytest.raises(Unavailable):
        await queued
    running.cancel()
    network.gate.set()


async def test_two_slots_run_two_batches_at_a_time(network):
    """With two slots a second image does not wait for the first."""
    batcher = MicroBatcher(network.run, slots=2, sizes=(1,))
    first = await held(batcher, network)
    second = asyncio.create_task(batcher.submit(image(0.2), soon()))
    await until(lambda: len(network.batches) == 2)
    network.gate.set()
    await asyncio.gather(first, second)
    await batcher.close(LONG)


@pytest.mark.parametrize(("waiting", "taken"), [(4, [3, 1]), (8, [4, 3, 1])])
async def test_a_slot_takes_no_more_than_its_share(waiting, taken):
    """Of two slots one takes up to half of what waits and what the other runs, and no more than a
    batch: of four images beside one that runs three, of eight four."""
    network = Unequal()
    batcher = MicroBatcher(network.run, slots=2, sizes=range(1, 5))
    network.gate.clear()
    busy = [asyncio.create_task(batcher.submit(image(v), soon())) for v in (SLOW, 0.5)]
    await until(lambda: len(network.batches) == 2)
    queued = [asyncio.create_task(batcher.submit(image(0.1), soon())) for _ in range(waiting)]
    await until(partial(all_wait, batcher, waiting))
    network.gate.set()
    await asyncio.gather(busy[1], *queued)
    network.slow.set()
    await busy[0]
    assert network.batches == [1, 1, *taken]
    await batcher.close(LONG)


async def test_a_share_that_fills_no_batch_runs_one_by_one(network):
    """A runtime made for batches of one and of four gets no other size: of five that wait it takes
    four, of three one after the other."""
    batcher = MicroBatcher(network.run, sizes=(1, 4))
    for waiting, expected in ((5, [1, 4, 1]), (3, [1, 1, 1, 1])):
        network.batches.clear()
        first = await held(batcher, network)
        rest = [asyncio.create_task(batcher.submit(image(0.1), soon())) for _ in range(waiting)]
        await until(partial(all_wait, batcher, waiting))
        network.gate.set()
        await asyncio.gather(first, *rest)
        assert network.batches == expected
    await batcher.close(LONG)


async def test_decoding_is_held_back_while_enough_is_queued(network):
    """With two batches for each slot in the queue a decoder waits; with half of them it goes on."""
    batcher = MicroBatcher(network.run, sizes=(1,))
    first = await held(batcher, network)
    queued = [asyncio.create_task(batcher.submit(image(0.1), soon()))]
    await until(partial(all_wait, batcher, 1))
    await asyncio.wait_for(asyncio.to_thread(batcher.wait_until_short), LONG)
    queued.append(asyncio.create_task(batcher.submit(image(0.2), soon())))
    await until(partial(all_wait, batcher, 2))
    decoding = asyncio.create_task(asyncio.to_thread(batcher.wait_until_short))
    await asyncio.sleep(0.05)
    assert not decoding.done()
    network.gate.set()
    await asyncio.wait_for(decoding, LONG)
    await asyncio.gather(first, *queued)
    await batcher.close(LONG)


async def test_a_decoder_is_let_go_when_the_batcher_closes(network):
    """Closing holds no decoder back, though the runtime takes nothing any more."""
    batcher = MicroBatcher(network.run, sizes=(1,))
    first = await held(batcher, network)
    queued = [asyncio.create_task(batcher.submit(image(0.1), soon())) for _ in range(2)]
    await until(partial(all_wait, batcher, 2))
    decoding = asyncio.create_task(asyncio.to_thread(batcher.wait_until_short))
    await asyncio.sleep(0.05)
    assert not await batcher.close(0.05)
    await asyncio.wait_for(decoding, LONG)
    network.gate.set()
    await asyncio.gather(first, *queued, return_exceptions=True)
