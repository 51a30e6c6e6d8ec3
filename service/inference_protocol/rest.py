"""The protocol over REST."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import CxrError, MalformedRequest, Unavailable, UnsupportedMedia
from service.http.disconnect import cancel_on_disconnect
from service.http.middleware.access_log import record
from service.http.middleware.error_responses import ErrorResponse, is_protocol_path
from service.http.uploads import Body, cut_off, too_slow
from service.inference_protocol.image_model import NAME as IMAGES
from service.inference_protocol.json_form import (
    BYTES_A_VALUE,
    HEAD_LENGTH,
    AnswerForm,
    check_values,
    read_request,
    values_in,
    write_answer,
)
from service.inference_protocol.pixel_model import NAME as PIXELS
from service.inference_protocol.server import AcceptedRequest, InferenceServer
from service.radiograph.preprocess import INPUT_SIDE
from service.serving.work_queue import clear_frames

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

MODELS = (IMAGES, PIXELS)

PATHS = frozenset(
    {"/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/stats"}
    | {
        f"/v2/models/{model}{part}"
        for model in MODELS
        for part in ("", "/ready", "/config", "/stats", "/infer")
    }
)
"""What is served, without the part that names a model's version."""

_SMALL = 1 << 16
"""Bytes of a body up to which reading it would hold the event loop up for less than handing it to
a thread does."""

_BESIDE = 4096
"""Values of a request's JSON that are no elements of a tensor, at the most."""


class ServedModels:
    """The models of a service.

    Attributes:
        server: None until the service's instance exists.
    """

    def __init__(self) -> None:
        self.server: InferenceServer | None = None


