"""The service's errors as statuses of gRPC."""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as RpcStatus

from service.errors import CxrError, Overloaded
from service.http.middleware.error_responses import protocol_text

_DOMAIN = "cxr-pneumonia"

_DETAILS = "grpc-status-details-bin"
"""Metadata that holds a `google.rpc.Status`."""

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""By HTTP status; every other fault of a client's is INVALID_ARGUMENT."""


Status = tuple[grpc.StatusCode, str, tuple[tuple[str, "str | bytes"], ...]]
"""Code, text and trailing metadata, as a call is ended with."""


def status_of(fault: CxrError) -> Status:
    """The status of an error.

    Returns:
        Code, text and trailing metadata: the error's code, when to try again where that helps, and
        both once more as `google.rpc.Status` holds them.
    """
    code = _CODES.get(fault.status, grpc.StatusCode.INVALID_ARGUMENT)
    text = protocol_text(fault.code, fault.message)
    details = [ErrorInfo(reason=fault.code.upper(), domain=_DOMAIN)]
    metadata: list[tuple[str, str | bytes]] = [("error-code", fault.code)]
    if isinstance(fault, Overloaded):
        retry = RetryInfo()
        retry.retry_delay.seconds = fault.retry_after
        details.append(retry)
        metadata.append(("retry-after", str(fault.retry_after)))
    packed = []
    for detail in details:
        packed.append(Packed())
        packed[-1].Pack(detail)
    status = RpcStatus(code=code.value[0], message=text, details=packed)
    return code, text, (*metadata, (_DETAILS, status.SerializeToString()))
