"""Bodies of the type multipart/related (RFC 2387), as DICOMweb sends and answers objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING
from uuid import uuid4

import python_multipart
from python_multipart.exceptions import MultipartParseError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MULTIPART_RELATED = "multipart/related"


@dataclass(frozen=True)
class Part:
    """One part of a body.

    Attributes:
        content: Its bytes.
        media_type: Its Content-Type.
        name: Its Content-ID without the angle brackets; "" where it has none.
    """

    content: bytes
    media_type: str
    name: str = ""


def write_parts(parts: Iterable[Part], media_type: str) -> tuple[bytes, str]:
    """Write a body.

    Args:
        parts: In order.
        media_type: Of the root part, the parameter `type`.

    Returns:
        The body and its Content-Type.
    """
    boundary = uuid4().hex
    pieces: list[bytes] = []
    for part in parts:
        name = f"Content-ID: <{part.name}>\r\n" if part.name else ""
        head = f"--{boundary}\r\nContent-Type: {part.media_type}\r\n{name}\r\n"
        pieces += [head.encode("ascii"), part.content, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode("ascii"))
    return b"".join(pieces), f'{MULTIPART_RELATED}; type="{media_type}"; boundary={boundary}'


def read_parts(body: bytes, content_type: str) -> list[Part]:
    """Read a body.

    Raises:
        ValueError: The Content-Type is another or has no boundary, or the body is broken or ends
            early.
    """
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != MULTIPART_RELATED or not boundary:
        raise ValueError("the body is no multipart/related with a boundary")
    reader = _Reader()
    parser = python_multipart.MultipartParser(boundary, reader.callbacks)
    try:
        parser.write(body)
        parser.finalize()
    except MultipartParseError as error:
        raise ValueError("the parts cannot be told from one another") from error
    if not reader.ended:
        raise ValueError("the body ends early")
    return reader.parts


class _Reader:
    """Collects what the parser of python-multipart calls out."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._content: list[bytes] = []
        self._headers = Message()
        self._name, self._value = b"", b""
        self.callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._content, self._headers = [], Message()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._content.append(data[start:end])

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.decode("latin-1")] = self._value.decode("latin-1")
        self._name, self._value = b"", b""

    def _end_part(self) -> None:
        name = str(self._headers.get("content-id", "")).strip().strip("<>")
        self.parts.append(Part(b"".join(self._content), self._headers.get_content_type(), name))

    def _end(self) -> None:
        self.ended = True