class RestProtocol:
    """Middleware that answers what is under /v2.

    As `DirectRoutes`, it spares a request the framework's router.

    Args:
        app: What it wraps; answers every other path.
        models: Who is asked.
    """

    def __init__(self, app: ASGIApp, models: ServedModels) -> None:
        self._app = app
        self._models = models
        model = "/v2/models/{name}"
        version = model + "/versions/{version}"
        asked: list[tuple[str, Callable[..., Awaitable[Response]], str]] = [
            (f"{model}/infer", infer, "POST"),
            (f"{version}/infer", infer, "POST"),
            ("/v2", server_metadata, "GET"),
            ("/v2/health/live", live, "GET"),
            ("/v2/health/ready", ready, "GET"),
            ("/v2/models/stats", statistics, "GET"),
        ]
        for part, answer in (
            ("", model_metadata),
            ("/ready", model_ready),
            ("/config", config),
            ("/stats", statistics),
        ):
            asked += [(f"{model}{part}", answer, "GET"), (f"{version}{part}", answer, "GET")]
        self._router = Router(
            [
                Route(path, self._endpoint(answer), methods=[method])
                for path, answer, method in asked
            ],
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_protocol_path(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            await self._router(scope, receive, send)
        except HTTPException as error:  # no such path or method; what it says is written anew
            await Response(status_code=error.status_code, headers=error.headers)(
                scope, receive, send
            )

    def _endpoint(
        self, answer: Callable[[InferenceServer, Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                if self._models.server is None:
                    raise Unavailable("The service is starting.")
                return await answer(self._models.server, request)
            except CxrError as fault:
                clear_frames(fault)  # they hold the body
                return ErrorResponse(fault)

        return endpoint


async def server_metadata(server: InferenceServer, _: Request) -> Response:
    """GET /v2."""
    return JSONResponse(server.metadata())


def _health(server: InferenceServer, good: bool) -> Response:
    """Both, whichever is asked for: the specification and KServe's client name them differently."""
    health = {"live": server.live, "ready": server.ready}
    return JSONResponse(health, status_code=200 if good else 503)


async def live(server: InferenceServer, _: Request) -> Response:
    """GET /v2/health/live."""
    return _health(server, server.live)


async def ready(server: InferenceServer, _: Request) -> Response:
    """GET /v2/health/ready."""
    return _health(server, server.ready)


def _named(request: Request) -> tuple[str, str]:
    return request.path_params.get("name", ""), request.path_params.get("version", "")


async def model_metadata(server: InferenceServer, request: Request) -> Response:
    """GET /v2/models/NAME."""
    return JSONResponse(server.model(*_named(request)).facts.metadata())


async def model_ready(server: InferenceServer, request: Request) -> Response:
    """GET /v2/models/NAME/ready."""
    facts = server.model(*_named(request)).facts
    answer = {"name": facts.name, "ready": server.ready}
    return JSONResponse(answer, status_code=200 if server.ready else 503)


async def config(server: InferenceServer, request: Request) -> Response:
    """GET /v2/models/NAME/config."""
    return JSONResponse(server.model(*_named(request)).facts.config())


async def statistics(server: InferenceServer, request: Request) -> Response:
    """GET /v2/models/NAME/stats, and /v2/models/stats of all."""
    return JSONResponse({"model_stats": server.statistics(*_named(request))})


async def infer(server: InferenceServer, request: Request) -> Response:
    """POST /v2/models/NAME/infer."""
    server.model(*_named(request))
    server.check_capacity()
    accepted, form = await _accept(server, request)
    binary = HEAD_LENGTH.lower() in request.headers
    try:
        answer = await cancel_on_disconnect(
            request, accepted.answer("binary" if binary else "json")
        )
    finally:
        accepted.work.close()
    record(request.scope).update(images=accepted.work.images)
    body, head_length = write_answer(answer, form)
    if head_length is None:
        return Response(body, media_type="application/json")
    return Response(
        body,
        media_type="application/octet-stream",
        headers={HEAD_LENGTH: str(head_length)},
    )


async def _accept(server: InferenceServer, request: Request) -> tuple[AcceptedRequest, AnswerForm]:
    """Read a request's body and check it; what is left of it is its input.

    Raises:
        ClientFault: It is no request for inference, or too large, or too slow.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("A compressed body is not read; radiographs are compressed already.")
    settings = server.settings
    body = Body(request, settings.max_bytes, server.intake)
    taken: list[AcceptedRequest] = []
    try:
        try:
            async with timeout(settings.body_seconds):
                data = b"".join([chunk async for chunk in body.chunks()])
        except asyncio.TimeoutError as error:
            raise too_slow(settings.body_seconds) from error
        except ClientDisconnect as error:
            raise cut_off() from error
        read = partial(_read, server, request, data, _head_length(request, len(data)), taken)
        form = read() if len(data) <= _SMALL else await run_in_threadpool(read)
        return taken[0], form
    except BaseException:
        for accepted in taken:  # cancelled while a thread was reading it
            accepted.work.close()
        raise
    finally:
        server.intake.give_back(body.seen)


def _head_length(request: Request, size: int) -> int:
    """The bytes of the JSON at the start of a body.

    Raises:
        MalformedRequest: The header that tells it lies.
    """
    told = request.headers.get(HEAD_LENGTH)
    if told is None:
        return size
    if not (told.isascii() and told.isdigit() and len(told) < 12 and int(told) <= size):
        raise MalformedRequest(
            f"The header {HEAD_LENGTH} is no number of the bytes that were sent."
        )
    return int(told)


def _read(
    server: InferenceServer,
    request: Request,
    data: bytes,
    length: int,
    taken: list[AcceptedRequest],
) -> AnswerForm:
    """Read what came, and put what is left of it into a list; in any thread."""
    head = data[:length]
    values = values_in(head)
    check_values(values, server.settings.max_images * INPUT_SIDE**2 + _BESIDE)
    beside = 2 * length + values * BYTES_A_VALUE
    server.intake.take(beside)
    try:
        asked, form = read_request(head, memoryview(data)[length:], *_named(request))
        taken.append(server.accept(asked))
        return form
    finally:
        server.intake.give_back(beside)
