"""Exposure and contrast of a radiograph, by the histogram of its grey values.

A network answers an image without contrast as readily as any other: the demo weights call plain
grey pneumonia with a score of 0.99, and call a pneumonia a tenth as bright normal. The limits
below are stated beside what real radiographs have: 200 frontal ones of children (Kermany et al.
2018) set them, 120 others and 49 of adults judge them. `python -m bench.exposure` prints the
figures, the false alarms and what becomes of altered radiographs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from service.errors import Unprocessable
from service.radiograph.border import Border
from service.radiograph.radiograph import Radiograph
from service.radiograph.rectangle import Rectangle

FLAT = 0.05
"""Span of the middle 98 % of pixels, of white, below which an image has no contrast. The least of
the 369 radiographs is 0.376, 0.553 among those of children."""

NEARLY_BLACK = 0.125
"""Level, of white, below which 99 % of the pixels lie in an image that shows nothing. The least of
the 369 radiographs is 0.506; a file of 12 bits in a range of 16 has 0.0625."""

NEARLY_WHITE = 0.875
"""Level, of white, above which 99 % of the pixels lie likewise. The greatest of the 369
radiographs is 0.373."""

NOTHING_BUT_BORDER = 0.95
"""Share of what the network sees from which a border leaves nothing to score."""

TOO_DARK = 0.45
"""Level, of white, below which 99 % of the pixels lie in an image that is too dark: three quarters
of the least of the 200 radiographs (0.588)."""

TOO_BRIGHT = 0.45
"""Level, of white, above which 99 % of the pixels lie in an image that is too bright. The greatest
of the 200 radiographs is 0.137, of the adults 0.373."""

BURNT_OUT = 0.2
"""Share of white pixels from which an image is too bright. The greatest of the 200 radiographs is
0.003, of the adults 0.162."""

LOW_CONTRAST = 0.35
"""Span of the middle 98 % of pixels, of white, below which contrast is low: three fifths of the
least of the 200 radiographs (0.573)."""

_SAMPLES = 128
"""Rows, and columns, that are looked at. Four times as many of each move a percentile by more than
0.02 in 2 of the 369 radiographs."""

_LOW, _HIGH = 0.01, 0.99
_WHITE = 255


class Reason(NamedTuple):
    """Why an image is not like a radiograph as the weights were trained on.

    Attributes:
        code: `flat`, `too_dark`, `too_bright`, `low_contrast` or `border`.
        sentence: For the reader of the answer.
    """

    code: str
    sentence: str


@dataclass(frozen=True)
class Exposure:
    """Grey levels of the part of a radiograph that the network sees; 0 is black and 1 white.

    A border is left out of the levels unless next to nothing else is seen.

    Attributes:
        mean: Mean level.
        low: First percentile: 1 % of the pixels are as dark or darker.
        high: Ninety-ninth percentile: 1 % of the pixels are as bright or brighter.
        black: Share of pixels that are black.
        white: Share of pixels that are white.
        border: Of the image; its share is that of the part. None where there is none there.
    """

    mean: float
    low: float
    high: float
    black: float
    white: float
    border: Border | None = None

    @property
    def span(self) -> float:
        """From the first percentile to the ninety-ninth."""
        return self.high - self.low

    @property
    def blank(self) -> Reason | None:
        """Why there is nothing to score; None where there is something."""
        if self.border is not None and self.border.share >= NOTHING_BUT_BORDER:
            return Reason("border", f"The image is a {self.border.shade} border and little else.")
        if self.high < NEARLY_BLACK:
            return Reason("too_dark", f"The image is nearly black: {_below(NEARLY_BLACK)}.")
        if self.low > NEARLY_WHITE:
            return Reason("too_bright", f"The image is nearly white: {_above(NEARLY_WHITE)}.")
        if self.span < FLAT:
            return Reason("flat", f"The image is one plain grey: {_within(FLAT)}.")
        return None

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What is unusual about it, for the reader of the answer; empty for most radiographs."""
        if self.blank is not None:
            return (self.blank,)
        return tuple(reason for reason in (self._level(), self._border()) if reason is not None)

    def _level(self) -> Reason | None:
        if self.high < TOO_DARK:
            return Reason("too_dark", f"The image is too dark: {_below(TOO_DARK)}.")
        if self.low > TOO_BRIGHT:
            return Reason("too_bright", f"The image is too bright: {_above(TOO_BRIGHT)}.")
        if self.white > BURNT_OUT:
            return Reason("too_bright", f"The image is too bright: {_burnt(self.white)}.")
        if self.span < LOW_CONTRAST:
            return Reason("low_contrast", f"The image has low contrast: {_within(LOW_CONTRAST)}.")
        return None

    def _border(self) -> Reason | None:
        border = self.border
        if border is None or not border.notable:
            return None
        return Reason(
            "border",
            f"The image has a {border.shade} border: {border.margins.in_words}, "
            f"{100 * border.share:.0f} % of what the network sees.",
        )


