"""From the network's probability to one that is calibrated on a site's images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold

from export.errors import FitRefused
from service.network.site import EDGE, Isotonic, Platt, Unchanged, log_odds

FOLDS = 5
SURE = 2.0
"""Standard errors by which cross-validation has to be better than the network's own probability.
Fitted to few images that it tells apart well, a slope is too steep for others."""

Method = Literal["unchanged", "platt", "isotonic"]


@dataclass(frozen=True)
class Calibrator:
    """The calibration that was chosen.

    Attributes:
        fitted: On all images.
        log_losses: Of each method by cross-validation over patients.
    """

    fitted: Platt | Isotonic | Unchanged
    log_losses: dict[Method, float]


def fit(truth: np.ndarray, probabilities: np.ndarray, patients: np.ndarray) -> Calibrator:
    """Fit Platt's and isotonic calibration and take the one of less log loss.

    Where the gain over the network's own probability is under `SURE` standard errors, over
    patients, that stays.

    Args:
        truth: bool (N,), each class with `FOLDS` patients at the least.
        probabilities: float64 (N,) in [0, 1].
        patients: (N,), whose each image is; none is fitted and judged on in one fold.

    Raises:
        FitRefused: Probabilities are lower where the finding is shown.
    """
    at = np.array([log_odds(value) for value in probabilities.tolist()])
    foreseen = {"platt": np.empty(len(at)), "isotonic": np.empty(len(at))}
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(at, truth, patients):
        foreseen["platt"][test] = _apply_platt(_platt(truth[train], at[train]), at[test])
        foreseen["isotonic"][test] = _isotonic(truth[train], at[train]).predict(at[test])
    losses: dict[Method, float] = {"unchanged": float(log_loss(truth, _edged(probabilities)))}
    losses |= {"platt": float(log_loss(truth, foreseen["platt"]))}
    losses |= {"isotonic": float(log_loss(truth, foreseen["isotonic"]))}
    best = "platt" if losses["platt"] <= losses["isotonic"] else "isotonic"
    fitted: Platt | Isotonic | Unchanged
    intercept, slope = _platt(truth, at)
    if slope <= 0:
        raise FitRefused(
            "the network's probability is no higher for images with the finding than for those "
            "without, so no operating point and no calibration helps"
        )
    if not _surely_better(truth, foreseen[best], _edged(probabilities), patients):
        fitted = Unchanged()
    elif best == "platt":
        fitted = Platt(slope=slope, intercept=intercept)
    else:
        knots = _isotonic(truth, at)
        fitted = Isotonic(
            log_odds=tuple(knots.X_thresholds_.tolist()),
            probabilities=tuple(knots.y_thresholds_.tolist()),
        )
    return Calibrator(fitted, losses)


def _edged(probabilities: np.ndarray) -> np.ndarray:
    """As a site file has them: finite in their log odds."""
    return np.clip(probabilities, EDGE, 1 - EDGE)


def _surely_better(
    truth: np.ndarray, values: np.ndarray, than: np.ndarray, patients: np.ndarray
) -> bool:
    """Whether log loss is less by `SURE` standard errors; a patient's images count together."""
    gain = np.where(truth, np.log(values / than), np.log((1 - values) / (1 - than)))
    _, of = np.unique(patients, return_inverse=True)
    sums = np.bincount(of, gain)
    return bool(sums.sum() > SURE * np.sqrt(len(sums)) * sums.std(ddof=1))


def _platt(truth: np.ndarray, at: np.ndarray) -> tuple[float, float]:
    """Intercept and slope, with Platt's targets, which keep separated classes finite.

    Platt 1999, "Probabilistic outputs for support vector machines", section 2.2.
    """
    import statsmodels.api as sm

    positives = int(truth.sum())
    negatives = len(truth) - positives
    targets = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = sm.add_constant(at, has_constant="add")
    intercept, slope = sm.GLM(targets, design, family=sm.families.Binomial()).fit().params
    return float(intercept), float(slope)


def _apply_platt(fitted: tuple[float, float], at: np.ndarray) -> np.ndarray:
    intercept, slope = fitted
    return np.asarray(0.5 + 0.5 * np.tanh((slope * at + intercept) / 2))


def _isotonic(truth: np.ndarray, at: np.ndarray) -> IsotonicRegression:
    """Isotonic regression that never says 0 or 1: bounds by the rule of succession."""
    edge = 1 / (len(truth) + 2)
    knots = IsotonicRegression(y_min=edge, y_max=1 - edge, out_of_bounds="clip")
    return knots.fit(at, truth.astype(float))
