"""The network behind MLServer: a model of its that decodes with Pillow.

mlserver start FOLDER      # with the settings that `bench.inference_protocol` writes there
"""

from __future__ import annotations

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from mlserver import MLModel, types
from mlserver.codecs import NumpyCodec

from bench.peers.network import CORES, decode, knob, open_network


class Peer(MLModel):
    """Image files in, probabilities out; requests are put together by MLServer's own batching."""

    async def load(self) -> bool:
        """Open the network."""
        self._network = open_network(knob("THREADS", CORES), knob("STREAMS", CORES))
        self._pool = ThreadPoolExecutor(knob("POOL", CORES))
        return True

    async def predict(self, payload: types.InferenceRequest) -> types.InferenceResponse:
        """Score the files of a request."""
        (tensor,) = payload.inputs
        files = [_file(element, tensor) for element in tensor.data.root]
        loop = asyncio.get_running_loop()
        probabilities = await loop.run_in_executor(self._pool, self._run, files)
        output = NumpyCodec.encode_output("probability", probabilities)
        return types.InferenceResponse(model_name=self.name, outputs=[output])

    def _run(self, files: list[bytes]) -> np.ndarray:
        return self._network(np.stack([decode(file) for file in files]))


def _file(element: bytes | str, tensor: types.RequestInput) -> bytes:
    content_type = getattr(tensor.parameters, "content_type", None)
    if content_type == "base64":
        return base64.b64decode(element)
    return element if isinstance(element, bytes) else element.encode()
