"""All threads for a lone run, one thread a run while several are under way."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from service.runtime import Outputs, Placement, Runtime


class WideOrNarrow:
    """Two loadings of one network on the same threads.

    A run on every thread is the quickest answer to a lone image. But its threads wait for each
    other after each layer, so one that lends its core to decoding holds up all. Under load a run
    on each thread keeps every core busy: behind HTTP on two cores, some 10 % more images a
    second. Which of the two is right shows when a run begins: is another under way or not?

    Args:
        wide: One run on all threads.
        narrow: A run on each thread.
    """

    def __init__(self, wide: Runtime, narrow: Runtime) -> None:
        self.placement: Placement = wide.placement
        self.slots = narrow.slots
        self._wide, self._narrow = wide, narrow
        self._running = 0
        self._count = threading.Lock()

    @property
    def ways(self) -> Sequence[Runtime]:
        return (self._wide, self._narrow)

    def run(self, pixels: np.ndarray) -> Outputs:
        with self._count:
            alone = self._running == 0
            self._running += 1
        try:
            return (self._wide if alone else self._narrow).run(pixels)
        finally:
            with self._count:
                self._running -= 1
