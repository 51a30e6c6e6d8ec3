"""C-ECHO and C-STORE: the data set goes to disk undecoded, and only then is the answer Success."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    Verification,
)

from service.node.association_server import AssociationServer, application_entity
from service.node.audit import MINOR, SUCCESS, audit
from service.node.config import NodeConfig
from service.node.intake import IMAGES, REPORTS, Intake
from service.node.queue import Queue
from service.node.tls import server_context
from service.radiograph.dicom.transfer_syntaxes import DECODED


class Receiver:
    """Listens for associations.

    Args:
        config: Who may send, and limits.
        queue: Where images go.
        intake: What decides about each.
    """

    def __init__(self, config: NodeConfig, queue: Queue, intake: Intake) -> None:
        self._intake = intake
        self._queue = queue
        node = config.node
        self._entity = application_entity(config)
        self._entity.add_supported_context(Verification)
        for sop_class in (*IMAGES, *REPORTS):
            self._entity.add_supported_context(sop_class, sorted(DECODED))
        if any(each.storage_commitment for each in config.destination):
            self._entity.add_supported_context(
                StorageCommitmentPushModel, scu_role=False, scp_role=True
            )
        self._server = self._entity.make_server(
            (node.host, node.port),
            ae_title=node.ae_title,
            ssl_context=server_context(node.tls) if node.tls else None,
            evt_handlers=[
                (evt.EVT_REQUESTED, self._requested),
                (evt.EVT_DIMSE_RECV, _message_ended),
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_N_EVENT_REPORT, self._report),
                (evt.EVT_CONN_CLOSE, self._closed),
            ],
            server_class=AssociationServer,
            config=config,
        )
        self._entity._servers.append(self._server)

    def serve(self) -> None:
        """Answer until `stop` is called."""
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """Take no more associations; those that are open go on."""
        self._server.shutdown()

    @property
    def open_associations(self) -> int:
        """Associations that are open."""
        return len(self._server.active_associations)

    def _requested(self, event: evt.Event) -> None:
        event.assoc.received = event.assoc.refused = 0
        _prefer_what_the_sender_does(event.assoc)
        self._server.admit(event.assoc)

    def _store(self, event: evt.Event) -> Dataset:
        request = event.request
        status = self._intake.take(
            str(request.AffectedSOPClassUID),
            str(request.AffectedSOPInstanceUID),
            event.encoded_dataset(include_meta=False),
            event.encoded_dataset(),
        )
        answer = Dataset()
        answer.Status = status.code
        if status.code:
            event.assoc.refused += 1
            answer.ErrorComment = status.comment
        else:
            event.assoc.received += 1
        return answer

    def _report(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """The answer of a destination that was asked to commit itself to keep results."""
        information = event.event_information
        self._queue.committed(
            str(information.TransactionUID),
            {
                str(each.ReferencedSOPInstanceUID)
                for each in information.get("FailedSOPSequence", ())
            },
        )
        return 0x0000, None

    def _closed(self, event: evt.Event) -> None:
        association: Any = event.assoc
        received, refused = getattr(association, "received", 0), getattr(association, "refused", 0)
        if received or refused:
            peer = association.requestor
            audit(
                "DICOM Instances Transferred",
                source=f"{peer.ae_title.strip()} {peer.address_info.address}",
                destination=self._server.ae_title.strip(),
                outcome=MINOR if refused else SUCCESS,
                objects=received,
                why=f"{refused} were not taken" if refused else "",
            )


def _prefer_what_the_sender_does(association: Any) -> None:
    """Take of several transfer syntaxes the one that the sender names first.

    That costs it no conversion; pynetdicom by itself takes the one that comes first here.
    """
    rank: dict[str, int] = {}
    for context in association.requestor.primitive.presentation_context_definition_list:
        for position, syntax in enumerate(context.transfer_syntax):
            rank[syntax] = min(rank.get(syntax, position), position)
    supported = association.acceptor.supported_contexts
    for context in supported:
        context.transfer_syntax = sorted(
            context.transfer_syntax, key=lambda syntax: (rank.get(syntax, len(rank)), syntax)
        )
    association.acceptor.supported_contexts = supported


def _message_ended(event: evt.Event) -> None:
    event.assoc.dul.socket.message = 0
