"""From a radiograph to the network's input, and from the network's grid back again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from service.radiograph.radiograph import Radiograph
from service.radiograph.rectangle import NO_MARGINS, Margins, Rectangle
from service.radiograph.resample import resample
from service.settings import Framing

INPUT_SIDE = 224
"""Side of the network's square input, in pixels (TorchXRayVision `*-res224-*`)."""


@dataclass(frozen=True)
class Geometry:
    """Where the network's square input lies in the source image.

    The square is centred on the picture: on all of the image less the border that is cut off.

    Attributes:
        width: Columns of the source image.
        height: Rows of the source image.
        framing: `crop` takes the largest square inside the picture, as TorchXRayVision's
            `XRayCenterCrop` does; `letterbox` the smallest square around it, black beside it.
        cut: The border that is cut off, in source pixels.
    """

    width: int
    height: int
    framing: Framing = "crop"
    cut: Margins = NO_MARGINS

    @property
    def picture(self) -> Rectangle:
        """The source image less the border that is cut off."""
        return Rectangle(0, 0, self.width, self.height).within(self.cut)

    @property
    def side(self) -> int:
        """Side of the square, in source pixels."""
        sides = self.picture.width, self.picture.height
        return min(sides) if self.framing == "crop" else max(sides)

    @property
    def left(self) -> int:
        """First source column inside the square; below 0 where black was added."""
        return self.picture.left + self.picture.width // 2 - self.side // 2

    @property
    def top(self) -> int:
        """First source row inside the square; below 0 where black was added."""
        return self.picture.top + self.picture.height // 2 - self.side // 2

    @property
    def square(self) -> Rectangle:
        """The network's square, in source pixels."""
        return Rectangle(self.left, self.top, self.left + self.side, self.top + self.side)

    @property
    def seen(self) -> Rectangle:
        """What the network sees of the source image."""
        return self.square.common(self.picture)

    @property
    def unseen(self) -> Margins:
        """Source columns and rows that the network never sees."""
        seen = self.seen
        return Margins(seen.left, seen.top, self.width - seen.right, self.height - seen.bottom)

    @property
    def unseen_share(self) -> float:
        """Share of the source image that the network never sees, in [0, 1)."""
        return 1 - self.seen.area / (self.width * self.height)

    @property
    def describe_unseen(self) -> str | None:
        """Name the margins that the network never sees; None where it sees the whole image."""
        if not any(self.unseen):
            return None
        share = f"{100 * self.unseen_share:.2g} % of the image"
        return f"The network did not see {self.unseen.in_words} ({share})."

    def reduced(self, reduction: int, width: int, height: int) -> Geometry:
        """The same over an image that decoding reduced to `width` and `height` pixels."""
        if reduction == 1:
            return self
        left, top, right, bottom = (margin // reduction for margin in self.cut)
        return Geometry(width, height, self.framing, Margins(left, top, right, bottom))

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


def preprocess(radiograph: Radiograph, geometry: Geometry | None = None) -> ModelInput:
    """Cut the network's square, resize it to 224 x 224 with antialiasing and scale it to [0, 1].

    The same filter as TorchXRayVision's networks apply (`interpolate(mode="bilinear",
    antialias=True)`). The square is laid out on the source's pixels, also where decoding reduced
    them.

    Args:
        radiograph: Any.
        geometry: Where the square lies; the centred crop of the whole image where left out.
    """
    source, reduction = radiograph.source, radiograph.reduction
    geometry = geometry or Geometry(source.width, source.height)
    box = (geometry.left / reduction, geometry.top / reduction, geometry.side / reduction)
    inside = None
    if geometry.framing == "letterbox":
        left, top, right, bottom = geometry.picture
        inside = Rectangle(
            left // reduction, top // reduction, -(-right // reduction), -(-bottom // reduction)
        )
    small = resample(radiograph.pixels, box, INPUT_SIDE, inside)
    small *= np.float32(1 / radiograph.white)
    return ModelInput(np.clip(small, 0.0, 1.0, out=small)[None], geometry)
