"""Adaptive micro-batching: a free slot runs the images that are queued.

Nothing ever waits for company. An idle slot takes a lone image at once; a busy one finds a queue
when it is done and takes of its share as large a batch as the runtime is made for. The batch size
follows the load by itself, and there is no window to tune.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import numpy as np

from service.errors import DeadlineExceeded, InferenceFailed, Overloaded, Unavailable
from service.serving.isolated_batch import BatchOutputs, rows, run_isolated

log = logging.getLogger("cxr.batching")

Said = TypeVar("Said")
Settled = tuple["asyncio.Future[ImageOutputs]", "ImageOutputs | Exception"]


@dataclass(frozen=True, eq=False)
class ImageOutputs:
    """The network's outputs for one image, with its timings.

    Attributes:
        logits: float32 (18,).
        cams: float32 (18, 7, 7).
        features: float32 (2560,).
        waited: Seconds in the queue.
        ran: Seconds that its batch took.
        batch_size: Images of that batch.
    """

    logits: np.ndarray
    cams: np.ndarray
    features: np.ndarray
    waited: float
    ran: float
    batch_size: int


@dataclass(eq=False)
class Expected:
    """An image that is decoded or queued, and the future of its outputs.

    Attributes:
        answer: What it is awaited by, on the event loop.
    """

    answer: asyncio.Future[ImageOutputs]
    _pixels: np.ndarray = field(init=False, repr=False)
    _since: float = field(init=False, repr=False)

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for the answer; may be asked in any thread."""
        return not self.answer.done()


@dataclass(frozen=True)
class _Running:
    """A running batch: its start on the monotonic clock, and its size."""

    since: float
    images: int


_ROUNDS_AHEAD = 2
"""Whole batches for every slot that are decoded ahead of them. A queue that is full of pixels would
hold 200 kB an image, many of which nobody waits for by the time that it is their turn."""


