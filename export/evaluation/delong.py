"""Areas under ROC curves with DeLong's variance, alone and in pairs.

The packages for this on the Python index are young: those tried lack the paired interval, or
renamed everything from one version to the next and turn a bad ranking round unasked. So the few
lines are here: the mid-rank form of Sun and Xu 2014, "Fast Implementation of DeLong's Algorithm
for Comparing the Areas Under Correlated Receiver Operating Characteristic Curves", IEEE Signal
Processing Letters 21(11), of DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44, 837-845.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from export.evaluation.records import Area, Interval

Z95 = float(norm.ppf(0.975))
"""Half-width of a two-sided 95 % interval in standard errors."""

ONE_CLASS = "undefined: the images are all of one class"
ONE_IMAGE = "no interval: one class has a single image"
SEPARATED = "no interval: the classes are fully separated, which leaves DeLong's variance at 0"


@dataclass(frozen=True, eq=False)
class Placements:
    """How each image stands among those of the other class, ties by half.

    Attributes:
        positives: float64 (m,), share of the negatives that each positive outranks.
        negatives: float64 (n,), share of the positives that outrank each negative.
    """

    positives: np.ndarray
    negatives: np.ndarray

    @property
    def area(self) -> float:
        return float(self.positives.mean())

    def __sub__(self, other: Placements) -> Placements:
        return Placements(self.positives - other.positives, self.negatives - other.negatives)

    def variance(self) -> float | None:
        """DeLong's variance of the mean placement; None with less than 2 images in a class."""
        if min(len(self.positives), len(self.negatives)) < 2:
            return None
        parts = (self.positives, self.negatives)
        return float(sum(part.var(ddof=1) / len(part) for part in parts))


@dataclass(frozen=True)
class PairedTest:
    """Two areas over the same images, the second less the first.

    Attributes:
        difference: With its 95 % interval.
        p_value: Two-sided; None where it is undefined.
        note: Why something is None.
    """

    difference: Interval
    p_value: float | None
    note: str | None = None


def placements(truth: np.ndarray, scores: np.ndarray) -> Placements:
    """Placements from mid-ranks (Sun and Xu 2014, equations 5 to 8).

    Args:
        truth: bool (N,), both classes present.
        scores: (N,), higher where the finding is more likely.
    """
    ranks = rankdata(scores)
    positive, negative = scores[truth], scores[~truth]
    m, n = len(positive), len(negative)
    return Placements(
        (ranks[truth] - rankdata(positive)) / n,
        1 - (ranks[~truth] - rankdata(negative)) / m,
    )


def area(truth: np.ndarray, scores: np.ndarray) -> Area:
    """Area under the ROC curve with DeLong's 95 % interval, cut to [0, 1].

    Args:
        truth: bool (N,).
        scores: (N,).
    """
    if truth.all() or not truth.any():
        return Area(note=ONE_CLASS)
    found = placements(truth, scores)
    variance = found.variance()
    if not variance:
        return Area(value=found.area, note=ONE_IMAGE if variance is None else SEPARATED)
    error = variance**0.5
    low, high = found.area - Z95 * error, found.area + Z95 * error
    return Area(
        value=found.area, low=max(low, 0.0), high=min(high, 1.0), standard_error=float(error)
    )


def paired_test(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> PairedTest:
    """Whether two areas over the same images differ.

    Args:
        truth: bool (N,).
        first: (N,), the scores that are compared against.
        second: (N,), on the same images.
    """
    if truth.all() or not truth.any():
        return PairedTest(Interval(), None, ONE_CLASS)
    apart = placements(truth, second) - placements(truth, first)
    variance = apart.variance()
    if variance is None:
        return PairedTest(Interval(value=apart.area), None, ONE_IMAGE)
    if variance == 0:
        # Every image keeps its place, so the areas are equal without any doubt; or all shift
        # by the same amount, which no test of this kind can judge.
        same = apart.area == 0
        note = "both rank all images alike" if same else "undefined: the variance is 0"
        return PairedTest(
            Interval(value=apart.area, low=apart.area, high=apart.area), 1.0 if same else None, note
        )
    error = variance**0.5
    return PairedTest(
        Interval(value=apart.area, low=apart.area - Z95 * error, high=apart.area + Z95 * error),
        float(2 * norm.sf(abs(apart.area) / error)),
    )
