"""The border around the picture on an image."""

import numpy as np
import pytest

from bench.files import chest, raster
from service.radiograph.border import Border, find_border, may_be_cut
from service.radiograph.decode import decode
from service.radiograph.radiograph import Radiograph, Source
from service.radiograph.rectangle import Margins


def radiograph(pixels, white=255.0):
    rows, columns = pixels.shape
    return Radiograph(pixels, white, Source("PNG", 8, columns, rows, "full range of 8 bits"))


def picture(rows, columns, bits=8):
    """Grey values of a phantom between 40 and 200 of 255: none is near black or white."""
    levels = 40 + 160 * chest(5, rows, columns)
    return np.rint(levels * (2**bits - 1) / 255).astype(np.uint8 if bits == 8 else np.uint16)


def bordered(margins, shade=0, size=(300, 260), bits=8):
    left, top, right, bottom = margins
    inside = picture(*size, bits)
    return np.pad(inside, ((top, bottom), (left, right)), constant_values=shade)


@pytest.mark.parametrize("size", [(100, 90), (300, 260), (1500, 1101)], ids=str)
@pytest.mark.parametrize(
    "margins",
    [(31, 17, 5, 44), (30, 0, 0, 0), (0, 29, 0, 0), (0, 0, 28, 0), (0, 0, 0, 27), (1, 1, 1, 1)],
    ids=str,
)
@pytest.mark.parametrize(("shade", "bits"), [(0, 8), (255, 8), (0, 12), (4095, 12)], ids=str)
def test_a_border_is_found_to_the_pixel(size, margins, shade, bits):
    """Margins of black or white are measured exactly, at every edge and at any size and depth."""
    pixels = bordered(margins, shade, size, bits)
    found = find_border(radiograph(pixels, 2.0**bits - 1))
    assert found.margins == Margins(*margins)
    assert found.shade == ("white" if shade else "black")
    assert found.share == pytest.approx(1 - size[0] * size[1] / pixels.size)


def test_a_picture_without_a_border_has_none():
    """Neither a phantom nor one with a black corner has a border."""
    pixels = picture(300, 260)
    assert find_border(radiograph(pixels)) is None
    pixels[:100, :100] = 0
    assert find_border(radiograph(pixels)) is None


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_image_of_one_shade_has_no_border(level):
    """Where there is no picture, there is no border around it."""
    assert find_border(radiograph(np.full((64, 80), level, np.uint8))) is None


def test_the_wider_shade_counts():
    """Where edges differ in shade, the border is of the shade of the widest margin."""
    pixels = np.pad(picture(200, 200), ((0, 0), (20, 40)), constant_values=((0, 0), (0, 255)))
    assert find_border(radiograph(pixels)) == Border(
        Margins(0, 0, 40, 0), "white", pytest.approx(40 / 260)
    )


def test_what_jpeg_leaves_of_black_is_black():
    """The border of a JPEG of quality 75 is found to the block of 8 pixels, and may be cut off."""
    made = decode(raster(bordered((48, 48, 48, 48)), "JPEG", quality=75))
    found = find_border(made)
    assert all(40 <= width <= 48 for width in found.margins)
    assert may_be_cut(made, found)


def test_a_border_is_counted_in_source_pixels():
    """Where decoding reduced the image, margins are those of the file, to the reduced pixel."""
    data = raster(bordered((200, 120, 400, 280), size=(1500, 1301)), "JPEG", quality=95)
    made = decode(data, reduce=True)
    assert made.reduction == 2
    for width, expected in zip(find_border(made).margins, (200, 120, 400, 280), strict=True):
        assert abs(width - expected) <= 2


CUT = {
    "black all round": (bordered((40, 40, 40, 40)), True),
    "white all round": (bordered((3, 3, 3, 3), 255), True),
    "black, narrow": (bordered((10, 10, 10, 10)), False),
    "a bar at one edge": (bordered((80, 0, 0, 0)), True),
    "hardly a picture left": (bordered((40, 40, 40, 40), size=(31, 90)), False),
}


@pytest.mark.parametrize(("pixels", "cut"), CUT.values(), ids=list(CUT))
def test_which_borders_may_be_cut(pixels, cut):
    """A border may be cut where it is as wide as one and leaves a picture of 32 pixels a side."""
    made = radiograph(pixels)
    assert may_be_cut(made, find_border(made)) is cut


def test_a_border_with_something_in_it_is_not_cut():
    """A mark that hides between the lines that are looked at keeps a border from being cut off."""
    pixels = bordered((200, 200, 200, 200), size=(1000, 900))
    pixels[5:11] = 180  # as every eleventh row is looked at
    made = radiograph(pixels)
    found = find_border(made)
    assert found.margins.top >= 200
    assert not may_be_cut(made, found)
