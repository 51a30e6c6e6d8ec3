"""The finding that --target names."""

from __future__ import annotations

from collections.abc import Sequence

from service.explain.cam.request import target_index


def normalised(name: str) -> str:
    """A finding's name without regard to case and to how its words are joined."""
    return " ".join(name.casefold().replace("_", " ").split())


def finding_named(written: str, labels: Sequence[str]) -> str:
    """Spell a finding as the weights do, whatever its case and however its words are joined.

    Args:
        written: What the user wrote, such as "pleural thickening".
        labels: Findings that the weights predict, "" for outputs without a name.

    Raises:
        UnknownTarget: No finding, or more than one, is written so; the message lists them all.
    """
    alike = [label for label in labels if label and normalised(label) == normalised(written)]
    return alike[0] if len(alike) == 1 else labels[target_index(written, labels)]
