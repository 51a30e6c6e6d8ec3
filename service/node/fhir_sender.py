"""Delivery to a FHIR server: one transaction a result."""

from __future__ import annotations

import httpx

from service.node.config import Destination
from service.node.outcomes import Arrived, Ending, Later, Never, Unreachable
from service.node.queue import Delivery, Queue
from service.node.stow_sender import http_client

_WAIT = frozenset({401, 403, 408, 409, 429, 500, 502, 503, 504})


class FhirSender:
    """Sends to one FHIR server.

    Args:
        destination: Which; its `url` is the server's base.
        queue: Where the files are.
    """

    def __init__(self, destination: Destination, queue: Queue) -> None:
        self._queue = queue
        self.files: tuple[str, ...] = ("json",)
        self._url = str(destination.url).rstrip("/")
        self._client = http_client(destination)

    def check(self) -> str:
        """Ask for the server's capability statement."""
        try:
            answer = self._client.get(f"{self._url}/metadata")
        except httpx.HTTPError as error:
            raise Unreachable("the destination cannot be reached") from error
        if answer.status_code != 200:
            raise Unreachable(f"its metadata is answered with {answer.status_code}")
        return "its capability statement is answered"

    def send(self, deliveries: list[Delivery]) -> dict[Delivery, Ending]:
        """Send results; each names its resources itself, so that sending twice changes nothing."""
        return {each: self._post(each) for each in deliveries}

    def _post(self, delivery: Delivery) -> Ending:
        try:
            content = self._queue.result(delivery.id, delivery.kind).read_bytes()
        except OSError:
            return Never("the result's file is gone")
        try:
            answer = self._client.post(
                self._url, content=content, headers={"Content-Type": "application/fhir+json"}
            )
        except httpx.ConnectError as error:
            raise Unreachable("the destination cannot be reached") from error
        except httpx.TransportError as error:
            return Later(f"the destination broke off ({type(error).__name__})")
        if answer.status_code in (200, 201):
            return Arrived()
        why = f"status {answer.status_code}"
        return Later(why) if answer.status_code in _WAIT else Never(why)
