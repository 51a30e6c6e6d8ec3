"""How bright a radiograph is and how much contrast it has, by the histogram of its grey values.

A network answers an image without contrast as readily as any other: the demo weights call plain
grey pneumonia with a score of 0.99. The limits below are stated beside what real radiographs
have: 200 frontal ones of children (Kermany et al. 2018) set them, 120 others and 49 of adults
judge them; `python -m bench.exposure` prints the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.errors import Unprocessable
from service.radiograph.radiograph import Radiograph

FLAT = 0.05
"""Span of the middle 98 % of pixels, of white, below which an image has no contrast. The least of
the 369 radiographs is 0.376, 0.553 among those of children."""

NEARLY_BLACK = 0.125
"""Level, of white, below which 99 % of the pixels lie in an image that shows nothing. The least of
the 369 radiographs is 0.506; a file of 12 bits in a range of 16 has 0.0625."""

NEARLY_WHITE = 0.875
"""Level, of white, above which 99 % of the pixels lie likewise. The greatest of the 369
radiographs is 0.373."""

_SAMPLES = 128
"""Rows, and columns, that are looked at. Four times as many of each move a percentile by more than
0.02 in 4 of the 369 radiographs."""

_LOW, _HIGH = 0.01, 0.99
_LEVELS = 256


@dataclass(frozen=True)
class Exposure:
    """Grey levels of the part of a radiograph that the network sees; 0 is black and 1 white.

    Attributes:
        mean: Mean level.
        low: First percentile: 1 % of the pixels are as dark or darker.
        high: Ninety-ninth percentile: 1 % of the pixels are as bright or brighter.
        black: Share of pixels that are black.
        white: Share of pixels that are white.
    """

    mean: float
    low: float
    high: float
    black: float
    white: float

    @property
    def span(self) -> float:
        """From the first percentile to the ninety-ninth."""
        return self.high - self.low


def measure(radiograph: Radiograph, part: tuple[int, int, int, int]) -> Exposure:
    """Measure the exposure of a part of a radiograph on a sample of its pixels.

    Args:
        radiograph: Also one that decoding reduced.
        part: Left, top, right and bottom of the part, in source pixels.

    Returns:
        Levels in steps of 1/255.
    """
    left, top, right, bottom = (edge // radiograph.reduction for edge in part)
    levels = grey_levels(radiograph, slice(top, bottom), slice(left, right))
    counts = np.bincount(levels.ravel(), minlength=_LEVELS)
    up_to = counts.cumsum()
    total = levels.size
    low, high = np.searchsorted(up_to, (_LOW * total, _HIGH * total)).tolist()
    white = _LEVELS - 1
    return Exposure(
        mean=float(counts @ np.arange(_LEVELS)) / (white * total),
        low=low / white,
        high=high / white,
        black=float(counts[0]) / total,
        white=float(counts[white]) / total,
    )


def grey_levels(radiograph: Radiograph, rows: slice, columns: slice) -> np.ndarray:
    """A sample of a rectangle's grey values as uint8, 255 being white.

    Args:
        radiograph: Any.
        rows: First row and end.
        columns: First column and end.

    Returns:
        uint8 with `_SAMPLES` rows and columns at the most, evenly apart.
    """
    down, across = (-(-(part.stop - part.start) // _SAMPLES) for part in (rows, columns))
    sample = radiograph.pixels[
        rows.start : rows.stop : max(1, down), columns.start : columns.stop : max(1, across)
    ]
    if sample.dtype == np.uint8 and radiograph.white == _LEVELS - 1:
        return sample
    scaled = np.rint(sample * np.float32((_LEVELS - 1) / radiograph.white))
    return np.clip(scaled, 0, _LEVELS - 1).astype(np.uint8)


def require_contrast(exposure: Exposure) -> None:
    """Refuse an image that shows nothing, whatever its file says.

    Raises:
        Unprocessable: With the code `no_contrast`; `detail` has both percentiles.
    """
    if exposure.high < NEARLY_BLACK:
        said = f"nearly black: 99 % of it is below {_percent(NEARLY_BLACK)} of white"
    elif exposure.low > NEARLY_WHITE:
        said = f"nearly white: 99 % of it is above {_percent(NEARLY_WHITE)} of white"
    elif exposure.span < FLAT:
        said = f"one plain grey: 98 % of it lies within {_percent(FLAT)} of white"
    else:
        return
    raise Unprocessable(
        f"The image is {said}; it was not scored.",
        code="no_contrast",
        percentile_1=round(exposure.low, 3),
        percentile_99=round(exposure.high, 3),
    )


def _percent(level: float) -> str:
    return f"{100 * level:g} %"
