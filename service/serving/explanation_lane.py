"""The explanation lane: a bounded queue in front of the explainer, in its own process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from service.errors import DeadlineExceeded, Overloaded
from service.metrics import INFERENCE_SECONDS, QUEUE_DEPTH, QUEUE_SECONDS
from service.serving.work_queue import WorkQueue
from service.settings import Settings

LANE = "explain"

Result = TypeVar("Result")


class ExplanationLane:
    """Runs one explanation at a time; a bounded number waits.

    Args:
        settings: Limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._worker = WorkQueue(1, "explain")
        self._inside = 0
        self._running_since: float | None = None

    @property
    def stalled(self) -> bool:
        """Whether the running explanation hangs."""
        # A faithful answer takes a dozen passes, in a process that stands back for predictions.
        since, limit = self._running_since, self._settings.explain_deadline_seconds
        return since is not None and time.monotonic() - since > limit

    def check_capacity(self) -> None:
        """Turn a request away before its body is read.

        Raises:
            Overloaded: As many wait as may.
        """
        if self._inside > self._settings.explain_queue:
            raise Overloaded("Too many heat maps are being drawn; try again soon.", retry_after=5)

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run `work` when it is its turn.

        Work that is given up before its turn is dropped at once; work that is given up later counts
        as waiting until it has ended, as it holds its image until then.

        Raises:
            Overloaded: As many wait as may.
            DeadlineExceeded: It was not done in time.
        """
        self.check_capacity()
        queued = time.monotonic()

        def timed() -> Result:
            started = time.monotonic()
            QUEUE_SECONDS.labels(LANE).observe(started - queued)
            self._running_since = started
            try:
                return work()
            finally:
                self._running_since = None
                INFERENCE_SECONDS.labels(LANE).observe(time.monotonic() - started)

        future = self._worker.submit(timed)
        self._count(1)
        try:
            return await asyncio.wait_for(
                asyncio.wrap_future(future), self._settings.explain_deadline_seconds
            )
        except asyncio.TimeoutError as error:
            raise DeadlineExceeded("The heat map was not ready by the deadline.") from error
        finally:
            self._worker.withdraw(future, partial(self._count, -1))

    def _count(self, more: int) -> None:
        self._inside += more
        QUEUE_DEPTH.labels(LANE).set(self._inside)
