"""Whether acting on a probability does more good than acting on none."""

from __future__ import annotations

import numpy as np

from export.site.records import NetBenefit

THRESHOLDS = np.round(np.arange(0.02, 0.99, 0.02), 2)


def decision_curve(
    truth: np.ndarray, before: np.ndarray, after: np.ndarray
) -> tuple[NetBenefit, ...]:
    """Net benefit by threshold: true positives less false ones at the threshold's odds.

    Vickers and Elkin 2006, "Decision curve analysis", Medical Decision Making 26, 565-574. Both
    probabilities are held to one threshold, so that it is calibration that tells them apart.

    Args:
        truth: bool (N,).
        before: float64 (N,), the network's probability.
        after: float64 (N,), the calibrated one.
    """
    return tuple(
        NetBenefit(
            threshold=float(threshold),
            before=_benefit(truth, before >= threshold, threshold),
            after=_benefit(truth, after >= threshold, threshold),
            all_positive=_benefit(truth, np.ones_like(truth), threshold),
        )
        for threshold in THRESHOLDS
    )


def _benefit(truth: np.ndarray, positive: np.ndarray, threshold: float) -> float:
    odds = threshold / (1 - threshold)
    return float(((positive & truth).sum() - odds * (positive & ~truth).sum()) / len(truth))
