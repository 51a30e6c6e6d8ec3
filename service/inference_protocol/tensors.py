"""The protocol's tensors: their names, datatypes and shapes, and their elements as bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from service.errors import MalformedRequest

Datatype = Literal["BOOL", "BYTES", "FP32"]
"""The protocol's datatypes that tensors here have."""

_LENGTH = struct.Struct("<I")
"""In front of every element of the datatype BYTES in raw form."""

_DTYPES = {"BOOL": np.dtype(np.bool_), "FP32": np.dtype("<f4")}


@dataclass(frozen=True)
class TensorSpec:
    """What a model says of one of its inputs or outputs.

    Attributes:
        name: Of the tensor.
        datatype: Of its elements.
        shape: Of one image; the number of images stands in front of it.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class InputTensor:
    """A tensor as a request has it; exactly one of `raw` and `values` is not None.

    Attributes:
        name: As it was sent.
        datatype: As it was sent.
        shape: As it was sent; any numbers.
        raw: Its elements in raw form: little-endian, and BYTES with their lengths.
        values: Its elements one by one, of any kind, in lists of lists or flat.
        base64: Whether elements of `values` are bytes in base64.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: memoryview | None = None
    values: Sequence[Any] | np.ndarray | None = None
    base64: bool = False


@dataclass(frozen=True, eq=False)
class OutputTensor:
    """A tensor of an answer.

    Attributes:
        spec: Its name and datatype.
        data: An array, or for BYTES the elements of it in row-major order.
        shape: Its whole shape.
    """

    spec: TensorSpec
    data: np.ndarray | tuple[bytes, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, spec: TensorSpec, rows: Sequence[Any]) -> OutputTensor:
        """Build a tensor of one row an image.

        Args:
            spec: What it is to be.
            rows: For BYTES one text an image, or a sequence of them; otherwise numbers or arrays
                of the shape of the spec.
        """
        shape = (len(rows), *spec.shape)
        if spec.datatype != "BYTES":
            array = np.asarray(rows, _DTYPES[spec.datatype]).reshape(shape)
            return cls(spec, np.ascontiguousarray(array), shape)
        texts = [text for row in rows for text in ((row,) if isinstance(row, str) else row)]
        return cls(spec, tuple(text.encode() for text in texts), shape)

    def raw(self) -> bytes:
        """The elements in raw form."""
        if isinstance(self.data, np.ndarray):
            return self.data.tobytes()
        return b"".join(_LENGTH.pack(len(element)) + element for element in self.data)

    def values(self) -> list[Any]:
        """The elements in row-major order as JSON has them: what is not finite is None."""
        if not isinstance(self.data, np.ndarray):
            return [element.decode() for element in self.data]
        flat = self.data.ravel().tolist()
        if self.data.dtype.kind == "f" and not np.isfinite(self.data).all():
            return [value if math.isfinite(value) else None for value in flat]
        return flat


def bytes_elements(raw: memoryview, count: int, name: str) -> Iterator[bytes]:
    """The elements of a tensor of the datatype BYTES.

    Args:
        raw: In raw form.
        count: How many there are by its shape.
        name: Of the tensor, for errors.

    Raises:
        MalformedRequest: Lengths, bytes and the shape do not agree.
    """
    at = 0
    for _ in range(count):
        begin = at + _LENGTH.size
        if begin > len(raw):
            raise MalformedRequest(f"The bytes of {name!r} end before its elements do.")
        at = begin + _LENGTH.unpack_from(raw, begin - _LENGTH.size)[0]
        if at > len(raw):
            raise MalformedRequest(f"An element of {name!r} is said to be longer than its bytes.")
        yield bytes(raw[begin:at])
    if at != len(raw):
        raise MalformedRequest(f"There are bytes behind the last element of {name!r}.")


def float_array(tensor: InputTensor, shape: tuple[int, ...]) -> np.ndarray:
    """The elements of a tensor of the datatype FP32; may be a view of its bytes.

    Args:
        tensor: As it was sent.
        shape: That it has.

    Raises:
        MalformedRequest: Its elements are no numbers, or not as many as its shape says.
    """
    count = math.prod(shape)
    if tensor.raw is not None:
        if len(tensor.raw) != 4 * count:
            raise MalformedRequest(
                f"The tensor {tensor.name!r} has {len(tensor.raw)} bytes where its shape says "
                f"{4 * count}."
            )
        return np.frombuffer(tensor.raw, "<f4").reshape(shape)
    try:
        array = np.asarray(tensor.values)
    except (ValueError, OverflowError) as error:
        raise MalformedRequest(f"The data of {tensor.name!r} are no array of numbers.") from error
    if array.dtype.kind not in "fiu":
        raise MalformedRequest(f"The data of {tensor.name!r} are no array of numbers.")
    if array.size != count:
        raise MalformedRequest(
            f"The tensor {tensor.name!r} has {array.size} elements where its shape says {count}."
        )
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as that
        return array.astype(np.float32).reshape(shape)
