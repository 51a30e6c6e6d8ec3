"""A radiograph: the grey values of an image file and what the file said about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Source:
    """What a file said of its image.

    Attributes:
        format: Container as its field names it: "PNG", "JPEG", "DICOM" …
        bits: Significant bits of a stored grey value, 1 to 16.
        width: Columns of the image as a viewer shows it, after any orientation tag.
        height: Rows, likewise.
        intensity: How stored values became grey levels, in words: "full range of 8 bits",
            "VOI LUT window 15000/30000" …
    """

    format: str
    bits: int
    width: int
    height: int
    intensity: str


@dataclass(frozen=True, eq=False)
class Radiograph:
    """Grey values as a viewer would show them: dense tissue bright, air dark.

    Attributes:
        pixels: (rows, columns) of uint8, uint16 or float32, at least 0. May be smaller than
            the source where decoding reduced it on the way; the aspect ratio is the same.
        white: The value that means full white; `pixels / white` lies in [0, 1].
        source: What the file said.
        warnings: Sentences for the reader of the answer, free of patient data.
    """

    pixels: np.ndarray
    white: float
    source: Source
    warnings: tuple[str, ...] = ()
