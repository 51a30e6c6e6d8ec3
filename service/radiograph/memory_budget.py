"""A bound on the memory of all images that a process works on at one time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from service.errors import DeadlineExceeded, TooLarge

AROUND = 32 << 20
"""Bytes that an image takes whatever its size: buffers of decoders, weights of a resize, and arrays
that are too small for the allocator to return them at once."""


class MemoryBudget:
    """Bytes that images may take together; whoever comes first gets them first.

    Args:
        total: How many, or what tells it, from the bytes that the process itself will still take,
            when the first image comes.
    """

    def __init__(self, total: int | Callable[[int], int]) -> None:
        self._total = total
        self._growing: Callable[[], int] = lambda: 0
        self._taken = 0
        self._waiting: deque[Claim] = deque()
        self._changed = threading.Condition()

    @property
    def total(self) -> int:
        """Bytes of the budget; told anew while the process grows."""
        if not callable(self._total):
            return self._total
        growth = self._growing()
        total = self._total(growth)
        if not growth:
            self._total = total
        return total

    def expect_growth(self, growth: Callable[[], int]) -> None:
        """Leave memory for what the process itself will still take, 0 once it has it.

        Args:
            growth: Tells the bytes.
        """
        self._growing = growth

    @property
    def taken(self) -> int:
        """Bytes that are taken now."""
        return self._taken

    @property
    def waiting(self) -> int:
        """Images that wait for others to give bytes back."""
        return len(self._waiting)

    def claim(self, *, beside: int = 0, deadline: float | None = None) -> Claim:
        """Start a claim for one image.

        Args:
            beside: Bytes a decoded pixel that will be needed beside the decoded pixels.
            deadline: On the monotonic clock, when waiting is given up; never where None.
        """
        return Claim(self, beside, deadline)

    def _take(self, claim: Claim, size: int) -> None:
        if size > self.total:
            raise TooLarge(
                f"The image takes {_mib(size)} MiB of memory to decode; {_mib(self.total)} MiB "
                "are there for all images.",
                limit="decode_bytes",
                allowed=self.total,
            )
        with self._changed:
            self._waiting.append(claim)
            try:
                while self._waiting[0] is not claim or self._taken + size > self.total:
                    if claim.cancelled or not self._changed.wait(claim.seconds_left):
                        raise DeadlineExceeded("There was no memory for the image in time.")
                self._taken += size
            finally:
                self._waiting.remove(claim)
                self._changed.notify_all()

    def _give_back(self, size: int) -> None:
        with self._changed:
            self._taken -= size
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class Claim:
    """One image's part of a budget: nothing until `take`, given back when the block is left.

    Args:
        budget: What it is a part of.
        beside: As for `MemoryBudget.claim`, like the deadline.
        deadline: When waiting is given up.
    """

    def __init__(self, budget: MemoryBudget, beside: int, deadline: float | None) -> None:
        self._budget = budget
        self._beside = beside
        self._deadline = deadline
        self._size = 0
        self.cancelled = False

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the deadline; None where there is none."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def take(self, decoding: int, pixels: int, sample: int) -> None:
        """Take the image's bytes once as many are free; blocks until then. Once for each image.

        Args:
            decoding: Bytes that decoding takes at its peak, the decoded pixels included.
            pixels: Decoded pixels.
            sample: Bytes of each.

        Raises:
            TooLarge: It is more than the whole budget; `detail["limit"]` is `decode_bytes`.
            DeadlineExceeded: The deadline came first, or the claim was cancelled.
        """
        size = AROUND + max(decoding, pixels * (sample + self._beside))
        self._budget._take(self, size)
        self._size = size

    def cancel(self) -> None:
        """Give up waiting; in any thread. What was taken stays so until the block is left."""
        self.cancelled = True
        self._budget._wake()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *exception: object) -> None:
        size, self._size = self._size, 0
        self._budget._give_back(size)


def _mib(size: int) -> int:
    return -(-size >> 20)
