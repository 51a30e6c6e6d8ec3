"""DICOM files, from their bytes to grey levels."""

from __future__ import annotations

import re

import numpy as np
import pydicom
from pydicom import uid
from pydicom.pixels import apply_color_lut

from service.errors import Unprocessable
from service.radiograph.colour import SAMPLE_SIDE, chroma, luminance, refuse_photograph
from service.radiograph.dicom.acquisition import age_decade, manufacturer_group, sex
from service.radiograph.dicom.body_part import check_body_part
from service.radiograph.dicom.dataset import number, read_dataset, require_pixels, text
from service.radiograph.dicom.grey_scale import grey_scale
from service.radiograph.dicom.pixel_module import GREY, PixelModule, pixel_module
from service.radiograph.dicom.suitability import cautions, frontal_view, radiography
from service.radiograph.dicom.transfer_syntaxes import StoredValues, is_read, stored_values
from service.radiograph.dicom.voi_lut import map_intensity
from service.radiograph.limits import Deadline, DecodeLimits
from service.radiograph.memory_budget import Claim
from service.radiograph.peak_memory import dicom_peak
from service.radiograph.radiograph import Radiograph, Source
from service.settings import BodyPart


def decode_dicom(
    data: bytes,
    *,
    limits: DecodeLimits,
    deadline: Deadline,
    voi: bool = True,
    ages: tuple[float, float] | None = None,
    body_part: BodyPart = "refuse",
    claim: Claim | None = None,
) -> Radiograph:
    """Decode a DICOM file with one frame.

    Args:
        data: The whole file.
        limits: Held against the header before pixels are decoded.
        deadline: When to give up.
        voi: Apply the first VOI LUT or window of the file.
        ages: Years between which the weights were trained.
        body_part: What becomes of a file that names another body part than the chest.
        claim: Told the memory that decoding takes, before it is taken.

    Raises:
        NotAnImage: A DICOM prefix with nothing behind it.
        TruncatedImage: Damaged, or fewer pixels than it says.
        TooLarge: Over a limit.
        Unprocessable: `no_pixel_data`, `several_frames`, `modality`, `not_a_chest_radiograph`,
            `not_frontal`, `pixel_format`, `transfer_syntax`, `not_a_radiograph`, `too_small`.
    """

    def reserve(header: pydicom.Dataset, syntax: str) -> None:
        rows, columns = number(header, "Rows") or 0, number(header, "Columns") or 0
        if claim is None or not 0 < rows * columns <= limits.pixels:
            return  # what is over the limit is refused before its pixels are decoded
        samples = number(header, "SamplesPerPixel") or 1
        allocated = number(header, "BitsAllocated") or 0
        peak = dicom_peak(rows, columns, samples, allocated, syntax, len(data))
        claim.take(peak, rows * columns, 2)
        deadline.restart()

    dataset, syntax = read_dataset(data, limits, reserve)
    require_pixels(dataset, data)
    modality = radiography(dataset)
    part_notes = check_body_part(dataset, body_part)
    view = frontal_view(dataset)
    if not is_read(syntax):
        raise Unprocessable("This transfer syntax is not read.", code="transfer_syntax")
    module = pixel_module(dataset, limits)
    element = dataset["PixelData"]
    stored = stored_values(bytes(element.value), syntax, module, limits, ob=element.VR == "OB")
    deadline.check()
    if module.photometric in GREY:
        scale, notes = grey_scale(dataset, module, stored.bits, voi=voi)
        pixels, white = map_intensity(stored.values, scale)
        words = scale.words
    else:
        pixels, white, words = _from_colour(dataset, module, stored)
        notes = ()
    deadline.check()
    orientation = text(dataset, "PatientOrientation")
    source = Source(
        "DICOM",
        stored.bits,
        module.columns,
        module.rows,
        words,
        photometric_interpretation=module.photometric,
        transfer_syntax=uid.UID(syntax).name,
        modality=modality or None,
        view=view or None,
        orientation=orientation
        if re.fullmatch(r"[LRAPHF]{1,3}\\[LRAPHF]{1,3}", orientation)
        else None,
        manufacturer=manufacturer_group(dataset),
        age_decade=age_decade(dataset),
        sex=sex(dataset),
    )
    notes += part_notes + cautions(dataset, source, ages)
    return Radiograph(pixels, white, source, notes)


def _from_colour(
    dataset: pydicom.Dataset, module: PixelModule, stored: StoredValues
) -> tuple[np.ndarray, float, str]:
    """Luminance of a colour image, unless it is a photograph."""
    values, bits = stored.values, stored.bits
    step = max(1, -(-max(module.rows, module.columns) // SAMPLE_SIDE))
    if module.photometric == "PALETTE COLOR":
        unsigned = values.view(f"u{values.dtype.itemsize}")
        table = apply_color_lut(np.arange(2**bits, dtype=unsigned.dtype), dataset)[..., :3]
        eight = 0 if table.dtype.itemsize == 1 else 8
        refuse_photograph(chroma((table >> eight)[unsigned[::step, ::step]]))
        grey = luminance(table[None])[0]
        return grey[unsigned], float(2 ** (8 * grey.itemsize) - 1), "palette to luminance"
    if module.signed:
        raise Unprocessable("Colours with signed samples are not read.", code="pixel_format")
    sample = (values[::step, ::step] >> max(0, bits - 8)).astype(np.float32)
    if stored.ycc:
        refuse_photograph(sample - np.array([0, 128, 128], np.float32))
        grey = np.ascontiguousarray(values[..., 0])
    else:
        refuse_photograph(chroma(sample))
        grey = luminance(values)
    return grey, float(2**bits - 1), f"luminance, full range of {bits} bits"
