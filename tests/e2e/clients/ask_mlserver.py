"""Ask with MLServer's codecs: `ask_mlserver.py HTTP GRPC PIXELS.npy FILE...` prints the answers.

Over HTTP as JSON, over gRPC as typed contents. Run by tests/e2e/test_protocol_clients.py with the
interpreter of build/clients/mlserver.
"""

import json
import sys
from pathlib import Path

import grpc
import httpx
import numpy as np
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.grpc.converters import ModelInferRequestConverter, ModelInferResponseConverter
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from mlserver.types import InferenceRequest, InferenceResponse

HTTP, GRPC, PIXELS, *FILES = sys.argv[1:]


def over_http(model, request):
    url = f"http://{HTTP}/v2/models/{model}/infer"
    answer = httpx.post(url, content=request.model_dump_json(), timeout=60)
    assert answer.status_code == 200, answer.text
    return InferenceResponse.model_validate_json(answer.text)


def over_grpc(model, request):
    message = ModelInferRequestConverter.from_types(request, model_name=model, model_version=None)
    return ModelInferResponseConverter.to_types(stub.ModelInfer(message))


def told(ask):
    scores = []
    for file in FILES:
        image = Base64Codec.encode_input("image", [Path(file).read_bytes()])
        scores.append(decoded(ask("cxr", InferenceRequest(inputs=[image])), "score"))
    pixels = NumpyCodec.encode_input("pixels", np.load(PIXELS))
    return {
        "scores": scores,
        "logits": decoded(ask("cxr-tensor", InferenceRequest(inputs=[pixels])), "logits"),
    }


def decoded(answer, name):
    (output,) = [output for output in answer.outputs if output.name == name]
    return NumpyCodec.decode_output(output).astype(np.float32).tobytes().hex()


with grpc.insecure_channel(GRPC) as channel:
    stub = GRPCInferenceServiceStub(channel)
    found = [told(over_http), told(over_grpc)]
print(json.dumps(found))
