"""What a site's own file makes of labelled images."""

from __future__ import annotations

import numpy as np

from export.evaluation.calibration import calibration
from export.evaluation.operating_point import point, rate
from export.evaluation.records import SiteJudgement
from service.network.site import SiteFinding


def decisions(fitted: SiteFinding, probabilities: np.ndarray) -> np.ndarray:
    """What is decided on each of (N,) probabilities: positive, negative or uncertain."""
    return np.array([fitted.decide(value) for value in probabilities.tolist()], str)


def calibrated(fitted: SiteFinding, probabilities: np.ndarray) -> np.ndarray:
    """float64 (N,), at the prevalence of the images that it was fitted on."""
    return np.array([fitted.at_prevalence_of_images(value) for value in probabilities.tolist()])


def judge(
    fitted: SiteFinding, truth: np.ndarray, probabilities: np.ndarray, prevalence: float | None
) -> SiteJudgement:
    """Count its decisions and hold its probability to the truth.

    Args:
        fitted: For the finding.
        truth: bool (N,), both classes present.
        probabilities: float64 (N,), the network's.
        prevalence: As for `point`.
    """
    cut = fitted.operating_point.probability
    decided = decisions(fitted, probabilities)
    return SiteJudgement(
        point=point("site", truth, probabilities > cut, cut, prevalence),
        calibration=calibration(truth, calibrated(fitted, probabilities)),
        error=fitted.uncertain.error,
        missed=rate(int((decided[truth] == "negative").sum()), int(truth.sum())),
        false_alarms=rate(int((decided[~truth] == "positive").sum()), int((~truth).sum())),
        uncertain=rate(int((decided == "uncertain").sum()), len(truth)),
    )
