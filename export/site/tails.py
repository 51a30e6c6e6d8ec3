"""Cuts below or above which at most a stated share of one class lies.

The order statistics of split conformal prediction for one class (Vovk 2012, "Conditional validity
of inductive conformal predictors", Proceedings of Machine Learning Research 25, 475-490): a new one
of n + 1 exchangeable values is as likely as any other to be the k-th. Several images of a patient
share that patient's weight, as in Dunn, Wasserman and Ramdas 2023, "Distribution-Free Prediction
Sets for Two-Layer Hierarchical Models", J. Am. Stat. Assoc. 118, 2491-2502.
"""

from __future__ import annotations

import numpy as np

_ROUNDING = 1e-9


def lower_tail(values: np.ndarray, patients: np.ndarray, share: float) -> float | None:
    """The highest value such that a new one is below it with a chance of at most `share`.

    Args:
        values: float64 (N,), of one class.
        patients: (N,), whose each is.
        share: In (0, 1).

    Returns:
        None where there are too few patients for any such value.
    """
    _, whose, counts = np.unique(patients, return_inverse=True, return_counts=True)
    order = np.argsort(values, kind="stable")
    weights = 1 / counts[whose[order]] / (len(counts) + 1)
    inside = np.cumsum(weights) <= share + _ROUNDING
    return float(values[order][inside.sum() - 1]) if inside.any() else None


def upper_tail(values: np.ndarray, patients: np.ndarray, share: float) -> float | None:
    """The lowest value such that a new one is above it with a chance of at most `share`."""
    found = lower_tail(-values, patients, share)
    return None if found is None else -found
