"""From logits to findings: probability, score and decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

OPERATING_POINT = 0.5
"""The score at which a finding becomes positive, for every label (TorchXRayVision `op_norm`)."""


@dataclass(frozen=True)
class Finding:
    """Logit, probability and score of one pathology.

    Attributes:
        label: Name of the pathology.
        logit: The network's output before any squashing.
        probability: sigmoid(logit), in [0, 1], not calibrated.
        score: The probability rescaled so that the operating point lies at 0.5, in [0, 1].
    """

    label: str
    logit: float
    probability: float
    score: float

    @property
    def positive(self) -> bool:
        return self.score > OPERATING_POINT


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logistic function, float32, without overflow at either end."""
    halves = np.asarray(logits, np.float32) * np.float32(0.5)
    return np.float32(0.5) * (np.float32(1) + np.tanh(halves))


def op_norm(probabilities: np.ndarray, operating_points: np.ndarray) -> np.ndarray:
    """Rescale probabilities so that each label's operating point becomes 0.5.

    Two straight lines that meet at the operating point t: p / 2t below it and
    1 - (1 - p) / 2(1 - t) from it on. A label without a published operating point (NaN)
    scores 0.5 whatever its probability. Equal to `torchxrayvision.models.op_norm` bit for bit.

    Args:
        probabilities: float32 (..., labels) in [0, 1].
        operating_points: float32 (labels,) in (0, 1), or NaN.

    Returns:
        float32 (..., labels) in [0, 1].
    """
    p = np.asarray(probabilities, np.float32)
    t = np.asarray(operating_points, np.float32)
    one, two = np.float32(1), np.float32(2)
    below = p / (t * two)
    above = one - (one - p) / ((one - t) * two)
    return np.where(np.isnan(t), np.float32(0.5), np.where(p < t, below, above))


def findings(
    logits: np.ndarray, labels: Sequence[str], operating_points: Sequence[float] | np.ndarray
) -> tuple[Finding, ...]:
    """Name one image's logits; outputs with an empty label are dropped.

    Args:
        logits: float32 (18,).
        labels: One per output, "" where these weights do not predict anything there.
        operating_points: One per output, NaN where none is published.
    """
    probabilities = sigmoid(logits)
    scores = op_norm(probabilities, np.asarray(operating_points))
    columns = (logits.tolist(), probabilities.tolist(), scores.tolist())
    return tuple(
        Finding(label, *numbers) for label, *numbers in zip(labels, *columns, strict=True) if label
    )
