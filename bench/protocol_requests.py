"""Requests for one image by the protocol's ways, as bytes that are sent as they are."""

from __future__ import annotations

import base64
import json
import struct

from service.inference_protocol.grpc_messages import SERVICE, build

INFER = f"/{SERVICE}/ModelInfer"
"""The path of gRPC's ModelInfer."""

REST_PATH = "/v2/models/cxr/infer"
"""The path of an inference over REST."""


def rest_request(binary: bool, image: bytes) -> tuple[dict[str, str], bytes]:
    """Headers and body of an inference over REST, in the binary form or in JSON."""
    if not binary:
        data = [base64.b64encode(image).decode()]
        asked = {"inputs": [_input(parameters={"content_type": "base64"}, data=data)]}
        return {"Content-Type": "application/json"}, json.dumps(asked).encode()
    raw = _raw(image)
    asked = {
        "inputs": [_input(parameters={"binary_data_size": len(raw)})],
        "parameters": {"binary_data_output": True},
    }
    front = json.dumps(asked).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(front)),
    }
    return headers, front + raw


def grpc_request(model: str, image: bytes) -> bytes:
    """A ModelInferRequest."""
    tensor = build("ModelInferRequest.InferInputTensor", **_input())
    request = build(
        "ModelInferRequest", model_name=model, inputs=[tensor], raw_input_contents=[_raw(image)]
    )
    return bytes(request.SerializeToString())


def _raw(image: bytes) -> bytes:
    return struct.pack("<I", len(image)) + image


def _input(**more: object) -> dict[str, object]:
    return {"name": "image", "datatype": "BYTES", "shape": [1], **more}
