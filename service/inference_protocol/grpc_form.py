"""Requests and answers as messages of gRPC."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from service.errors import MalformedRequest, TooLarge
from service.inference_protocol.grpc_messages import build, message_class
from service.inference_protocol.request import (
    BASE64,
    InferAnswer,
    InferRequest,
    refuse_classification,
    timeout_seconds,
)
from service.inference_protocol.tensors import InputTensor

_CONTENTS = {"FP32": "fp32_contents", "BYTES": "bytes_contents", "BOOL": "bool_contents"}
"""Field that holds the elements of each datatype, where they do not come in raw form."""

MOST_BESIDE = 1 << 16
"""Bytes of a request that are no tensor's elements, at the most."""

MOST_PIECES = 2048
"""Pieces that the elements of all tensors come in, at the most; files are one each."""

_ELEMENTS: dict[int, Any] = {7: {}, 5: {5: {6: {}, 8: {}}}}
"""Numbers of the fields of a request that hold elements: `raw_input_contents`, and in an input's
contents `fp32_contents` and `bytes_contents`. Every other is a few bytes."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Ways in which a field's value is written (Protocol Buffers, encoding: wire types)."""


def check_size(message: bytes) -> None:
    """Refuse a message that would take far more memory when it is read than it has bytes.

    An empty submessage has two bytes, and one object once it is read.

    Args:
        message: A ModelInferRequest.

    Raises:
        MalformedRequest: It is no message.
        TooLarge: It has more beside the elements of its tensors than any request needs.
    """
    elements = 0
    for pieces, size in enumerate(_elements(memoryview(message), _ELEMENTS)):
        elements += size
        if pieces > MOST_PIECES:
            raise TooLarge("The message has more parts than any request needs.")
    if len(message) - elements > MOST_BESIDE:
        raise TooLarge(
            f"The message has more than {MOST_BESIDE} bytes beside the elements of its tensors; "
            "those are FP32 or BYTES."
        )


def _elements(view: memoryview, holding: Mapping[int, Any]) -> Iterator[int]:
    """The sizes of the fields that hold elements; every field looked into counts as one of 0."""
    at = 0
    while at < len(view):
        tag, at = _varint(view, at)
        kind, number = tag & 7, tag >> 3
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind, 0)
        if kind == _VARINT:
            _, at = _varint(view, at)
        elif kind == _BYTES:
            size, at = _varint(view, at)
        elif not size:
            raise MalformedRequest("The message is none of the protocol's.")
        if at + size > len(view):
            raise MalformedRequest("The message ends early.")
        if kind == _BYTES and number in holding:
            inner = holding[number]
            yield 0 if inner else size
            if inner:
                yield from _elements(view[at : at + size], inner)
        else:
            yield 0
        at += size


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = 0
    for place in range(10):
        if at >= len(view):
            raise MalformedRequest("The message ends early.")
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise MalformedRequest("The message is none of the protocol's.")


def read_request(message: bytes) -> tuple[InferRequest, str, bool]:
    """Read a ModelInferRequest.

    Returns:
        The request; what the caller calls it; whether its tensors came in raw form, in which its
        answer's are then.

    Raises:
        ClientFault: It is no such message; the error says why.
    """
    check_size(message)
    try:
        read: Any = message_class("ModelInferRequest").FromString(message)
    except DecodeError as error:
        raise MalformedRequest("The message is none of the protocol's.") from error
    raws = list(read.raw_input_contents)
    if raws and len(raws) != len(read.inputs):
        raise MalformedRequest("There are not as many raw contents as there are inputs.")
    parameters = _values(read.parameters)
    inputs = []
    for number, tensor in enumerate(read.inputs):
        shape = tuple(tensor.shape)
        if raws:
            if tensor.HasField("contents"):
                raise MalformedRequest("An input has contents and raw contents.")
            raw = memoryview(raws[number])
            inputs.append(InputTensor(tensor.name, tensor.datatype, shape, raw=raw))
            continue
        values = getattr(tensor.contents, _CONTENTS.get(tensor.datatype, "bytes_contents"))
        content_type = _values(tensor.parameters).get("content_type")
        inputs.append(
            InputTensor(
                tensor.name,
                tensor.datatype,
                shape,
                values=np.array(values, np.float32) if tensor.datatype == "FP32" else list(values),
                base64=(content_type or parameters.get("content_type")) == BASE64,
            )
        )
    for output in read.outputs:
        refuse_classification(_values(output.parameters))
    names = tuple(output.name for output in read.outputs)
    request = InferRequest(
        read.model_name, read.model_version, tuple(inputs), names, timeout_seconds(parameters)
    )
    return request, read.id, bool(raws)


def _values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The values of parameters, of whichever type each is."""
    values = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        values[name] = getattr(parameter, choice) if choice else None
    return values


def write_answer(answer: InferAnswer, name: str, raw: bool) -> bytes:
    """Write a ModelInferResponse.

    Args:
        answer: What to write.
        name: What the caller calls the request; where it is "", the answer gets a name.
        raw: Whether in raw form.
    """
    outputs = []
    for tensor in answer.outputs:
        spec = tensor.spec
        output = build(
            "ModelInferResponse.InferOutputTensor",
            name=spec.name,
            datatype=spec.datatype,
            shape=tensor.shape,
        )
        if not raw:
            data = tensor.data.ravel() if isinstance(tensor.data, np.ndarray) else tensor.data
            getattr(output.contents, _CONTENTS[spec.datatype]).extend(data)
        outputs.append(output)
    return build(
        "ModelInferResponse",
        model_name=answer.model,
        model_version=answer.version,
        id=name or uuid.uuid4().hex,
        outputs=outputs,
        raw_output_contents=[tensor.raw() for tensor in answer.outputs] if raw else [],
    ).SerializeToString()
