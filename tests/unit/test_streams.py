"""All threads for a lone run, one a run while several are under way."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.bundle import open_bundle
from service.runtime import Outputs, Placement, open_runtime
from service.runtime.streams import WideOrNarrow

PIXELS = np.zeros((1, 1, 224, 224), np.float32)


class Noted:
    """A runtime that notes its runs, and holds them or fails on request."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.placement = Placement(2, "cpu", slots)
        self.runs = 0
        self.entered = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()
        self.fails = False

    @property
    def ways(self):
        return (self,)

    def run(self, pixels):
        self.runs += 1
        self.entered.release()
        assert self.free.wait(10)
        if self.fails:
            raise RuntimeError("on request")
        return Outputs(np.zeros((len(pixels), 18)), np.zeros((len(pixels), 18, 7, 7)))


@pytest.fixture
def wide():
    return Noted(1)


@pytest.fixture
def narrow():
    return Noted(2)


def test_a_lone_run_has_all_threads(wide, narrow):
    """Runs one after the other all go the wide way."""
    runtime = WideOrNarrow(wide, narrow)
    for _ in range(3):
        runtime.run(PIXELS)
    assert (wide.runs, narrow.runs) == (3, 0)


def test_a_run_beside_another_has_one_thread(wide, narrow):
    """What begins while another is under way goes the narrow way, and then the wide one again."""
    runtime = WideOrNarrow(wide, narrow)
    wide.free.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(runtime.run, PIXELS)
        assert wide.entered.acquire(timeout=10)
        runtime.run(PIXELS)
        wide.free.set()
        first.result()
    assert (wide.runs, narrow.runs) == (1, 1)
    runtime.run(PIXELS)
    assert (wide.runs, narrow.runs) == (2, 1)


def test_a_run_that_fails_is_over(wide, narrow):
    """After a failure the next run counts as a lone one."""
    runtime = WideOrNarrow(wide, narrow)
    wide.fails = True
    with pytest.raises(RuntimeError, match="on request"):
        runtime.run(PIXELS)
    wide.fails = False
    runtime.run(PIXELS)
    assert (wide.runs, narrow.runs) == (2, 0)


@pytest.mark.parametrize(
    ("threads", "streams", "slots", "ways"),
    [(2, None, 2, 2), (1, None, 1, 1), (2, 1, 1, 1), (2, 2, 2, 1)],
    ids=["by load", "one thread", "one stream", "two streams"],
)
def test_which_ways_there_are(demo_bundle, threads, streams, slots, ways):
    """Unset, several threads are used by load; one thread or a set number leaves no choice."""
    bundle = open_bundle(demo_bundle)
    variant = bundle.manifest.variant("openvino", "float32")
    runtime = open_runtime(bundle, variant, threads, streams=streams)
    assert (runtime.slots, len(runtime.ways)) == (slots, ways)


def test_both_ways_answer_the_same(demo_bundle):
    """One thread or all: the same input has the same answer."""
    bundle = open_bundle(demo_bundle)
    variant = bundle.manifest.variant("openvino", "float32")
    pixels, _ = bundle.golden_pair()
    one, other = (way.run(pixels).logits for way in open_runtime(bundle, variant, 2).ways)
    assert np.abs(one - other).max() <= 1e-5
