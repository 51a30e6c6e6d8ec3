"""What is done to radiographs so that a classifier learns to name it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

ALTERATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "turned_90": lambda pixels: np.rot90(pixels, -1, axes=(2, 3)),
    "turned_180": lambda pixels: np.rot90(pixels, 2, axes=(2, 3)),
    "turned_270": lambda pixels: np.rot90(pixels, 1, axes=(2, 3)),
    "inverted": lambda pixels: 1 - pixels,
}
"""By the code of the reason: float32 (N, 1, 224, 224) in [0, 1] to the same. Turns are clockwise.

Mirrored radiographs are not among them. A classifier on these features names 96 % of them at 8 %
false alarms, but only 5 % where one of 200 usual images may be called mirrored.
"""


def alter(pixels: np.ndarray, code: str) -> np.ndarray:
    """Alter images; the result is contiguous."""
    return np.ascontiguousarray(ALTERATIONS[code](pixels), np.float32)
