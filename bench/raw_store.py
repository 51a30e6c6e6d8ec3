"""C-STORE of any bytes as a data set, which no proper sender would send."""

from __future__ import annotations

import io
import struct

from pydicom import uid
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import build_context

from bench.pacs import Node

_CLASS = uid.DigitalXRayImageStorageForPresentation


def store_raw(node: Node, instance: str, file: bytes) -> str:
    """Send a file's data set as it is; the status, or "no answer".

    Args:
        node: To send to.
        instance: SOP Instance UID that the command names.
        file: Of DICOM or of anything; what is not DICOM is sent whole.
    """
    syntax, data = _taken_apart(file)
    entity = AE(ae_title="SENDER")
    entity.dimse_timeout = entity.network_timeout = 30
    association = entity.associate(
        "127.0.0.1", node.port, contexts=[build_context(_CLASS, syntax)], ae_title=node.title
    )
    if not association.is_established or not association.accepted_contexts:
        return "no association"
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = _CLASS, instance
    request.DataSet = io.BytesIO(data)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    association.release()
    return "no answer" if answer is None else f"{answer.Status:04X}"


def _taken_apart(file: bytes) -> tuple[str, bytes]:
    """Transfer syntax and data set of a file, as far as they can be told."""
    marker = b"\x02\x00\x10\x00UI"
    at = file.find(marker, 128, 1024)
    if file[128:132] != b"DICM" or at < 0:
        return uid.ExplicitVRLittleEndian, file or b"\0\0"
    (length,) = struct.unpack_from("<H", file, at + 6)
    syntax = file[at + 8 : at + 8 + length].decode("ascii", "replace").strip("\0 ")
    known = syntax if syntax in uid.AllTransferSyntaxes else uid.ExplicitVRLittleEndian
    (group,) = struct.unpack_from("<I", file, 140)
    return known, file[min(144 + group, len(file)) :] or b"\0\0"
