"""Overlaying a heat map on its radiograph."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from service.explain.drawing.colour_map import COLOURS
from service.explain.hotspot import over_image
from service.radiograph.preprocess import Geometry
from service.radiograph.radiograph import Radiograph

OPACITY = 0.45
"""Share of the heat map's colour where it is hottest, unless asked otherwise."""

BESIDE = 10
"""Bytes a pixel that a picture and its PNG file take beside the radiograph's own pixels: Pillow's
four for red, green and blue, one of heat, up to three of the file, and what that grows by."""

_ROWS = 128
"""Rows that are drawn at a time."""


def in_source(values: np.ndarray, geometry: Geometry) -> Image.Image:
    """Spread a normalised map over the source image.

    Args:
        values: float32 (n, n), at least 0, not all zero, over the network's square.
        geometry: Where the square lies.

    Returns:
        Mode "L", 255 where the map is 1; zero in the margins, which the network never saw.
    """
    seen = geometry.seen
    levels = over_image(values, geometry)
    levels *= 255
    levels = np.rint(levels, out=levels).astype(np.uint8)
    heat = Image.new("L", (geometry.width, geometry.height), 0)
    heat.paste(Image.fromarray(levels), (seen.left, seen.top))
    return heat


def grey_image(radiograph: Radiograph, rows: slice = slice(None)) -> Image.Image:
    """Rows of the radiograph in 256 greys, mode "L"."""
    pixels = radiograph.pixels[rows]
    grey = np.multiply(pixels, np.float32(255 / radiograph.white), dtype=np.float32)
    np.clip(grey, 0, 255, out=grey)
    return Image.fromarray(np.rint(grey, out=grey).astype(np.uint8))


def overlay(
    radiograph: Radiograph,
    values: np.ndarray | None,
    geometry: Geometry,
    opacity: float = OPACITY,
    below: int = 0,
) -> Image.Image:
    """Overlay a normalised map on its radiograph.

    Colour grows with heat from nothing at all, so what is cold stays as it was. Thin lines mark
    where the part that the network sees begins and ends. Drawn in bands of rows: takes `BESIDE`
    bytes a pixel, what the picture takes as a PNG file included.

    Args:
        radiograph: Also one that decoding reduced.
        values: float32 (n, n) in [0, 1] over the network's square; None lays nothing over it.
        geometry: Where the square lies in the source image.
        opacity: In [0, 1], share of the colour where the map is hottest.
        below: Rows that are left free beneath the radiograph, of no particular colour.

    Returns:
        Mode "RGB", with the columns of the radiograph's pixels, their rows and those below.
    """
    rows, columns = radiograph.pixels.shape
    geometry = geometry.reduced(radiograph.reduction, columns, rows)
    heat = None if values is None else in_source(values, geometry)
    covers = [round(level * opacity) for level in range(256)]
    picture = Image.new("RGB", (columns, rows + below))
    for top in range(0, rows, _ROWS):
        bottom = min(top + _ROWS, rows)
        band = grey_image(radiograph, slice(top, bottom)).convert("RGB")
        if heat is not None:
            colours = heat.crop((0, top, columns, bottom))
            cover = colours.point(covers)
            colours.putpalette(COLOURS.tobytes())
            band.paste(colours.convert("RGB"), (0, 0), cover)
        picture.paste(band, (0, top))
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


def rgb(image: Image.Image) -> np.ndarray:
    """The pixels of an image of mode "RGB", uint8 (rows, columns, 3), copied in bands of rows."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _ROWS):
        band = image.crop((0, top, image.width, min(top + _ROWS, image.height)))
        pixels[top : top + _ROWS] = np.asarray(band)
    return pixels
