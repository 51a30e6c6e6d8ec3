"""DICOM files: which of them are frontal chest radiographs, and their grey levels.

Only the attributes named here are read; a patient's name, identifier or date never leaves the
file's bytes.
"""

from __future__ import annotations

import io
import logging
import re
import zlib

import numpy as np
import pydicom
from pydicom import config, uid
from pydicom.pixels import apply_color_lut

from service.colour import SAMPLE_SIDE, chroma, luminance, refuse_photograph
from service.errors import NotAnImage, TooLarge, TruncatedImage, Unprocessable
from service.limits import Deadline, DecodeLimits
from service.radiograph import Radiograph, Source
from service.syntaxes import PixelModule, StoredValues, is_read, stored_values
from service.voi import GreyScale, Lut, Window, map_intensity

# What pydicom says about odd values quotes them, and they may be a patient's.
config.settings.reading_validation_mode = config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

MODALITIES = frozenset({"CR", "DX", "RG", "SC"})
"""Computed, digital and film radiography, and what some scanners of films call themselves."""

_READ = [
    "SOPClassUID",
    "Modality",
    "PresentationIntentType",
    "PatientAge",
    "BodyPartExamined",
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
_CHEST = re.compile(r"CHEST|THORAX|LUNG|RIB", re.IGNORECASE)
_GREY = {"MONOCHROME1", "MONOCHROME2"}
_COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"}
_INFLATED_AT_ONCE = 2**20


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


def decode_dicom(
    data: bytes,
    *,
    limits: DecodeLimits,
    deadline: Deadline,
    voi: bool = True,
    ages: tuple[float, float] | None = None,
) -> Radiograph:
    """Decode a DICOM file with one frame.

    Args:
        data: The whole file.
        limits: Held against the header before pixels are decoded.
        deadline: When to give up.
        voi: Apply the first VOI LUT or window of the file.
        ages: Years between which the weights were trained.

    Raises:
        NotAnImage: A DICOM prefix with nothing behind it.
        TruncatedImage: Damaged, or fewer pixels than it says.
        TooLarge: Over a limit.
        Unprocessable: `no_pixel_data`, `several_frames`, `modality`, `not_frontal`,
            `pixel_format`, `transfer_syntax`, `not_a_radiograph`, `too_small`.
    """
    dataset, syntax = _read(data, limits)
    _require_pixels(dataset, data)
    modality = _text(dataset, "Modality")
    if modality and modality not in MODALITIES:
        raise Unprocessable(
            "The modality is not radiography: CR, DX, RG and SC are scored.", code="modality"
        )
    if (_number(dataset, "NumberOfFrames") or 1) > 1:
        raise Unprocessable("The file holds several frames.", code="several_frames")
    view = _frontal_view(dataset)
    if not is_read(syntax):
        raise Unprocessable("This transfer syntax is not read.", code="transfer_syntax")
    module = _pixel_module(dataset, limits)
    element = dataset["PixelData"]
    stored = stored_values(bytes(element.value), syntax, module, limits, ob=element.VR == "OB")
    deadline.check()
    if module.photometric in _GREY:
        scale, notes = _grey_scale(dataset, module, stored.bits, voi=voi)
        pixels, white = map_intensity(stored.values, scale)
        words = scale.words
    else:
        pixels, white, words = _from_colour(dataset, module, stored)
        notes = ()
    deadline.check()
    orientation = _text(dataset, "PatientOrientation")
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
    )
    notes += _warnings(dataset, source, ages)
    return Radiograph(pixels, white, source, notes)


def _read(data: bytes, limits: DecodeLimits) -> tuple[pydicom.Dataset, str]:
    """Read the attributes named above, and the transfer syntax."""
    if uid.DeflatedExplicitVRLittleEndian.encode() in data[:4096] and data[128:132] == b"DICM":
        start, syntax = _meta_information(data)
        if syntax == uid.DeflatedExplicitVRLittleEndian:
            body = _inflated(data[start:], limits)
            dataset = pydicom.dcmread(io.BytesIO(body), force=True, specific_tags=_READ)
            return dataset, str(syntax)
    dataset = pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=_READ)
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "") or "")
    if not syntax:
        implicit, little = dataset.original_encoding
        guesses = {
            (True, True): uid.ImplicitVRLittleEndian,
            (False, True): uid.ExplicitVRLittleEndian,
            (False, False): uid.ExplicitVRBigEndian,
        }
        syntax = str(guesses.get((bool(implicit), bool(little)), ""))
    return dataset, syntax


def _require_pixels(dataset: pydicom.Dataset, data: bytes) -> None:
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


