"""A run on all threads for a lone image, where that is quicker."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from service.network.bundle import open_bundle
from service.network.runtime import Outputs, Placement, open_runtime, ways
from service.network.runtime.latency import low_latency_runtime


class Slow:
    """A runtime that takes so many seconds."""

    slots = 1
    spare = 0
    steps = ()
    batches = None
    placement = Placement(2)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    @property
    def low_latency(self):
        return self

    def run(self, pixels):
        time.sleep(self.seconds)
        images = len(pixels)
        return Outputs(
            np.zeros((images, 18)), np.zeros((images, 18, 7, 7)), np.zeros((images, 2560))
        )


@pytest.mark.parametrize(
    ("wide", "narrow", "taken"),
    [(0.01, 0.1, "wide"), (0.1, 0.01, "narrow"), (0.1, 0.1, "narrow")],
    ids=["quicker", "slower", "no quicker"],
)
def test_all_threads_are_taken_only_where_they_are_quicker(wide, narrow, taken):
    """Which loading answers a lone image is measured; a tie goes to the one that costs less."""
    runtimes = {"wide": Slow(wide), "narrow": Slow(narrow)}
    assert low_latency_runtime(**runtimes) is runtimes[taken]


@pytest.mark.parametrize(
    ("threads", "streams", "slots", "most"),
    [(2, None, 2, 2), (1, None, 1, 1), (2, 1, 1, 1), (2, 2, 2, 1)],
    ids=["by load", "one thread", "one stream", "two streams"],
)
def test_which_ways_there_are(demo_bundle, threads, streams, slots, most):
    """Unset, there is a run on each thread; one thread or a set number leaves no choice."""
    bundle = open_bundle(demo_bundle)
    variant = bundle.manifest.variant("openvino", "float32")
    runtime = open_runtime(bundle, variant, threads, streams=streams)
    assert runtime.slots == slots
    assert 1 <= len(ways(runtime)) <= most


@pytest.mark.parametrize("streams", [1, 2])
def test_every_way_answers_the_same(demo_bundle, streams):
    """All threads for one run or one for each: the answer is the one without a choice."""
    bundle = open_bundle(demo_bundle)
    variant = bundle.manifest.variant("openvino", "float32")
    pixels, _ = bundle.golden_pair()
    fixed = open_runtime(bundle, variant, 2, streams=streams).run(pixels).logits
    for way in ways(open_runtime(bundle, variant, 2)):
        assert np.abs(way.run(pixels).logits - fixed).max() <= 1e-5


@pytest.mark.skipif(sys.platform != "linux", reason="a nice value is a process's elsewhere")
def test_the_networks_threads_stand_back_for_decoding(demo_bundle):
    """Each run's thread has a lower priority than those that decode and answer."""
    bundle = open_bundle(demo_bundle)
    runtime = open_runtime(bundle, bundle.manifest.variant("openvino", "float32"), 2)
    levels = [
        os.getpriority(os.PRIO_PROCESS, int(thread.name)) - os.nice(0)
        for thread in Path("/proc/self/task").iterdir()
    ]
    assert len([level for level in levels if level > 0]) >= runtime.slots
