"""The audit log: who exchanged how much with whom, in the words of IHE ATNA, without identities.

One line of JSON an event. Of the message of DICOM PS3.15, A.5, are kept what names systems: the
event, its outcome and both participants. What names a patient, a study or a user is left out.
"""

from __future__ import annotations

import logging

log = logging.getLogger("cxr.audit")

SUCCESS, MINOR, SERIOUS = 0, 4, 8
"""EventOutcomeIndicator (PS3.15, A.5.1)."""


def audit(
    event: str, *, source: str, destination: str, outcome: int, objects: int = 0, why: str = ""
) -> None:
    """Log an event.

    Args:
        event: Meaning of the EventID of CID 400, such as "DICOM Instances Transferred".
        source: AE title or URL and address of who sent.
        destination: Likewise of who received.
        outcome: EventOutcomeIndicator.
        objects: How many objects it was about.
        why: For an outcome that is no success; never holds an identity.
    """
    log.info(
        event,
        extra={
            "event_outcome": outcome,
            "source": source,
            "destination": destination,
            "objects": objects,
            "why": why,
        },
    )
