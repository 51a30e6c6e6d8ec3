"""BentoML with adaptive batching, as its documentation shows it: one service, `batchable=True`.

Tuned: one worker that has all cores. Two workers of one core each, a second thread for the API and
batches of up to 32 were no faster. The size of batches and the wait for them are BentoML's own.
"""

from __future__ import annotations

import bentoml
import numpy as np
from PIL.Image import Image

from bench.peers.network import CORES, knob, open_network, to_pixels


@bentoml.service(
    workers=knob("WORKERS", 1),
    threads=knob("POOL", 1),
    traffic={"timeout": 60, "max_concurrency": 1000},
    logging={"access": {"enabled": False}},
)
class Peer:
    """Decodes and predicts in one process."""

    def __init__(self) -> None:
        self.network = open_network(knob("THREADS", CORES))

    # max_latency_ms is when requests are given up (503), not how long to wait for company.
    @bentoml.api(batchable=True, max_batch_size=knob("BATCH", 8), max_latency_ms=60_000)
    def predict(self, image: list[Image]) -> list[list[float]]:
        """Score a batch."""
        return self.network(np.stack([to_pixels(one) for one in image])).tolist()
