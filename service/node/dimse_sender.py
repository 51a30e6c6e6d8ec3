"""Delivery by C-STORE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from service.node.config import Destination, Node
from service.node.outcomes import Arrived, Ending, Later, Never, Promised, Unreachable
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


class DimseSender:
    """Sends to one application entity.

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

    @contextmanager
    def _association(self) -> Iterator[Association]:
        """An association with the destination.

        Raises:
            Unreachable: There is none to be had.
        """
        association = self._entity.associate(
            self._to.host, self._to.port, ae_title=self._to.ae_title, tls_args=self._tls
        )
        if not association.is_established:
            rejected = association.is_rejected
            why = "rejects the association" if rejected else "cannot be reached or does not answer"
            raise Unreachable(f"the destination {why}")
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def check(self) -> str:
        """Ask for a C-ECHO, and say which results would be taken."""
        with self._association() as association:
            answer = association.send_c_echo()
            if not answer or answer.Status != 0:
                raise Unreachable("C-ECHO is not answered")
            accepted = {each.abstract_syntax for each in association.accepted_contexts}
        taken = [
            kind
            for kind in self._to.kinds
            if any(sop_class in accepted for sop_class, _ in _FILES[kind])
        ]
        missing = [kind for kind in self._to.kinds if kind not in taken]
        return "C-ECHO is answered" + (f"; {', '.join(missing)} not accepted" if missing else "")

    def send(self, deliveries: list[Delivery]) -> dict[Delivery, Ending]:
        """Send results over one association."""
        endings: dict[Delivery, Ending] = {}
        with self._association() as association:
            accepted = {each.abstract_syntax for each in association.accepted_contexts}
            for delivery in deliveries:
                if not association.is_established:
                    break
                endings[delivery] = self._store(association, accepted, delivery)
            if self._to.storage_commitment and association.is_established:
                self._commit(association, accepted, endings)
        return endings

    def _file(self, accepted: set[str], delivery: Delivery) -> Dataset | None:
        """The richest form of a result that the destination accepts."""
        for sop_class, kind in _FILES[delivery.kind]:
            path = self._queue.result(delivery.id, kind)
            if sop_class in accepted and path.is_file():
                return dcmread(path)
        return None

    def _store(self, association: Association, accepted: set[str], delivery: Delivery) -> Ending:
        dataset = self._file(accepted, delivery)
        if dataset is None:
            return Never("the destination accepts no presentation context for it")
        try:
            answer = association.send_c_store(dataset)
        except (ValueError, RuntimeError) as error:  # no syntax in common, or just closed
            return (
                Never("no transfer syntax in common")
                if association.is_established
                else Later(f"the association ended ({type(error).__name__})")
            )
        if "Status" not in answer:
            return Later("C-STORE is not answered in time")
        status = int(answer.Status)
        if status in (0, _DUPLICATE) or 0xB000 <= status < 0xC000 or status == 0x0001:
            return Arrived()
        if status in _OUT_OF_RESOURCES:
            return Later(f"status {status:04X}")
        return Never(f"status {status:04X}")

    def _commit(
        self, association: Association, accepted: set[str], endings: dict[Delivery, Ending]
    ) -> None:
        """Ask the destination to commit itself to keep what it has taken.

        Its answer comes to the node's own port, and may come before the request is answered: so
        what is asked for is noted first. A destination that does not offer storage commitment has
        the last word with Success.
        """
        arrived = [each for each, ending in endings.items() if isinstance(ending, Arrived)]
        if StorageCommitmentPushModel not in accepted or not arrived:
            return
        request = Dataset()
        request.TransactionUID = transaction = generate_uid(prefix=None)
        request.ReferencedSOPSequence = []
        for delivery in arrived:
            dataset = self._file(accepted, delivery)
            if dataset is None:
                continue
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
