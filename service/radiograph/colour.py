"""Colour images: their luminance, and which of them cannot be radiographs."""

from __future__ import annotations

import numpy as np
from PIL import Image

from service.errors import Unprocessable

SAMPLE_SIDE = 64
"""Longest side of the sample that the colour rule looks at, in pixels."""

_OFF_TINT = 16.0
"""Distance from the image's tint at which a pixel counts as coloured, in grey levels of 255."""
_COLOURED_SHARE = 0.05
_STRONG = 32.0
"""Mean chroma beyond which even a single hue is no tint, in grey levels of 255."""

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luminance (ITU-R BT.601, as JFIF and DICOM use them)."""


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Luminance of (rows, columns, 3) uint8 or uint16 pixels, rounded, of the same type.

    Grey pixels keep their value exactly. Runs row by row in bands, so that a large image never
    becomes a large array of floats.
    """
    rows, columns = rgb.shape[:2]
    grey = np.empty((rows, columns), rgb.dtype)
    for start in range(0, rows, 64):
        band = rgb[start : start + 64].astype(np.float32)
        mixed = band[..., 0] * _LUMA[0] + band[..., 1] * _LUMA[1] + band[..., 2] * _LUMA[2]
        grey[start : start + 64] = np.rint(mixed)
    return grey


def chroma(rgb: np.ndarray) -> np.ndarray:
    """Luminance and chroma of 8-bit pixels: float32 (..., 3) Y, Cb, Cr with grey at (Y, 0, 0)."""
    red, green, blue = np.moveaxis(rgb.astype(np.float32), -1, 0)
    y = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return np.stack([y, 0.564 * (blue - y), 0.713 * (red - y)], axis=-1)


def refuse_photograph(ycc: np.ndarray) -> None:
    """Refuse a colour photograph; let a lightly tinted scan pass.

    A tinted scan (sepia, bluish film base) has one hue whose strength follows the brightness:
    chroma is a straight line over luminance. That line is fitted and taken away. What is left
    must stay within 16 of 255 grey levels for 95 % of the pixels (a marker or a coloured label
    may take the rest), and the mean chroma itself within 32: an image of one strong colour is
    no radiograph either.

    Args:
        ycc: float (..., 3), a sample of pixels as `chroma` returns them.

    Raises:
        Unprocessable: With the code `not_a_radiograph`.
    """
    tints = ycc[..., 1:].reshape(-1, 2).T
    if not tints.any():  # grey saved as colour, as most are
        return
    strength = float(np.hypot(*tints).mean())
    # Least squares in closed form; a flat image has no slope to fit.
    y = ycc[..., 0].ravel()
    bright = y - y.mean()
    spread = float(bright @ bright)
    rest = tints - tints.mean(axis=1, keepdims=True)
    if spread:
        rest -= np.outer(rest @ bright / spread, bright)
    share = float((np.hypot(*rest) > _OFF_TINT).mean())
    if share > _COLOURED_SHARE or strength > _STRONG:
        raise Unprocessable(
            "This is a colour picture, not a radiograph.",
            code="not_a_radiograph",
            coloured_share=round(share, 3),
            mean_chroma=round(strength, 1),
        )


def sample(image: Image.Image) -> Image.Image:
    """At most 64 pixels a side of a Pillow image, taken without blending colours."""
    width, height = image.size
    scale = min(1.0, SAMPLE_SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image.resize(size, Image.Resampling.NEAREST)
