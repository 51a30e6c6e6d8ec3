"""Delivery by C-STORE."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from service.node.config import Destination, Node
from service.node.outcomes import Arrived, Ending, Later, Never, Promised, Unmade, Unreachable
from service.node.queue import Delivery, Queue
from service.node.tls import client_context

_FILES = {
    "sr": (
        (Comprehensive3DSRStorage, "sr"),
        (EnhancedSRStorage, "enhanced-sr"),
        (BasicTextSRStorage, "basic-text-sr"),
    ),
    "sc": ((SecondaryCaptureImageStorage, "sc"),),
}
"""SOP classes that say a result, the richest first, and the kind of file of each."""

_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_DUPLICATE = 0x0111
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_ENDED = Later("the association ended")
_KEPT_SECONDS = 5.0
"""For which an association is kept open for the next results."""

_config.STORE_SEND_CHUNKED_DATASET = True  # a file goes out piece by piece, as it is


class DimseSender:
    """Sends to one application entity, over associations that are kept open for a while.

    Args:
        destination: Which.
        node: Who calls.
        queue: Where the files are.
    """

    def __init__(self, destination: Destination, node: Node, queue: Queue) -> None:
        self._to = destination
        self._queue = queue
        self._tls = (client_context(destination.tls), destination.host) if destination.tls else None
        self._entity = AE(ae_title=node.ae_title)
        seconds = destination.timeout_seconds
        self._entity.connection_timeout = min(seconds, 10.0)
        self._entity.acse_timeout = self._entity.dimse_timeout = seconds
        self._entity.network_timeout = seconds
        self._entity.maximum_pdu_size = 0
        self._entity.add_requested_context(Verification)
        for kind in destination.kinds:
            for sop_class, _ in _FILES[kind]:
                self._entity.add_requested_context(sop_class, _SYNTAXES)
        if destination.storage_commitment:
            self._entity.add_requested_context(StorageCommitmentPushModel)
        self._lock = threading.Lock()
        self._kept: list[tuple[Association, float]] = []
        self._accepted: frozenset[str] | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Of reports the richest that the destination takes; every kind while that is not known."""
        accepted = self._accepted
        if accepted is None:
            return tuple(kind for each in self._to.kinds for _, kind in _FILES[each])
        taken = [
            [kind for sop_class, kind in _FILES[each] if sop_class in accepted]
            for each in self._to.kinds
        ]
        return tuple(kinds[0] for kinds in taken if kinds)

    def _open(self) -> Association:
        """A new association.

        Raises:
            Unreachable: There is none to be had.
        """
        association = self._entity.associate(
            self._to.host,
            self._to.port,
            ae_title=self._to.ae_title,
            tls_args=self._tls,
            evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once)],
        )
        if not association.is_established:
            rejected = association.is_rejected
            why = "rejects the association" if rejected else "cannot be reached or does not answer"
            raise Unreachable(f"the destination {why}")
        self._accepted = frozenset(_accepted(association))
        return association

    def _take_kept(self) -> Association | None:
        """An association that was kept open; None where there is none."""
        with self._lock:
            while self._kept:
                association, _ = self._kept.pop()
                if association.is_established:
                    return association
        return None

    def _keep(self, association: Association) -> None:
        if association.is_established:
            with self._lock:
                self._kept.append((association, time.monotonic()))

    def _release_unused(self) -> None:
        limit = time.monotonic() - _KEPT_SECONDS
        with self._lock:
            unused = [association for association, since in self._kept if since < limit]
            self._kept = [each for each in self._kept if each[1] >= limit]
        for association in unused:
            if association.is_established:
                association.release()

    def check(self) -> str:
        """Ask for a C-ECHO, and say which results would be taken."""
        association = self._open()
        try:
            answer = association.send_c_echo()
            if not answer or answer.Status != 0:
                raise Unreachable("C-ECHO is not answered")
            accepted = _accepted(association)
        finally:
            if association.is_established:
                association.release()
        taken = [
            kind
            for kind in self._to.kinds
            if any(sop_class in accepted for sop_class, _ in _FILES[kind])
        ]
        missing = [kind for kind in self._to.kinds if kind not in taken]
        return "C-ECHO is answered" + (f"; {', '.join(missing)} not accepted" if missing else "")

    def send(self, deliveries: list[Delivery]) -> dict[Delivery, Ending]:
        """Send results over one association, or a second one where the kept one has ended."""
        if not deliveries:
            self._release_unused()
            return {}
        endings: dict[Delivery, Ending] = {}
        if kept := self._take_kept():
            endings = self._send_over(kept, deliveries)
        if left := [each for each in deliveries if endings.get(each, _ENDED) == _ENDED]:
            try:
                endings |= self._send_over(self._open(), left)
            except Unreachable:
                if not endings:
                    raise
        return endings

    def _send_over(
        self, association: Association, deliveries: list[Delivery]
    ) -> dict[Delivery, Ending]:
        endings: dict[Delivery, Ending] = {}
        for delivery in deliveries:
            if not association.is_established:
                break
            endings[delivery] = self._store(association, delivery)
        if self._to.storage_commitment and association.is_established:
            self._commit(association, endings)
        self._keep(association)
        return endings

    def _file(self, accepted: dict[str, str], delivery: Delivery) -> Path | None:
        """The richest form of a result that the destination accepts and that was made."""
        for sop_class, kind in _FILES[delivery.kind]:
            path = self._queue.result(delivery.id, kind)
            if sop_class in accepted and path.is_file():
                return path
        return None

    def _store(self, association: Association, delivery: Delivery) -> Ending:
        accepted = _accepted(association)
        path = self._file(accepted, delivery)
        if path is None:
            taken = any(sop_class in accepted for sop_class, _ in _FILES[delivery.kind])
            why = "the destination accepts no presentation context for it"
            return Unmade() if taken else Never(why)
        sop_class = next(name for name, kind in _FILES[delivery.kind] if path.suffix == f".{kind}")
        as_it_is = accepted[sop_class] == ExplicitVRLittleEndian
        started = time.monotonic()
        try:
            answer = association.send_c_store(path if as_it_is else dcmread(path))
        except (ValueError, RuntimeError):  # no syntax in common, or just closed
            return Never("no transfer syntax in common") if association.is_established else _ENDED
        if "Status" not in answer:
            late = time.monotonic() - started >= self._to.timeout_seconds
            return Later("C-STORE is not answered in time") if late else _ENDED
        status = int(answer.Status)
        if status in (0, _DUPLICATE) or 0xB000 <= status < 0xC000 or status == 0x0001:
            return Arrived()
        if status in _OUT_OF_RESOURCES:
            return Later(f"status {status:04X}")
        return Never(f"status {status:04X}")

    def _commit(self, association: Association, endings: dict[Delivery, Ending]) -> None:
        """Ask the destination to commit itself to keep what it has taken.

        Its answer comes to the node's own port, and may come before the request is answered: so
        what is asked for is noted first. A destination that does not offer storage commitment has
        the last word with Success.
        """
        accepted = _accepted(association)
        arrived = [each for each, ending in endings.items() if isinstance(ending, Arrived)]
        if StorageCommitmentPushModel not in accepted or not arrived:
            return
        request = Dataset()
        request.TransactionUID = transaction = generate_uid(prefix=None)
        request.ReferencedSOPSequence = []
        for delivery in arrived:
            path = self._file(accepted, delivery)
            if path is None:
                continue
            dataset = dcmread(path, stop_before_pixels=True)
            reference = Dataset()
            reference.ReferencedSOPClassUID = dataset.SOPClassUID
            reference.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
            request.ReferencedSOPSequence.append(reference)
            commitment = f"{transaction} {dataset.SOPInstanceUID}"
            self._queue.await_commitment(self._to.name, delivery, commitment)
        answer, _ = association.send_n_action(
            request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        if "Status" in answer and answer.Status == 0:
            endings.update({each: Promised() for each in arrived})


def _accepted(association: Association) -> dict[str, str]:
    """The transfer syntax of each SOP class that the destination takes."""
    return {each.abstract_syntax: each.transfer_syntax[0] for each in association.accepted_contexts}


def _send_at_once(event: evt.Event) -> None:
    """Hold no small packet back until the one before is acknowledged (Nagle's algorithm)."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
