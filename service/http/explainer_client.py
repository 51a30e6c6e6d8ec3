"""The HTTP client that forwards requests to the explainer's process.

Plain HTTP over a local socket or, where the explainer runs in a pod of its own, its URL. The
framework's own client would speak pickle over the one and closes connections under calls in
flight on the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.errors import DeadlineExceeded, Overloaded, Unavailable
from service.explain.fields import SERVED_PREDICTION_HEADER, ServedPrediction
from service.http.disconnect import cancel_on_disconnect
from service.http.framework import local_address
from service.http.held_response import HeldResponse
from service.http.middleware.access_log import record
from service.http.middleware.error_responses import ForwardedResponse
from service.http.uploads import Body, ByteBudget, cut_off, too_slow
from service.settings import Settings

_PASSED_ON_ANEW = ("accept", "traceparent", "x-api-key")
_PASSED_ON = (*_PASSED_ON_ANEW, "content-length", "content-type")
_PASSED_BACK = ("content-type", "retry-after")


def explainer_address(name: str, settings: Settings) -> str | None:
    """Address of the explainer: the setting, or the socket that BentoML created."""
    return settings.explainer_url or local_address(name)


class ExplainerClient:
    """A connection pool to the explainer.

    Args:
        address: http://… or unix:///…; None where there is no such service.
        timeout: Seconds to wait for an answer.
        body_seconds: Seconds within which a request's body must have arrived.
        max_bytes: Bytes of a request's body at the most.
        limit: Requests under way at the most.
        intake: What counts the answers in.
        answer_seconds: Seconds within which a caller must have taken its answer.
    """

    def __init__(
        self,
        address: str | None,
        *,
        timeout: float,
        body_seconds: float,
        max_bytes: int,
        limit: int,
        intake: ByteBudget,
        answer_seconds: float,
    ) -> None:
        self._intake = intake
        self._answer_seconds = answer_seconds
        self._client: httpx.AsyncClient | None = None
        self._body_seconds = body_seconds
        self._max_bytes = max_bytes
        self._limit = limit
        self._under_way = 0
        if address is None:
            return
        parts = urlsplit(address)
        local = parts.scheme in ("unix", "file")
        self._client = httpx.AsyncClient(
            base_url="http://explainer" if local else address,
            transport=httpx.AsyncHTTPTransport(
                uds=parts.path if local else None,
                limits=httpx.Limits(max_connections=limit, keepalive_expiry=4.0),
            ),
            timeout=httpx.Timeout(timeout, connect=2.0),
        )

    async def forward(self, request: Request, path: str) -> Response:
        """Forward a request, streaming its body.

        Raises:
            Unavailable: The other service is not there or broke off.
            DeadlineExceeded: It did not answer in time.
            MalformedRequest: The caller went away.
            TooLarge: The body is larger than one may be.
            TooSlow: It did not arrive in time.
            Overloaded: As many requests as may be are under way, or answers held.
        """
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        read = asyncio.Event()
        content = self._body(request, read)
        return await self._ask(request, path, read, headers=headers, content=content)

    async def ask(
        self,
        request: Request,
        path: str,
        data: bytes,
        texts: dict[str, str],
        served: ServedPrediction,
    ) -> Response:
        """Send an image and fields to the explainer.

        Args:
            request: On whose behalf.
            path: Of the other service.
            data: The image file.
            texts: The fields beside it.
            served: What the prediction process found for it.

        Raises:
            Unavailable, DeadlineExceeded, Overloaded, MalformedRequest: As for `forward`.
        """
        headers = {
            name: request.headers[name] for name in _PASSED_ON_ANEW if name in request.headers
        }
        headers[SERVED_PREDICTION_HEADER] = served.model_dump_json()
        files = {"image": ("image", data)}
        return await self._ask(request, path, None, headers=headers, files=files, data=texts)

    async def _ask(
        self,
        request: Request,
        path: str,
        read: asyncio.Event | None,
        headers: dict[str, str],
        **body: Any,
    ) -> Response:
        if self._client is None:
            raise Unavailable("Heat maps are not served here.", code="explainer_unavailable")
        if self._under_way >= self._limit:
            raise Overloaded("Too many heat maps are being drawn; try again soon.", retry_after=5)
        headers["x-request-id"] = record(request.scope)["request_id"]
        self._under_way += 1
        try:
            exchange = self._exchange(
                self._client.stream("POST", path, headers=headers, **body), request
            )
            return await cancel_on_disconnect(request, exchange, read)
        except ClientDisconnect as error:
            raise cut_off() from error
        except httpx.TimeoutException as error:
            raise DeadlineExceeded("The heat map was not ready by the deadline.") from error
        except httpx.HTTPError as error:
            raise _down() from error
        finally:
            self._under_way -= 1

    async def _exchange(
        self, sending: AbstractAsyncContextManager[httpx.Response], request: Request
    ) -> Response:
        """Send a request and read its answer, which counts against the intake as it comes."""
        content = bytearray()
        try:
            async with sending as answer:
                passed = {
                    name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers
                }
                if answer.is_error:
                    await answer.aread()
                    record(request.scope)["outcome"] = _code(answer)
                    return ForwardedResponse(answer.content, answer.status_code, passed)
                async for chunk in answer.aiter_raw():
                    self._intake.take(len(chunk))
                    content += chunk
        finally:
            self._intake.give_back(len(content))
        return HeldResponse(
            memoryview(content), intake=self._intake, seconds=self._answer_seconds, headers=passed
        )

    async def _body(self, request: Request, read: asyncio.Event) -> AsyncIterator[bytes]:
        """The body's chunks, within the limits on size and time.

        The other service refuses a large or slow body too, but its answer is read only after
        all has been sent. Nothing is held here, so nothing counts against the intake.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._body_seconds
        chunks = Body(request, self._max_bytes, ByteBudget(self._max_bytes)).chunks()
        while True:
            try:
                chunk = await asyncio.wait_for(anext(chunks), end - loop.time())
            except StopAsyncIteration:
                read.set()
                return
            except asyncio.TimeoutError as error:
                raise too_slow(self._body_seconds) from error
            yield chunk

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()


def _down() -> Unavailable:
    return Unavailable(
        "The part of the service that draws heat maps is down.", code="explainer_unavailable"
    )


def _code(answer: httpx.Response) -> str:
    """The code of an error answer.

    Raises:
        Unavailable: It is none of ours: whatever stands in between answered.
    """
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, KeyError, TypeError) as error:
        raise _down() from error
