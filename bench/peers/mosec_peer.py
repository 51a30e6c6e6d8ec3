"""mosec with batching.

As mosec's documentation has it: a stage of processes that decode, then a stage that predicts with
dynamic batching (its ResNet-50 example). The body is the file itself: mosec has no multipart form.

Tuned for many clients: a process a core, each with one thread, that decodes for itself instead of
being sent pixels by a stage of decoders. The other way (PEER_DECODERS=1 PEER_WORKERS=1
PEER_THREADS=2) was some 10 % slower with 32 clients and a third faster for one. Waiting 5 ms for
company was no worse than not at all, and as good as 20 ms.
"""

from __future__ import annotations

import json

import numpy as np
from mosec import Server, Worker

from bench.peers.network import CORES, decode, knob, open_network

BATCH = knob("BATCH", 8)
WAIT_MS = knob("WAIT_MS", 5)
DECODERS = knob("DECODERS", 0)
WORKERS = knob("WORKERS", CORES)
THREADS = knob("THREADS", 1)


class Preprocess(Worker):
    """Decodes; one request at a time."""

    def deserialize(self, data: bytes) -> bytes:
        """Take the body as it came."""
        return data

    def forward(self, data: bytes) -> np.ndarray:
        """Decode one file."""
        return decode(data)


class Inference(Worker):
    """Predicts a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.network = open_network(THREADS)

    def deserialize(self, data: bytes) -> bytes:
        """Take the body as it came, where this is the only stage."""
        return data

    def forward(self, data: list[np.ndarray] | list[bytes]) -> list[list[float]]:
        """Score a batch."""
        pixels = [one if isinstance(one, np.ndarray) else decode(one) for one in data]
        return self.network(np.stack(pixels)).tolist()

    def serialize(self, data: list[float]) -> bytes:
        """Answer one request."""
        return json.dumps({"probabilities": data}).encode()


if __name__ == "__main__":
    server = Server()
    if DECODERS:
        server.append_worker(Preprocess, num=DECODERS)
    server.append_worker(Inference, num=WORKERS, max_batch_size=BATCH, max_wait_time=WAIT_MS)
    server.run()
