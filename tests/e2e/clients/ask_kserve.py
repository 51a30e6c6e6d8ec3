"""Ask with KServe's client: `ask_kserve.py HTTP GRPC PIXELS.npy FILE...` prints what it was told.

Run by tests/e2e/test_protocol_clients.py with the interpreter of build/clients/kserve.
"""

import asyncio
import json
import sys
from pathlib import Path

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

HTTP, GRPC, PIXELS, *FILES = sys.argv[1:]


async def told(infer):
    scores = []
    for file in FILES:
        image = InferInput("image", [1], "BYTES")
        image.set_data_from_numpy(np.array([Path(file).read_bytes()], dtype=object))
        answer = await infer(InferRequest("cxr", [image]))
        scores.append(answer.get_output_by_name("score").as_numpy().tobytes().hex())
    pixels = np.load(PIXELS)
    tensor = InferInput("pixels", list(pixels.shape), "FP32")
    tensor.set_data_from_numpy(pixels)
    answer = await infer(InferRequest("cxr-tensor", [tensor]))
    logits = answer.get_output_by_name("logits").as_numpy()
    return {"scores": scores, "logits": logits.astype(np.float32).tobytes().hex()}


async def main():
    url = f"http://{HTTP}"
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    grpc = InferenceGRPCClient(GRPC)
    assert await rest.is_server_live(url)
    assert await rest.is_server_ready(url)
    assert await rest.is_model_ready(url, "cxr")
    assert await grpc.is_server_live()
    assert await grpc.is_server_ready()
    assert await grpc.is_model_ready("cxr")
    found = [
        await told(lambda request: rest.infer(url, request, model_name=request.model_name)),
        await told(grpc.infer),
    ]
    await rest.close()
    await grpc.close()
    print(json.dumps(found))


asyncio.run(main())
