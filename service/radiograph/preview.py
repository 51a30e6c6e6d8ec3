"""Previews: a radiograph as an 8-bit PNG."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from service.radiograph.encoding import png
from service.radiograph.memory_budget import Claim
from service.radiograph.radiograph import Radiograph
from service.radiograph.reader import RadiographReader

LONGEST_SIDE = 2048
"""Of a preview, in pixels: what a large display shows at once, and a few megabytes as PNG."""

BESIDE = 2
"""Bytes a pixel that a preview takes beside the radiograph's own pixels: eight bits of grey, and
Pillow's copy of them while it makes them smaller."""


def preview(data: bytes, reader: RadiographReader, claim: Claim | None = None) -> bytes:
    """Show an image file as the service sees it.

    The whole field of view, after VOI LUT and photometric interpretation, dense tissue bright.

    Args:
        data: The file.
        reader: How files are decoded here, the limits among it.
        claim: For memory, with `BESIDE`; one that waits for as long as it takes where left out.

    Returns:
        A PNG file of 8-bit greys without alpha, its longer side `LONGEST_SIDE` or, where the
        radiograph is smaller, the radiograph's own.

    Raises:
        ClientFault: As for a prediction: the file is no radiograph that is shown.
        DeadlineExceeded: There was no memory for it in time.
    """
    with reader.reading(data, claim or reader.memory.claim(beside=BESIDE)) as radiograph:
        return png(shrunk(radiograph))


def shrunk(radiograph: Radiograph) -> Image.Image:
    """The radiograph in 256 greys, mode "L", made smaller where it is over `LONGEST_SIDE`.

    Rounded to 8 bits first and averaged over blocks of pixels after, so that a large radiograph
    never exists in floating point at its full size.
    """
    rows, columns = radiograph.pixels.shape
    scale = min(1.0, LONGEST_SIDE / max(rows, columns))
    image = Image.fromarray(_eight_bits(radiograph))
    if scale == 1.0:
        return image
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    return image.resize(size, Image.Resampling.BOX, reducing_gap=2.0)


def halved(radiograph: Radiograph, longest_side: int) -> Radiograph:
    """The radiograph with its sides halved until the longer one fits, three times at the most.

    Args:
        radiograph: Any.
        longest_side: Pixels that rows and columns may have.

    Returns:
        Itself where it fits; else averages over blocks of 2, 4 or 8 pixels a side, in 256 greys.
    """
    side = max(radiograph.pixels.shape)
    factor = next((each for each in (1, 2, 4) if side <= each * longest_side), 8)
    if factor == 1:
        return radiograph
    pixels = np.asarray(Image.fromarray(_eight_bits(radiograph)).reduce(factor))
    reduction = radiograph.reduction * factor
    return replace(radiograph, pixels=pixels, white=255.0, reduction=reduction)


def _eight_bits(radiograph: Radiograph) -> np.ndarray:
    """Grey values as uint8, rounded, in bands of rows that keep the floats few."""
    pixels = radiograph.pixels
    if pixels.dtype == np.uint8 and radiograph.white == 255:
        return np.ascontiguousarray(pixels)
    grey = np.empty(pixels.shape, np.uint8)
    for start in range(0, len(pixels), 256):
        band = pixels[start : start + 256] * np.float32(255 / radiograph.white)
        grey[start : start + 256] = np.rint(np.clip(band, 0, 255))
    return grey
