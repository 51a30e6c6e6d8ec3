"""Which grey-level mapping a DICOM file asks for."""

from __future__ import annotations

import numpy as np
import pydicom

from service.errors import TruncatedImage
from service.radiograph.dicom.dataset import number, real, text
from service.radiograph.dicom.pixel_module import PixelModule
from service.radiograph.dicom.voi_lut import GreyScale, Lut, Window


def grey_scale(
    dataset: pydicom.Dataset, module: PixelModule, bits: int, *, voi: bool
) -> tuple[GreyScale, tuple[str, ...]]:
    """Gather the file's grey-level mapping; what cannot be used is left out with a warning."""
    notes: list[str] = []
    slope, intercept = real(dataset, "RescaleSlope"), real(dataset, "RescaleIntercept")
    if slope is None or slope == 0:
        slope, intercept = 1.0, intercept if slope is None else 0.0
    intercept = intercept or 0.0
    modality_lut = _lut(dataset, "ModalityLUTSequence", module.stored_range)
    if modality_lut is None:
        low, high = sorted(end * slope + intercept for end in module.stored_range)
    else:
        low, high = float(modality_lut.entries.min()), float(modality_lut.entries.max())
    chosen: Window | Lut | None = _lut(dataset, "VOILUTSequence", (low, high))
    if chosen is None:
        centre, width = real(dataset, "WindowCenter"), real(dataset, "WindowWidth")
        if centre is not None and width is not None:
            function = text(dataset, "VOILUTFunction") or "LINEAR"
            known = function in ("LINEAR", "LINEAR_EXACT", "SIGMOID")
            chosen = Window(centre, width, function if known else "LINEAR")
            if not known:
                notes.append("The window's function is unknown; it was taken as linear.")
            if not chosen.is_valid:
                notes.append("The window's width is not allowed; the full range was taken.")
                chosen = None
    aside = ""
    if not voi and chosen is not None:
        chosen, aside = None, ", VOI LUT of the file not applied"
    shape = text(dataset, "PresentationLUTShape")
    scale = GreyScale(
        bits,
        module.signed,
        inverted=module.photometric == "MONOCHROME1" or shape == "INVERSE",
        slope=slope,
        intercept=intercept,
        modality_lut=modality_lut,
        voi=chosen,
        padding=_padding(dataset, module),
        note=aside,
    )
    return scale, tuple(notes)


def _lut(dataset: pydicom.Dataset, name: str, inputs: tuple[float, float]) -> Lut | None:
    """Read the first look-up table of a sequence (PS3.3 C.11.1.1, C.11.2.1.1).

    Args:
        dataset: The file's.
        name: Of the sequence.
        inputs: Least and greatest value that the table can be asked for.

    Raises:
        TruncatedImage: The table is shorter than it says, or of a size that none has.
    """
    sequence = dataset.get(name)
    if not sequence:
        return None
    item = sequence[0]
    if "LUTDescriptor" not in item or "LUTData" not in item:
        return None
    count, first, bits = (int(v) for v in item.LUTDescriptor)
    count = count % 65536 or 65536  # 0 stands for 65536; some files write it as signed
    raw = item.LUTData
    if isinstance(raw, bytes):
        wide = ">u2" if dataset.original_encoding[1] is False else "<u2"
        entries = np.frombuffer(raw, "u1" if len(raw) < 2 * count else wide)
    else:
        entries = np.array(raw, np.int64) & 0xFFFF
    if not 8 <= bits <= 16 or len(entries) < count:
        raise TruncatedImage("A look-up table of the file is damaged.")
    return Lut(_first_mapped(first, count, inputs), entries[:count].astype(np.uint16), bits)


def _first_mapped(written: int, count: int, inputs: tuple[float, float]) -> int:
    """Read the first value mapped of a look-up table, of which files store 16 bits.

    PS3.3 C.11.2.1.1 has it signed where the inputs may be negative, and writers choose the value
    representation by less: so negative values come as written, and others from 32768 on count as
    negative where inputs can be. A table that lies wholly beside its inputs makes an image of one
    grey level; then the other reading is taken where that meets them.
    """
    least, most = inputs
    first = written - 65536 if written >= 32768 and least < 0 else written
    other = first + 65536 if first < 0 else first - 65536

    def meets(start: int) -> bool:
        return start <= most and start + count - 1 >= least

    return other if not meets(first) and meets(other) else first


def _padding(dataset: pydicom.Dataset, module: PixelModule) -> tuple[int, int] | None:
    """Stored values that are padding (PS3.3 C.7.5.1.1.2), in order."""
    ends = [number(dataset, "PixelPaddingValue"), number(dataset, "PixelPaddingRangeLimit")]
    if ends[0] is None:
        return None
    modulus = 2**module.allocated
    found = [end % modulus for end in ends if end is not None]
    if module.signed:
        found = [end - modulus if end >= modulus // 2 else end for end in found]
    return min(found), max(found)
