"""How an image becomes the network's square, and how heat maps come back to it."""

import numpy as np
import pytest
from explained import explained

from bench.files import chest, raster, stored
from service.explain.drawing.heat_map import in_source, overlay
from service.explain.hotspot import Box, locate
from service.network.answer import image_answer
from service.network.predictor import open_predictor
from service.radiograph.decode import decode
from service.radiograph.framing import frame
from service.radiograph.preprocess import Geometry, preprocess
from service.radiograph.radiograph import Radiograph, Source
from service.radiograph.rectangle import Margins, Rectangle
from service.settings import read_settings


def radiograph(pixels, white=255.0, reduction=1, size=None):
    rows, columns = size or pixels.shape
    source = Source("PNG", 8, columns, rows, "full range of 8 bits")
    return Radiograph(pixels, white, source, (), reduction)


def letterboxed(pixels, **more):
    made = radiograph(pixels, **more)
    geometry = Geometry(made.source.width, made.source.height, "letterbox")
    return preprocess(made, geometry).pixels[0]


GEOMETRIES = {
    "crop, portrait": (Geometry(300, 501), (0, 100, 300), (0, 100, 300, 400)),
    "letterbox, portrait": (Geometry(300, 501, "letterbox"), (-100, 0, 501), (0, 0, 300, 501)),
    "letterbox, landscape": (Geometry(500, 301, "letterbox"), (0, -100, 500), (0, 0, 500, 301)),
    "letterbox, square": (Geometry(300, 300, "letterbox"), (0, 0, 300), (0, 0, 300, 300)),
    "crop, border cut off": (
        Geometry(400, 500, "crop", Margins(20, 50, 80, 10)),
        (20, 120, 300),
        (20, 120, 320, 420),
    ),
    "letterbox, border cut off": (
        Geometry(400, 500, "letterbox", Margins(20, 50, 80, 10)),
        (-50, 50, 440),
        (20, 50, 320, 490),
    ),
}


@pytest.mark.parametrize(("geometry", "square", "seen"), GEOMETRIES.values(), ids=list(GEOMETRIES))
def test_where_the_square_lies(geometry, square, seen):
    """The square is centred on the image less its border: inside it as a crop, around it as a
    letterbox; what is seen is what both have in common."""
    left, top, side = square
    assert (geometry.left, geometry.top, geometry.side) == square
    assert geometry.square == Rectangle(left, top, left + side, top + side)
    assert geometry.seen == Rectangle(*seen)
    unseen = (seen[0], seen[1], geometry.width - seen[2], geometry.height - seen[3])
    assert geometry.unseen == Margins(*unseen)
    area = (seen[2] - seen[0]) * (seen[3] - seen[1])
    assert geometry.unseen_share == pytest.approx(1 - area / (geometry.width * geometry.height))


@pytest.mark.parametrize(
    "size", [(40, 90), (225, 301), (640, 447), (301, 1200), (500, 40), (224, 224)], ids=str
)
def test_a_letterbox_is_the_image_in_a_black_square(size):
    """Letterboxing gives what cropping gives of the image padded with black to a square."""
    pixels = stored(chest(9, *size), 12)
    rows, columns = size
    side = max(size)
    top, left = side // 2 - rows // 2, side // 2 - columns // 2
    padded = np.zeros((side, side), np.uint16)
    padded[top : top + rows, left : left + columns] = pixels
    expected = preprocess(radiograph(padded, 4095.0)).pixels[0]
    np.testing.assert_allclose(letterboxed(pixels, white=4095.0), expected, atol=1e-6)


def test_a_white_image_fills_its_part_of_a_letterbox():
    """A white image of 224 x 448, made half as large, is white from column 57 to 166 of 224; at
    its edges the filter mixes 7/8 and 1/8 of white, and the rest is black."""
    found = letterboxed(np.full((448, 224), 255, np.uint8))
    expected = np.zeros(224, np.float32)
    expected[57:167] = 1
    expected[[55, 168]], expected[[56, 167]] = 0.125, 0.875
    np.testing.assert_allclose(found, np.tile(expected, (224, 1)), atol=1e-6)


def test_a_reduced_letterbox_lies_where_the_source_does():
    """A reduced image is letterboxed on the source's pixels."""
    ramp = np.tile(np.linspace(0, 1000, 600, dtype=np.float32), (1200, 1))
    small = ramp.reshape(600, 2, 300, 2).mean(axis=(1, 3))
    full = letterboxed(ramp, white=1000.0)
    reduced = letterboxed(small, white=1000.0, reduction=2, size=(1200, 600))
    assert np.abs(full - reduced)[:, 58:166].max() <= 5e-3
    assert (reduced[:, :55] == 0).all()


@pytest.mark.parametrize("framing", ["crop", "letterbox"])
@pytest.mark.parametrize("shade", [0, 255], ids=["black", "white"])
def test_a_border_that_is_cut_off_has_no_say(framing, shade):
    """With the border cut off the network gets the very input of the picture inside it."""
    picture = np.rint(40 + 160 * chest(5, 300, 260)).astype(np.uint8)
    page = np.pad(picture, ((33, 50), (61, 20)), constant_values=shade)
    framed = frame(decode(raster(page, "PNG")), framing, trim_border=True)
    alone = frame(decode(raster(picture, "PNG")), framing)
    np.testing.assert_array_equal(framed.input.pixels, alone.input.pixels)
    assert framed.input.geometry.cut == Margins(61, 33, 20, 50)
    assert framed.reasons == ()
    assert framed.warnings[0] == (
        "The border was cut off: 61 pixels at the left, 33 pixels at the top, 20 pixels at the "
        "right and 50 pixels at the bottom."
    )