def _below(level: float) -> str:
    return f"99 % of it is below {100 * level:g} % of white"


def _above(level: float) -> str:
    return f"99 % of it is above {100 * level:g} % of white"


def _burnt(share: float) -> str:
    return f"{100 * share:.0f} % of it is white"


def _within(span: float) -> str:
    return f"98 % of it lies within {100 * span:g} % of white"


def measure(radiograph: Radiograph, part: Rectangle, border: Border | None = None) -> Exposure:
    """Measure the exposure of a part of a radiograph on a sample of its pixels.

    Args:
        radiograph: Also one that decoding reduced.
        part: What the network sees, in source pixels.
        border: Of the image, as `find_border` has it.

    Returns:
        Levels in steps of 1/255.
    """
    measured = part
    if border is not None:
        source = radiograph.source
        inside = Rectangle(0, 0, source.width, source.height).within(border.margins).common(part)
        border = replace(border, share=1 - inside.area / part.area)
        if border.share < NOTHING_BUT_BORDER:
            measured = inside
    step = radiograph.reduction
    rows = slice(measured.top // step, -(-measured.bottom // step))
    columns = slice(measured.left // step, -(-measured.right // step))
    levels = _sample(radiograph, rows, columns)
    counts = np.bincount(levels.ravel(), minlength=_WHITE + 1)
    total = levels.size
    low, high = np.searchsorted(counts.cumsum(), (_LOW * total, _HIGH * total)).tolist()
    return Exposure(
        mean=float(counts @ np.arange(_WHITE + 1)) / (_WHITE * total),
        low=low / _WHITE,
        high=high / _WHITE,
        black=float(counts[0]) / total,
        white=float(counts[_WHITE]) / total,
        border=border if border is not None and border.share > 0 else None,
    )


def _sample(radiograph: Radiograph, rows: slice, columns: slice) -> np.ndarray:
    """Grey values of a rectangle as uint8, 255 being white, `_SAMPLES` a side at the most."""
    down, across = (-(-(part.stop - part.start) // _SAMPLES) for part in (rows, columns))
    sample = radiograph.pixels[
        rows.start : rows.stop : max(1, down), columns.start : columns.stop : max(1, across)
    ]
    if sample.dtype == np.uint8 and radiograph.white == _WHITE:
        return sample
    scaled = np.rint(sample * np.float32(_WHITE / radiograph.white))
    return np.clip(scaled, 0, _WHITE).astype(np.uint8)


def require_contrast(exposure: Exposure) -> None:
    """Refuse an image that shows nothing, whatever its file says.

    Raises:
        Unprocessable: With the code `no_contrast`; `detail` has the reason and both percentiles.
    """
    reason = exposure.blank
    if reason is not None:
        raise Unprocessable(
            f"{reason.sentence} It was not scored.",
            code="no_contrast",
            reason=reason.code,
            percentile_1=round(exposure.low, 3),
            percentile_99=round(exposure.high, 3),
        )
