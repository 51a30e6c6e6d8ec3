"""Adaptive micro-batching: what is queued when a slot falls free is run together.

Nothing ever waits for company. An idle runtime takes a lone image at once; a busy one finds a
queue when it is done and takes all of it, up to a maximum. The batch size follows the load by
itself, and there is no window to tune.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from service.apart import BatchOutputs, run_apart
from service.errors import DeadlineExceeded, InferenceFailed, Overloaded, Unavailable


@dataclass(frozen=True, eq=False)
class Row:
    """One image's outputs and what it cost to get them.

    Attributes:
        logits: float32 (18,).
        cams: float32 (18, 7, 7).
        waited: Seconds in the queue.
        ran: Seconds that its batch took.
        batch_size: Images of that batch.
    """

    logits: np.ndarray
    cams: np.ndarray
    waited: float
    ran: float
    batch_size: int


@dataclass(eq=False)
class _Waiting:
    """An image in the queue."""

    pixels: np.ndarray
    answer: asyncio.Future[Row]
    since: float = field(default_factory=time.monotonic)


class MicroBatcher:
    """A bounded queue in front of a runtime.

    Args:
        run: Scores float32 (N, 1, 224, 224); called in a thread of its own.
        slots: Batches that may run at the same time.
        max_batch: Images of one batch at the most.
        max_waiting: Images in the queue at the most; those that run do not count.
    """

    def __init__(
        self,
        run: Callable[[np.ndarray], BatchOutputs],
        *,
        slots: int = 1,
        max_batch: int = 8,
        max_waiting: int = 128,
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="runtime")
        self._running_since: dict[int, float] = {}
        self._slots = [asyncio.ensure_future(self._serve(slot)) for slot in range(slots)]
        self._closing = False

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
        return any(now - since > limit for since in self._running_since.values())

    async def submit(self, pixels: np.ndarray, deadline: float) -> Row:
        """Queue one image and wait for its outputs.

        Args:
            pixels: float32 (1, 224, 224) in [0, 1].
            deadline: On the event loop's clock. Work that would start later is not started.

        Raises:
            Overloaded: The queue is full.
            Unavailable: The batcher is closing.
            DeadlineExceeded: No answer by the deadline.
            InferenceFailed: The runtime failed on this image.
        """
        if self._closing:
            raise Unavailable("The service is shutting down.")
        if self.full:
            raise Overloaded("The queue is full; try again in a moment.")
        loop = asyncio.get_running_loop()
        entry = _Waiting(pixels, loop.create_future())
        timer = loop.call_at(deadline, _expire, entry.answer)
        self._queue.append(entry)
        self._arrived.set()
        try:
            return await entry.answer
        finally:
            timer.cancel()

    async def close(self, timeout: float) -> bool:
        """Answer what was accepted, for up to `timeout` seconds, and stop.

        Returns:
            Whether nothing is running any more.
        """
        self._closing = True
        self._arrived.set()
        _, late = await asyncio.wait(self._slots, timeout=timeout)
        for slot in late:
            slot.cancel()
        for entry in self._queue:
            if not entry.answer.done():
                entry.answer.set_exception(Unavailable("The service is shutting down."))
        self._queue.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)
        return not late

    async def _serve(self, slot: int) -> None:
        """Run batches until the batcher closes and the queue is empty."""
        loop = asyncio.get_running_loop()
        while True:
            while not self._queue:
                if self._closing:
                    return
                self._arrived.clear()
                await self._arrived.wait()
            batch = self._take()
            if not batch:
                continue
            self._running_since[slot] = time.monotonic()
            try:
                await loop.run_in_executor(self._threads, self._run_apart, batch, loop)
            finally:
                del self._running_since[slot]

    def _take(self) -> list[_Waiting]:
        """The images that wait, oldest first; those that nobody waits for any more are dropped."""
        batch: list[_Waiting] = []
        while self._queue and len(batch) < self._max_batch:
            entry = self._queue.popleft()
            if not entry.answer.done():
                batch.append(entry)
        return batch

    def _run_apart(self, batch: Sequence[_Waiting], loop: asyncio.AbstractEventLoop) -> None:
        """Run a batch and settle each image; a failure is one image's own."""
        entries = iter(batch)
        for part in run_apart(self._run, [entry.pixels for entry in batch]):
            of_part = list(islice(entries, part.size))
            if isinstance(part.outputs, InferenceFailed):
                loop.call_soon_threadsafe(_settle, of_part[0].answer, part.outputs)
                continue
            outputs = zip(of_part, part.outputs.logits, part.outputs.cams, strict=True)
            for entry, logits, cams in outputs:
                row = Row(logits, cams, part.started - entry.since, part.ran, part.size)
                loop.call_soon_threadsafe(_settle, entry.answer, row)


def _expire(answer: asyncio.Future[Row]) -> None:
    if not answer.done():
        answer.set_exception(DeadlineExceeded("No answer by the deadline; the work was dropped."))


def _settle(answer: asyncio.Future[Row], result: Row | InferenceFailed) -> None:
    if answer.done():  # expired or cancelled while it ran
        return
    if isinstance(result, InferenceFailed):
        answer.set_exception(result)
    else:
        answer.set_result(result)
