"""A heat map laid over the radiograph that it explains."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from service.explain.drawing.colour_map import COLOURS
from service.explain.hotspot import over_image
from service.radiograph.preprocess import Geometry
from service.radiograph.radiograph import Radiograph

OPACITY = 0.45
"""Share of the heat map's colour where it is hottest, unless asked otherwise."""


def in_source(values: np.ndarray, geometry: Geometry) -> Image.Image:
    """Spread a normalised map over the source image.

    Args:
        values: float32 (n, n), at least 0, not all zero, over the network's square.
        geometry: Where the square lies.

    Returns:
        Mode "L", 255 where the map is 1; zero in the margins, which the network never saw.
    """
    seen = geometry.seen
    levels = np.rint(over_image(values, geometry) * 255).astype(np.uint8)
    heat = Image.new("L", (geometry.width, geometry.height), 0)
    heat.paste(Image.fromarray(levels), (seen.left, seen.top))
    return heat


def grey_image(radiograph: Radiograph) -> Image.Image:
    """The radiograph in 256 greys, mode "L"."""
    grey = np.multiply(radiograph.pixels, np.float32(255 / radiograph.white), dtype=np.float32)
    np.clip(grey, 0, 255, out=grey)
    return Image.fromarray(np.rint(grey, out=grey).astype(np.uint8))


def overlay(
    radiograph: Radiograph,
    values: np.ndarray | None,
    geometry: Geometry,
    opacity: float = OPACITY,
) -> Image.Image:
    """Lay a normalised map over its radiograph, pixel for pixel.

    Colour grows with heat from nothing at all, so what is cold stays as it was. Thin lines mark
    where the part that the network sees begins and ends. Needs 8 bytes of memory a pixel.

    Args:
        radiograph: Also one that decoding reduced.
        values: float32 (n, n) in [0, 1] over the network's square; None lays nothing over it.
        geometry: Where the square lies in the source image.
        opacity: In [0, 1], share of the colour where the map is hottest.

    Returns:
        Mode "RGB", with the rows and columns of the radiograph's pixels.
    """
    rows, columns = radiograph.pixels.shape
    geometry = geometry.reduced(radiograph.reduction, columns, rows)
    grey = grey_image(radiograph)
    picture = grey.convert("RGB")
    if values is not None:
        heat = in_source(values, geometry)
        cover = heat.point([round(level * opacity) for level in range(256)])
        heat.putpalette(COLOURS.tobytes())
        picture.paste(heat.convert("RGB"), (0, 0), cover)
    _mark_crop(picture, geometry)
    return picture


def _mark_crop(picture: Image.Image, geometry: Geometry) -> None:
    """Draw the edges of what the network sees where the image goes on beyond them."""
    draw = ImageDraw.Draw(picture)
    thick = max(1, geometry.side // 400)
    colour = tuple(int(part) for part in COLOURS[-1])
    left, top, right, bottom = geometry.seen
    if left:
        draw.rectangle((left - thick, 0, left - 1, geometry.height), colour)
    if right < geometry.width:
        draw.rectangle((right, 0, right + thick - 1, geometry.height), colour)
    if top:
        draw.rectangle((0, top - thick, geometry.width, top - 1), colour)
    if bottom < geometry.height:
        draw.rectangle((0, bottom, geometry.width, bottom + thick - 1), colour)
