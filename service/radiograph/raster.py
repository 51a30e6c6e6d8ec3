"""PNG, JPEG, TIFF, WebP and JPEG 2000 files, through Pillow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, UnidentifiedImageError

from service.errors import NotAnImage, TooLarge, TruncatedImage, Unprocessable
from service.radiograph.codestream import Codestream, read_jpeg, read_jpeg2000
from service.radiograph.colour import chroma, refuse_photograph, sample
from service.radiograph.limits import Deadline, DecodeLimits, TimedBytes
from service.radiograph.memory_budget import Claim
from service.radiograph.peak_memory import GREY_16, has_alpha, raster_peak, tile_sides
from service.radiograph.radiograph import Radiograph, Source

# Pillow's own bound on pixels is one number for the process and warns through `warnings`, which
# threads share. Here DecodeLimits holds every size against the header before pixels are loaded.
Image.MAX_IMAGE_PIXELS = None

LEAST_REDUCED = 2.2 * 224
"""Shortest side that scaled JPEG decoding must leave, in pixels; from `bench/upstream.py`. With
2.2 times the network's input, scaled pixels stay within 2/255 of the full ones on radiographs;
along hard-edged lettering a few differ by up to 10/255, which moved no decision."""

_BAND = 2**20
"""Pixels that are copied out of Pillow at a time."""

_GREY_8 = {"1", "L", "LA", "La"}
_COLOUR = {"P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB"}
_NAMES = {"P": "palette", "PA": "palette", "1": "bilevel", "RGBX": "RGB", "RGBa": "RGBA"}
_TIFF_PHOTOMETRIC, _TIFF_BITS = 262, 258
_EXIF_ORIENTATION = 274

_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}
"""What undoes each EXIF orientation (EXIF 2.3, tag 0x0112)."""


def decode_raster(
    data: bytes,
    form: str,
    *,
    limits: DecodeLimits,
    deadline: Deadline,
    reduce: bool,
    claim: Claim | None = None,
) -> Radiograph:
    """Decode a raster file of a known format.

    Args:
        data: The whole file.
        form: Pillow's name of the format: PNG, JPEG, TIFF, WEBP, JPEG2000.
        limits: Held against the header before pixels are loaded.
        deadline: When to give up.
        reduce: Whether a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size where the network's
            input needs no more.
        claim: Told the memory that decoding takes, before it is taken.

    Raises:
        NotAnImage: The signature is there and no image behind it.
        TruncatedImage: The file ends early or its data are damaged.
        TooLarge: Over a limit.
        Unprocessable: `several_frames`, `pixel_format`, `not_a_radiograph`, `too_small`.
    """
    stream = _codestream(data, form, limits)
    try:
        image = Image.open(TimedBytes(data, deadline), formats=(form,))
    except UnidentifiedImageError as error:
        if stream is not None:
            raise TruncatedImage("The image is damaged or ends early.") from error
        raise NotAnImage("The file begins like an image and holds none.") from error
    limits.check_size(*image.size)
    if form == "TIFF":
        _check_tiles(image, limits)
    _refuse_frames(image)
    orientation = 1 if form == "TIFF" else _orientation(image)  # Pillow turns TIFFs by itself
    width, height = image.size
    reduction = 1
    if form == "JPEG" and stream is not None:
        reduction = _draft(image, stream, orientation, reduce=reduce)
    if claim is not None:
        depth = 2 if image.mode in GREY_16 else 1
        claim.take(raster_peak(image, form, stream, len(data)), image.width * image.height, depth)
        deadline.restart()
    image.load()
    deadline.check()
    kind, notes = image.mode, tuple[str, ...]()
    if kind in GREY_16:
        pixels, white, bits = _sixteen_bits(image, form, stream)
        words = f"full range of {bits} bits"
    elif kind in _GREY_8 | _COLOUR:
        grey, notes = _grey(image)
        pixels, white, bits = _array(grey, np.uint8), 255.0, 1 if kind == "1" else 8
        words = f"full range of {bits} bits" if bits > 1 else "black and white"
    else:
        raise Unprocessable(f"Pixels of the kind {kind} are not read.", code="pixel_format")
    if orientation in _UPRIGHT:
        pixels = np.ascontiguousarray(_UPRIGHT[orientation](pixels))
        if orientation >= 5:
            width, height = height, width
    elif reduction == 1:
        height, width = pixels.shape
    source = Source(
        form,
        bits,
        width,
        height,
        words,
        photometric_interpretation=_NAMES.get(kind, "grey" if kind in _GREY_8 | GREY_16 else kind),
    )
    return Radiograph(pixels, white, source, notes, reduction)


def _codestream(data: bytes, form: str, limits: DecodeLimits) -> Codestream | None:
    """Check the header of a codestream on its own, before Pillow sees the file."""
    if form == "JPEG":
        stream = read_jpeg(data)
    elif form == "JPEG2000":
        stream = read_jpeg2000(data)
    else:
        return None
    stream.check(limits)
    return stream


def _check_tiles(image: Image.Image, limits: DecodeLimits) -> None:
    """Check the limits for a TIFF's tiles; a tile may be larger than the image."""
    width, height = tile_sides(image)
    if not (isinstance(width, int) and isinstance(height, int)):
        raise TruncatedImage("The TIFF tile size is damaged.")
    if max(width, height) > limits.longest or width * height > limits.pixels:
        raise TooLarge(f"The TIFF has tiles of {width} x {height} pixels.", limit="pixels")


