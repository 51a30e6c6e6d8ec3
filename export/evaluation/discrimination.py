"""How well probabilities tell images with a finding from those without."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

from export.evaluation.records import Curves

MOST_POINTS = 400
"""Points of a curve that are drawn at the most; more are not seen."""
HISTOGRAM_BINS = 20


def average_precision(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the precision-recall curve as a sum of steps; truth has both classes."""
    return float(average_precision_score(truth, probabilities))


def curves(truth: np.ndarray, probabilities: np.ndarray) -> Curves:
    """What the plots show.

    Args:
        truth: bool (N,), both classes present.
        probabilities: float64 (N,) in [0, 1].
    """
    false_positive, true_positive, _ = roc_curve(truth, probabilities)
    precision, recall, _ = precision_recall_curve(truth, probabilities)
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    counts = [
        tuple(int(count) for count in np.histogram(probabilities[part], edges)[0])
        for part in (truth, ~truth)
    ]
    return Curves(
        roc=_thinned(false_positive, true_positive),
        precision_recall=_thinned(recall[::-1], precision[::-1]),
        positive_probabilities=counts[0],
        negative_probabilities=counts[1],
    )


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[tuple[float, float], ...]:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).round().astype(int))
    return tuple((float(x[index]), float(y[index])) for index in kept)
