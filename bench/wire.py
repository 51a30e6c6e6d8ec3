"""The least HTTP/1.1 client that can measure.

Prebuilt requests, no parsing beyond the length of an answer: well under 0.3 ms of processor time
a request, so that what is measured on shared cores is the service.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

Body = Literal["form", "raw", "json"]
"""How an image is sent: as a file of a multipart form, as it is, or in JSON."""

_BOUNDARY = "cxr-bench-b7f1c09a"
IDLE_LIMIT = 3.0
"""Seconds after which an idle connection is not used again: the server closes it after five."""


class NoAnswer(Exception):
    """A request that got no whole answer.

    Args:
        kind: "refused": no connection; "closed": closed before a byte of the answer; "cut": closed
            within it; "timeout": nothing came in time.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True)
class Target:
    """Where requests go.

    Attributes:
        host: Name or address.
        port: TCP port.
        path: Path of every request.
        key: API key, if one is asked for.
    """

    host: str
    port: int
    path: str
    key: str | None = None

    @classmethod
    def parse(cls, url: str, key: str | None = None) -> Target:
        """Split http://HOST:PORT/PATH."""
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80, parts.path or "/predict", key)

    def head(self, *lines: str) -> bytes:
        """A request's head without the empty line that ends it."""
        own = (f"POST {self.path} HTTP/1.1", f"Host: {self.host}:{self.port}", *lines)
        key = () if self.key is None else (f"X-API-Key: {self.key}",)
        return "".join(f"{line}\r\n" for line in (*own, *key)).encode()


def form_body(
    image: bytes,
    field: str = "image",
    *,
    texts: Sequence[tuple[str, str]] = (),
    closed: bool = True,
) -> bytes:
    """A multipart body with one file, its end left out where it is not to be `closed`."""
    return b"".join(
        (
            *(_text(name, value) for name, value in texts),
            f"--{_BOUNDARY}\r\nContent-Disposition: form-data; ".encode(),
            f'name="{field}"; filename="image"\r\n'.encode(),
            b"Content-Type: application/octet-stream\r\n\r\n",
            image,
            f"\r\n--{_BOUNDARY}--\r\n".encode() if closed else b"",
        )
    )


def _text(name: str, value: str) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
    return f"{head}\r\n\r\n{value}\r\n".encode()


def form_request(
    target: Target, image: bytes | Path, texts: Sequence[tuple[str, str]] = ()
) -> tuple[bytes, bytes]:
    """A request with one image, up to its last header, and its body."""
    data = image.read_bytes() if isinstance(image, Path) else image
    body = form_body(data, texts=texts)
    return target.head(form_type(), f"Content-Length: {len(body)}"), body


def request(
    kind: Body, target: Target, image: bytes | Path, texts: Sequence[tuple[str, str]] = ()
) -> tuple[bytes, bytes]:
    """The same with a body of another kind: "raw" is the file, "json" has it in base64."""
    data = image.read_bytes() if isinstance(image, Path) else image
    if kind == "form":
        return form_request(target, data, texts)
    media_type = "application/octet-stream"
    if kind == "json":
        media_type, data = "application/json", b'{"image": "%b"}' % base64.b64encode(data)
    return target.head(f"Content-Type: {media_type}", f"Content-Length: {len(data)}"), data


def form_type() -> str:
    """The header that says what the body is."""
    return f"Content-Type: multipart/form-data; boundary={_BOUNDARY}"


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body_at = -1
        self._length = 0
        self.open = False
        self.used = time.monotonic()
        self.exchanges = 0

    @classmethod
    async def to(cls, target: Target, timeout: float = 10.0) -> Connection:
        """Connect.

        Raises:
            NoAnswer: Nobody listens.
        """
        loop = asyncio.get_running_loop()
        making = loop.create_connection(cls, target.host, target.port)
        try:
            _, connection = await asyncio.wait_for(making, timeout)
        except (OSError, asyncio.TimeoutError) as error:
            raise NoAnswer("refused") from error
        return connection

    @property
    def usable(self) -> bool:
        return self.open and time.monotonic() - self.used < IDLE_LIMIT

    async def ask(self, request: bytes, timeout: float) -> tuple[int, bytes]:
        """Send a whole request and wait for its answer: status and body.

        Raises:
            NoAnswer: There was none, or not in time.
        """
        if self._transport is None or not self.open:
            raise NoAnswer("refused")
        loop = asyncio.get_running_loop()
        self._data.clear()
        self._body_at = -1
        self._answer = loop.create_future()
        timer = loop.call_later(timeout, self._fail, "timeout")
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            timer.cancel()
            self._answer = None
            self.used = time.monotonic()
            self.exchanges += 1

    def send(self, data: bytes) -> None:
        """Send anything."""
        if self._transport is not None and self.open:
            self._transport.write(data)

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        if self._transport is not None and self.open:
            self._transport.write_eof()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._fail("cut" if self._data else "closed")

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._body_at < 0:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._data[:end]).lower()
            start = head.find(b"\r\ncontent-length:")
            if start < 0:
                self._fail("cut")  # no answer of the service is without a length
                return
            self._length = int(head[start + 17 :].split(b"\r\n", 1)[0])
            self._body_at = end + 4
            if b"\r\nconnection: close" in head:
                self.open = False
        if len(self._data) >= self._body_at + self._length and self._answer is not None:
            status = int(self._data[9:12])
            body = bytes(self._data[self._body_at : self._body_at + self._length])
            if not self._answer.done():
                self._answer.set_result((status, body))

    def _fail(self, kind: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(NoAnswer(kind))
        if kind == "timeout":
            self.close()
