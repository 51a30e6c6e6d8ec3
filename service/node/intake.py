"""What becomes of an instance that arrives, by C-STORE or by STOW-RS alike."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
from dataclasses import dataclass
from typing import Literal

import pydicom
from pydicom import uid

from service.explain.dicom.study import MANUFACTURER
from service.node.config import Node
from service.node.metrics import RECEIVED
from service.node.queue import Queue
from service.node.same_content import same_content

log = logging.getLogger("cxr.node.intake")

IMAGES = (
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.SecondaryCaptureImageStorage,
)
"""What is scored; RG is a modality of Secondary Capture and of CR."""

REPORTS = (uid.Comprehensive3DSRStorage, uid.EnhancedSRStorage, uid.BasicTextSRStorage)
"""What this node writes beside pictures: it is taken back, where a rule forwards whole studies."""

SUCCESS = 0x0000
NO_RESOURCES = 0xA700
DUPLICATE_UID = 0x0111
NOT_SCORED_HERE = 0xC000
TOO_LARGE = 0xC001

Outcome = Literal["queued", "duplicate", "own", "conflict", "full", "no_room", "too_large", "other"]


@dataclass(frozen=True)
class Status:
    """What the sender is told.

    Attributes:
        outcome: For the metrics and the log.
        code: Status of the C-STORE response, and FailureReason of STOW-RS.
        comment: At most 64 characters that say why; "" for Success.
    """

    outcome: Outcome
    code: int
    comment: str = ""


class Intake:
    """Puts what arrives into the queue, or says why not.

    Args:
        queue: Where it goes.
        node: Limits.
    """

    def __init__(self, queue: Queue, node: Node) -> None:
        self._queue = queue
        self._node = node

    def check_room(self) -> Status | None:
        """Why nothing can be taken at present; None where it can."""
        if self._queue.free_bytes() < self._node.reserve_bytes:
            return Status("no_room", NO_RESOURCES, "The disk of the node is full")
        if self._queue.waiting() >= self._node.max_queued:
            return Status("full", NO_RESOURCES, "The queue of the node is full")
        return None

    def take(self, sop_class: str, instance: str, dataset: bytes, file: bytes) -> Status:
        """Keep an instance; Success means that it is on disk.

        Args:
            sop_class: SOP Class UID.
            instance: SOP Instance UID.
            dataset: Without the file's meta information, undecoded.
            file: With it.
        """
        status = self._taken(sop_class, instance, dataset, file)
        RECEIVED.labels(status.outcome).inc()
        if status.outcome not in ("queued", "duplicate", "own"):
            log.warning(
                "an instance was not taken",
                extra={"outcome": status.outcome, "status": f"{status.code:04X}"},
            )
        return status

    def _taken(self, sop_class: str, instance: str, dataset: bytes, file: bytes) -> Status:
        refusal = self._not_wanted(sop_class, file) or self.check_room()
        if refusal is not None:
            return refusal
        try:
            taken = self._queue.take(instance, hashlib.sha256(dataset).hexdigest(), file)
        except OSError as error:
            log.error("the queue cannot be written: %s", errno.errorcode.get(error.errno or 0, "?"))
            return Status("no_room", NO_RESOURCES, "The queue of the node cannot be written")
        if taken == "conflict" and self._is_the_same(instance, file):
            taken = "duplicate"
        if taken == "conflict":
            return Status("conflict", DUPLICATE_UID, "The UID is known with other content")
        return Status(taken, SUCCESS)

    def _is_the_same(self, instance: str, file: bytes) -> bool:
        """Whether a file of other bytes says what the one that is kept under its UID says."""
        kept = self._queue.kept_file(instance)
        return kept is not None and same_content(kept, file)

    def _not_wanted(self, sop_class: str, file: bytes) -> Status | None:
        """The answer for what is not to be queued; None where it is."""
        if len(file) > self._node.max_bytes:
            return Status("too_large", TOO_LARGE, "The instance is larger than the node takes")
        may_be_own = sop_class in REPORTS or sop_class == uid.SecondaryCaptureImageStorage
        if may_be_own and _is_own(file):
            return Status("own", SUCCESS)
        if sop_class not in IMAGES:
            return Status("other", NOT_SCORED_HERE, "This SOP class is not taken")
        return None


def _is_own(file: bytes) -> bool:
    """Whether a file is a result of this software."""
    try:
        header = pydicom.dcmread(
            io.BytesIO(file), stop_before_pixels=True, specific_tags=["Manufacturer"]
        )
        return str(header.get("Manufacturer", "")) == MANUFACTURER
    except Exception:  # whatever is wrong with it, it is none of ours
        return False
