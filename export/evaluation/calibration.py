"""Whether a probability is one."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.metrics import brier_score_loss

from export.evaluation.operating_point import rate
from export.evaluation.records import Calibration, ReliabilityBin

BINS = 10
"""Bins of equal width, as in Guo et al. 2017, "On Calibration of Modern Neural Networks"."""

_SEPARATED = "slope and intercept are undefined: the classes are fully separated"
_EDGE = float(np.finfo(np.float32).eps) / 2
"""Probabilities are float32: nearer to 0 or 1 than this they say no more than the edge."""


def calibration(truth: np.ndarray, probabilities: np.ndarray) -> Calibration:
    """Brier score, expected calibration error, reliability curve, slope and intercept.

    Args:
        truth: bool (N,), both classes present.
        probabilities: float64 (N,) in [0, 1].
    """
    bins = reliability(truth, probabilities)
    error = sum(
        bin_.count / len(truth) * abs((bin_.observed.value or 0.0) - bin_.mean_probability)
        for bin_ in bins
    )
    prevalence = float(truth.mean())
    slope, intercept = _slope_and_intercept(truth, probabilities)
    return Calibration(
        brier=float(brier_score_loss(truth, probabilities)),
        brier_of_prevalence=prevalence * (1 - prevalence),
        expected_error=float(error),
        slope=slope,
        intercept=intercept,
        note=_SEPARATED if slope is None else None,
        bins=bins,
    )


def reliability(truth: np.ndarray, probabilities: np.ndarray) -> tuple[ReliabilityBin, ...]:
    """Share of images with the finding, by bins of equal width of their probability.

    The bins are those of `sklearn.calibration.calibration_curve`, which gives no counts: closed
    on the right, the first on both sides.
    """
    edges = np.linspace(0, 1, BINS + 1)
    places = np.searchsorted(edges[1:-1], probabilities)
    return tuple(
        ReliabilityBin(
            low=float(edges[place]),
            high=float(edges[place + 1]),
            count=int((places == place).sum()),
            mean_probability=float(probabilities[places == place].mean()),
            observed=rate(int(truth[places == place].sum()), int((places == place).sum())),
        )
        for place in np.unique(places)
    )


def _slope_and_intercept(
    truth: np.ndarray, probabilities: np.ndarray
) -> tuple[float | None, float | None]:
    """Cox's calibration slope and calibration in the large, by logistic regression on the logit.

    Van Calster et al. 2019, "Calibration: the Achilles heel of predictive analytics", BMC
    Medicine 17:230. The intercept is that of a model whose slope is held at 1.
    """
    import statsmodels.api as sm

    positive, negative = probabilities[truth], probabilities[~truth]
    if positive.min() >= negative.max() or positive.max() <= negative.min():
        return None, None
    inside = np.clip(probabilities, _EDGE, 1 - _EDGE)
    logits = np.log(inside) - np.log1p(-inside)
    known = truth.astype(float)
    family = sm.families.Binomial()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # near separation is told by a large slope
        free = sm.GLM(known, sm.add_constant(logits), family=family).fit()
        held = sm.GLM(known, np.ones_like(known), family=family, offset=logits).fit()
    return float(free.params[1]), float(held.params[0])
