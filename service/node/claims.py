"""Which thread works on what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Work = TypeVar("Work")


class Claims:
    """What the threads have taken, so that no two work on one thing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[Hashable] = set()

    @contextmanager
    def take(
        self,
        due: Callable[[int], list[Work]],
        key: Callable[[Work], Hashable],
        share: int,
        most: int,
    ) -> Iterator[list[Work]]:
        """Take a part of what is due and nobody has taken, until the block is left.

        Args:
            due: Asks the queue for so many.
            key: Tells one from another.
            share: Threads that share what is due.
            most: That one thread takes.
        """
        with self._lock:
            found = due(len(self._taken) + share * most)
            free = [each for each in found if key(each) not in self._taken]
            mine = free[: min(most, -(-len(free) // share))]
            keys = {key(each) for each in mine}
            self._taken |= keys
        try:
            yield mine
        finally:
            with self._lock:
                self._taken -= keys
