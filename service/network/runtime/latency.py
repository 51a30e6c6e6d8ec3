"""Choosing how a single image is run: on all threads or on one."""

from __future__ import annotations

import time

import numpy as np

from service.network.runtime import Runtime

ROUNDS = 5
WORTH = 0.9
"""Share of the other's time that a run on all threads must stay under. On all threads it costs
more processor time, and a second loading of the network holds as much memory again."""


def low_latency_runtime(wide: Runtime, narrow: Runtime) -> Runtime:
    """Measure which of two compiled models answers a single image sooner.

    Threads that share a run wait for each other after each layer. Where the network is large for
    the processor that pays, and a lone answer comes nearly as many times sooner as there are
    threads; where a core has instructions that make the layers short, it may not pay at all.

    Args:
        wide: One run on all threads.
        narrow: A run on each thread.

    Returns:
        `wide` where it is clearly the quicker one, `narrow` otherwise.
    """
    pixels = np.zeros((1, 1, 224, 224), np.float32)
    pair = (wide, narrow)
    for runtime in pair:  # the first run allocates and compiles
        runtime.run(pixels)
    # In turns, and the best of each: a disturbance of the machine only ever adds.
    rounds = [[_seconds(runtime, pixels) for runtime in pair] for _ in range(ROUNDS)]
    of_wide, of_narrow = (min(taken) for taken in zip(*rounds, strict=True))
    return wide if of_wide < WORTH * of_narrow else narrow


def _seconds(runtime: Runtime, pixels: np.ndarray) -> float:
    started = time.perf_counter()
    runtime.run(pixels)
    return time.perf_counter() - started