def _inflated(data: bytes, limits: DecodeLimits) -> bytes:
    """Inflate a data set no further than its own header says it goes.

    The first mebibyte tells rows and columns; what may follow is their pixels and as much
    beside them as a whole file may have.
    """
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    head = inflate.decompress(data, _INFLATED_AT_ONCE)
    seen = pydicom.dcmread(
        io.BytesIO(head), force=True, stop_before_pixels=True, specific_tags=_READ
    )
    rows, columns = _number(seen, "Rows"), _number(seen, "Columns")
    if not rows or not columns:
        raise Unprocessable("The DICOM file holds no pixel data.", code="no_pixel_data")
    limits.check_size(columns, rows)
    samples, allocated = _number(seen, "SamplesPerPixel") or 1, _number(seen, "BitsAllocated") or 16
    allowed = rows * columns * min(samples, 4) * min(allocated, 64) // 8 + 2 * _INFLATED_AT_ONCE
    rest = inflate.decompress(inflate.unconsumed_tail, max(1, allowed - len(head)))
    if inflate.unconsumed_tail and len(head) + len(rest) >= allowed:
        raise TooLarge("The file inflates to more than its header says.", limit="bytes")
    if not inflate.eof:
        raise TruncatedImage("The deflated DICOM file ends early.")
    return head + rest


def _pixel_module(dataset: pydicom.Dataset, limits: DecodeLimits) -> PixelModule:
    """Read and check the image pixel module."""
    if "PixelData" not in dataset:
        raise Unprocessable("Pixels that are no integers are not read.", code="pixel_format")
    rows, columns = _number(dataset, "Rows"), _number(dataset, "Columns")
    samples = _number(dataset, "SamplesPerPixel") or 1
    allocated = _number(dataset, "BitsAllocated") or 0
    if not rows or not columns:
        raise TruncatedImage("The file does not say how many rows and columns it has.")
    limits.check_size(columns, rows)
    photometric = _text(dataset, "PhotometricInterpretation") or "MONOCHROME2"
    known = _GREY | {"PALETTE COLOR"} if samples == 1 else _COLOUR
    stored = _number(dataset, "BitsStored") or allocated
    high = _number(dataset, "HighBit")
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
        signed=_number(dataset, "PixelRepresentation") == 1,
        planar=_number(dataset, "PlanarConfiguration") == 1,
        photometric=photometric,
    )


def _grey_scale(
    dataset: pydicom.Dataset, module: PixelModule, bits: int, *, voi: bool
) -> tuple[GreyScale, tuple[str, ...]]:
    """Gather the file's grey-level mapping; what cannot be used is left out with a warning."""
    notes: list[str] = []
    slope, intercept = _real(dataset, "RescaleSlope"), _real(dataset, "RescaleIntercept")
    if slope is None or slope == 0:
        slope, intercept = 1.0, intercept if slope is None else 0.0
    modality_lut = _lut(dataset, "ModalityLUTSequence", signed=module.signed)
    chosen: Window | Lut | None = _lut(
        dataset, "VOILUTSequence", signed=module.signed and modality_lut is None
    )
    if chosen is None:
        centre, width = _real(dataset, "WindowCenter"), _real(dataset, "WindowWidth")
        if centre is not None and width is not None:
            function = _text(dataset, "VOILUTFunction") or "LINEAR"
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
    shape = _text(dataset, "PresentationLUTShape")
    scale = GreyScale(
        bits,
        module.signed,
        inverted=module.photometric == "MONOCHROME1" or shape == "INVERSE",
        slope=slope,
        intercept=intercept or 0.0,
        modality_lut=modality_lut,
        voi=chosen,
        padding=_padding(dataset, module),
        note=aside,
    )
    return scale, tuple(notes)


def _lut(dataset: pydicom.Dataset, name: str, *, signed: bool) -> Lut | None:
    """Read the first look-up table of a sequence (PS3.3 C.11.1.1, C.11.2.1.1)."""
    sequence = dataset.get(name)
    if not sequence:
        return None
    item = sequence[0]
    if "LUTDescriptor" not in item or "LUTData" not in item:
        return None
    count, first, bits = (int(v) for v in item.LUTDescriptor)
    count = count % 65536 or 65536  # 0 stands for 65536; some files write it as signed
    first = first - 65536 if signed and first >= 32768 else first
    first = first % 65536 if not signed else first
    raw = item.LUTData
    if isinstance(raw, bytes):
        wide = ">u2" if dataset.original_encoding[1] is False else "<u2"
        entries = np.frombuffer(raw, "u1" if len(raw) < 2 * count else wide)
    else:
        entries = np.array(raw, np.int64) & 0xFFFF
    if not 8 <= bits <= 16 or len(entries) < count:
        raise TruncatedImage("A look-up table of the file is damaged.")
    return Lut(first, entries[:count].astype(np.uint16), bits)


