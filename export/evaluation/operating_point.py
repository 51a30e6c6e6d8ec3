"""What a cut at one probability decides, and where to cut."""

from __future__ import annotations

from typing import Literal

import numpy as np
from sklearn.metrics import confusion_matrix, roc_curve
from statsmodels.stats.proportion import proportion_confint

from export.evaluation.delong import Z95
from export.evaluation.records import Interval, Point, PredictiveValues, Rate

Name = Literal["operating point", "site", "Youden", "fixed sensitivity", "fixed specificity"]


def rate(count: int, of: int) -> Rate:
    """A share with Wilson's 95 % interval (Wilson 1927, J. Am. Stat. Assoc. 22, 209-212)."""
    if of == 0:
        return Rate(count=count, of=of)
    low, high = proportion_confint(count, of, alpha=0.05, method="wilson")
    # Rounding leaves an end of the interval a hair off 0 or 1 where it is exactly that.
    low, high = (0.0 if count == 0 else low), (1.0 if count == of else high)
    return Rate(count=count, of=of, value=count / of, low=float(low), high=float(high))


def point(
    name: Name,
    truth: np.ndarray,
    positive: np.ndarray,
    probability: float,
    prevalence: float | None,
) -> Point:
    """Count a cut's decisions and say what they are worth.

    Args:
        name: Of the point.
        truth: bool (N,), whether each image shows the finding.
        positive: bool (N,), what was decided.
        probability: The cut.
        prevalence: In (0, 1), where predictive values are also wanted at another prevalence
            than these images have.
    """
    counts = confusion_matrix(truth, positive, labels=[False, True]).ravel()
    tn, fp, fn, tp = (int(count) for count in counts)
    sensitivity, specificity = rate(tp, tp + fn), rate(tn, tn + fp)
    return Point(
        name=name,
        probability=probability,
        true_positive=tp,
        false_positive=fp,
        false_negative=fn,
        true_negative=tn,
        sensitivity=sensitivity,
        specificity=specificity,
        ppv=rate(tp, tp + fp),
        npv=rate(tn, tn + fn),
        at_prevalence=predictive_values(sensitivity, specificity, prevalence),
    )


def chosen_points(
    truth: np.ndarray,
    probabilities: np.ndarray,
    sensitivity: float,
    specificity: float,
    prevalence: float | None,
) -> list[Point]:
    """Youden's point (sensitivity + specificity highest) and the two fixed ones.

    A fixed-sensitivity point is the highest cut whose sensitivity is at least the one asked
    for, a fixed-specificity point the lowest whose specificity is. Each cut lies halfway between
    two probabilities that occur, so that it decides alike whether a tie counts or not. Chosen
    on these images they flatter: report them of other images.

    Args:
        truth: bool (N,), both classes present.
        probabilities: float64 (N,) in [0, 1].
        sensitivity: In (0, 1].
        specificity: In (0, 1].
        prevalence: As for `point`.
    """
    false_positive, true_positive, cuts = roc_curve(truth, probabilities, drop_intermediate=False)
    # Shares of counts: compared exactly where a rate asked for is met exactly.
    enough = np.flatnonzero(true_positive >= sensitivity - 1e-12)
    specific = np.flatnonzero(1 - false_positive >= specificity - 1e-12)
    places: dict[Name, int] = {
        "Youden": int(np.argmax(true_positive - false_positive)),
        "fixed sensitivity": int(enough[0]),
        "fixed specificity": int(specific[-1]),
    }
    found = []
    for name, place in places.items():
        cut = _between(cuts, place)
        found.append(point(name, truth, probabilities >= cuts[place], cut, prevalence))
    return found


def _between(cuts: np.ndarray, place: int) -> float:
    """Halfway from the lowest probability that is positive to the highest that is not."""
    highest_positive_cut = min(float(cuts[place]), 1.0)  # the first is infinite: nothing positive
    below = float(cuts[place + 1]) if place + 1 < len(cuts) else 0.0
    return (highest_positive_cut + below) / 2


def predictive_values(
    sensitivity: Rate, specificity: Rate, prevalence: float | None
) -> PredictiveValues | None:
    """PPV and NPV by Bayes' rule at a prevalence, with intervals on the logit scale.

    Variances from the delta method (Mercaldo, Lau and Zhou 2007, Statistics in Medicine 26,
    2170-2183, section 3). Where a rate of 0 or 1 makes one infinite the interval is left open.

    Returns:
        None where no prevalence is given or a class has no image.
    """
    se, sp = sensitivity.value, specificity.value
    if prevalence is None or se is None or sp is None:
        return None
    p, m, n = prevalence, sensitivity.of, specificity.of
    return PredictiveValues(
        prevalence=p,
        ppv=_by_logit(
            se * p,
            (1 - sp) * (1 - p),
            (1 - se) / (m * se) + sp / (n * (1 - sp)) if se > 0 and sp < 1 else None,
        ),
        npv=_by_logit(
            sp * (1 - p),
            (1 - se) * p,
            se / (m * (1 - se)) + (1 - sp) / (n * sp) if sp > 0 and se < 1 else None,
        ),
    )


def _by_logit(right: float, wrong: float, variance: float | None) -> Interval:
    """The share right / (right + wrong), its interval from the variance of its logit."""
    if right + wrong == 0:
        return Interval()
    value = right / (right + wrong)
    if variance is None:
        return Interval(value=value)
    odds, spread = right / wrong, float(np.exp(Z95 * variance**0.5))
    low, high = odds / spread, odds * spread
    return Interval(value=value, low=low / (1 + low), high=high / (1 + high))
