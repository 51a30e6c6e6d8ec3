"""All figures of one pathology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from export.evaluation.calibration import calibration
from export.evaluation.delong import ONE_CLASS, area
from export.evaluation.discrimination import average_precision, curves
from export.evaluation.mistakes import most_confident
from export.evaluation.operating_point import chosen_points, point
from export.evaluation.records import Finding, Options, Point, Subgroup
from export.evaluation.scoring import Scored
from export.evaluation.site import judge
from export.evaluation.subgroups import subgroups
from service.network.site import SiteFinding

NO_POINT = "no operating point is published for these weights, so there are no decisions to judge"
FEW = 100
"""Images of a class below which intervals are wide whatever the figures are."""


def finding(
    label: str,
    scored: Scored,
    operating_point: float | None,
    options: Options,
    parts: Mapping[str, Sequence[str]],
    fitted: SiteFinding | None = None,
) -> Finding:
    """Everything that is said of one pathology.

    Args:
        label: The pathology.
        scored: The answers; images whose label is not known do not count.
        operating_point: Its published probability, None where there is none.
        options: What was asked for.
        parts: Column to the subgroup of each scored image.
        fitted: What the site file has for it, None where there is nothing.
    """
    known = scored.known(label)
    truth = scored.truth(label)[known]
    column = scored.pathologies.index(label)
    probabilities = scored.probabilities[known, column]
    positive = scored.positive[known, column] if operating_point is not None else None
    both = bool(truth.any() and not truth.all())
    mistakes, in_all = most_confident(scored, label) if positive is not None else ([], None)
    return Finding(
        label=label,
        images=len(truth),
        positives=int(truth.sum()),
        operating_point=operating_point,
        auc=area(truth, probabilities),
        average_precision=average_precision(truth, probabilities) if both else None,
        points=tuple(_points(truth, probabilities, positive, operating_point, options, both)),
        calibration=calibration(truth, probabilities) if both else None,
        site=judge(fitted, truth, probabilities, options.prevalence) if fitted and both else None,
        curves=curves(truth, probabilities) if both else None,
        subgroups=tuple(_subgroups(parts, known, truth, probabilities, positive)),
        mistakes=tuple(mistakes),
        mistakes_in_all=in_all,
        notes=tuple(_notes(truth, operating_point)),
    )


def _points(
    truth: np.ndarray,
    probabilities: np.ndarray,
    positive: np.ndarray | None,
    operating_point: float | None,
    options: Options,
    both: bool,
) -> list[Point]:
    found = []
    if positive is not None and operating_point is not None and len(truth):
        found.append(point("operating point", truth, positive, operating_point, options.prevalence))
    if both:
        found += chosen_points(
            truth, probabilities, options.sensitivity, options.specificity, options.prevalence
        )
    return found


def _subgroups(
    parts: Mapping[str, Sequence[str]],
    known: np.ndarray,
    truth: np.ndarray,
    probabilities: np.ndarray,
    positive: np.ndarray | None,
) -> list[Subgroup]:
    return [
        group
        for column, names in parts.items()
        for group in subgroups(
            column,
            [name for name, counts in zip(names, known, strict=True) if counts],
            truth,
            probabilities,
            positive,
        )
    ]


def _notes(truth: np.ndarray, operating_point: float | None) -> list[str]:
    notes = []
    smaller = min(int(truth.sum()), int((~truth).sum()))
    if not len(truth):
        notes.append("no image that was scored has a label for this finding")
    elif smaller == 0:
        notes.append(f"the area under the curve is {ONE_CLASS}")
    elif smaller < FEW:
        notes.append(f"only {smaller} images of one class: read the intervals, not the figures")
    if operating_point is None:
        notes.append(NO_POINT)
    return notes
