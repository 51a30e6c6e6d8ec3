"""Files to decode, made from phantoms: DICOM in every transfer syntax, and rasters."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from export.demo.phantom import make_phantom

_DRAWN_AT_MOST = 640


def chest(seed: int, rows: int, columns: int, *, opacity: bool = True) -> NDArray[np.float32]:
    """Draw a radiograph of any size.

    Large ones are drawn at 640 pixels, enlarged, and given fresh noise, so that they have
    detail down to the pixel without taking seconds to draw.

    Returns:
        float32 (rows, columns) in [0, 1].
    """
    side = min(max(rows, columns), _DRAWN_AT_MOST)
    drawn = Image.fromarray(make_phantom(seed, opacity, size=side).pixels)
    pixels = np.asarray(drawn.resize((columns, rows), Image.Resampling.BICUBIC), np.float32)
    if max(rows, columns) > side:
        noise = np.random.default_rng(seed).standard_normal(pixels.shape, np.float32)
        pixels = pixels + np.float32(0.012) * noise
    return np.clip(pixels, 0, 1)


def stored(pixels: NDArray[np.float32], bits: int, *, signed: bool = False) -> np.ndarray:
    """Quantise [0, 1] to the range of `bits`, as the smallest type that holds it."""
    values = np.rint(pixels * np.float32(2**bits - 1)).astype(np.int32)
    if signed:
        values -= 2 ** (bits - 1)
    return values.astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")


def dataset(values: np.ndarray, bits: int, **attributes: object) -> Dataset:
    """A DX data set with native pixels; `attributes` are set last."""
    made = Dataset()
    made.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    made.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    made.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.2"
    made.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.3"
    made.PatientName = "Phantom^Drawn"
    made.PatientID = "PHANTOM-1"
    made.Modality = "DX"
    made.BodyPartExamined = "CHEST"
    made.ViewPosition = "PA"
    made.Rows, made.Columns = values.shape[:2]
    made.SamplesPerPixel = values.shape[2] if values.ndim == 3 else 1
    if values.ndim == 3:
        made.PlanarConfiguration = 0
    made.PhotometricInterpretation = "RGB" if values.ndim == 3 else "MONOCHROME2"
    made.BitsAllocated = values.dtype.itemsize * 8
    made.BitsStored, made.HighBit = bits, bits - 1
    made.PixelRepresentation = int(values.dtype.kind == "i")
    made.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    made["PixelData"].VR = "OW" if values.dtype.itemsize == 2 else "OB"
    for name, value in attributes.items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    return made


def dicom(
    values: np.ndarray,
    bits: int,
    *,
    syntax: str = uid.ExplicitVRLittleEndian,
    frame: bytes | None = None,
    preamble: bool = True,
    **attributes: object,
) -> bytes:
    """A DICOM file.

    Args:
        values: Stored values, (rows, columns) or (rows, columns, 3).
        bits: Bits stored.
        syntax: Transfer syntax.
        frame: The compressed frame, where the syntax is a compressed one.
        preamble: Whether preamble, prefix and file meta information come first.
        **attributes: Set on the data set last; None removes one.
    """
    made = dataset(values, bits, **attributes)
    if frame is not None:
        made.PixelData = encapsulate([frame])
        made["PixelData"].VR = "OB"
    elif syntax == uid.ExplicitVRBigEndian and values.dtype.itemsize == 2:
        made.PixelData = values.byteswap().tobytes()
    buffer = io.BytesIO()
    if not preamble:
        syntax = uid.UID(syntax)
        made.save_as(
            buffer,
            implicit_vr=syntax.is_implicit_VR,
            little_endian=syntax.is_little_endian,
            enforce_file_format=False,
        )
        return buffer.getvalue()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = uid.UID(syntax)
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def deflated(file: bytes, pixels: int) -> bytes:
    """A deflated DICOM file whose pixel data are `pixels` zero bytes, however many those are."""
    at = file.index(b"\xe0\x7f\x10\x00")
    head = file[:at] + file[at : at + 8] + pixels.to_bytes(4, "little")
    start = 144 + int.from_bytes(file[140:144], "little")
    squeeze = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    parts = [file[:start], squeeze.compress(head[start:])]
    chunk = bytes(2**20)
    parts += [squeeze.compress(chunk[: min(2**20, pixels - n)]) for n in range(0, pixels, 2**20)]
    return b"".join([*parts, squeeze.flush()])


def deflate(file: bytes) -> bytes:
    """The same DICOM file, of explicit little endian, in the deflated transfer syntax."""
    start = 144 + int.from_bytes(file[140:144], "little")
    old, new = b"UI\x14\x001.2.840.10008.1.2.1\x00", b"UI\x16\x001.2.840.10008.1.2.1.99"
    length = start - 144 + len(new) - len(old)
    head = file[:140] + length.to_bytes(4, "little") + file[144:start].replace(old, new)
    squeeze = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    return head + squeeze.compress(file[start:]) + squeeze.flush()


def raster(pixels: np.ndarray, form: str, **options: object) -> bytes:
    """A raster file of an array that Pillow takes, or of a Pillow image."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _jpeg2000(lossless: bool) -> Callable[[np.ndarray, int], bytes]:
    def encode(values: np.ndarray, bits: int) -> bytes:
        return bytes(
            imagecodecs.jpeg2k_encode(
                values,
                codecformat="j2k",
                bitspersample=bits,
                reversible=lossless,
                level=0 if lossless else 60,
            )
        )

    return encode


