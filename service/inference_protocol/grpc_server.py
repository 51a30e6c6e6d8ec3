"""The protocol over gRPC: a server in the service's own process, on its event loop."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from starlette.concurrency import run_in_threadpool

from service.errors import CxrError, MalformedRequest, SettingRefused, Unauthorised
from service.http.middleware.access_log import RequestLog, new_request_id
from service.http.middleware.api_keys import AccessRule, is_loopback
from service.inference_protocol.grpc_form import MOST_BESIDE, read_request, write_answer
from service.inference_protocol.grpc_messages import METHODS, POOL, SERVICE, build, message_class
from service.inference_protocol.grpc_reader import MessageReader
from service.inference_protocol.grpc_status import Status, status_of
from service.inference_protocol.server import AcceptedRequest, InferenceServer
from service.serving.work_queue import clear_frames

log = logging.getLogger("cxr.edge")

PATHS = frozenset(f"/{SERVICE}/{method}" for method in METHODS)
"""What is served, as HTTP/2 names it."""

_OPEN = frozenset({"ServerLive", "ServerReady"})
"""Answered without a key, as `/livez` and `/readyz` are; their messages are empty and not read."""

_HEALTH = "grpc.health.v1.Health"
_SMALL = 1 << 16
"""Bytes of a message up to which reading it is done on the event loop."""

_CALLS = 1024
"""Calls at one time at the most, those that wait to be received among them."""

_OPTIONS = (
    # A compressed message would be as large as it likes once it is read.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    # Of what is not received yet, no more than this waits here, for each call.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1 << 16),
    ("grpc.max_concurrent_streams", 256),
    ("grpc.max_metadata_size", 1 << 14),
    # Another service at the same port is an error and not half of the requests.
    ("grpc.so_reuseport", 0),
)

Answer = Callable[["GrpcServer", Any, dict[str, Any]], Awaitable[bytes]]


class GrpcServer:
    """Serves the protocol, health checking and reflection.

    Args:
        server: Who is asked.
        rule: Who is answered.
        requests: What logs and measures the calls.
    """

    def __init__(self, server: InferenceServer, rule: AccessRule, requests: RequestLog) -> None:
        self._server = server
        self._rule = rule
        self._requests = requests
        self._reader = MessageReader(server.settings, server.intake)
        self._health = health.aio.HealthServicer()
        for file in (health_pb2, reflection_pb2):
            POOL.AddSerializedFile(file.DESCRIPTOR.serialized_pb)
        self._names = (SERVICE, _HEALTH, reflection.SERVICE_NAME)
        self._reflection = reflection.aio.ReflectionServicer(self._names, pool=POOL)
        self._grpc: Any = None

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Args:
            host: IP address.
            port: TCP port.

        Raises:
            SettingRefused: Nothing can listen there.
        """
        self._grpc = grpc.aio.server(
            maximum_concurrent_rpcs=_CALLS,
            options=(
                *_OPTIONS,
                ("grpc.max_receive_message_length", self._reader.most + MOST_BESIDE),
            ),
        )
        self._grpc.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    SERVICE,
                    {
                        # The caller's one message is read by the method itself, if at all, and
                        # not before it is known that the caller may ask.
                        method: grpc.stream_unary_rpc_method_handler(self._handler(method))
                        for method in METHODS
                    },
                ),
                grpc.method_handlers_generic_handler(
                    _HEALTH,
                    {
                        "Check": grpc.stream_unary_rpc_method_handler(
                            self._check_health,
                            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
                        ),
                        "Watch": grpc.stream_stream_rpc_method_handler(
                            self._watch_health,
                            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
                        ),
                    },
                ),
                grpc.method_handlers_generic_handler(
                    reflection.SERVICE_NAME,
                    {
                        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
                            self._reflect,
                            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
                            response_serializer=(
                                reflection_pb2.ServerReflectionResponse.SerializeToString
                            ),
                        )
                    },
                ),
            )
        )
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self._grpc.add_insecure_port(address)
        except RuntimeError as error:
            raise SettingRefused(f"CXR_GRPC_PORT: cannot listen on {address}") from error
        await self._note_health()
        await self._grpc.start()
        log.info("gRPC is served", extra={"grpc_port": port})

    async def stop(self, seconds: float) -> None:
        """Refuse new calls and end those under way, after so many seconds at the latest."""
        if self._grpc is not None:
            await self._health.enter_graceful_shutdown()
            await self._grpc.stop(seconds)

    def _handler(self, method: str) -> Callable[[Any, Any], Awaitable[bytes]]:
        path = f"/{SERVICE}/{method}"
        answer = _ANSWERS[method]

        async def handle(_: AsyncIterator[bytes], context: Any) -> bytes:
            kept: dict[str, Any] = {}
            request_id = new_request_id(_metadata(context).get("x-request-id", "").encode())
            with self._requests.request(kept, request_id, path, "POST"):
                try:
                    if method not in _OPEN:
                        self._require_access(context)
                    reply = await answer(self, context, kept)
                    kept["status"] = 200
                    return reply
                except CxrError as fault:
                    clear_frames(fault)  # they hold the message
                    status = _noted(fault, kept)
                except Exception:
                    log.exception("a call failed", extra={"request_id": request_id})
                    status = _noted(CxrError("The service failed on this request."), kept)
                return await context.abort(*status)

        return handle

    def _require_access(self, context: Any) -> None:
        """Hold a caller to the rule on access.

        Raises:
            Unauthorised: It may not ask.
        """
        if self._rule.keys is not None:
            self._rule.keys.refresh()
        reason = self._rule.refusal(_metadata(context), _is_local(context.peer()))
        if reason is not None:
            raise Unauthorised(reason)

    async def _read(self, method: str, context: Any) -> Any:
        return _parsed(method, await self._reader.small(context))

    async def server_live(self, _: Any, __: dict[str, Any]) -> bytes:
        """Whether the service is not hung."""
        return build("ServerLiveResponse", live=self._server.live).SerializeToString()

    async def server_ready(self, _: Any, __: dict[str, Any]) -> bytes:
        """Whether the service takes requests."""
        return build("ServerReadyResponse", ready=self._server.ready).SerializeToString()

    async def server_metadata(self, _: Any, __: dict[str, Any]) -> bytes:
        """Name, version and extensions."""
        return build("ServerMetadataResponse", **self._server.metadata()).SerializeToString()

    async def model_ready(self, context: Any, _: dict[str, Any]) -> bytes:
        """Whether a model takes requests."""
        asked = await self._read("ModelReady", context)
        self._server.model(asked.name, asked.version)
        return build("ModelReadyResponse", ready=self._server.ready).SerializeToString()

    async def model_metadata(self, context: Any, _: dict[str, Any]) -> bytes:
        """Inputs and outputs of a model."""
        asked = await self._read("ModelMetadata", context)
        facts = self._server.model(asked.name, asked.version).facts
        return build("ModelMetadataResponse", **facts.metadata()).SerializeToString()

    async def model_config(self, context: Any, _: dict[str, Any]) -> bytes:
        """Triton's configuration of a model."""
        asked = await self._read("ModelConfig", context)
        facts = self._server.model(asked.name, asked.version).facts
        return build("ModelConfigResponse", config=facts.config()).SerializeToString()

    async def model_statistics(self, context: Any, _: dict[str, Any]) -> bytes:
        """What a model, or every one, has done."""
        asked = await self._read("ModelStatistics", context)
        counted = self._server.statistics(asked.name, asked.version)
        return build("ModelStatisticsResponse", model_stats=counted).SerializeToString()

    async def model_infer(self, context: Any, kept: dict[str, Any]) -> bytes:
        """Inference."""
        self._server.check_capacity(context.time_remaining())
        taken: list[AcceptedRequest] = []
        try:
            async with self._reader.large(context) as message:
                if len(message) <= _SMALL:
                    name, raw = self._accept(message, taken)
                else:
                    name, raw = await run_in_threadpool(self._accept, message, taken)
            del message
            accepted = taken[0]
            left = context.time_remaining()
            if left is not None and (accepted.seconds is None or left < accepted.seconds):
                accepted = dataclasses.replace(accepted, seconds=left)
            answer = await accepted.answer("grpc")
            kept["images"] = accepted.work.images
        finally:
            for accepted in taken:
                accepted.work.close()
        return write_answer(answer, name, raw)

    def _accept(self, message: bytes, taken: list[AcceptedRequest]) -> tuple[str, bool]:
        """Read a message, and put what is left of it into a list; in any thread."""
        request, name, raw = read_request(message)
        taken.append(self._server.accept(request))
        return name, raw

    async def _note_health(self) -> None:
        status = health_pb2.HealthCheckResponse.ServingStatus.Value(
            "SERVING" if self._server.ready else "NOT_SERVING"
        )
        for name in ("", *self._names):
            await self._health.set(name, status)

    async def _check_health(self, _: AsyncIterator[bytes], context: Any) -> Any:
        asked = await self._health_request(context)
        await self._note_health()
        return await self._health.Check(asked, context)

    async def _watch_health(self, _: AsyncIterator[bytes], context: Any) -> None:
        asked = await self._health_request(context)
        await self._note_health()
        await self._health.Watch(asked, context)

    async def _health_request(self, context: Any) -> Any:
        try:
            return health_pb2.HealthCheckRequest.FromString(await self._reader.small(context))
        except CxrError as fault:
            return await _abort(context, fault)
        except DecodeError:
            return await _abort(context, _no_message())

    async def _reflect(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        try:
            self._require_access(context)
        except Unauthorised as fault:
            await _abort(context, fault)
        async for answer in self._reflection.ServerReflectionInfo(requests, context):
            yield answer


_ANSWERS: dict[str, Answer] = {
    "ServerLive": GrpcServer.server_live,
    "ServerReady": GrpcServer.server_ready,
    "ServerMetadata": GrpcServer.server_metadata,
    "ModelReady": GrpcServer.model_ready,
    "ModelMetadata": GrpcServer.model_metadata,
    "ModelInfer": GrpcServer.model_infer,
    "ModelConfig": GrpcServer.model_config,
    "ModelStatistics": GrpcServer.model_statistics,
}


def _noted(fault: CxrError, kept: dict[str, Any]) -> Status:
    """The status of an error, which is noted in a call's record."""
    kept.update(status=fault.status, outcome=fault.code)
    return status_of(fault)


async def _abort(context: Any, fault: CxrError) -> Any:
    """End a call with the status of an error; does not return."""
    await context.abort(*status_of(fault))


def _parsed(method: str, message: bytes) -> Any:
    try:
        return message_class(METHODS[method][0]).FromString(message)
    except DecodeError as error:
        raise _no_message() from error


def _no_message() -> MalformedRequest:
    return MalformedRequest("The message is none of the protocol's.")


def _metadata(context: Any) -> dict[str, str]:
    """A call's metadata; names are in lower case, and values that are bytes are left out."""
    pairs = context.invocation_metadata() or ()
    return {name: value for name, value in pairs if isinstance(value, str)}


def _is_local(peer: str) -> bool:
    """Whether a peer, as gRPC names it, is on this machine: `ipv4:127.0.0.1:50000`, `ipv6:[::1]:1`.

    A connection that comes from loopback goes to loopback.
    """
    kind, _, address = unquote(peer).partition(":")
    if kind == "unix":
        return True
    return kind in ("ipv4", "ipv6") and is_loopback(address.rpartition(":")[0].strip("[]"))
