"""The black or white border around the picture on an image: how wide, and whether it may be cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from service.radiograph.radiograph import Radiograph
from service.radiograph.rectangle import Margins, Rectangle

Shade = Literal["black", "white"]

LEAST_SHARE: dict[Shade, float] = {"black": 0.2, "white": 0.02}
"""Share of an image from which margins of one shade are a border. Air and collimation blacken up
to 0.147 of 200 radiographs of children that set this limit, and up to 0.175 of 120 others; none of
them has a white line (`python -m bench.exposure`)."""

_NEAR = 8
"""Grey levels, of 255, within which a pixel counts as black or white: what JPEG leaves of them."""

_LINE_SHARE = 0.99
"""Share of a row's or column's pixels that are of the border's shade."""

_CERTAIN_SHARE = 0.999
"""The same of all pixels of a border that may be cut off."""

_LEAST_INSIDE = 32
"""Rows, and columns, that are left where a border is cut off."""

_SAMPLES = 128
"""Rows, and pixels of each, that are looked at before the edge is sought between two of them."""


@dataclass(frozen=True)
class Border:
    """Margins of one shade around the picture on an image.

    Attributes:
        margins: In source pixels.
        shade: Black or white.
        share: Of the area that was looked at, in (0, 1).
    """

    margins: Margins
    shade: Shade
    share: float

    @property
    def notable(self) -> bool:
        """Whether it is more than what air and collimation leave black."""
        return self.share >= LEAST_SHARE[self.shade]


def find_border(radiograph: Radiograph) -> Border | None:
    """Find the margins of an image that are black, or white.

    A margin is made of whole rows or columns from an edge on, 99 % of whose pixels are of the
    shade, give or take 8 of 255 grey levels. Where edges differ in shade, that of the widest
    margin counts.

    Returns:
        The border, its share being that of the whole image; None where there is none, or where
        the whole image is of one shade.
    """
    pixels, white = radiograph.pixels, radiograph.white
    views = (pixels.T, pixels, pixels.T[::-1], pixels[::-1])
    margins = [_margin(view, white) for view in views]
    widest, shade = max(margins, key=lambda margin: margin[0])
    if not widest:
        return None
    left, top, right, bottom = (width if each == shade else 0 for width, each in margins)
    source, step = radiograph.source, radiograph.reduction
    rows, columns = pixels.shape
    found = Margins(
        left * step,
        top * step,
        max(0, source.width - (columns - right) * step) if right else 0,
        max(0, source.height - (rows - bottom) * step) if bottom else 0,
    )
    whole = Rectangle(0, 0, source.width, source.height)
    inside = whole.within(found).area
    return Border(found, shade, 1 - inside / whole.area) if inside else None


def _margin(lines: np.ndarray, white: float) -> tuple[int, Shade]:
    """Count the leading lines of one shade: among a few lines first, then between two of them."""
    count, length = lines.shape
    across, step = -(-length // _SAMPLES), -(-count // _SAMPLES)
    first = lines[:1, ::across]
    shade: Shade = "black" if _of_shade(first, "black", white)[0] else "white"
    if not _of_shade(first, shade, white)[0]:
        return 0, shade
    few = _leading(_of_shade(lines[::step, ::across], shade, white))
    start = (few - 1) * step + 1
    between = lines[start : start + step - 1, ::across]
    return start + _leading(_of_shade(between, shade, white)), shade


def _of_shade(lines: np.ndarray, shade: Shade, white: float) -> np.ndarray:
    """Which lines are of a shade."""
    needed = _LINE_SHARE * lines.shape[1]
    return np.asarray(np.count_nonzero(_near(lines, shade, white), axis=1) >= needed)


def _near(pixels: np.ndarray, shade: Shade, white: float) -> np.ndarray:
    """Which pixels are of a shade, give or take `_NEAR` levels."""
    margin = white * _NEAR / 255
    # Compared in the pixels' own type: a Python float would make a copy of 8 bytes a pixel.
    if shade == "black":
        return np.asarray(pixels <= pixels.dtype.type(margin))
    return np.asarray(pixels >= pixels.dtype.type(np.ceil(white - margin)))


def _leading(flags: np.ndarray) -> int:
    """How many are true before the first that is not."""
    return len(flags) if flags.all() else int(flags.argmin())


def may_be_cut(radiograph: Radiograph, border: Border) -> bool:
    """Whether a border is so certain that cutting it off loses nothing of the picture.

    It must be notable, all but a thousandth of its pixels must be of its shade, and 32 rows and
    columns must be left.
    """
    source, step = radiograph.source, radiograph.reduction
    inside = Rectangle(0, 0, source.width, source.height).within(border.margins)
    if not border.notable or min(inside.width, inside.height) < _LEAST_INSIDE:
        return False
    rows = slice(inside.top // step, -(-inside.bottom // step))
    columns = slice(inside.left // step, -(-inside.right // step))
    pixels = radiograph.pixels
    strips = (
        pixels[: rows.start],
        pixels[rows.stop :],
        pixels[rows, : columns.start],
        pixels[rows, columns.stop :],
    )
    near = sum(
        int(np.count_nonzero(_near(strip, border.shade, radiograph.white))) for strip in strips
    )
    return near >= _CERTAIN_SHARE * sum(strip.size for strip in strips)
