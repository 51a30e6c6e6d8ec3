"""From the bytes of a file to a radiograph; the only place where a file's format matters."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from service.errors import NotAnImage, TooLarge, TruncatedImage, Unprocessable
from service.radiograph import Radiograph, Source

_MODES_8_BIT = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"}
_MODES_16_BIT = {"I;16", "I;16L", "I;16B", "I"}


def decode(data: bytes) -> Radiograph:
    """Decode the bytes of an image file.

    Args:
        data: The whole file.

    Raises:
        NotAnImage: No format that is read here.
        TruncatedImage: The file ends early or its data are damaged.
        TooLarge: More pixels than Pillow takes for safe.
        Unprocessable: An image that is no still radiograph.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
            image.load()
    except UnidentifiedImageError as error:
        raise NotAnImage("This is not an image that can be read here: send PNG or JPEG.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLarge("The image has more pixels than are accepted.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise TruncatedImage("The image is damaged or ends early.") from error
    form = image.format or "unknown"
    if image.mode in _MODES_16_BIT:
        pixels, bits = np.asarray(image).astype(np.uint16), 16
    elif image.mode in _MODES_8_BIT:
        pixels, bits = np.asarray(image.convert("L")), 8
    else:
        raise Unprocessable(f"Pixels of the kind {image.mode} are not read.", code="pixel_format")
    rows, columns = pixels.shape
    source = Source(form, bits, columns, rows, intensity=f"full range of {bits} bits")
    return Radiograph(pixels, float(2**bits - 1), source)
