"""How good decisions are by the calibrated probabilities alone, without any label.

Confidence-based performance estimation (Bialek and others 2024, "Estimating Model Performance Under
Covariate Shift Without Labels", arXiv 2401.08348): an image of calibrated probability p counts as
p images with the finding and 1 - p without. It sees a change of images, and is blind to one of what
the finding looks like.
"""

from __future__ import annotations

import numpy as np

from export.monitoring.records import Estimate
from export.monitoring.table import DECISIONS


def estimate(decisions: np.ndarray, calibrated: np.ndarray) -> Estimate | None:
    """Estimate shares of the decisions of a site file; None where there are none.

    Args:
        decisions: Places in `DECISIONS` (N,), 0 without a site file.
        calibrated: float64 (N,), NaN without one.
    """
    said = (decisions > 0) & np.isfinite(calibrated)
    if not said.any():
        return None
    decided, p = np.array(DECISIONS)[decisions[said]], calibrated[said]
    positive, negative = decided == "positive", decided == "negative"
    found, missed = float(p[positive].sum()), float(p[negative].sum())
    alarms, cleared = float((1 - p[positive]).sum()), float((1 - p[negative]).sum())
    return Estimate(
        images=int(said.sum()),
        uncertain=float((decided == "uncertain").mean()),
        sensitivity=_share(found, missed),
        specificity=_share(cleared, alarms),
        ppv=_share(found, alarms),
    )


def _share(part: float, rest: float) -> float | None:
    return part / (part + rest) if part + rest else None
