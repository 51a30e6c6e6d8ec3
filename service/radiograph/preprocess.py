"""From a radiograph to the network's input, and from the network's grid back again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from service.radiograph.radiograph import Radiograph
from service.radiograph.resample import resample

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

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """What the network sees of the source image: left, top, right, bottom; ends excluded."""
        return self.left, self.top, self.left + self.side, self.top + self.side

    @property
    def unseen(self) -> tuple[int, int, int, int]:
        """Source columns and rows that the network never sees: left, top, right, bottom."""
        right = self.width - self.side - self.left
        return self.left, self.top, right, self.height - self.side - self.top

    @property
    def unseen_share(self) -> float:
        """Share of the source image that the network never sees, in [0, 1)."""
        return 1 - self.side**2 / (self.width * self.height)

    def to_source(
        self, box: tuple[float, float, float, float], side: int = INPUT_SIDE
    ) -> tuple[float, float, float, float]:
        """Take a box from the network's grid back to source pixels.

        Args:
            box: Left, top, right, bottom on the grid; 0 is the crop's left or top edge and
                `side` its right or bottom one.
            side: Side of the grid: 224 for the input, 7 for the heat map.

        Returns:
            Left, top, right, bottom in source pixels, edges likewise.
        """
        scale = self.side / side
        left, top, right, bottom = box
        return (
            self.left + left * scale,
            self.top + top * scale,
            self.left + right * scale,
            self.top + bottom * scale,
        )


@dataclass(frozen=True, eq=False)
class ModelInput:
    """What the network sees.

    Attributes:
        pixels: float32 (1, 224, 224) in [0, 1], dense tissue bright.
        geometry: Where these pixels lie in the source image.
    """

    pixels: np.ndarray
    geometry: Geometry

    @property
    def sha256(self) -> str:
        """Digest of the pixels that are scored: SHA-256 of their little-endian float32 bytes."""
        return pixel_digest(self.pixels)


def pixel_digest(pixels: np.ndarray) -> str:
    """Digest of pixels that are scored: SHA-256 of their little-endian float32 bytes."""
    return hashlib.sha256(np.ascontiguousarray(pixels, "<f4").data).hexdigest()


def preprocess(radiograph: Radiograph) -> ModelInput:
    """Cut the centred square, resize it to 224 x 224 with antialiasing and scale it to [0, 1].

    The same crop and the same filter as TorchXRayVision applies (`XRayCenterCrop`, then
    `interpolate(mode="bilinear", antialias=True)`). The crop is laid out on the source's
    pixels, also where decoding reduced them.
    """
    geometry = Geometry(width=radiograph.source.width, height=radiograph.source.height)
    reduction = radiograph.reduction
    box = (geometry.left / reduction, geometry.top / reduction, geometry.side / reduction)
    small = resample(radiograph.pixels, box, INPUT_SIDE)
    small *= np.float32(1 / radiograph.white)
    return ModelInput(np.clip(small, 0.0, 1.0, out=small)[None], geometry)
