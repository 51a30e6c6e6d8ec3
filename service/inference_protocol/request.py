"""A request for inference and its answer, whichever way they came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.errors import MalformedRequest
from service.inference_protocol.tensors import InputTensor, OutputTensor

_MICROSECONDS = 1e6

BASE64 = "base64"
"""Content type (MLServer) of elements that are bytes in base64."""


@dataclass(frozen=True, eq=False)
class InferRequest:
    """A request for inference.

    Attributes:
        model: Name of the model.
        version: Version of it; "" for whichever is served.
        inputs: The tensors.
        outputs: Names of the outputs that are wanted; empty for all.
        seconds: Within which the caller wants the answer; None where it said nothing.
    """

    model: str
    version: str
    inputs: tuple[InputTensor, ...]
    outputs: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class InferAnswer:
    """The answer to a request for inference.

    Attributes:
        model: Name of the model.
        version: Of the model.
        outputs: The tensors that were wanted.
    """

    model: str
    version: str
    outputs: tuple[OutputTensor, ...]


def timeout_seconds(parameters: Mapping[str, Any]) -> float | None:
    """The time that a request's parameter `timeout` allows, which Triton has in microseconds.

    Raises:
        MalformedRequest: It is no whole number from 0.
    """
    value = parameters.get("timeout", 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MalformedRequest("The parameter `timeout` is no number of microseconds.")
    return value / _MICROSECONDS or None  # 0 is no limit


def refuse_classification(parameters: Mapping[str, Any]) -> None:
    """Refuse Triton's extension that sorts an output by its labels.

    Raises:
        MalformedRequest: It is asked for.
    """
    if parameters.get("classification"):
        raise MalformedRequest("The parameter `classification` of an output is not supported.")
