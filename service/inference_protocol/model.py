"""What a model of the protocol is, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from service.errors import MalformedRequest, TooLarge
from service.http.uploads import ByteBudget
from service.inference_protocol.request import InferRequest
from service.inference_protocol.statistics import Statistics
from service.inference_protocol.tensors import InputTensor, OutputTensor, TensorSpec

_CONFIG_TYPES = {"BOOL": "TYPE_BOOL", "BYTES": "TYPE_STRING", "FP32": "TYPE_FP32"}
"""Names that Triton's model configuration has for datatypes."""


class Work(Protocol):
    """The input of one request, checked, and counted against the intake until it is closed."""

    @property
    def images(self) -> int:
        """How many there are."""
        ...

    async def run(self, deadline: float | None) -> Mapping[str, Sequence[Any]]:
        """Score the images.

        Args:
            deadline: The caller's, on the event loop's clock; None where it has none.

        Returns:
            By the name of each output, a row an image.

        Raises:
            CxrError: There is no answer.
        """
        ...

    def close(self) -> None:
        """Give the bytes back. Doing it again changes nothing."""
        ...


@dataclass(frozen=True)
class ModelFacts:
    """What a model says of itself.

    Attributes:
        name: By which it is asked for.
        version: The bundle's.
        platform: Runtime and precision.
        labels: The findings, in the order of the outputs' columns.
        input: Its one input.
        outputs: Its outputs.
        max_images: Images of one request at the most.
    """

    name: str
    version: str
    platform: str
    labels: tuple[str, ...]
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    max_images: int

    def metadata(self) -> dict[str, Any]:
        """The protocol's model metadata."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": self.platform,
            "inputs": [_tensor_metadata(self.input)],
            "outputs": [_tensor_metadata(spec) for spec in self.outputs],
        }

    def config(self) -> dict[str, Any]:
        """Triton's model configuration, as far as it says anything here."""
        return {
            "name": self.name,
            "platform": self.platform,
            "backend": self.platform.partition("_")[0],
            "max_batch_size": self.max_images,
            "input": [_tensor_config(self.input)],
            "output": [_tensor_config(spec) for spec in self.outputs],
            "parameters": {"labels": {"string_value": ",".join(self.labels)}},
        }

    def the_input(self, request: InferRequest) -> tuple[InputTensor, int]:
        """The one input of a request, and the number of its images.

        Raises:
            MalformedRequest: There are others, or its datatype or shape are not the model's.
            TooLarge: It holds more images than a request may.
        """
        names = [tensor.name for tensor in request.inputs]
        if names != [self.input.name]:
            raise MalformedRequest(
                f"The model {self.name} takes one input, {self.input.name!r}.", code="unknown_input"
            )
        (tensor,) = request.inputs
        if tensor.datatype != self.input.datatype:
            raise MalformedRequest(
                f"The input {self.input.name!r} has the datatype {self.input.datatype}.",
                code="wrong_datatype",
            )
        images, *rest = tensor.shape or (0,)
        # Triton's own servers have a batch of single elements as [N, 1].
        same = tuple(rest) in {self.input.shape, self.input.shape or (1,)}
        if not same or images < 1:
            wanted = ", ".join(map(str, ("N", *self.input.shape)))
            raise MalformedRequest(
                f"The input {self.input.name!r} has the shape [{wanted}], N from 1.",
                code="wrong_shape",
            )
        if images > self.max_images:
            raise TooLarge(
                f"A request holds at most {self.max_images} images.", max_images=self.max_images
            )
        return tensor, images

    def wanted(self, request: InferRequest) -> tuple[TensorSpec, ...]:
        """The outputs that a request wants, in its order; all where it names none.

        Raises:
            MalformedRequest: There is no such output.
        """
        if not request.outputs:
            return self.outputs
        by_name = {spec.name: spec for spec in self.outputs}
        if not by_name.keys() >= set(request.outputs):
            raise MalformedRequest(
                f"The outputs of the model {self.name} are {', '.join(by_name)}.",
                code="unknown_output",
            )
        return tuple(by_name[name] for name in dict.fromkeys(request.outputs))


class Model(Protocol):
    """A model that can be asked.

    Attributes:
        facts: What it says of itself.
        statistics: What it has done.
    """

    facts: ModelFacts
    statistics: Statistics

    def accept(self, request: InferRequest, intake: ByteBudget) -> Work:
        """Check a request's input and take hold of it.

        Args:
            request: Nothing of it is referred to by the result.
            intake: What counts the bytes of the result in.

        Raises:
            ClientFault: The input is not what the model takes, or does not fit the intake.
        """
        ...


def _tensor_metadata(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": [-1, *spec.shape]}


def _tensor_config(spec: TensorSpec) -> dict[str, Any]:
    config: dict[str, Any] = {
        "name": spec.name,
        "data_type": _CONFIG_TYPES[spec.datatype],
        "dims": list(spec.shape) or [1],
    }
    if not spec.shape:  # a configuration cannot say that an image's part has no dimension
        config["reshape"] = {"shape": []}
    return config


def output_tensors(
    wanted: Sequence[TensorSpec], columns: Mapping[str, Sequence[Any]]
) -> tuple[OutputTensor, ...]:
    """The tensors of an answer from the rows of its outputs."""
    return tuple(OutputTensor.of(spec, columns[spec.name]) for spec in wanted)