def _htj2k(lossless: bool) -> Callable[[np.ndarray, int], bytes]:
    def encode(values: np.ndarray, bits: int) -> bytes:
        level = None if lossless else 0.001
        return bytes(imagecodecs.htj2k_encode(values, level, reversible=lossless))

    return encode


def _bit_pattern(values: np.ndarray, bits: int) -> np.ndarray:
    """Signed samples as the unsigned ones of the same bits: all that JPEG and JPEG-LS can say."""
    return values.view(f"u{values.dtype.itemsize}") & ((1 << bits) - 1)


ENCODERS: dict[str, Callable[[np.ndarray, int], bytes]] = {
    uid.JPEG2000Lossless: _jpeg2000(True),
    uid.JPEG2000: _jpeg2000(False),
    uid.JPEGLSLossless: lambda values, bits: bytes(
        imagecodecs.jpegls_encode(_bit_pattern(values, bits))
    ),
    uid.JPEGLosslessSV1: lambda values, bits: bytes(
        imagecodecs.jpeg8_encode(
            _bit_pattern(values, bits), lossless=True, predictor=1, bitspersample=bits
        )
    ),
    uid.JPEGBaseline8Bit: lambda values, bits: bytes(imagecodecs.jpeg8_encode(values, level=90)),
    uid.JPEGExtended12Bit: lambda values, bits: bytes(
        imagecodecs.jpeg8_encode(values, level=95, bitspersample=12)
    ),
    uid.RLELossless: lambda values, bits: _rle(values),
}
"""What compresses a frame of `values` with `bits` significant bits, by transfer syntax."""

if hasattr(imagecodecs, "htj2k_encode"):  # absent from the last release for Python 3.10
    ENCODERS[uid.HTJ2KLossless] = _htj2k(True)
    ENCODERS[uid.HTJ2K] = _htj2k(False)


def _rle(values: np.ndarray) -> bytes:
    """RLE (PS3.5 annex G) of literal runs alone: valid, not small."""
    planes = values.reshape(-1, 1).view(np.uint8).reshape(values.size, -1)[:, ::-1]
    segments = []
    for plane in range(planes.shape[1]):
        raw = planes[:, plane].tobytes()
        packed = b"".join(
            bytes([len(part) - 1]) + part
            for part in (raw[at : at + 128] for at in range(0, len(raw), 128))
        )
        segments.append(packed + b"\0" * (len(packed) % 2))
    starts = 64 + np.cumsum([0, *(len(part) for part in segments[:-1])])
    header = np.zeros(16, "<u4")
    header[0] = len(segments)
    header[1 : 1 + len(segments)] = starts
    return header.tobytes() + b"".join(segments)
