"""Delivery by STOW-RS."""

from __future__ import annotations

import io
import ssl

import httpx
from pydicom import dcmread

from service.media_types import DICOM
from service.multipart_related import Part, write_parts
from service.node.config import Destination
from service.node.outcomes import Arrived, Ending, Later, Never, Unreachable
from service.node.queue import Delivery, Queue
from service.node.service_client import key_header
from service.node.tls import client_context

_THERE_ALREADY = frozenset({0x0111})
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_WAIT = frozenset({401, 403, 408, 429, 500, 502, 503, 504})


class StowSender:
    """Sends to one DICOMweb server, an instance a request.

    Args:
        destination: Which; its `url` is what `/studies` is appended to.
        queue: Where the files are.
    """

    def __init__(self, destination: Destination, queue: Queue) -> None:
        self._queue = queue
        self.files: tuple[str, ...] = destination.objects
        self._url = str(destination.url).rstrip("/")
        self._client = http_client(destination)

    def check(self) -> str:
        """Ask for a study that is not there (QIDO-RS)."""
        try:
            answer = self._client.get(
                f"{self._url}/studies",
                params={"limit": "1", "StudyInstanceUID": "2.25.0"},
                headers={"Accept": "application/dicom+json"},
            )
        except httpx.HTTPError as error:
            raise Unreachable("the destination cannot be reached") from error
        if answer.status_code not in (200, 204):
            raise Unreachable(f"QIDO-RS is answered with {answer.status_code}")
        return "QIDO-RS is answered"

    def send(self, deliveries: list[Delivery]) -> dict[Delivery, Ending]:
        """Send results."""
        return {each: self._store(each) for each in deliveries}

    def _store(self, delivery: Delivery) -> Ending:
        try:
            content = self._queue.result(delivery.id, delivery.kind).read_bytes()
        except OSError:
            return Never("the result's file is gone")
        body, content_type = write_parts([Part(content, DICOM)], DICOM)
        try:
            answer = self._client.post(
                f"{self._url}/studies",
                content=body,
                headers={"Content-Type": content_type, "Accept": "application/dicom+json"},
            )
        except httpx.ConnectError as error:
            raise Unreachable("the destination cannot be reached") from error
        except httpx.TransportError as error:
            return Later(f"the destination broke off ({type(error).__name__})")
        return self._ending(answer, content)

    def _ending(self, answer: httpx.Response, content: bytes) -> Ending:
        if answer.status_code in (200, 204):
            return Arrived()
        if answer.status_code in _WAIT:
            return Later(f"status {answer.status_code}")
        reasons = _failure_reasons(answer)
        if any(reason in _OUT_OF_RESOURCES for reason in reasons):
            return Later(f"failure reason {reasons[0]:04X}")
        # 202 says that some were not stored; of one that was sent, it may have been, with warnings.
        stored = answer.status_code == 202 and not reasons
        known = answer.status_code == 409 and bool(reasons) and set(reasons) <= _THERE_ALREADY
        if stored or known or (answer.status_code == 409 and self._is_there(content)):
            return Arrived()
        why = f", failure reason {reasons[0]:04X}" if reasons else ""
        return Never(f"status {answer.status_code}{why}")

    def _is_there(self, content: bytes) -> bool:
        """Whether the destination has the very instance already (QIDO-RS)."""
        header = dcmread(io.BytesIO(content), stop_before_pixels=True)
        try:
            answer = self._client.get(
                f"{self._url}/studies/{header.StudyInstanceUID}/instances",
                params={"SOPInstanceUID": str(header.SOPInstanceUID)},
                headers={"Accept": "application/dicom+json"},
            )
            return answer.status_code == 200 and bool(answer.json())
        except (httpx.HTTPError, ValueError):
            return False


def http_client(destination: Destination) -> httpx.Client:
    """An HTTP client for a destination, with its key and certificates."""
    verify: bool | ssl.SSLContext = client_context(destination.tls) if destination.tls else True
    return httpx.Client(
        headers=key_header(destination.api_key_file),
        timeout=httpx.Timeout(destination.timeout_seconds, connect=5.0),
        verify=verify,
    )


def _failure_reasons(answer: httpx.Response) -> list[int]:
    """FailureReason (0008,1197) of each instance that was not stored."""
    try:
        failed = answer.json()["00081198"]["Value"]
        return [int(each["00081197"]["Value"][0]) for each in failed]
    except (ValueError, KeyError, TypeError, IndexError):
        return []
