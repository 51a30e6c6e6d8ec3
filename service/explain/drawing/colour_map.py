"""The heat map's colours: a helix in CIELAB on which equal steps look equal.

Lightness rises in a straight line while hue turns on a circle at constant speed, from violet
over red and orange to yellow, so neighbouring colours are the same distance apart everywhere
and no step looks like an edge that is not there. Chroma stays high because the map lies over a
grey image, on which a map with a grey middle would vanish; and since lightness alone carries
the order, it reads the same with any colour vision and on a monochrome display.
"""

from __future__ import annotations

import numpy as np

LIGHTNESS = (22.0, 88.0)
"""CIE L* of the coldest and of the hottest colour."""

_CENTRE = (-5.0, 0.0)
_RADIUS = 74.0
_START, _TURN = np.radians(-55.0), np.radians(156.0)

_WHITE = np.array([0.95047, 1.0, 1.08883])
"""D65 (IEC 61966-2-1)."""
_XYZ_TO_LINEAR = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
"""IEC 61966-2-1, inverted, for linear values in [0, 1]."""


def helix(position: np.ndarray) -> np.ndarray:
    """CIELAB colours of the map: (N,) in [0, 1], cold to hot, to (N, 3)."""
    hue = _START + _TURN * position
    return np.stack(
        [
            LIGHTNESS[0] + (LIGHTNESS[1] - LIGHTNESS[0]) * position,
            _CENTRE[0] + _RADIUS * np.cos(hue),
            _CENTRE[1] + _RADIUS * np.sin(hue),
        ],
        axis=-1,
    )


def lab_to_linear(lab: np.ndarray) -> np.ndarray:
    """CIELAB under D65 to linear sRGB: (N, 3) to (N, 3), in [0, 1] inside the gamut (CIE 15)."""
    y = (lab[:, 0] + 16) / 116
    f = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=-1)
    knee = 6 / 29
    xyz = np.where(f > knee, f**3, 3 * knee**2 * (f - 4 / 29)) * _WHITE
    return np.asarray(xyz @ _XYZ_TO_LINEAR.T)


def _table() -> np.ndarray:
    linear = np.clip(lab_to_linear(helix(np.linspace(0, 1, 256))), 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)


COLOURS = _table()
"""uint8 (256, 3), sRGB, coldest first."""
