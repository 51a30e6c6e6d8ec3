"""The image pixel module: how a DICOM file says its samples are laid out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pydicom

from service.errors import TruncatedImage, Unprocessable
from service.radiograph.dicom.dataset import number, text
from service.radiograph.limits import DecodeLimits

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"}


@dataclass(frozen=True)
class PixelModule:
    """The image pixel module of a DICOM file (PS3.3 C.7.6.3).

    Attributes:
        rows: Height.
        columns: Width.
        samples: Samples a pixel, 1 or 3.
        allocated: Bits that a sample takes, 8 or 16.
        stored: Bits of those that hold it.
        high: Index of the highest of them.
        signed: Whether samples are two's complement.
        planar: Whether colours come plane by plane.
        photometric: Photometric interpretation.
    """

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high: int
    signed: bool
    planar: bool
    photometric: str

    @property
    def stored_range(self) -> tuple[int, int]:
        """Least and greatest value that the stored bits can hold."""
        if self.signed:
            return -(2 ** (self.stored - 1)), 2 ** (self.stored - 1) - 1
        return 0, 2**self.stored - 1

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")


def pixel_module(dataset: pydicom.Dataset, limits: DecodeLimits) -> PixelModule:
    """Read and check the image pixel module."""
    if "PixelData" not in dataset:
        raise Unprocessable("Pixels that are no integers are not read.", code="pixel_format")
    rows, columns = number(dataset, "Rows"), number(dataset, "Columns")
    samples = number(dataset, "SamplesPerPixel") or 1
    allocated = number(dataset, "BitsAllocated") or 0
    if not rows or not columns:
        raise TruncatedImage("The file does not say how many rows and columns it has.")
    limits.check_size(columns, rows)
    photometric = text(dataset, "PhotometricInterpretation") or "MONOCHROME2"
    known = GREY | {"PALETTE COLOR"} if samples == 1 else _COLOUR
    stored = number(dataset, "BitsStored") or allocated
    high = number(dataset, "HighBit")
    high = stored - 1 if high is None else high
    if (
        samples not in (1, 3)
        or photometric not in known
        or allocated not in (8, 16)
        or not 1 <= stored <= allocated
        or not stored - 1 <= high < allocated
    ):
        raise Unprocessable(
            "Pixels of this kind are not read: 8 or 16 bits allocated, grey, RGB, YBR or palette.",
            code="pixel_format",
        )
    return PixelModule(
        rows,
        columns,
        samples,
        allocated,
        stored,
        high,
        signed=number(dataset, "PixelRepresentation") == 1,
        planar=number(dataset, "PlanarConfiguration") == 1,
        photometric=photometric,
    )
