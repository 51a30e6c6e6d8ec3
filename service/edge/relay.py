"""Handing a request on to the explainer's own process and its answer back, both as they are.

Plain HTTP over a local socket or, where the explainer runs in a pod of its own, its URL. The
framework's own client would speak pickle over the one and closes connections under calls in
flight on the other.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx
from bentoml._internal.configuration.containers import BentoMLContainer
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.edge.faults import RelayedResponse
from service.edge.form import cut_off
from service.edge.observed import record
from service.errors import DeadlineExceeded, Overloaded, Unavailable
from service.settings import Settings

_PASSED_ON_ANEW = ("accept", "traceparent", "x-api-key")
_PASSED_ON = (*_PASSED_ON_ANEW, "content-length", "content-type")
_PASSED_BACK = ("content-type", "retry-after")


def explainer_address(name: str, settings: Settings) -> str | None:
    """Where the explainer listens: the setting, or the socket that BentoML made for it."""
    return settings.explainer_url or BentoMLContainer.remote_runner_mapping.get().get(name)


class Relay:
    """A pool of connections to one other service.

    Args:
        address: http://… or unix:///…; None where there is no such service.
        timeout: Seconds to wait for an answer.
        limit: Requests under way at the most.
    """

    def __init__(self, address: str | None, timeout: float, limit: int) -> None:
        self._client: httpx.AsyncClient | None = None
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
        """Send a request's body on as it arrives.

        Raises:
            Unavailable: The other service is not there or broke off.
            DeadlineExceeded: It did not answer in time.
            MalformedRequest: The caller went away in the middle of the body.
            Overloaded: As many requests as may be are under way.
        """
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        return await self._ask(request, path, headers=headers, content=request.stream())

    async def ask(
        self, request: Request, path: str, data: bytes, texts: dict[str, str]
    ) -> Response:
        """Send an image that was read already, with fields of our own.

        Args:
            request: On whose behalf.
            path: Of the other service.
            data: The image file.
            texts: The fields beside it.

        Raises:
            Unavailable, DeadlineExceeded, Overloaded: As for `forward`.
        """
        headers = {
            name: request.headers[name] for name in _PASSED_ON_ANEW if name in request.headers
        }
        files = {"image": ("image", data)}
        return await self._ask(request, path, headers=headers, files=files, data=texts)

    async def _ask(
        self, request: Request, path: str, headers: dict[str, str], **body: Any
    ) -> Response:
        if self._client is None:
            raise Unavailable("Heat maps are not served here.", code="explainer_unavailable")
        if self._under_way >= self._limit:
            raise Overloaded("Too many heat maps are being drawn; try again soon.", retry_after=5)
        kept = record(request.scope)
        headers["x-request-id"] = kept["request_id"]
        self._under_way += 1
        try:
            answer = await self._client.post(path, headers=headers, **body)
        except ClientDisconnect as error:
            raise cut_off() from error
        except httpx.TimeoutException as error:
            raise DeadlineExceeded("The heat map was not ready by the deadline.") from error
        except httpx.HTTPError as error:
            raise Unavailable(
                "The part of the service that draws heat maps is down.",
                code="explainer_unavailable",
            ) from error
        finally:
            self._under_way -= 1
        passed = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
        if answer.is_error:
            kept["outcome"] = answer.json()["error"]["code"]
        return RelayedResponse(answer.content, answer.status_code, passed)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