class MicroBatcher:
    """A bounded queue in front of a runtime.

    Each slot is a thread that takes its next batch from the queue by itself, and whoever has an
    image's pixels puts them there by itself, in any thread: between the two nothing waits for the
    event loop to come round to it.

    Args:
        run: Scores float32 (N, 1, 224, 224); called in a slot's thread.
        slots: Batches that the runtime may be given at one time.
        sizes: Images of a batch, ascending from 1: the runtime is made for batches of these.
        max_waiting: Images in the queue at the most; those that run do not count.
    """

    def __init__(
        self,
        run: Callable[[np.ndarray], BatchOutputs],
        *,
        slots: int = 1,
        sizes: Sequence[int] = (1,),
        max_waiting: int = 128,
    ) -> None:
        self._run = run
        self._sizes: Sequence[int] = ()
        self._max_waiting = max_waiting
        self._queue: deque[Expected] = deque()
        self._expected: set[Expected] = set()
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self._short = threading.Condition(lock)
        self._enough = 0
        self._plenty = False
        self._closing = False
        self._running: dict[int, _Running] = {}
        self._loop = asyncio.get_running_loop()
        self._slots = [self._loop.create_future() for _ in range(slots)]
        self.set_sizes(sizes)
        for slot in range(slots):
            # Daemons: a runtime that hangs must not keep the process from its end.
            name = f"runtime_{slot}"
            threading.Thread(target=self._serve, args=(slot,), name=name, daemon=True).start()

    def set_sizes(self, sizes: Sequence[int]) -> None:
        """Run batches of these sizes from now on."""
        with self._changed:
            self._sizes = tuple(sizes)
            ahead = _ROUNDS_AHEAD * len(self._slots) * self._sizes[-1]
            self._enough = min(ahead, self._max_waiting)

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether the next image would be turned away."""
        return len(self._queue) >= self._max_waiting

    def stalled(self, limit: float) -> bool:
        """Whether a batch has been running for more than `limit` seconds."""
        now = time.monotonic()
        return any(now - batch.since > limit for batch in list(self._running.values()))

    @contextmanager
    def expect(self, deadline: float) -> Iterator[Expected]:
        """Register an image that is still being decoded; on the event loop.

        Its `answer` may raise DeadlineExceeded, InferenceFailed (the runtime failed on this image),
        Overloaded (the queue was full when the pixels came), Unavailable (the batcher closed before
        they came) or what `refuse` was told. Once the block is left nobody waits for it any more,
        and the queue does not hold its pixels.

        Args:
            deadline: On the event loop's clock. Work that would start later is not started.

        Raises:
            Unavailable: The batcher is closing.
        """
        if self._closing:
            raise _closing()
        one = Expected(self._loop.create_future())
        timer = self._loop.call_at(deadline, _expire, one.answer)
        self._expected.add(one)
        try:
            yield one
        finally:
            timer.cancel()
            self._expected.discard(one)
            answer = one.answer
            if not answer.done() or answer.cancelled() or answer.exception() is not None:
                self._withdraw(one)
            answer.cancel()

    def wait_until_short(self) -> None:
        """Block a decoder while enough images are queued.

        It goes on once half of them were taken, so that several images are decoded one after the
        other, with what decoding needs in the cache.
        """
        with self._changed:
            while self._plenty and not self._closing:
                self._short.wait()

    def put(self, one: Expected, pixels: np.ndarray) -> None:
        """Queue an image that was expected; in any thread.

        Args:
            one: From `expect`.
            pixels: float32 (1, 224, 224) in [0, 1].
        """
        one._pixels, one._since = pixels, time.monotonic()
        with self._changed:
            if not self._closing and not self.full:
                self._queue.append(one)
                self._plenty |= len(self._queue) >= self._enough
                self._changed.notify()
                return
        full = Overloaded("The queue is full; try again in a moment.")
        self.refuse(one, _closing() if self._closing else full)

    def refuse(self, one: Expected, fault: Exception) -> None:
        """Fail an expected image; in any thread."""
        self._tell(_settle, [(one.answer, fault)])

    async def submit(self, pixels: np.ndarray, deadline: float) -> ImageOutputs:
        """Queue an image whose pixels are there and wait for its outputs; as `expect`."""
        with self.expect(deadline) as one:
            self.put(one, pixels)
            return await one.answer

    async def close(self, timeout: float) -> bool:
        """Answer what was accepted, for up to `timeout` seconds, and stop.

        Returns:
            Whether nothing is running any more.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._short.notify_all()
        _, late = await asyncio.wait(self._slots, timeout=timeout)
        with self._changed:
            self._queue.clear()
        for one in self._expected:
            if one.wanted:
                one.answer.set_exception(_closing())
        return not late

    def _serve(self, slot: int) -> None:
        """Run batches until the batcher closes and the queue is empty."""
        while batch := self._take(slot):
            self._run_isolated(batch)
        self._tell(self._slots[slot].set_result, None)

    def _take(self, slot: int) -> list[Expected]:
        """Wait for images and take a batch of them, oldest first; what was taken before has run.

        Those that nobody waits for any more are dropped. Empty once the batcher is closed.
        """
        batch: list[Expected] = []
        with self._changed:
            self._running.pop(slot, None)
            while not batch:
                while not self._queue:
                    if self._closing:
                        return batch
                    self._changed.wait()
                # No more than a slot's share of what waits and what runs: what one takes beyond it
                # would wait while others idle.
                waiting = len(self._queue)
                running = sum(other.images for other in self._running.values())
                share = min(waiting, -(-(waiting + running) // len(self._slots)))
                size = max(size for size in self._sizes if size <= share)
                while self._queue and len(batch) < size:
                    if (one := self._queue.popleft()).wanted:
                        batch.append(one)
                self._check_short()
            self._running[slot] = _Running(time.monotonic(), len(batch))
        return batch

    def _withdraw(self, image: Expected) -> None:
        """Take an image out of the queue that nobody waits for any more, if it is in there."""
        with self._changed, suppress(ValueError):
            self._queue.remove(image)
            self._check_short()

    def _check_short(self) -> None:
        """Let decoding go on where the queue is short again; the lock is held."""
        if self._plenty and len(self._queue) <= self._enough // 2:
            self._plenty = False
            self._short.notify_all()

    def _run_isolated(self, batch: Sequence[Expected]) -> None:
        """Run a batch and resolve each image's future; a failure concerns one image."""
        images = iter(batch)
        for part in run_isolated(self._run, [one._pixels for one in batch]):
            of_part = list(islice(images, part.size))
            settled: list[Settled]
            if isinstance(part.outputs, InferenceFailed):
                fault, cause = part.outputs, part.outputs.__cause__
                # A runtime sees pixels only, so its message cannot quote more of the file.
                log.error("the network failed: %s", cause, exc_info=cause, extra=fault.detail)
                settled = [(of_part[0].answer, fault)]
            else:
                settled = [
                    (
                        one.answer,
                        ImageOutputs(*of_one, part.started - one._since, part.ran, part.size),
                    )
                    for one, of_one in zip(of_part, rows(part.outputs), strict=True)
                ]
            self._tell(_settle, settled)

    def _tell(self, callback: Callable[[Said], None], said: Said) -> None:
        """Call back on the event loop."""
        with suppress(RuntimeError):  # it is gone, and with it whoever waits
            self._loop.call_soon_threadsafe(callback, said)


def _expire(answer: asyncio.Future[ImageOutputs]) -> None:
    if not answer.done():
        answer.set_exception(DeadlineExceeded("No answer by the deadline; the work was dropped."))


def _settle(results: Sequence[Settled]) -> None:
    for answer, result in results:
        if answer.done():  # expired or cancelled while it ran
            continue
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)


def _closing() -> Unavailable:
    return Unavailable("The service is shutting down.")
