"""A pod as the simulation has it: a queue and batches, with measured times."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.manifests import container, environment
from service.serving.prediction_lane import SHARE_OF_DEADLINE
from service.settings import read_settings


@dataclass(frozen=True)
class PodTimes:
    """What a pod does: seconds of a batch by its size, from the measured smallest and largest."""

    alone: float
    each: float
    max_batch: int
    capacity: int
    start: float
    idle_cpu: float

    def batch(self, size: int) -> float:
        return self.alone + self.each * (size - 1)

    @property
    def rate(self) -> float:
        """Images a second at the most."""
        return self.max_batch / self.batch(self.max_batch)


def pod_times(path: Path) -> PodTimes:
    """Measured service times with the manifests' limits."""
    measured = json.loads(path.read_text(encoding="utf-8"))
    sizes = {int(size): seconds for size, seconds in measured["batch_seconds"].items()}
    low, high = min(sizes), max(sizes)
    each = (sizes[high] - sizes[low]) / (high - low)
    given = environment(container("base", "cxr"))
    names = {name.removeprefix("CXR_").lower(): value for name, value in given.items()}
    settings = read_settings(**names)
    slowest = (sizes[low] + each * (settings.max_batch - 1)) / settings.max_batch
    in_time = int(SHARE_OF_DEADLINE * settings.deadline_seconds / slowest)
    return PodTimes(
        alone=sizes[low],
        each=each,
        max_batch=settings.max_batch,
        capacity=min(settings.queue + 2 * settings.max_batch, in_time),
        start=measured["start_seconds"],
        idle_cpu=measured["idle_cpu"],
    )


@dataclass
class Pod:
    """A pod's queue. `run` takes it through a stretch of time."""

    ready_at: float
    free_at: float = 0.0
    waiting: deque[float] = field(default_factory=deque)
    in_work: deque[tuple[float, int]] = field(default_factory=deque)
    busy: float = 0.0

    def in_flight(self, now: float) -> int:
        while self.in_work and self.in_work[0][0] <= now:
            self.in_work.popleft()
        return len(self.waiting) + sum(size for _, size in self.in_work)

    def run(self, arrivals: np.ndarray, end: float, times: PodTimes, waits: list[float]) -> int:
        """Serve until `end`; returns how many were turned away."""
        rejected = 0
        for arrival in arrivals.tolist():
            self._start_batches(arrival, times, waits)
            if self.in_flight(arrival) >= times.capacity:
                rejected += 1
            else:
                self.waiting.append(arrival)
        self._start_batches(end, times, waits)
        return rejected

    def _start_batches(self, until: float, times: PodTimes, waits: list[float]) -> None:
        while self.waiting:
            start = max(self.free_at, self.waiting[0])
            if start >= until:
                return
            size = 0
            while self.waiting and size < times.max_batch and self.waiting[0] <= start:
                waits.append(start - self.waiting.popleft())
                size += 1
            seconds = times.batch(size)
            self.free_at = start + seconds
            self.busy += seconds
            self.in_work.append((self.free_at, size))
