"""The operating point for a stated aim, with its interval."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom
from sklearn.metrics import roc_curve

from export.site.tails import lower_tail, upper_tail
from service.network.site import Aim

RESAMPLINGS = 500


def choose(
    truth: np.ndarray,
    probabilities: np.ndarray,
    patients: np.ndarray,
    aim: Aim,
    prevalence: float | None = None,
) -> float | None:
    """The cut that fits an aim; positive is what lies over it.

    For a sensitivity it is the highest cut under which a new image with the finding lies with a
    chance of at most 1 - sensitivity, for a specificity likewise from the other side: what is
    asked for is reached on average over sites, not on the fitted images alone. For a cost it is
    the cut of least expected cost at a prevalence.

    Args:
        truth: bool (N,), both classes present.
        probabilities: float64 (N,) in [0, 1].
        patients: (N,), whose each image is.
        aim: What is asked for.
        prevalence: Where it is a cost; that of the images if None.

    Returns:
        None where there are too few patients for the aim.
    """
    if aim.kind == "sensitivity":
        lowest = lower_tail(probabilities[truth], patients[truth], 1 - aim.value)
        return None if lowest is None else _below(lowest, probabilities)
    if aim.kind == "specificity":
        highest = upper_tail(probabilities[~truth], patients[~truth], 1 - aim.value)
        return None if highest is None else _above(highest, probabilities)
    share = float(truth.mean()) if prevalence is None else prevalence
    false_positive, true_positive, cuts = roc_curve(truth, probabilities, drop_intermediate=False)
    costs = aim.value * share * (1 - true_positive) + (1 - share) * false_positive
    place = int(np.argmin(costs))
    return _below(float(cuts[place]), probabilities) if place else 1.0


def interval(
    truth: np.ndarray,
    probabilities: np.ndarray,
    patients: np.ndarray,
    aim: Aim,
    prevalence: float | None,
) -> tuple[float, float]:
    """95 % interval of the cut.

    For a sensitivity or a specificity two order statistics, whatever the distribution: the number
    of patients beyond the true cut is binomial (David and Nagaraja 2003, "Order Statistics",
    section 7.1). For a cost, percentiles over resampled patients.
    """
    if aim.kind == "cost":
        return _resampled(truth, probabilities, patients, aim, prevalence)
    counted = truth if aim.kind == "sensitivity" else ~truth
    values, whose = probabilities[counted], patients[counted]
    number = len(np.unique(whose))
    fewest, most = binom.ppf([0.025, 0.975], number, 1 - aim.value)
    tail, end = (lower_tail, 0.0) if aim.kind == "sensitivity" else (upper_tail, 1.0)
    ends = [tail(values, whose, count / (number + 1)) for count in (fewest, most + 1)]
    found = [end if one is None else one for one in ends]
    return min(found), max(found)


def _resampled(
    truth: np.ndarray,
    probabilities: np.ndarray,
    patients: np.ndarray,
    aim: Aim,
    prevalence: float | None,
) -> tuple[float, float]:
    """Percentiles of the cut over resampled patients, with a fixed seed.

    Efron 1981, "Nonparametric standard errors and confidence intervals".
    """
    draw = np.random.default_rng(0)
    names, whose = np.unique(patients, return_inverse=True)
    rows_of = np.split(np.argsort(whose, kind="stable"), np.cumsum(np.bincount(whose))[:-1])
    cuts: list[float] = []
    while len(cuts) < RESAMPLINGS:
        drawn = draw.integers(len(names), size=len(names))
        rows = np.concatenate([rows_of[one] for one in drawn])
        if truth[rows].all() or not truth[rows].any():
            continue
        cut = choose(truth[rows], probabilities[rows], patients[rows], aim, prevalence)
        if cut is not None:
            cuts.append(cut)
    low, high = np.quantile(cuts, [0.025, 0.975])
    return float(low), float(high)


def _below(value: float, probabilities: np.ndarray) -> float:
    """Halfway to the next lower probability that occurs."""
    lower = probabilities[probabilities < value]
    return (value + (float(lower.max()) if len(lower) else 0.0)) / 2


def _above(value: float, probabilities: np.ndarray) -> float:
    higher = probabilities[probabilities > value]
    return (value + (float(higher.min()) if len(higher) else 1.0)) / 2
