"""The picture of an explanation, from a thumbnail's size to a detector's."""

import numpy as np
import pytest
from explained import MODEL, explained, grey, hot_map

from service.explain.drawing.caption import Caption, caption_panel
from service.explain.drawing.colour_map import COLOURS
from service.explain.drawing.figure import caption, draw
from service.explain.drawing.heat_map import overlay
from service.radiograph.preprocess import Geometry

PAPER = (16, 16, 16)


def picture(width, height, values=None, **more):
    found = explained(values, geometry=Geometry(width, height))
    return draw(grey(width, height), found, MODEL, **more)


@pytest.mark.parametrize(
    ("width", "height"),
    [(300, 300), (300, 900), (1000, 700), (4000, 3000)],
    ids=str,
)
def test_the_caption_fits_whatever_the_width(width, height):
    """The panel stands beneath the image, has ink, and none of it touches a side."""
    found = np.asarray(picture(width, height))
    panel = found[height:]
    assert found.shape[1] == width
    assert 0.03 * width < len(panel) < 1.2 * width
    ink = np.flatnonzero((panel != PAPER).any(axis=(0, 2)))
    assert ink[0] >= 8
    assert ink[-1] < width - 8
    rows = np.flatnonzero((panel != PAPER).any(axis=(1, 2)))
    assert rows[-1] < len(panel) - 1


def test_the_caption_says_what_is_shown():
    """Target, score, method, place, model and the demo notice are written."""
    found = caption(explained(patient_orientation=("L", "F"), geometry=Geometry(400, 400)), MODEL)
    assert found.headline == "Pneumonia: positive, score 0.69 (operating point 0.5)"
    assert found.lines == (
        "Grad-CAM at the last layer",
        "Most evidence: image left, middle third (the patient's right)",
        "Model demo 4330b11c375d, onnxruntime float32",
    )
    assert [notice[:13] for notice in found.notices] == ["Demo weights:"]
    assert found.legend


def test_without_a_map_the_radiograph_is_bare():
    """An empty map draws no colour and no legend, and the reason is written."""
    empty = np.zeros((7, 7), np.float32)
    found = caption(explained(empty, geometry=Geometry(300, 300)), MODEL)
    assert not found.legend
    assert found.notices[0].startswith("No map. Nothing in the image speaks for Pneumonia")
    drawn = np.asarray(picture(300, 300, empty))[:300]
    assert (drawn == 128).all()


def test_opacity_runs_from_nothing_to_the_colour_alone():
    """0 leaves the radiograph as it was; 1 shows the hottest colour itself at the peak."""
    assert (np.asarray(overlay(grey(224, 224), hot_map(), Geometry(224, 224), 0.0)) == 128).all()
    full = np.asarray(overlay(grey(224, 224), hot_map(), Geometry(224, 224), 1.0)).reshape(-1, 3)
    assert (full == COLOURS[-1]).all(axis=1).any()


def test_half_opacity_mixes_half_and_half():
    """At the peak, an opacity of 0.5 gives the mean of the radiograph and the hottest colour."""
    full = np.asarray(overlay(grey(224, 224), hot_map(), Geometry(224, 224), 1.0)).astype(int)
    half = np.asarray(overlay(grey(224, 224), hot_map(), Geometry(224, 224), 0.5)).astype(int)
    peak = (full == COLOURS[-1]).all(axis=2)
    assert np.abs(half[peak] - (COLOURS[-1].astype(int) + 128) / 2).max() <= 1


def test_what_was_not_seen_is_marked_and_left_as_it_was():
    """Margins outside the crop have no colour but the line where the network's square ends."""
    drawn = np.asarray(overlay(grey(400, 224), hot_map(4, 0), Geometry(400, 224), 1.0))
    assert (drawn[:, :87] == 128).all()
    assert (drawn[:, 87] == COLOURS[-1]).all()
    assert (drawn[:, 312] == COLOURS[-1]).all()
    assert (drawn[:, 313:] == 128).all()


def test_without_a_caption_the_picture_has_the_radiographs_size():
    """Captions can be left out: the overlay alone, pixel for pixel."""
    assert picture(400, 300, captions=False).size == (400, 300)


def test_a_word_wider_than_the_picture_is_cut():
    """One word of 200 letters is broken over lines rather than drawn off the edge."""
    panel = np.asarray(caption_panel(300, Caption("x", ("m" * 200,), legend=False)))
    assert (panel[:, 291:] == panel[-1, -1]).all()
