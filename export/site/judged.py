"""One finding before and after, on patients that nothing was fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from export.evaluation.calibration import calibration
from export.evaluation.delong import area
from export.evaluation.operating_point import point
from export.evaluation.records import Point, SiteJudgement
from export.evaluation.site import calibrated, decisions, judge
from export.evaluation.subgroups import subgroups
from export.site.calibrator import Calibrator
from export.site.clusters import clustered_rate
from export.site.decision_curve import decision_curve
from export.site.records import FittedFinding
from export.site.sides import Side
from service.network.site import SiteFinding


def judged_finding(
    label: str,
    site: SiteFinding,
    found: Calibrator,
    judged: Side,
    published: float | None,
    parts: Mapping[str, Sequence[str]],
) -> FittedFinding:
    """Judge what was fitted.

    Args:
        label: The finding.
        site: What was fitted.
        found: How its calibration was chosen.
        judged: The images that are judged on.
        published: The weights' operating point, None where there is none.
        parts: Column to the subgroup of each image that is judged on.
    """
    truth, probabilities = judged.truth, judged.probabilities
    positive = probabilities > site.operating_point.probability
    return FittedFinding(
        label=label,
        site=site,
        log_losses=found.log_losses,
        images=len(truth),
        patients=len(np.unique(judged.patients)),
        positives=int(truth.sum()),
        auc=area(truth, probabilities),
        before=None if published is None else _before(judged, published, site.prevalence),
        calibration=calibration(truth, probabilities),
        after=_after(judged, site),
        decision_curve=decision_curve(truth, probabilities, calibrated(site, probabilities)),
        subgroups=tuple(
            group
            for column, names in parts.items()
            for group in subgroups(column, names, truth, probabilities, positive)
        ),
    )


def _before(judged: Side, published: float, prevalence: float) -> Point:
    positive = judged.probabilities > np.float32(published)  # as the service decides
    counted = point("operating point", judged.truth, positive, published, prevalence)
    return _by_patients(counted, judged, positive)


def _after(judged: Side, site: SiteFinding) -> SiteJudgement:
    counted = judge(site, judged.truth, judged.probabilities, site.prevalence)
    decided = decisions(site, judged.probabilities)
    shows, whose = judged.truth, judged.patients
    positive = judged.probabilities > site.operating_point.probability
    return counted.model_copy(
        update={
            "point": _by_patients(counted.point, judged, positive),
            "missed": clustered_rate(decided[shows] == "negative", whose[shows]),
            "false_alarms": clustered_rate(decided[~shows] == "positive", whose[~shows]),
            "uncertain": clustered_rate(decided == "uncertain", whose),
        }
    )


def _by_patients(counted: Point, judged: Side, positive: np.ndarray) -> Point:
    """The same with intervals that know of several images of a patient."""
    sensitivity, specificity = judged.reached(positive)
    return counted.model_copy(update={"sensitivity": sensitivity, "specificity": specificity})
