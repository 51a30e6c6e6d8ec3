"""Shares whose interval knows that images of one patient are alike."""

from __future__ import annotations

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from export.evaluation.operating_point import rate
from export.evaluation.records import Rate


def clustered_rate(hits: np.ndarray, patients: np.ndarray) -> Rate:
    """A share over images with Wilson's 95 % interval over as many as they are worth.

    Several images of a patient say less than as many patients: their number is divided by the
    design effect, the ratio estimator's variance over the binomial one (Rao and Scott 1992, "A
    simple method for the analysis of clustered binary data", Biometrics 48, 577-585). It is
    never taken to be under 1, and a share of 0 or 1, which shows no variance, counts patients.

    Args:
        hits: bool (N,).
        patients: (N,), whose each image is.
    """
    plain = rate(int(hits.sum()), len(hits))
    names, whose = np.unique(patients, return_inverse=True)
    if plain.value is None or len(names) == len(hits):
        return plain
    if plain.value in (0.0, 1.0) or len(names) < 2:
        worth = float(len(names))
    else:
        sizes = np.bincount(whose)
        apart = np.bincount(whose, weights=hits) - plain.value * sizes
        ratio = len(names) / (len(names) - 1) * float((apart**2).sum()) / len(hits) ** 2
        binomial = plain.value * (1 - plain.value) / len(hits)
        worth = len(hits) / max(ratio / binomial, 1.0)
    low, high = proportion_confint(plain.value * worth, worth, alpha=0.05, method="wilson")
    low = 0.0 if plain.count == 0 else float(low)
    high = 1.0 if plain.count == plain.of else float(high)
    return plain.model_copy(update={"low": low, "high": high})
