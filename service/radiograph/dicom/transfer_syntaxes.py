"""DICOM transfer syntaxes: from the pixel data element to stored values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from pydicom import uid
from pydicom.encaps import generate_fragments, parse_basic_offsets

from service.errors import TruncatedImage, Unprocessable
from service.radiograph.codestream import Codestream, read_jpeg, read_jpeg2000
from service.radiograph.dicom.codecs import decode_jpeg, decode_jpeg2000, decode_jpeg_ls, decode_rle
from service.radiograph.dicom.pixel_module import PixelModule
from service.radiograph.limits import DecodeLimits

_NATIVE = {
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
}
_JPEG = {
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    # Retired, and still in old archives: spectral selection and full progression.
    uid.UID("1.2.840.10008.1.2.4.53"),
    uid.UID("1.2.840.10008.1.2.4.55"),
}
_JPEG_LS = {uid.JPEGLSLossless, uid.JPEGLSNearLossless}
_JPEG_2000 = {
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
}
_LOSSLESS = {
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
}


DECODED = frozenset(_NATIVE | _JPEG | _JPEG_LS | _JPEG_2000 | {uid.RLELossless})
"""All transfer syntaxes that `stored_values` decodes."""


@dataclass(frozen=True, eq=False)
class StoredValues:
    """Decoded samples before any meaning is given to them.

    Attributes:
        values: (rows, columns) or (rows, columns, 3) of the module's type, unused bits cleared.
        bits: Significant bits.
        ycc: Whether three samples are luminance and chroma rather than red, green and blue.
    """

    values: np.ndarray
    bits: int
    ycc: bool


def is_read(syntax: str) -> bool:
    """Whether a transfer syntax is one that `stored_values` decodes."""
    return syntax in DECODED


def stored_values(
    pixel_data: bytes, syntax: str, module: PixelModule, limits: DecodeLimits, *, ob: bool = False
) -> StoredValues:
    """Decode the pixel data of a file with one frame.

    Args:
        pixel_data: Value of the pixel data element.
        syntax: Transfer syntax UID.
        module: What the file says of its pixels.
        limits: Held against a codestream's own header before it is decoded.
        ob: Whether the element's value representation is OB; 8-bit samples in big-endian OW
            words are swapped in pairs.

    Raises:
        TruncatedImage: Too few bytes, or data that do not decode to what the file says.
        TooLarge: A codestream over a limit.
        Unprocessable: `several_frames` or `transfer_syntax`.
    """
    ycc = module.photometric.startswith("YBR")
    if syntax in _NATIVE:
        big = syntax == uid.ExplicitVRBigEndian
        return StoredValues(
            _cleared(_native(pixel_data, module, big=big, ob=ob), module), module.stored, ycc
        )
    if not is_read(syntax):
        raise Unprocessable("This transfer syntax is not read.", code="transfer_syntax")
    frame = _single_frame(pixel_data)
    if syntax == uid.RLELossless:
        values = decode_rle(frame, module)
        return StoredValues(_cleared(values, module), module.stored, ycc)
    read = read_jpeg2000 if syntax in _JPEG_2000 else read_jpeg
    stream = read(frame)
    stream.check(limits)
    if (stream.height, stream.width, stream.components) != (
        module.rows,
        module.columns,
        module.samples,
    ):
        raise TruncatedImage("The compressed image is not the one that the file describes.")
    if not frame.rstrip(b"\x00\xff").endswith(b"\xd9"):
        # The decoders fill what is missing with grey and say nothing.
        raise TruncatedImage("The compressed image ends early.")
    values = _decoder(syntax)(frame, stream)
    if values.shape != ((module.rows, module.columns, 3)[: 2 + (module.samples == 3)]):
        raise TruncatedImage("The compressed image decodes to something else than it says.")
    if syntax in _JPEG_2000:
        # OpenJPEG undoes the codestream's own colour transform.
        ycc = module.photometric in {"YBR_FULL", "YBR_FULL_422"}
    elif stream.ycc is not None:
        ycc = stream.ycc
    lossless = syntax in _LOSSLESS
    return StoredValues(_conformed(values, module, stream, lossless=lossless), module.stored, ycc)


def _native(pixel_data: bytes, module: PixelModule, *, big: bool, ob: bool) -> np.ndarray:
    """Lay uncompressed bytes out as an array, as a view of them where possible."""
    dtype = module.dtype.newbyteorder(">" if big else "<")
    subsampled = module.photometric == "YBR_FULL_422" and module.samples == 3
    count = module.rows * module.columns * (2 if subsampled else module.samples)
    if len(pixel_data) < count * dtype.itemsize:
        raise TruncatedImage("The file has fewer pixels than it says.")
    if big and module.allocated == 8 and not ob:
        even = np.frombuffer(pixel_data, np.uint16, len(pixel_data) // 2)
        pixel_data = even.byteswap().tobytes()
    values = np.frombuffer(pixel_data, dtype, count)
    if big:
        values = values.astype(module.dtype)
    if subsampled:
        # Two pixels are stored as Y1 Y2 Cb Cr (PS3.3 C.7.6.3.1.2).
        pairs = values.reshape(-1, 4)
        full = np.empty((len(pairs), 2, 3), values.dtype)
        full[:, :, 0] = pairs[:, :2]
        full[:, :, 1:] = pairs[:, None, 2:]
        return full.reshape(module.rows, module.columns, 3)
    if module.samples == 1:
        return values.reshape(module.rows, module.columns)
    if module.planar:
        return values.reshape(3, module.rows, module.columns).transpose(1, 2, 0)
    return values.reshape(module.rows, module.columns, 3)


def _single_frame(pixel_data: bytes) -> bytes:
    """Join the fragments of the only frame (PS3.5 annex A.4)."""
    stream = BytesIO(pixel_data)
    if len(parse_basic_offsets(stream)) > 1:
        raise Unprocessable("The file holds several frames.", code="several_frames")
    fragments = list(generate_fragments(stream))
    if not fragments:
        raise TruncatedImage("The file's pixel data are empty.")
    return fragments[0] if len(fragments) == 1 else b"".join(fragments)


def _decoder(syntax: str) -> Callable[[bytes, Codestream], np.ndarray]:
    if syntax in _JPEG:
        return decode_jpeg
    return decode_jpeg_ls if syntax in _JPEG_LS else decode_jpeg2000


def _cleared(values: np.ndarray, module: PixelModule) -> np.ndarray:
    """Take the stored bits out of the allocated ones; the rest may hold anything (PS3.5 8.1.1)."""
    low = module.high + 1 - module.stored
    if low:
        values = np.right_shift(values, low)
    return _clear_above(values, module.stored)


def _clear_above(values: np.ndarray, bits: int) -> np.ndarray:
    """Drop the bits above `bits`, extending the sign of signed values."""
    unused = values.dtype.itemsize * 8 - bits
    if unused <= 0:
        return values
    low, high = values.min(), values.max()
    if values.dtype.kind == "u":
        return values & values.dtype.type(2**bits - 1) if high >= 2**bits else values
    if low >= -(2 ** (bits - 1)) and high < 2 ** (bits - 1):
        return values
    return np.right_shift(np.left_shift(values, unused), unused)


def _conformed(
    values: np.ndarray, module: PixelModule, stream: Codestream, *, lossless: bool
) -> np.ndarray:
    """Give decoded samples the sign and the range that the file states.

    A JPEG or JPEG-LS codestream cannot say that its samples are signed, and JPEG 2000 encoders
    often do not: the bits are the same and mean what pixel representation says. Encoders also
    like to call 12 bits 16; then a lossless codestream may carry anything in the unused bits,
    as uncompressed values may, while a lossy one overshoots and is clipped.
    """
    width = values.dtype.itemsize * 8
    if width > 16:
        raise Unprocessable("Samples of more than 16 bits are not read.", code="pixel_format")
    if module.signed and values.dtype.kind == "u":
        if width < module.allocated:
            values = values.astype(np.uint16)
        values = _clear_above(values.view(f"i{values.dtype.itemsize}"), module.stored)
    elif not module.signed and values.dtype.kind == "i":
        values = _clear_above(values.view(f"u{width // 8}"), stream.precision)
    if lossless:
        return _clear_above(values, module.stored)
    low, high = module.stored_range
    if values.min() < low or values.max() > high:
        kind = np.iinfo(values.dtype)
        values = np.clip(values, max(low, kind.min), min(high, kind.max))
    return values
