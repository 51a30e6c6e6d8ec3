"""Previews: the radiograph as the service sees it, in greys that a browser can show."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from service.errors import NotAnImage, TooLarge
from service.radiograph.limits import DecodeLimits
from service.radiograph.memory_budget import MemoryBudget
from service.radiograph.preview import LONGEST_SIDE, halved, preview, shrunk
from service.radiograph.radiograph import Radiograph, Source
from service.radiograph.reader import RadiographReader

READER = RadiographReader(DecodeLimits(), voi=True, ages=None, memory=MemoryBudget(1 << 40))


def radiograph(pixels: np.ndarray, white: float) -> Radiograph:
    rows, columns = pixels.shape
    return Radiograph(pixels, white, Source("PNG", 16, columns, rows, "full range"))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_every_depth_becomes_eight_bits_by_rounding(kind):
    """A value's share of white, times 255 and rounded, is the grey that is shown."""
    pixels = np.tile(np.array([0, 128, 129, 32767, 65535]).astype(kind), (600, 1))
    shown = np.asarray(shrunk(radiograph(pixels, 65535.0)))
    assert shown.dtype == np.uint8
    assert (shown == [0, 0, 1, 127, 255]).all()


@pytest.mark.parametrize(
    ("rows", "columns", "shape"),
    [
        (300, 200, (300, 200)),
        (2048, 64, (2048, 64)),
        (1000, 4096, (500, 2048)),
        (3072, 9, (2048, 6)),
    ],
)
def test_the_longer_side_is_2048_at_the_most(rows, columns, shape):
    """The whole field of view is kept, made smaller where it is over the limit, never larger."""
    assert LONGEST_SIDE == 2048
    assert np.asarray(shrunk(radiograph(np.zeros((rows, columns), np.uint8), 255.0))).shape == shape


def test_pixels_are_averaged():
    """Made smaller, a pixel of the preview is the mean of those that it stands for."""
    pixels = np.zeros((4096, 4096), np.uint8)
    pixels[::2, ::2] = 200
    assert (np.asarray(shrunk(radiograph(pixels, 255.0))) == 50).all()


@pytest.mark.parametrize(
    ("limit", "reduction", "shape"),
    [(1600, 1, (1600, 1301)), (1599, 2, (800, 651)), (400, 4, (400, 326))],
)
def test_sides_are_halved_until_the_longer_one_fits(limit, reduction, shape):
    """A pixel is the mean of its block, and how many pixels it stands for is kept."""
    pixels = np.full((1600, 1301), 40_000, np.uint16)
    pixels[::2] = 0
    small = halved(radiograph(pixels, 65_535.0), limit)
    assert (small.pixels.shape, small.reduction) == (shape, reduction)
    if reduction > 1:
        assert (small.white, set(np.unique(small.pixels))) == (255.0, {78})


def test_a_preview_is_a_grey_png():
    """The answer is a PNG file of 8-bit greys, pixel for pixel the image that was sent."""
    pixels = np.arange(64 * 48, dtype=np.uint8).reshape(64, 48)
    shown = Image.open(io.BytesIO(preview(png(pixels), READER)))
    assert (shown.format, shown.mode) == ("PNG", "L")
    assert (np.asarray(shown) == pixels).all()


def test_what_is_no_image_has_no_preview():
    """A file that cannot be scored for its format cannot be shown either."""
    with pytest.raises(NotAnImage):
        preview(b"hello", READER)


def test_the_limits_of_predictions_hold():
    """A file over a limit on pixels is not drawn either."""
    tight = dataclasses.replace(READER, limits=DecodeLimits(pixels=4000))
    with pytest.raises(TooLarge):
        preview(png(np.zeros((64, 64), np.uint8)), tight)
