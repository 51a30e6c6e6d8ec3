"""The DIMSE server: whom it listens to, for how long, and how much it takes."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from typing import Any

from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.transport import (
    AssociationSocket,
    RequestHandler,
    ThreadedAssociationServer,
)

from service.node.audit import SERIOUS, audit
from service.node.config import NodeConfig
from service.node.metrics import REJECTED

log = logging.getLogger("cxr.node.associations")

_config.LOG_HANDLER_LEVEL = "none"
# What it logs may quote what was sent.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)

_BESIDE_PDU = 1 << 16
"""Bytes that a PDU may have beyond the maximum length, which counts data only (PS3.8, D.1)."""

_CHUNK = 1 << 18

REJECTED_PERMANENT, REJECTED_TRANSIENT = 1, 2
BY_USER, BY_PRESENTATION = 1, 3
CALLING_TITLE, CALLED_TITLE, LOCAL_LIMIT = 3, 7, 2
"""Results, sources and reasons of A-ASSOCIATE-RJ (PS3.8, table 9-21)."""


class LimitedSocket(AssociationSocket):
    """A socket that gives up on a peer which stalls inside a PDU or sends too much."""

    seconds = 30.0
    max_pdu = 1 << 18
    max_message = 64 << 20
    message = 0
    """Bytes of the message that is being received; set to 0 when it is complete."""

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, or fewer where the connection ends.

        Raises:
            OSError: The peer is too slow, or the PDU or message too large.
        """
        if nr_bytes > self.max_pdu + _BESIDE_PDU or self.message + nr_bytes > self.max_message:
            REJECTED.labels("too_large").inc()
            raise OSError("more was sent than is taken")
        connection = self.socket
        if connection is None:
            return bytearray()
        self.message += nr_bytes
        read, end = bytearray(), time.monotonic() + self.seconds
        while len(read) < nr_bytes:
            left = end - time.monotonic()
            if left <= 0:
                REJECTED.labels("too_slow").inc()
                raise TimeoutError("a PDU did not arrive in time")
            connection.settimeout(left)
            part = connection.recv(min(nr_bytes - len(read), _CHUNK))
            if not part:
                break
            read += part
        connection.settimeout(self.seconds)  # for sending
        return read


class _Handler(RequestHandler):
    def _create_association(self) -> Association:
        association = super()._create_association()
        plain = association.dul.socket
        plain.__class__ = LimitedSocket  # pynetdicom names its class of sockets itself
        limits = self.server.limits
        plain.seconds, plain.max_pdu, plain.max_message = limits
        return association


class AssociationServer(ThreadedAssociationServer):
    """pynetdicom's server, which shakes hands in the connection's thread, within a time limit."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: Any, config: NodeConfig, **more: Any) -> None:
        self.config = config
        node = config.node
        self.limits = (node.network_seconds, node.max_pdu, node.max_bytes + _BESIDE_PDU)
        super().__init__(*arguments, request_handler=_Handler, **more)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; nothing here waits for the peer."""
        return self.socket.accept()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands where TLS is used, and start the association."""
        request.settimeout(self.limits[0])
        if self.ssl_context is not None:
            try:
                request = self.ssl_context.wrap_socket(request, server_side=True)
            except (OSError, ValueError) as error:
                self.reject_connection(client_address[0], "tls", _tls_reason(error))
                self.shutdown_request(request)
                return
        super().process_request_thread(request, client_address)

    def reject_connection(self, host: str, reason: str, why: str) -> None:
        """Count, log and audit a peer that is turned away."""
        REJECTED.labels(reason).inc()
        log.warning("a peer was turned away: %s", why, extra={"reason": reason, "host": host})
        audit(
            "Node Authentication", source=host, destination=self.ae_title, outcome=SERIOUS, why=why
        )

    def admit(self, association: Association) -> None:
        """Reject an association that is not on the list, or one too many."""
        request = association.requestor.primitive
        host = association.requestor.address_info.address
        calling, called = request.calling_ae_title.strip(), request.called_ae_title.strip()
        accepted = [each for each in self.config.accept if each.ae_title.strip() == calling]
        if called != self.ae_title.strip():
            why = (REJECTED_PERMANENT, BY_USER, CALLED_TITLE), "called_ae_title"
        elif not accepted:
            why = (REJECTED_PERMANENT, BY_USER, CALLING_TITLE), "calling_ae_title"
        elif not any(each.matches_host(host) for each in accepted):
            why = (REJECTED_PERMANENT, BY_USER, CALLING_TITLE), "host"
        elif len(self.active_associations) > self.config.node.max_associations:
            why = (REJECTED_TRANSIENT, BY_PRESENTATION, LOCAL_LIMIT), "too_many"
        else:
            return
        answer, reason = why
        association.acse.send_reject(*answer)
        self.reject_connection(host, reason, reason.replace("_", " "))
        association.kill()


def _tls_reason(error: Exception) -> str:
    """Why a handshake failed, in OpenSSL's word."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return "the handshake did not end in time" if isinstance(error, TimeoutError) else "cut off"


def application_entity(config: NodeConfig) -> AE:
    """The node as pynetdicom has it, with its limits of time and size."""
    node = config.node
    entity = AE(ae_title=node.ae_title)
    entity.maximum_pdu_size = node.max_pdu
    # One more than the limit: `AssociationServer.admit` says why it turns one away.
    entity.maximum_associations = node.max_associations + 1
    entity.network_timeout = node.network_seconds
    entity.dimse_timeout = node.network_seconds
    entity.acse_timeout = node.network_seconds
    return entity
