"""The memory of all images in work: who gets it, who waits, who is refused."""

from __future__ import annotations

import threading
import time

import pytest

from service.errors import DeadlineExceeded, TooLarge
from service.radiograph.memory_budget import AROUND, MemoryBudget

LONG = 30.0
MIB = 1 << 20


def until(condition) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


class Image(threading.Thread):
    """An image in a thread of its own, that takes so many bytes and keeps them until told."""

    def __init__(self, budget: MemoryBudget, size: int, order: list[str], name: str, **claim):
        super().__init__(name=name, daemon=True)
        self.claim = budget.claim(**claim)
        self.size = size
        self.order = order
        self.may_end = threading.Event()
        self.fault: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with self.claim:
                self.claim.take(self.size - AROUND, 1, 1)
                self.order.append(self.name)
                assert self.may_end.wait(LONG)
        except Exception as fault:
            self.fault = fault

    def end(self) -> None:
        self.may_end.set()
        self.join(LONG)
        assert not self.is_alive()


def test_bytes_are_taken_until_the_block_is_left():
    """What decoding takes at its peak, and a fixed part for what is around it."""
    budget = MemoryBudget(1000 * MIB)
    with budget.claim() as claim:
        assert budget.taken == 0
        claim.take(500 * MIB, 100 * MIB, 2)
        assert budget.taken == 500 * MIB + AROUND
    assert budget.taken == 0


def test_what_is_done_with_the_pixels_may_be_the_peak():
    """Where drawing takes more than decoding, that counts: the pixels and what is beside them."""
    budget = MemoryBudget(1000 * MIB)
    with budget.claim(beside=5) as claim:
        claim.take(500 * MIB, 100 * MIB, 2)
        assert budget.taken == 700 * MIB + AROUND


def test_an_image_that_never_fits_is_refused_at_once():
    """One byte over the whole budget is 413 with the limit's name; exactly the budget is taken."""
    budget = MemoryBudget(500 * MIB)
    with budget.claim() as claim, pytest.raises(TooLarge) as refused:
        claim.take(500 * MIB - AROUND + 1, 1, 1)
    assert refused.value.detail == {"limit": "decode_bytes", "allowed": 500 * MIB}
    assert refused.value.status == 413
    with budget.claim() as claim:
        claim.take(500 * MIB - AROUND, 1, 1)
        assert budget.taken == 500 * MIB


def test_who_came_first_gets_room_first():
    """A small image that would fit does not overtake a large one that waits."""
    budget, order = MemoryBudget(1000 * MIB), []
    first = Image(budget, 600 * MIB, order, "first")
    until(lambda: order == ["first"])
    large = Image(budget, 500 * MIB, order, "large")
    until(lambda: budget.waiting == 1)
    small = Image(budget, 200 * MIB, order, "small")
    until(lambda: budget.waiting == 2)
    assert budget.taken == 600 * MIB
    first.end()
    until(lambda: len(order) == 3)
    assert order[:2] == ["first", "large"]
    assert budget.taken == 700 * MIB
    large.end()
    small.end()
    assert (budget.taken, budget.waiting) == (0, 0)


def test_the_deadline_ends_the_wait():
    """An image whose deadline comes first is 504, takes nothing, and the next one moves up."""
    budget, order = MemoryBudget(1000 * MIB), []
    first = Image(budget, 600 * MIB, order, "first")
    until(lambda: order == ["first"])
    late = Image(budget, 500 * MIB, order, "late", deadline=time.monotonic() + 0.05)
    until(lambda: budget.waiting == 1)
    next_one = Image(budget, 400 * MIB, order, "next")
    late.join(LONG)
    assert isinstance(late.fault, DeadlineExceeded)
    until(lambda: order == ["first", "next"])
    first.end()
    next_one.end()
    assert budget.taken == 0


def test_a_cancelled_image_waits_no_more():
    """Nobody wants it: it leaves the queue without its deadline having come."""
    budget, order = MemoryBudget(1000 * MIB), []
    first = Image(budget, 600 * MIB, order, "first")
    until(lambda: order == ["first"])
    unwanted = Image(budget, 500 * MIB, order, "unwanted", deadline=time.monotonic() + LONG)
    until(lambda: budget.waiting == 1)
    unwanted.claim.cancel()
    unwanted.join(LONG)
    assert isinstance(unwanted.fault, DeadlineExceeded)
    assert (budget.waiting, budget.taken) == (0, 600 * MIB)
    first.end()


def test_the_total_is_asked_for_once_and_late():
    """A total that has to be found out is found out when the first image comes, and stays."""
    asked = []

    def total(growth: int) -> int:
        asked.append(True)
        return 500 * MIB - growth

    budget = MemoryBudget(total)
    assert asked == []
    for _ in range(2):
        with budget.claim() as claim:
            claim.take(1, 1, 1)
    assert (budget.total, len(asked)) == (500 * MIB, 1)


def test_memory_that_the_process_will_take_itself_is_left_to_it():
    """While the process grows the total is told anew, less what is still to come; then it stays."""
    growth = [200 * MIB]
    budget = MemoryBudget(lambda coming: 500 * MIB - coming)
    budget.expect_growth(lambda: growth[0])
    assert budget.total == 300 * MIB
    growth[0] = 50 * MIB
    assert budget.total == 450 * MIB
    growth[0] = 0
    assert budget.total == 500 * MIB
    growth[0] = 200 * MIB
    assert budget.total == 500 * MIB
