"""FastAPI on uvicorn, one inference a request.

As FastAPI's documentation has it: `UploadFile`, a plain `def` endpoint, which Starlette runs in its
pool of 40 threads because the work blocks ("Concurrency and async / await"), and the model loaded
once in the lifespan ("Lifespan Events"). uvicorn with uvloop and httptools, without access log.

Tuned: OpenVINO with its throughput hint and a stream a core, as its guide has it for requests that
come side by side: with 32 clients over 1.5 times as fast as one stream of all cores, whatever the
size of the pool, but a lone client waits for one core. ONNX Runtime with a thread a core; a smaller
pool and spinning made no difference that showed, and two processes (`--workers`) of one core each
were slower and left clients waiting unevenly.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI, File, Request

from bench.peers.network import CORES, decode, knob, open_network

THREADS = knob("THREADS", CORES)
STREAMS = knob("STREAMS", CORES)
POOL = knob("POOL", 40)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the model before the first request."""
    app.state.network = open_network(THREADS, STREAMS)
    anyio.to_thread.current_default_thread_limiter().total_tokens = POOL
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
def predict(request: Request, image: bytes = File()) -> dict[str, list[float]]:
    """Score one file."""
    probabilities = request.app.state.network(decode(image)[None])
    return {"probabilities": probabilities[0].tolist()}
