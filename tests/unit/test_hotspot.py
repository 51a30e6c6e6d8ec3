"""Where a map points: pixels, boxes, words, and what was never seen."""

import numpy as np
import pytest

from service.explain.hotspot import (
    Box,
    Hotspot,
    Unseen,
    at_input,
    describe_hotspot,
    directions,
    locate,
    patient_side,
    unseen,
)
from service.radiograph.preprocess import Geometry


def hot(*cells, size=7):
    values = np.zeros((size, size), np.float32)
    for row, column, value in cells:
        values[row, column] = value
    return values


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [
        (Geometry(224, 224), (80, 112)),
        (Geometry(448, 448), (160, 224)),
        (Geometry(1000, 448), (276 + 160, 224)),
        (Geometry(448, 1000), (160, 276 + 224)),
    ],
    ids=["as the network", "twice", "landscape", "portrait"],
)
def test_the_peak_of_one_hot_cell_is_its_middle(geometry, expected):
    """The peak is in the middle of a lone cell, in source pixels past the margin."""
    place = locate(hot((3, 2, 1.0)), geometry)
    assert abs(place.column - expected[0]) <= geometry.side / 224
    assert abs(place.row - expected[1]) <= geometry.side / 224


def test_the_peak_lies_between_two_equal_cells():
    """Two neighbours that are as hot as each other have their peak on the border between them."""
    place = locate(hot((3, 2, 1.0), (3, 3, 1.0)), Geometry(224, 224))
    assert place.column in (95, 96)
    assert place.row in (111, 112)


def test_the_box_is_symmetric_about_a_lone_cell():
    """A lone hot cell's box is square, centred on it, and about one cell wide."""
    box = locate(hot((3, 3, 1.0)), Geometry(224, 224)).box
    assert box.left + box.width / 2 == pytest.approx(112, abs=0.5)
    assert box.top + box.height / 2 == pytest.approx(112, abs=0.5)
    assert box.width == box.height
    assert 24 <= box.width <= 36


def test_the_box_leaves_out_what_does_not_hang_together_with_the_peak():
    """A second hot place in the other lung does not stretch the box to both."""
    box = locate(hot((3, 1, 1.0), (3, 5, 0.95)), Geometry(224, 224)).box
    assert box.left + box.width < 112


def test_the_box_stays_inside_the_crop():
    """A peak in the corner has a box inside the network's square, at least one pixel wide."""
    geometry = Geometry(5, 3)
    box = locate(hot((0, 0, 1.0)), geometry).box
    assert box.left >= geometry.left == 1
    assert box.top >= 0
    assert box.width >= 1
    assert box.height >= 1
    assert box.left + box.width <= geometry.left + geometry.side


@pytest.mark.parametrize("cells", [7, 14, 28, 56])
def test_a_spread_map_peaks_at_one_and_never_falls_below_zero(cells):
    """Whatever the grid, the spread map lies in [0, 1] and reaches 1 at exactly its peak."""
    values = np.random.default_rng(cells).random((cells, cells), np.float32)
    heat = at_input(values)
    assert heat.shape == (224, 224)
    assert heat.min() >= 0
    assert np.count_nonzero(heat == 1) == 1


@pytest.mark.parametrize(
    ("column", "row", "orientation", "words"),
    [
        (10, 10, None, "image left, upper third"),
        (290, 150, None, "image right, middle third"),
        (290, 299, None, "image right, lower third"),
        (10, 100, ("L", "F"), "image left, middle third (the patient's right)"),
        (290, 10, ("L", "F"), "image right, upper third (the patient's left)"),
        (290, 10, ("R", "F"), "image right, upper third (the patient's right)"),
        (290, 10, ("LA", "F"), "image right, upper third (the patient's left)"),
        (290, 10, ("F", "R"), "image right, upper third (the patient's left)"),
        (290, 10, ("A", "F"), "image right, upper third"),
    ],
    ids=[
        "left",
        "middle",
        "bottom edge",
        "frontal",
        "frontal right",
        "mirrored",
        "oblique",
        "turned",
        "lateral",
    ],
)
def test_a_place_is_said_as_a_radiologist_says_it(column, row, orientation, words):
    """Image side and third always; the patient's side where the orientation tells it."""
    place = Hotspot(column, row, Box(0, 0, 1, 1))
    assert describe_hotspot(place, Geometry(300, 300), orientation) == words


def test_the_patients_side_is_unknown_without_an_orientation():
    """A file that says nothing of the patient's orientation gets no patient's side."""
    assert patient_side(Hotspot(1, 1, Box(0, 0, 1, 1)), Geometry(3, 3), None) is None


@pytest.mark.parametrize(
    ("geometry", "margins", "words"),
    [
        (Geometry(300, 300), Unseen(0, 0, 0, 0, 0.0), None),
        (
            Geometry(400, 300),
            Unseen(50, 0, 50, 0, 0.25),
            "The network did not see 50 pixels at the left and 50 pixels at the right "
            "(25 % of the image).",
        ),
        (
            Geometry(300, 401),
            Unseen(0, 50, 0, 51, pytest.approx(0.2519, abs=1e-4)),
            "The network did not see 50 pixels at the top and 51 pixels at the bottom "
            "(25 % of the image).",
        ),
    ],
    ids=["square", "landscape", "portrait, odd"],
)
def test_what_was_cropped_away_is_said(geometry, margins, words):
    """Margins outside the square crop are counted in source pixels and named."""
    found = unseen(geometry)
    assert found == margins
    assert geometry.describe_unseen == words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("L\\F", ("L", "F")),
        ("LA\\F", ("LA", "F")),
        (None, None),
        ("", None),
        ("L", None),
        ("L\\", None),
    ],
    ids=["usual", "oblique", "absent", "empty", "one", "half"],
)
def test_an_orientation_is_read_or_not_known(text, found):
    """Two directions, or none: half an orientation tells no side."""
    assert directions(text) == found
