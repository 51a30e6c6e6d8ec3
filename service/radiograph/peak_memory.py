"""Bytes that decoding an image takes at its peak, told from its header alone.

The factors are what `bench/decode_memory.py` measures, rounded up; a test holds them. The upload
itself is not in them, which is counted where it is held; copies of it are.
"""

from __future__ import annotations

import math
from typing import Any

from PIL import Image
from pydicom import uid

from service.radiograph.codestream import Codestream

GREY_16 = {"I;16", "I;16L", "I;16B", "I;16N"}
"""Modes of which Pillow keeps two bytes a pixel."""
_ONE_BYTE = {"1", "L", "P"}
"""Modes of which it keeps one; of all others it keeps four."""
_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_NATIVE = {
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
}
_TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 322, 323


def raster_peak(image: Image.Image, form: str, stream: Codestream | None, file: int) -> int:
    """Peak of decoding a raster file through Pillow, in bytes.

    Args:
        image: Opened, its size and mode set as they are to be decoded, not loaded.
        form: Pillow's name of the format.
        stream: The codestream's header, where the format has one.
        file: Bytes of the file.
    """
    pixels = image.width * image.height
    # What Pillow keeps, and what is made of it.
    if image.mode in GREY_16:
        stored, converted = 2, 2
    elif has_alpha(image):
        stored, converted = 4, 8
    elif image.mode in _ONE_BYTE:
        stored, converted = 1, 2
    else:
        stored, converted = 4, 3 if image.mode in {"RGB", "YCbCr"} else 6
    # What the decoder has of its own beside that, and gives back before it is converted.
    own = 0
    if form == "JPEG" and stream is not None and stream.buffered:
        own = 2 * stream.components * stream.width * stream.height
    elif form == "TIFF":
        # A strip or a tile at a time, which may be as large as the image, or larger.
        own = stored * max(pixels, math.prod(tile_sides(image)))
    elif form == "WEBP":
        own = 14 * pixels
    elif form == "JPEG2000" and stream is not None:
        own = (4 + stored) * stream.components * pixels + file
    return stored * pixels + max(converted * pixels, own)


def has_alpha(image: Image.Image) -> bool:
    """Whether an image's pixels may be transparent."""
    return image.mode in _ALPHA or "transparency" in image.info


def tile_sides(image: Image.Image) -> tuple[Any, Any]:
    """Width and height of a TIFF's tiles as the file says, (0, 0) where it has none."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(_TIFF_TILE_WIDTH, 0), tags.get(_TIFF_TILE_HEIGHT, 0)


def dicom_peak(
    rows: int, columns: int, samples: int, allocated: int, syntax: str, file: int
) -> int:
    """Peak of decoding a DICOM file, in bytes.

    Args:
        rows: Height.
        columns: Width.
        samples: Samples a pixel.
        allocated: Bits that a sample takes.
        syntax: Transfer syntax.
        file: Bytes of the file.
    """
    pixels = rows * columns
    stored = samples * min(max(allocated // 8, 1), 2) * pixels
    # Of native pixels: the value of the element, stored bits taken out of the allocated ones, in
    # colour laid out anew, two bytes of grey and two masks of what is padding.
    native = file + (1 if samples == 1 else 2) * stored + 4 * pixels
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        return native + 3 * stored
    if syntax in _NATIVE:
        return native
    if (
        syntax in uid.JPEG2000TransferSyntaxes
    ):  # samples of 32 bits, and the compressed data once more
        return 3 * file + 4 * samples * pixels + stored + pixels
    return 2 * file + 2 * stored + 3 * pixels
