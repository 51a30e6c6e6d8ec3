"""LitServe with batching.

As LitServe's documentation has it: `decode_request` and `encode_response` a request, `batch`,
`predict` and `unbatch` a batch, `max_batch_size` and `batch_timeout` on the API; images as base64
in JSON, and decoded in `batch` by a pool of threads, as its own benchmark of images does.

Tuned: one worker that has all cores and waits 5 ms for company. Two workers of one core each were
as fast with 32 clients and a third slower for one; waiting 20 ms was slower, and not waiting at all
and the ZeroMQ queue were no faster.
"""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor

import litserve
import numpy as np

from bench.peers.network import CORES, decode, knob, open_network

WORKERS = knob("WORKERS", 1)
THREADS = knob("THREADS", CORES)
WAIT_MS = knob("WAIT_MS", 5)


class Peer(litserve.LitAPI):
    """One process that decodes and predicts."""

    def setup(self, device: str) -> None:
        """Load the model; called once in each worker."""
        self.network = open_network(THREADS)
        self.pool = ThreadPoolExecutor(CORES)

    def decode_request(self, request: dict[str, str]) -> str:
        """Leave decoding to `batch`, which has the threads for it."""
        return request["image"]

    def batch(self, inputs: list[str]) -> np.ndarray:
        """Decode the files of a batch side by side."""
        return np.stack(list(self.pool.map(lambda text: decode(base64.b64decode(text)), inputs)))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Score a batch."""
        return self.network(x)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        """Split a batch again."""
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict[str, list[float]]:
        """Answer one request."""
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    api = Peer(max_batch_size=knob("BATCH", 8), batch_timeout=WAIT_MS / 1000)
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=WORKERS,
        fast_queue=bool(knob("FAST_QUEUE", 0)),
        timeout=60,
    )
    server.run(
        host="127.0.0.1",
        port=knob("PORT", 3000),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
