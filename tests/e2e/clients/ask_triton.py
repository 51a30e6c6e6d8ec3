"""Ask with Triton's client: `ask_triton.py HTTP GRPC PIXELS.npy FILE...` prints what it was told.

Run by tests/e2e/test_protocol_clients.py with the interpreter of build/clients/triton.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc
import tritonclient.http

HTTP, GRPC, PIXELS, *FILES = sys.argv[1:]


def told(module, address):
    client = module.InferenceServerClient(address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("cxr")
    assert client.is_model_ready("cxr-tensor")
    metadata = client.get_model_metadata("cxr")
    config = client.get_model_config("cxr")
    assert client.get_server_metadata()
    assert client.get_inference_statistics("cxr")
    if module is tritonclient.grpc:
        names = [tensor.name for tensor in metadata.outputs]
        most = config.config.max_batch_size
    else:
        names = [tensor["name"] for tensor in metadata["outputs"]]
        most = config["max_batch_size"]
    scores = []
    for file in FILES:
        image = module.InferInput("image", [1], "BYTES")
        image.set_data_from_numpy(np.array([Path(file).read_bytes()], dtype=object))
        answer = client.infer("cxr", [image])
        scores.append(answer.as_numpy("score").tobytes().hex())
    pixels = np.load(PIXELS)
    tensor = module.InferInput("pixels", list(pixels.shape), "FP32")
    tensor.set_data_from_numpy(pixels)
    logits = client.infer("cxr-tensor", [tensor]).as_numpy("logits")
    client.close()
    return {"outputs": names, "most": most, "scores": scores, "logits": logits.tobytes().hex()}


found = [told(tritonclient.http, HTTP), told(tritonclient.grpc, GRPC)]
print(json.dumps(found))
