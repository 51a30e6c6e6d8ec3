"""How many patients are enough."""

from __future__ import annotations

import math

import numpy as np

from export.errors import FitRefused
from export.evaluation.delong import Z95

_MOST = 1_000_000


def patients_needed(share: float, half_width: float) -> int:
    """The fewest patients whose share is known to within a half-width, 95 %.

    The number follows from the width of the binomial interval at the expected share, as in
    Buderer 1996, "Statistical methodology: incorporating the prevalence of disease into the
    sample size calculation for sensitivity and specificity", Academic Emergency Medicine 3,
    895-900. Its interval is Wald's, which is too narrow near 1; this is Wilson's.

    Args:
        share: Expected, in [0, 1].
        half_width: In (0, 0.5).
    """
    n = np.arange(1, _MOST + 1, dtype=float)
    spread = np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    enough = Z95 / (1 + Z95**2 / n) * spread <= half_width
    return int(n[np.argmax(enough)]) if enough.any() else _MOST


def patients_for_error(error: float) -> int:
    """The fewest of a class for which a tail of the share `error` has any patient in it.

    With n of them, each lies below all others with a chance of 1 / (n + 1) (Vovk 2012).
    """
    return math.ceil(1 / error - 1e-9) - 1


def require(class_: str, have: int, needed: int, why: str) -> None:
    """Refuse too few patients of a class.

    Raises:
        FitRefused: The message has the number needed.
    """
    if have < needed:
        raise FitRefused(f"{have} patients {class_} are too few: {needed} are needed {why}")
