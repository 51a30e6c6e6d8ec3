"""What a model has done since the start, as Triton's statistics extension counts it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

_NANOSECONDS = 1e9


@dataclass
class Duration:
    """How often something was done and how long that took in all.

    Attributes:
        count: How often.
        ns: Nanoseconds in all.
    """

    count: int = 0
    ns: int = 0

    def add(self, seconds: float, count: int = 1) -> None:
        """Count something in."""
        self.count += count
        self.ns += int(seconds * _NANOSECONDS)


@dataclass
class Statistics:
    """The counters of one model in this process.

    Attributes:
        last_inference: When the last request was answered, in milliseconds since 1970.
        inference_count: Images that were scored.
        execution_count: Images divided by the size of the batch that each was in: as many batches
            as would have been run, were no other model's images in them.
        success: Requests that were answered.
        fail: Requests that were not.
        queue: Waiting, an image.
        compute_input: Decoding, an image.
        compute_infer: Runs of the network, an image.
    """

    last_inference: int = 0
    inference_count: int = 0
    execution_count: float = 0.0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)

    def scored(self, decode: float, queue: float, inference: float, batch_size: int) -> None:
        """Count an image in; seconds, and the images of its batch."""
        self.inference_count += 1
        self.execution_count += 1 / batch_size
        self.compute_input.add(decode)
        self.queue.add(queue)
        self.compute_infer.add(inference)

    def answered(self, seconds: float) -> None:
        """Count an answered request in."""
        self.last_inference = int(time.time() * 1e3)
        self.success.add(seconds)

    def failed(self, seconds: float) -> None:
        """Count a request in that was not answered."""
        self.fail.add(seconds)

    def durations(self) -> dict[str, Duration]:
        """The durations by the names that the extension gives them."""
        nothing = Duration()
        return {
            "success": self.success,
            "fail": self.fail,
            "queue": self.queue,
            "compute_input": self.compute_input,
            "compute_infer": self.compute_infer,
            "compute_output": nothing,
            "cache_hit": nothing,
            "cache_miss": nothing,
        }
