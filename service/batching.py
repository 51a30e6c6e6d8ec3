"""Adaptive micro-batching: what is queued when a slot falls free is run together.

Nothing ever waits for company. An idle slot takes a lone image at once; a busy one finds a queue
when it is done and takes of its share as large a batch as the runtime is made for. The batch size
follows the load by itself, and there is no window to tune.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import numpy as np

from service.apart import BatchOutputs, run_apart
from service.errors import DeadlineExceeded, InferenceFailed, Overloaded, Unavailable

Said = TypeVar("Said")


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

    Each slot is a thread that takes its next batch from the queue by itself: a runtime never
    stands still until the event loop comes round to it.

    Args:
        run: Scores float32 (N, 1, 224, 224); called in a slot's thread.
        slots: Batches that may run at the same time.
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
        self._sizes = tuple(sizes)
        self._max_waiting = max_waiting
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._running_since: dict[int, float] = {}
        self._loop = asyncio.get_running_loop()
        self._slots = [self._loop.create_future() for _ in range(slots)]
        for slot in range(slots):
            # Daemons: a runtime that hangs must not keep the process from its end.
            name = f"runtime_{slot}"
            threading.Thread(target=self._serve, args=(slot,), name=name, daemon=True).start()

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
        return any(now - since > limit for since in list(self._running_since.values()))

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
        entry = _Waiting(pixels, self._loop.create_future())
        timer = self._loop.call_at(deadline, _expire, entry.answer)
        with self._changed:
            self._queue.append(entry)
            self._changed.notify()
        try:
            return await entry.answer
        finally:
            timer.cancel()

    async def close(self, timeout: float) -> bool:
        """Answer what was accepted, for up to `timeout` seconds, and stop.

        Returns:
            Whether nothing is running any more.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        _, late = await asyncio.wait(self._slots, timeout=timeout)
        with self._changed:
            left = list(self._queue)
            self._queue.clear()
        for entry in left:
            if not entry.answer.done():
                entry.answer.set_exception(Unavailable("The service is shutting down."))
        return not late

    def _serve(self, slot: int) -> None:
        """Run batches until the batcher closes and the queue is empty."""
        while batch := self._take():
            self._running_since[slot] = time.monotonic()
            try:
                self._run_apart(batch)
            finally:
                del self._running_since[slot]
        self._tell(self._slots[slot].set_result, None)

    def _take(self) -> list[_Waiting]:
        """Wait for images and take a batch of them, oldest first.

        Those that nobody waits for any more are dropped. Empty once the batcher is closed.
        """
        batch: list[_Waiting] = []
        with self._changed:
            while not batch:
                while not self._queue:
                    if self._closing:
                        return batch
                    self._changed.wait()
                # No more than a slot's share: what one takes beyond it waits while others idle.
                share = -(-len(self._queue) // len(self._slots))
                size = max(size for size in self._sizes if size <= share)
                while self._queue and len(batch) < size:
                    entry = self._queue.popleft()
                    if not entry.answer.done():
                        batch.append(entry)
        return batch

    def _run_apart(self, batch: Sequence[_Waiting]) -> None:
        """Run a batch and settle each image; a failure is one image's own."""
        entries = iter(batch)
        for part in run_apart(self._run, [entry.pixels for entry in batch]):
            of_part = list(islice(entries, part.size))
            settled: list[tuple[asyncio.Future[Row], Row | InferenceFailed]]
            if isinstance(part.outputs, InferenceFailed):
                settled = [(of_part[0].answer, part.outputs)]
            else:
                outputs = zip(part.outputs.logits, part.outputs.cams, strict=True)
                settled = [
                    (one.answer, Row(*of_one, part.started - one.since, part.ran, part.size))
                    for one, of_one in zip(of_part, outputs, strict=True)
                ]
            self._tell(_settle, settled)

    def _tell(self, callback: Callable[[Said], None], said: Said) -> None:
        """Call back on the event loop."""
        with suppress(RuntimeError):  # it is gone, and with it whoever waits
            self._loop.call_soon_threadsafe(callback, said)


def _expire(answer: asyncio.Future[Row]) -> None:
    if not answer.done():
        answer.set_exception(DeadlineExceeded("No answer by the deadline; the work was dropped."))


def _settle(results: Sequence[tuple[asyncio.Future[Row], Row | InferenceFailed]]) -> None:
    for answer, result in results:
        if answer.done():  # expired or cancelled while it ran
            continue
        if isinstance(result, InferenceFailed):
            answer.set_exception(result)
        else:
            answer.set_result(result)
