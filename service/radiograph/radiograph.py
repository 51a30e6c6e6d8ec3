"""A radiograph: the grey values of an image file and what the file said about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Source:
    r"""What a file said of its image; holds nothing that identifies the patient.

    Attributes:
        format: Container as its field names it: "PNG", "JPEG", "DICOM" …
        bits: Significant bits of a stored grey value, 1 to 16.
        width: Columns of the image as a viewer shows it, after any orientation tag.
        height: Rows, likewise.
        intensity: How stored values became grey levels, in words: "full range of 8 bits",
            "VOI LUT window 15000/30000" …
        photometric_interpretation: DICOM's term, or the raster's kind of pixels: "MONOCHROME1",
            "YBR_FULL_422"; "grey", "RGB", "CMYK", "palette" …
        transfer_syntax: DICOM's name for how the pixels are stored; None for rasters.
        modality: DICOM modality: "CR", "DX", "RG", "SC"; None where the file does not say.
        view: DICOM view position: "PA", "AP"; None where the file does not say.
        orientation: DICOM patient orientation, the directions in which rows and columns run:
            "L\F" is the usual view, the patient's left on the image's right.
        manufacturer: Group of the maker (`service.radiograph.dicom.acquisition`), or None.
        age_decade: The patient's age in years, rounded down to tens, or None.
        sex: "F", "M" or "O", or None.
    """

    format: str
    bits: int
    width: int
    height: int
    intensity: str
    photometric_interpretation: str = "grey"
    transfer_syntax: str | None = None
    modality: str | None = None
    view: str | None = None
    orientation: str | None = None
    manufacturer: str | None = None
    age_decade: int | None = None
    sex: str | None = None

    @property
    def is_dicom(self) -> bool:
        return self.format == "DICOM"


@dataclass(frozen=True, eq=False)
class Radiograph:
    """Grey values as a viewer would show them: dense tissue bright, air dark.

    Attributes:
        pixels: (rows, columns) of uint8, uint16 or float32, at least 0. May be smaller than
            the source where decoding reduced it on the way; the aspect ratio is the same.
        white: The value that means full white; `pixels / white` lies in [0, 1].
        source: What the file said.
        warnings: Sentences for the reader of the answer, free of patient data.
        reduction: Source pixels to a side of one of these: 1 where nothing was reduced, else
            2, 4 or 8. The last row and column may reach past the source's edge.
    """

    pixels: np.ndarray
    white: float
    source: Source
    warnings: tuple[str, ...] = ()
    reduction: int = 1