def test_a_border_stays_where_nothing_else_is_set():
    """Without the setting, a border is warned about and scored with the image."""
    picture = np.rint(40 + 160 * chest(5, 300, 260)).astype(np.uint8)
    framed = frame(decode(raster(np.pad(picture, 60), "PNG")))
    assert framed.input.geometry == Geometry(380, 420)
    assert [reason.code for reason in framed.reasons] == ["border"]


def test_a_letterbox_is_seen_whole():
    """Nothing of a letterboxed image is unseen, so nothing is warned about."""
    framed = frame(decode(raster(stored(chest(4, 300, 224), 8), "PNG")), "letterbox")
    assert framed.warnings == ()


def hot(row, column):
    values = np.zeros((7, 7), np.float32)
    values[row, column] = 1
    return values


PLACES = {
    "letterbox, portrait": (Geometry(300, 500, "letterbox"), (3, 2), (77, 248)),
    "letterbox, landscape": (Geometry(700, 300, "letterbox"), (4, 5), (545, 251)),
    "crop, border cut off": (
        Geometry(400, 500, "crop", Margins(50, 50, 50, 150)),
        (1, 5),
        (283, 116),
    ),
    "letterbox, border cut off": (
        Geometry(600, 420, "letterbox", Margins(100, 20, 100, 100)),
        (3, 3),
        (299, 169),
    ),
}


@pytest.mark.parametrize(("geometry", "cell", "pixel"), PLACES.values(), ids=list(PLACES))
def test_the_peak_of_a_map_comes_back_to_the_image(geometry, cell, pixel):
    """Peak, box and colours lie where they lie in the network's square alone, counted from the
    square's place in the image."""
    values, side = hot(*cell), geometry.side
    place, alone = locate(values, geometry), locate(values, Geometry(side, side))
    assert (place.column, place.row) == pixel
    assert pixel == (geometry.left + alone.column, geometry.top + alone.row)
    x, y = geometry.left + alone.box.left, geometry.top + alone.box.top
    assert place.box == Box(x, y, alone.box.width, alone.box.height)
    drawn = np.asarray(in_source(values, geometry)).astype(int)
    assert drawn.shape == (geometry.height, geometry.width)
    square = np.asarray(in_source(values, Geometry(side, side))).astype(int)
    seen = geometry.seen
    part = square[
        seen.top - geometry.top : seen.bottom - geometry.top,
        seen.left - geometry.left : seen.right - geometry.left,
    ]
    assert np.abs(drawn[seen.top : seen.bottom, seen.left : seen.right] - part).max() <= 2
    drawn[seen.top : seen.bottom, seen.left : seen.right] = 0
    assert not drawn.any()


def test_heat_beside_the_image_is_not_drawn_nor_found():
    """Of a map that is hottest in the black beside a letterboxed image, peak and box are those of
    what lies in the image."""
    geometry = Geometry(300, 700, "letterbox")
    values = np.maximum(hot(3, 1), hot(3, 2) * np.float32(0.9))
    place = locate(values, geometry)
    assert 0 <= place.column < 100
    assert 300 <= place.row < 400
    assert place.box.left == 0
    drawn = np.asarray(in_source(np.ones((7, 7), np.float32), geometry))
    assert drawn.shape == (700, 300)
    assert (drawn == 255).all()


def test_a_map_of_the_black_beside_the_image_is_not_shown():
    """Where what speaks for a finding lies in the black that was added, there is no map, and the
    reason says so."""
    found = explained(hot(3, 0), geometry=Geometry(300, 700, "letterbox"))
    assert found.values is None
    assert found.reason == "The map is hottest in the black that was added beside the image."


def test_an_overlay_marks_what_was_seen():
    """A map over an image whose border was cut off lies inside it, between two lines."""
    geometry = Geometry(400, 300, "crop", Margins(50, 0, 50, 0))
    made = radiograph(np.full((300, 400), 100, np.uint8))
    drawn = np.asarray(overlay(made, np.ones((7, 7), np.float32), geometry, 1.0)).astype(int)
    grey = np.ptp(drawn, axis=2) == 0
    assert grey[:, :49].all()
    assert grey[:, 351:].all()
    assert not grey[:, 50:350].any()


def test_the_answer_names_the_framing_and_the_border():
    """`image.crop` has the square, how it was chosen, and the border that was cut off."""
    picture = np.rint(40 + 160 * chest(5, 300, 260)).astype(np.uint8)
    made = decode(raster(np.pad(picture, 60), "PNG"))
    for framing, square in (("crop", (60, 80, 260)), ("letterbox", (40, 60, 300))):
        framed = frame(made, framing, trim_border=True)
        crop = image_answer(made, framed.input).crop
        assert (crop.left, crop.top, crop.side) == square
        assert crop.framing == framing
        assert crop.border.model_dump() == {"left": 60, "top": 60, "right": 60, "bottom": 60}
    assert image_answer(made, frame(made).input).crop.border is None


def test_framing_and_border_are_settings(demo_bundle, monkeypatch):
    """`CXR_FRAMING` and `CXR_TRIM_BORDER` decide what a prediction's network sees."""
    picture = np.rint(40 + 160 * chest(5, 300, 260)).astype(np.uint8)
    data = raster(np.pad(picture, 60), "PNG")
    monkeypatch.setenv("CXR_BUNDLE", str(demo_bundle))
    monkeypatch.setenv("CXR_FRAMING", "letterbox")
    monkeypatch.setenv("CXR_TRIM_BORDER", "true")
    answer = open_predictor(read_settings()).predict(data)
    expected = frame(decode(raster(picture, "PNG")), "letterbox").input
    assert answer.image.sha256_pixels == expected.sha256
    assert (answer.image.crop.framing, answer.image.crop.side) == ("letterbox", 300)
