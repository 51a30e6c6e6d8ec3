"""Requests and answers as messages of gRPC."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from itertools import chain
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

_INPUTS, _RAW = 5, 7
"""Fields of a request: `inputs` and `raw_input_contents`."""

_CONTENTS_FIELD = 5
"""Field of an input: `contents`."""

_ELEMENTS = (6, 8)
"""Fields of contents that may hold many bytes: `fp32_contents` and `bytes_contents`."""

_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
"""Ways in which a field's value is written (Protocol Buffers, encoding: wire types); those of fixed
length with that."""


def split(message: bytes) -> tuple[bytes, list[memoryview]]:
    """Take the tensors in raw form out of a message, without a copy, and look at what is left.

    What is left is small, or elements of typed tensors. An empty submessage has two bytes, and is
    an object once it is read: a message of many would take far more memory than it has bytes.

    Args:
        message: A ModelInferRequest.

    Returns:
        The message without its raw contents, and those.

    Raises:
        MalformedRequest: It is no message.
        TooLarge: It has more beside the elements of its tensors than any request needs.
    """
    whole = memoryview(message)
    rest: list[memoryview] = []
    raws: list[memoryview] = []
    typed = pieces = 0
    for number, field, content in _fields(whole):
        if number == _RAW and content is not None:
            raws.append(content)
        else:
            rest.append(field)
        inner = _typed_elements(content) if number == _INPUTS and content is not None else ()
        for size in chain((0,), inner):
            typed += size
            pieces += 1
            if pieces > MOST_PIECES:
                raise TooLarge("The message has more parts than any request needs.")
    if sum(map(len, rest)) - typed > MOST_BESIDE:
        raise TooLarge(
            f"The message has more than {MOST_BESIDE} bytes beside the elements of its tensors; "
            "those are FP32 or BYTES."
        )
    return b"".join(rest), raws


def _typed_elements(tensor: memoryview) -> Iterator[int]:
    """The bytes of each part of an input's contents; of one that holds no elements, 0."""
    for number, _, contents in _fields(tensor):
        if number == _CONTENTS_FIELD and contents is not None:
            for kind, _, elements in _fields(contents):
                yield len(elements) if kind in _ELEMENTS and elements is not None else 0


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview, memoryview | None]]:
    """The fields of a message.

    Yields:
        The number of each, all of its bytes, and its content where it has a length.

    Raises:
        MalformedRequest: It is no message.
    """
    at = 0
    while at < len(view):
        begin = at
        tag, at = _varint(view, at)
        kind, content = tag & 7, None
        if kind == _VARINT:
            _, at = _varint(view, at)
        elif kind == _BYTES:
            size, at = _varint(view, at)
            content = view[at : at + size]
            at += size
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise _no_message()
        if at > len(view):
            raise _no_message()
        yield tag >> 3, view[begin:at], content


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = 0
    for place in range(10):
        if at >= len(view):
            raise _no_message()
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise _no_message()


def _no_message() -> MalformedRequest:
    return MalformedRequest("The message is none of the protocol's.")


def read_request(message: bytes) -> tuple[InferRequest, str, bool]:
    """Read a ModelInferRequest.

    Returns:
        The request; what the caller calls it; whether its tensors came in raw form, in which its
        answer's are then.

    Raises:
        ClientFault: It is no such message; the error says why.
    """
    rest, raws = split(message)
    try:
        read: Any = message_class("ModelInferRequest").FromString(rest)
    except DecodeError as error:
        raise _no_message() from error
    if raws and len(raws) != len(read.inputs):
        raise MalformedRequest("There are not as many raw contents as there are inputs.")
    parameters = _values(read.parameters)
    inputs = []
    for number, tensor in enumerate(read.inputs):
        shape = tuple(tensor.shape)
        if raws:
            if tensor.HasField("contents"):
                raise MalformedRequest("An input has contents and raw contents.")
            inputs.append(InputTensor(tensor.name, tensor.datatype, shape, raw=raws[number]))
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