def _refuse_frames(image: Image.Image) -> None:
    """Refuse animations and files of several pages."""
    if image.format == "TIFF":
        # Counting pages walks the whole chain; the second one is enough.
        try:
            image.seek(1)
        except EOFError:
            image.seek(0)
            return
    elif getattr(image, "n_frames", 1) == 1:
        return
    raise Unprocessable(
        "The file holds several images; send the one that is meant.", code="several_frames"
    )


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 (upright) where there is none or it cannot be read."""
    if "exif" not in image.info:
        return 1
    try:
        found = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # Pillow lets anything through that damaged EXIF data provoke
        return 1
    return found if isinstance(found, int) and found in _UPRIGHT else 1


def _draft(image: Image.Image, stream: Codestream, orientation: int, *, reduce: bool) -> int:
    """Ask libjpeg for luminance and chroma rather than RGB, and for no more pixels than needed.

    Returns:
        The reduction that was agreed: 1, 2, 4 or 8.
    """
    width, height = image.size
    reduction = 1
    if reduce:
        sides = (r for r in (8, 4, 2) if min(width, height) / r >= LEAST_REDUCED)
        reduction = next(sides, 1)
    if orientation != 1 and (width % reduction or height % reduction):
        # A flip would move the last, partly empty column or row to the front.
        reduction = 1
    mode = "YCbCr" if image.mode == "RGB" and stream.ycc is not False else image.mode
    image.draft(mode, (width // reduction, height // reduction))
    if image.size != (-(-width // reduction), -(-height // reduction)):
        raise TruncatedImage("The JPEG cannot be decoded at the size its header says.")
    return reduction


def _array(image: Image.Image, dtype: type[np.uint8 | np.uint16]) -> np.ndarray:
    """The pixels of an image of one channel.

    Pillow hands an image out in pieces that it joins, three times its size at once: a large one is
    copied in bands of rows.
    """
    columns, rows = image.size
    step = max(1, _BAND // columns)
    if rows <= step:
        return np.asarray(image, dtype)
    pixels = np.empty((rows, columns), dtype)
    for top in range(0, rows, step):
        band = image.crop((0, top, columns, min(top + step, rows)))
        pixels[top : top + step] = np.asarray(band)
    return pixels


def _sixteen_bits(
    image: Image.Image, form: str, stream: Codestream | None
) -> tuple[np.ndarray, float, int]:
    """Pixels, white and significant bits of a grey image with more than 8 bits."""
    pixels = _array(image, np.uint16)
    bits, white = 16, 65535
    if form == "JPEG2000" and stream is not None and stream.precision < 16:
        # Pillow shifts fewer bits up to 16 and leaves the lower ones empty.
        bits = stream.precision
        white = (2**bits - 1) << (16 - bits)
    elif form == "TIFF":
        tags = getattr(image, "tag_v2", {})
        stored = tags.get(_TIFF_BITS, (16,))
        bits = int(stored[0] if isinstance(stored, tuple) else stored)
        white = 2**bits - 1
        if tags.get(_TIFF_PHOTOMETRIC) == 0:  # WhiteIsZero, which Pillow undoes for 8 bits alone
            pixels = np.uint16(white) - pixels
    return pixels, float(white), bits


def _grey(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Luminance of an 8-bit image, with transparency laid over black.

    Raises:
        Unprocessable: With the code `not_a_radiograph` for a colour photograph.
    """
    notes: tuple[str, ...] = ()
    if image.mode == "YCbCr":
        ycc = np.asarray(sample(image), np.float32)
        refuse_photograph(ycc - np.array([0, 128, 128], np.float32))
        return image.getchannel(0), notes
    alpha: Image.Image | None = None
    if has_alpha(image):
        mode = "LA" if image.mode in {"1", "L", "LA", "La"} else "RGBA"
        image = image if image.mode == mode else image.convert(mode)
        alpha = image.getchannel("A")
    if image.mode not in _GREY_8:
        refuse_photograph(chroma(np.asarray(sample(image).convert("RGB"))))
    grey = image if image.mode == "L" else image.convert("L")
    if alpha is not None and alpha.getextrema()[0] != 255:
        grey = Image.composite(grey, Image.new("L", grey.size, 0), alpha)
        notes = ("Transparent pixels were taken as black.",)
    return grey, notes
