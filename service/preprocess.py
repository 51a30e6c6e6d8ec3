"""From a radiograph to the network's input, and from the network's grid back again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from service.radiograph import Radiograph

INPUT_SIDE = 224
"""Side of the network's square input, in pixels (TorchXRayVision `*-res224-*`)."""


@dataclass(frozen=True)
class Geometry:
    """Where the network's square input lies in the source image.

    Attributes:
        width: Columns of the source image.
        height: Rows of the source image.
    """

    width: int
    height: int

    @property
    def side(self) -> int:
        """Side of the centred square crop, in source pixels."""
        return min(self.width, self.height)

    @property
    def left(self) -> int:
        """First source column inside the crop (TorchXRayVision `XRayCenterCrop`)."""
        return self.width // 2 - self.side // 2

    @property
    def top(self) -> int:
        """First source row inside the crop."""
        return self.height // 2 - self.side // 2


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What the network sees.

    Attributes:
        pixels: float32 (1, 224, 224) in [0, 1], dense tissue bright.
        geometry: Where these pixels lie in the source image.
    """

    pixels: np.ndarray
    geometry: Geometry

    @cached_property
    def sha256(self) -> str:
        """Digest of the pixels that are scored: SHA-256 of their little-endian float32 bytes."""
        return hashlib.sha256(self.pixels.astype("<f4", copy=False).tobytes()).hexdigest()


def preprocess(radiograph: Radiograph) -> ModelInput:
    """Cut the centred square, resize it to 224 x 224 with antialiasing and scale it to [0, 1].

    The same crop and the same triangle filter as TorchXRayVision applies (`XRayCenterCrop`,
    then `interpolate(mode="bilinear", antialias=True)`, which follows Pillow's resampling).
    """
    rows, columns = radiograph.pixels.shape
    held = Geometry(width=columns, height=rows)
    crop = radiograph.pixels[held.top : held.top + held.side, held.left : held.left + held.side]
    image = Image.fromarray(crop.astype(np.float32) / np.float32(radiograph.white))
    small = image.resize((INPUT_SIDE, INPUT_SIDE), Image.Resampling.BILINEAR)
    pixels = np.clip(np.asarray(small, np.float32), 0.0, 1.0)[None]
    source = radiograph.source
    return ModelInput(pixels, Geometry(width=source.width, height=source.height))
