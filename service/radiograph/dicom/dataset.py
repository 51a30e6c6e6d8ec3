"""Reading a DICOM data set: with or without preamble, deflated or not, and only what is needed.

A patient's name, identifier or dates are never read: `_READ` names all that is.
"""

from __future__ import annotations

import io
import logging
import zlib
from collections.abc import Callable

import numpy as np
import pydicom
from pydicom import config, uid

from service.errors import NotAnImage, TooLarge, TruncatedImage, Unprocessable
from service.radiograph.limits import DecodeLimits

# What pydicom says about odd values quotes them, and they may be a patient's.
config.settings.reading_validation_mode = config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

_READ = [
    "SOPClassUID",
    "Modality",
    "PresentationIntentType",
    "PatientAge",
    "PatientSex",
    "Manufacturer",
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "ViewPosition",
    "ViewCodeSequence",
    "PatientOrientation",
    "BurnedInAnnotation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelAspectRatio",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleIntercept",
    "RescaleSlope",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "PresentationLUTShape",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "PixelData",
]
_INFLATED_AT_ONCE = 2**20
_LARGE = 2**22
"""Bytes of a file from which on its header is read first, and alone."""


def looks_like_dicom(data: bytes) -> bool:
    """Whether bytes without preamble and prefix are a DICOM data set all the same.

    True where they begin with two elements in ascending order, the first in group 2 or 8, in
    any of the three ways elements are encoded.
    """
    for order, explicit in (("little", True), ("little", False), ("big", True)):
        at, last = 0, -1
        for _ in range(2):
            head = data[at : at + 12]
            if len(head) < 12:
                break
            group = int.from_bytes(head[:2], order)  # type: ignore[arg-type]
            tag = group << 16 | int.from_bytes(head[2:4], order)  # type: ignore[arg-type]
            if tag <= last or (last < 0 and group not in (2, 8)) or group > 0x7FE0:
                break
            length_at, step = 4, 8
            if explicit:
                if not (head[4:6].isalpha() and head[4:6].isupper()):
                    break
                long = head[4:6] in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR")
                length_at, step = (8, 12) if long else (6, 8)
            size = 4 if length_at != 6 else 2
            length = int.from_bytes(head[length_at : length_at + size], order)  # type: ignore[arg-type]
            if length > 2**16:
                break
            at, last = at + step + length, tag
        else:
            return True
    return False


def read_dataset(
    data: bytes, limits: DecodeLimits, reserve: Callable[[pydicom.Dataset, str], None]
) -> tuple[pydicom.Dataset, str]:
    """Read the attributes named above, and the transfer syntax.

    Args:
        data: The whole file.
        limits: What a deflated file may inflate to.
        reserve: Called once with these attributes, the pixels perhaps not among them, and the
            transfer syntax, before more than a few megabytes are taken.
    """
    if uid.DeflatedExplicitVRLittleEndian.encode() in data[:4096] and data[128:132] == b"DICM":
        start, syntax = _meta_information(data)
        if syntax == uid.DeflatedExplicitVRLittleEndian:
            body = _inflated(data[start:], limits, lambda header: reserve(header, syntax))
            dataset = pydicom.dcmread(io.BytesIO(body), force=True, specific_tags=_READ)
            return dataset, str(syntax)
    large = len(data) > _LARGE
    if large:  # reading the pixels copies them
        header = pydicom.dcmread(
            io.BytesIO(data), force=True, stop_before_pixels=True, specific_tags=_READ
        )
        reserve(header, _transfer_syntax(header))
    dataset = pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=_READ)
    syntax = _transfer_syntax(dataset)
    if not large:
        reserve(dataset, syntax)
    return dataset, syntax


def _transfer_syntax(dataset: pydicom.Dataset) -> str:
    """The transfer syntax that a file names or, where it names none, that it was read in."""
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "") or "")
    if syntax:
        return syntax
    implicit, little = dataset.original_encoding
    guesses = {
        (True, True): uid.ImplicitVRLittleEndian,
        (False, True): uid.ExplicitVRLittleEndian,
        (False, False): uid.ExplicitVRBigEndian,
    }
    return str(guesses.get((bool(implicit), bool(little)), ""))


