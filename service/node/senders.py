"""The sender for each kind of destination."""

from __future__ import annotations

from service.node.config import Destination, Node
from service.node.outcomes import Sender
from service.node.queue import Queue


def sender(destination: Destination, node: Node, queue: Queue) -> Sender:
    """What delivers to a destination.

    Raises:
        SettingRefused: A certificate or key cannot be used.
    """
    if destination.kind == "dimse":
        from service.node.dimse_sender import DimseSender

        return DimseSender(destination, node, queue)
    if destination.kind == "stow":
        from service.node.stow_sender import StowSender

        return StowSender(destination, queue)
    if destination.kind == "fhir":
        from service.node.fhir_sender import FhirSender

        return FhirSender(destination, queue)
    from service.node.folder_sender import FolderSender

    return FolderSender(destination, queue)
