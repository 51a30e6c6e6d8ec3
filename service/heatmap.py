"""A heat map laid over the radiograph that it explains."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from service.preprocess import Geometry
from service.radiograph import Radiograph

OPACITY = 0.45
"""Share of the heat map's colour where it is hottest."""

# Anchors of a perceptually even ramp from black through purple and orange to yellow:
# lightness (CIE L*) rises steadily, so that no step looks like an edge.
_RAMP = np.array(
    [
        (0, 0, 4),
        (31, 12, 72),
        (85, 15, 109),
        (136, 34, 106),
        (186, 54, 85),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ],
    np.float32,
)


def colours(heat: np.ndarray) -> np.ndarray:
    """Colour a map: float32 (H, W) in [0, 1] to float32 (H, W, 3) in [0, 255]."""
    stops = np.linspace(0, 1, len(_RAMP), dtype=np.float32)
    return np.stack([np.interp(heat, stops, _RAMP[:, c]) for c in range(3)], axis=-1)


def in_source(cam: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Spread a normalised map over the source image.

    Args:
        cam: float32 (n, n) in [0, 1] over the square crop.
        geometry: Where the crop lies.

    Returns:
        float32 (height, width) in [0, 1]; zero in the margins, which the network never saw.
    """
    crop = Image.fromarray(cam.astype(np.float32)).resize(
        (geometry.side, geometry.side), Image.Resampling.BICUBIC
    )
    heat = np.zeros((geometry.height, geometry.width), np.float32)
    rows = slice(geometry.top, geometry.top + geometry.side)
    columns = slice(geometry.left, geometry.left + geometry.side)
    heat[rows, columns] = np.clip(np.asarray(crop), 0, 1)
    return heat


def overlay(radiograph: Radiograph, cam: np.ndarray) -> Image.Image:
    """Lay a normalised map over its radiograph, in the radiograph's own geometry.

    Args:
        radiograph: At full resolution.
        cam: float32 (n, n) in [0, 1] over the square crop.
    """
    source = radiograph.source
    heat = in_source(cam, Geometry(source.width, source.height))
    grey = np.clip(radiograph.pixels / np.float32(radiograph.white), 0, 1) * np.float32(255)
    share = (heat * np.float32(OPACITY))[..., None]
    mixed = grey[..., None] * (1 - share) + colours(heat) * share
    return Image.fromarray((mixed + 0.5).astype(np.uint8))


def png(image: Image.Image) -> bytes:
    """The bytes of a PNG file of `image`."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