def require_pixels(dataset: pydicom.Dataset, data: bytes) -> None:
    """Tell a file without pixels from one that ends inside them.

    pydicom hands back an empty data set where a compressed pixel element is cut short.
    """
    if any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        return
    if not len(dataset):
        before = pydicom.dcmread(
            io.BytesIO(data), force=True, stop_before_pixels=True, specific_tags=_READ
        )
        if len(before):
            raise TruncatedImage("The DICOM file ends early.")
        if not dataset.file_meta.get("MediaStorageSOPClassUID"):
            raise NotAnImage("The file begins like DICOM and holds nothing that can be read.")
    raise Unprocessable("The DICOM file holds no pixel data.", code="no_pixel_data")


def _meta_information(data: bytes) -> tuple[int, str]:
    """Where the data set begins and in which syntax; group 2 is always explicit little endian."""
    at, syntax = 132, ""
    while data[at : at + 2] == b"\x02\x00":
        long = data[at + 4 : at + 6] in (b"OB", b"OW", b"UN", b"SQ", b"UT")
        head, size = (12, 4) if long else (8, 2)
        length = int.from_bytes(data[at + head - size : at + head], "little")
        if data[at + 2 : at + 4] == b"\x10\x00":
            syntax = (
                data[at + head : at + head + length].rstrip(b"\x00 ").decode("ascii", "replace")
            )
        at += head + length
    return at, syntax


def _inflated(
    data: bytes, limits: DecodeLimits, reserve: Callable[[pydicom.Dataset], None]
) -> bytes:
    """Inflate a data set no further than its own header says it goes.

    The first mebibyte tells rows and columns; what may follow is their pixels and as much
    beside them as a whole file may have. `reserve` is called with what it tells.
    """
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    head = inflate.decompress(data, _INFLATED_AT_ONCE)
    seen = pydicom.dcmread(
        io.BytesIO(head), force=True, stop_before_pixels=True, specific_tags=_READ
    )
    rows, columns = number(seen, "Rows"), number(seen, "Columns")
    if not rows or not columns:
        raise Unprocessable("The DICOM file holds no pixel data.", code="no_pixel_data")
    limits.check_size(columns, rows)
    reserve(seen)
    samples, allocated = number(seen, "SamplesPerPixel") or 1, number(seen, "BitsAllocated") or 16
    allowed = rows * columns * min(samples, 4) * min(allocated, 64) // 8 + 2 * _INFLATED_AT_ONCE
    rest = inflate.decompress(inflate.unconsumed_tail, max(1, allowed - len(head)))
    if inflate.unconsumed_tail and len(head) + len(rest) >= allowed:
        raise TooLarge("The file inflates to more than its header says.", limit="bytes")
    if not inflate.eof:
        raise TruncatedImage("The deflated DICOM file ends early.")
    return head + rest


def text(dataset: pydicom.Dataset, name: str) -> str:
    value = dataset.get(name)
    if value is None:
        return ""
    if isinstance(value, (list, tuple, pydicom.multival.MultiValue)):
        return "\\".join(str(part).strip() for part in value)
    return str(value).strip()


def first(dataset: pydicom.Dataset, name: str) -> object:
    """The first of an attribute's values, or None."""
    value = dataset.get(name)
    if isinstance(value, (list, tuple, pydicom.multival.MultiValue)):
        return value[0] if value else None
    return value


def whole(value: object) -> int | None:
    try:
        return int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return None


def number(dataset: pydicom.Dataset, name: str) -> int | None:
    return whole(first(dataset, name))


def real(dataset: pydicom.Dataset, name: str) -> float | None:
    try:
        value = float(first(dataset, name))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return value if np.isfinite(value) else None