def _padding(dataset: pydicom.Dataset, module: PixelModule) -> tuple[int, int] | None:
    """Stored values that are padding (PS3.3 C.7.5.1.1.2), in order."""
    ends = [_number(dataset, "PixelPaddingValue"), _number(dataset, "PixelPaddingRangeLimit")]
    if ends[0] is None:
        return None
    modulus = 2**module.allocated
    found = [end % modulus for end in ends if end is not None]
    if module.signed:
        found = [end - modulus if end >= modulus // 2 else end for end in found]
    return min(found), max(found)


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


def _frontal_view(dataset: pydicom.Dataset) -> str:
    """Return the view where it is frontal, "" where the file does not say.

    Raises:
        Unprocessable: With the code `not_frontal`.
    """
    view = _text(dataset, "ViewPosition").upper()
    words = set(re.split(r"[^A-Z]+", view)) - {""}
    if not words:
        for item in dataset.get("ViewCodeSequence") or ():
            meaning = _text(item, "CodeMeaning").lower()
            if "lateral" in meaning or "oblique" in meaning:
                words = {"LATERAL"}
            elif "postero" in meaning:
                return "PA"
            elif "antero" in meaning or "frontal" in meaning:
                return "AP"
    if not words:
        return ""
    if not words & {"AP", "PA"} or words & {"LATERAL", "LAT", "OBLIQUE", "AXIAL", "LORDOTIC"}:
        raise Unprocessable(
            "The view is not frontal: AP and PA are scored, no other.", code="not_frontal"
        )
    return "PA" if "PA" in words else "AP"


def _warnings(
    dataset: pydicom.Dataset, source: Source, ages: tuple[float, float] | None
) -> tuple[str, ...]:
    """What the reader of the answer should know, without the patient's data."""
    notes = []
    if source.modality is None:
        notes.append("The file does not name its modality.")
    if source.view is None:
        notes.append("The file does not name the view; only frontal views are scored rightly.")
    part = _text(dataset, "BodyPartExamined")
    if part and not _CHEST.search(part):
        notes.append("The file says that the body part is not the chest.")
    if _text(dataset, "BurnedInAnnotation").upper() == "YES":
        notes.append("The image has annotations burned in; they may carry the patient's data.")
    if _text(dataset, "PresentationIntentType").upper() == "FOR PROCESSING":
        notes.append("The image is raw detector data, not meant for presentation.")
    if source.orientation and not source.orientation.startswith("L\\"):
        notes.append("The image is mirrored or turned from the usual view; it is scored as stored.")
    ratio = [_whole(v) for v in dataset.get("PixelAspectRatio") or ()]
    if len(ratio) == 2 and ratio[0] != ratio[1]:
        notes.append("The pixels are not square; the image is scored as stored.")
    years = _years(_text(dataset, "PatientAge"))
    if ages is not None and years is not None and not ages[0] <= years <= ages[1]:
        notes.append("The patient's age is outside what the weights were trained on.")
    return tuple(notes)


def _years(age: str) -> float | None:
    """Years of an age string (PS3.5 6.2, AS); a bare number is taken as years."""
    found = re.fullmatch(r"\s*(\d{1,3})\s*([DWMY]?)\s*", age.upper())
    if found is None:
        return None
    return int(found[1]) / {"D": 365.25, "W": 52.18, "M": 12, "Y": 1, "": 1}[found[2]]


def _text(dataset: pydicom.Dataset, name: str) -> str:
    value = dataset.get(name)
    if value is None:
        return ""
    if isinstance(value, (list, tuple, pydicom.multival.MultiValue)):
        return "\\".join(str(part).strip() for part in value)
    return str(value).strip()


def _first(dataset: pydicom.Dataset, name: str) -> object:
    """The first of an attribute's values, or None."""
    value = dataset.get(name)
    if isinstance(value, (list, tuple, pydicom.multival.MultiValue)):
        return value[0] if value else None
    return value


def _whole(value: object) -> int | None:
    try:
        return int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return None


def _number(dataset: pydicom.Dataset, name: str) -> int | None:
    return _whole(_first(dataset, name))


def _real(dataset: pydicom.Dataset, name: str) -> float | None:
    try:
        value = float(_first(dataset, name))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return value if np.isfinite(value) else None
