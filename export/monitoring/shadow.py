"""From a log with a shadow's numbers to a report."""

from __future__ import annotations

from datetime import datetime, timezone

from export.errors import LogRefused
from export.monitoring.paired import compare
from export.monitoring.records import ShadowReport
from export.monitoring.table import Pairs
from service import __version__

FEWEST = 30
"""Images that both have scored, at the least."""

NO_LABELS = (
    "the log has no labels: it says where the two differ and not which of them is right, nor their "
    "areas under the curve; `cxr evaluate --compare` on labelled radiographs does"
)
INDEPENDENT = (
    "the false alarm rate holds where images come independently of one another; several images of "
    "a patient make false alarms more frequent"
)


def compare_shadow(pairs: Pairs, agreement: float, false_alarm_rate: float) -> ShadowReport:
    """Compare the shadow with the served bundle.

    Args:
        pairs: Images that both have scored.
        agreement: Share of the images that have to get the same decision.
        false_alarm_rate: Of all tests together.

    Raises:
        LogRefused: There are too few images.
    """
    if pairs.rows < FEWEST:
        raise LogRefused(
            f"{pairs.name}: both have scored {pairs.rows} images; {FEWEST} are needed at the least"
        )
    sample = (
        f"the shadow has scored {pairs.rows} of {pairs.of} images: a share of them, and only while "
        "the service had nothing in work"
    )
    return ShadowReport(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        software=__version__,
        name=pairs.name,
        served=pairs.served,
        shadow=pairs.shadow,
        rows=pairs.rows,
        of=pairs.of,
        agreement=agreement,
        false_alarm_rate=false_alarm_rate,
        findings=compare(pairs, agreement, false_alarm_rate),
        warnings=(NO_LABELS, sample, INDEPENDENT),
    )
