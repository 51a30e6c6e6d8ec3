"""Asking the Open Inference Protocol: by hand over HTTP, and by a bare channel of gRPC."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass

import grpc
import httpx
import numpy as np

from service.inference_protocol.grpc_messages import METHODS, SERVICE, build, message_class

HEAD_LENGTH = "Inference-Header-Content-Length"


def raw_bytes(*elements: bytes) -> bytes:
    """Elements of the datatype BYTES in raw form."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def elements_of(raw: bytes) -> list[bytes]:
    """The other way round."""
    elements, at = [], 0
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        elements.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    return elements


def decoded(datatype: str, shape: list[int], raw: bytes) -> np.ndarray | list[bytes]:
    """A tensor from its raw form."""
    if datatype == "BYTES":
        return elements_of(raw)
    return np.frombuffer(raw, {"FP32": "<f4", "BOOL": "?"}[datatype]).reshape(shape)


def json_files(*files: bytes, **more: object) -> dict:
    """A request to `cxr` as JSON."""
    image = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [len(files)],
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(file).decode() for file in files],
    }
    return {"inputs": [image], **more}


def binary_body(
    name: str, datatype: str, shape: list[int], raw: bytes, **more: object
) -> tuple[bytes, dict[str, str]]:
    """A request with one tensor behind the JSON, and its header; all outputs come as bytes."""
    described = {
        "name": name,
        "datatype": datatype,
        "shape": shape,
        "parameters": {"binary_data_size": len(raw)},
    }
    asked = {"inputs": [described], "parameters": {"binary_data_output": True}, **more}
    head = json.dumps(asked).encode()
    return head + raw, {HEAD_LENGTH: str(len(head))}


def binary_answer(answer: httpx.Response) -> dict[str, np.ndarray | list[bytes]]:
    """The tensors of an answer that come as bytes."""
    size = int(answer.headers[HEAD_LENGTH])
    at, tensors = size, {}
    for output in json.loads(answer.content[:size])["outputs"]:
        end = at + output["parameters"]["binary_data_size"]
        tensors[output["name"]] = decoded(
            output["datatype"], output["shape"], answer.content[at:end]
        )
        at = end
    assert at == len(answer.content)
    return tensors


def tensor_message(name: str, datatype: str, shape: list[int], **contents: object):
    """An input of gRPC; its elements are typed where `contents` has any."""
    typed = {"contents": build("InferTensorContents", **contents)} if contents else {}
    return build(
        "ModelInferRequest.InferInputTensor", name=name, datatype=datatype, shape=shape, **typed
    )


@dataclass
class Rpc:
    """The service's gRPC.

    Attributes:
        address: Host and port.
        key: An API key, or None.
    """

    address: str
    key: str | None = None

    def __post_init__(self) -> None:
        self.channel = grpc.insecure_channel(self.address)

    def call(self, method: str, message: bytes, timeout: float = 60) -> bytes:
        """Send bytes to any method of one message each way."""
        metadata = () if self.key is None else (("x-api-key", self.key),)
        return self.channel.unary_unary(method)(message, timeout=timeout, metadata=metadata)

    def ask(self, method: str, timeout: float = 60, **values: object):
        """Ask a method of the protocol's service."""
        taken, given = METHODS[method]
        message = build(taken, **values).SerializeToString()
        return message_class(given).FromString(self.call(f"/{SERVICE}/{method}", message, timeout))

    def files(self, *files: bytes, typed: bool = False, **more: object):
        """Ask `cxr`."""
        contents = {"bytes_contents": files} if typed else {}
        given = {"raw_input_contents": [raw_bytes(*files)]} if not typed else {}
        image = tensor_message("image", "BYTES", [len(files)], **contents)
        return self.ask("ModelInfer", model_name="cxr", inputs=[image], **given, **more)

    def pixels(self, pixels: np.ndarray, typed: bool = False, **more: object):
        """Ask `cxr-tensor`."""
        contents = {"fp32_contents": pixels.ravel()} if typed else {}
        given = {"raw_input_contents": [pixels.tobytes()]} if not typed else {}
        tensor = tensor_message("pixels", "FP32", list(pixels.shape), **contents)
        return self.ask("ModelInfer", model_name="cxr-tensor", inputs=[tensor], **given, **more)


def tensors(answer) -> dict[str, np.ndarray | list[bytes]]:
    """The tensors of an answer of gRPC, whichever form they have."""
    found = {}
    for number, output in enumerate(answer.outputs):
        if answer.raw_output_contents:
            raw = answer.raw_output_contents[number]
            found[output.name] = decoded(output.datatype, list(output.shape), raw)
        elif output.datatype == "BYTES":
            found[output.name] = list(output.contents.bytes_contents)
        elif output.datatype == "BOOL":
            flags = np.array(output.contents.bool_contents, bool)
            found[output.name] = flags.reshape(output.shape)
        else:
            numbers = np.array(output.contents.fp32_contents, np.float32)
            found[output.name] = numbers.reshape(output.shape)
    return found
