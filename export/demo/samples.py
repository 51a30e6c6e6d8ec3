"""The drawn radiographs that the page offers to try: `python -m export.demo.samples`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from export.demo.phantom import make_phantom

FOLDER = Path(__file__).resolve().parents[2] / "service" / "page" / "samples"

_SIZE = 384
_STEP = 4
"""Grey levels are rounded to multiples of it: less than the noise, and it halves the files."""


def samples() -> dict[str, np.ndarray]:
    """Draw the samples.

    Returns:
        uint8 (rows, columns) by file name: one with an opacity, one without, and one that is
        wider than high, so that it has margins that the network does not see.
    """
    wide = _draw(45, opacity=True)
    return {
        "opacity.png": _draw(32, opacity=True),
        "clear.png": _draw(24, opacity=False),
        "wide.png": wide[: _SIZE * 3 // 4],
    }


def _draw(seed: int, *, opacity: bool) -> np.ndarray:
    levels = np.rint(make_phantom(seed, opacity, _SIZE).pixels * (255 / _STEP)) * _STEP
    return np.minimum(levels, 255).astype(np.uint8)


def write(folder: Path = FOLDER) -> None:
    """Write them as PNG files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in samples().items():
        Image.fromarray(pixels).save(folder / name, optimize=True)


if __name__ == "__main__":
    write()
