"""Requests and answers as JSON, with the tensors' bytes behind it (binary tensor data extension).

The head is a JSON document. A tensor's elements are in it, or it says how many of the bytes behind
it are the tensor's.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import MalformedRequest, TooLarge
from service.inference_protocol.request import (
    BASE64,
    InferAnswer,
    InferRequest,
    refuse_classification,
    timeout_seconds,
)
from service.inference_protocol.tensors import InputTensor, OutputTensor

HEAD_LENGTH = "Inference-Header-Content-Length"
"""Header with the bytes of the JSON, where other bytes are behind it."""

BYTES_A_VALUE = 64
"""Memory of a value of JSON once it is read: a list is the largest of the small ones (56, and 8
for the reference to it)."""

_BINARY_SIZE = "binary_data_size"
_BINARY = "binary_data"
_BINARY_OUTPUT = "binary_data_output"


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    parameters: dict[str, Any] = {}


class _Input(_Part):
    datatype: str
    shape: list[int]
    data: list[Any] | None = None


class _Head(BaseModel):
    model_config = ConfigDict(strict=True)

    id: str = ""
    parameters: dict[str, Any] = {}
    inputs: list[_Input]
    outputs: list[_Part] = []


@dataclass(frozen=True, eq=False)
class AnswerForm:
    """How the answer to a request is to be written.

    Attributes:
        id: What the caller calls the request.
        binary: Names of the outputs that are wanted as bytes.
        binary_by_default: Whether all are, that were not named.
    """

    id: str
    binary: dict[str, bool]
    binary_by_default: bool


def values_in(head: memoryview | bytes) -> int:
    """How many values a JSON document has at the most, told without reading it."""
    text = bytes(head)
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")


def read_request(
    head: bytes, binary: memoryview, model: str, version: str
) -> tuple[InferRequest, AnswerForm]:
    """Read a request.

    Args:
        head: The JSON document.
        binary: The bytes behind it.
        model: As the path names it.
        version: As the path names it; "" where it does not.

    Raises:
        MalformedRequest: It is none; the message says why.
    """
    try:
        read = _Head.model_validate_json(head)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"])[:80] or "its start"
        raise MalformedRequest(
            f"The request is not the protocol's JSON at {where}: {fault['msg']}."
        ) from None
    inputs = []
    at = 0
    for tensor in read.inputs:
        size = tensor.parameters.get(_BINARY_SIZE)
        if size is None:
            inputs.append(_in_json(tensor, read.parameters))
            continue
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(binary) - at:
            raise MalformedRequest(
                f"The parameter `{_BINARY_SIZE}` of an input is no number of the bytes that were "
                "sent."
            )
        if tensor.data is not None:
            raise MalformedRequest("An input has both data and binary data.")
        raw = binary[at : at + size]
        inputs.append(InputTensor(tensor.name, tensor.datatype, tuple(tensor.shape), raw=raw))
        at += size
    if at != len(binary):
        raise MalformedRequest("There are bytes behind the JSON that are no input's.")
    for output in read.outputs:
        refuse_classification(output.parameters)
    form = AnswerForm(
        read.id,
        {
            output.name: _flag(output.parameters, _BINARY)
            for output in read.outputs
            if _BINARY in output.parameters
        },
        _flag(read.parameters, _BINARY_OUTPUT),
    )
    names = tuple(output.name for output in read.outputs)
    seconds = timeout_seconds(read.parameters)
    return InferRequest(model, version, tuple(inputs), names, seconds), form


def _in_json(tensor: _Input, parameters: dict[str, Any]) -> InputTensor:
    if tensor.data is None:
        raise MalformedRequest("An input has no data.")
    content_type = tensor.parameters.get("content_type", parameters.get("content_type"))
    return InputTensor(
        tensor.name,
        tensor.datatype,
        tuple(tensor.shape),
        values=tensor.data,
        base64=content_type == BASE64,
    )


def _flag(parameters: dict[str, Any], name: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise MalformedRequest(f"The parameter `{name}` is neither true nor false.")
    return value


def write_answer(answer: InferAnswer, form: AnswerForm) -> tuple[bytes, int | None]:
    """Write an answer.

    Returns:
        The body, and the bytes of its JSON where others are behind it.
    """
    outputs: list[dict[str, Any]] = []
    behind: list[bytes] = []
    for tensor in answer.outputs:
        written = _described(tensor)
        if form.binary.get(tensor.spec.name, form.binary_by_default):
            behind.append(tensor.raw())
            written["parameters"] = {_BINARY_SIZE: len(behind[-1])}
        else:
            written["data"] = tensor.values()
        outputs.append(written)
    head = json.dumps(
        {
            "model_name": answer.model,
            "model_version": answer.version,
            "id": form.id or uuid.uuid4().hex,
            "outputs": outputs,
        },
        allow_nan=False,
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    return b"".join((head, *behind)), len(head) if behind else None


def _described(tensor: OutputTensor) -> dict[str, Any]:
    spec = tensor.spec
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(tensor.shape)}


def check_values(values: int, most: int) -> None:
    """Refuse a JSON document that would take far more memory than it has bytes.

    Raises:
        TooLarge: It has more values than any request needs.
    """
    if values > most:
        raise TooLarge(f"The JSON has more than {most} values; send tensors as binary data.")
